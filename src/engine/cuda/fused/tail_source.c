/* The source of one value's function: see tail.c. */
#include "tail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fused_put(struct tail *t, const char *format, ...)
{
    va_list arguments;
    if (t->room - t->used < 4096) {
        char *grown = realloc(t->text, t->room * 2 + 65536);
        if (!grown) {
            t->failed = true;
            return;
        }
        t->text = grown;
        t->room = t->room * 2 + 65536;
    }
    va_start(arguments, format);
    /* The analyzer does not see va_start() in a file with these headers. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    int count = vsnprintf(t->text + t->used, t->room - t->used, format, arguments);
    va_end(arguments);
    t->failed = t->failed || count < 0 || (size_t)count >= t->room - t->used;
    t->used += t->failed ? 0 : (size_t)count;
}

static const struct fused_tensor *tensor(const struct tail *t, int value)
{
    return &t->plan->graph.value[value];
}

int fused_tail_refuse(struct tail *t, const struct fused_node *node, const char *what)
{
    return fused_fail(t->error, t->error_bytes, "%s %s: %s", node->op, node->name ? node->name : "",
                      what);
}

/* ---- pieces of source ---- */

static char kind_of(const struct tail *t)
{
    return t->as_address ? 'w' : 'v';
}

/* int a0 = ..., a1 = ...: where index i stands in a tensor of these sizes. */
static void put_place(struct tail *t, const struct fused_tensor *of)
{
    int64_t inner = 1;
    for (int i = of->rank - 1; i >= 0; --i) {
        if (i == 0)
            fused_put(t, "int a0=i/%lld;", (long long)inner);
        else
            fused_put(t, "int a%d=i/%lld%%%lld;", i, (long long)inner, (long long)of->dims[i]);
        inner *= of->dims[i];
    }
}

/* Index of the numbers name0, name1, ... in a tensor that may be broadcast to `rank` of them. */
static void put_index(struct tail *t, const struct fused_tensor *of, int rank, const char *name)
{
    fused_put(t, "0");
    for (int i = 0; i < of->rank; ++i) {
        int64_t inner = 1;
        for (int k = i + 1; k < of->rank; ++k)
            inner *= of->dims[k];
        if (of->dims[i] != 1)
            fused_put(t, "+%s%d*%lld", name, rank - of->rank + i, (long long)inner);
    }
}

static void begin_value(struct tail *t, int value)
{
    if (t->as_address)
        fused_put(t, "D const float*w%d(const P&p,int b,int i){", value);
    else
        fused_put(t, "D float %c%d(const P&p,int b,int i){", t->kernel_value == value ? 'k' : 'v',
                  value);
}

int fused_write_constant(struct tail *t, int value)
{
    struct fused_plan *plan = t->plan;
    const struct fused_tensor *c = tensor(t, value);
    size_t count = (size_t)fused_count(c);
    if (plan->constant_count + count > plan->constant_room) {
        size_t room = (plan->constant_count + count) * 2;
        float *grown = realloc(plan->constants, room * sizeof *grown);
        if (!grown)
            return fused_fail(t->error, t->error_bytes, "out of memory");
        plan->constants = grown;
        plan->constant_room = room;
    }
    for (size_t i = 0; i < count; ++i)
        plan->constants[plan->constant_count + i] = c->data ? (float)c->data[i] : c->weights[i];
    fused_put(t, "D const float*w%d(const P&p,int b,int i){return p.c+%zu+i;}\n", value,
              plan->constant_count);
    if (count == 1)
        fused_put(t, "D float v%d(const P&p,int b,int i){return %.9ef;}\n", value,
                  c->data ? c->data[0] : (double)c->weights[0]);
    else
        fused_put(t, "D float v%d(const P&p,int b,int i){return p.c[%zu+i];}\n", value,
                  plan->constant_count);
    plan->constant_count += count;
    return 0;
}

/* ---- one by one ---- */

static const char *unary_source(const char *op)
{
    static const char *const known[][2] = {{"Sigmoid", "__fdividef(1.0f,1.0f+__expf(-x))"},
                                           {"Relu", "fmaxf(x,0.0f)"},
                                           {"Softplus", "x>20.0f?x:log1pf(expf(x))"},
                                           {"Exp", "expf(x)"},
                                           {"Abs", "fabsf(x)"},
                                           {"Neg", "-x"},
                                           {"Sqrt", "sqrtf(x)"},
                                           {"Log", "logf(x)"},
                                           {"Tanh", "tanhf(x)"},
                                           {"Floor", "floorf(x)"},
                                           {"Ceil", "ceilf(x)"},
                                           {"Identity", "x"},
                                           {"Not", "x==0.0f"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i][0], op) == 0)
            return known[i][1];
    return NULL;
}

static const char *binary_source(const char *op, bool whole)
{
    static const char *const known[][2] = {{"Add", "x+y"},
                                           {"Sub", "x-y"},
                                           {"Mul", "x*y"},
                                           {"Div", "x/y"},
                                           {"Mod", "x-y*floorf(x/y)"},
                                           {"Pow", "powf(x,y)"},
                                           {"Min", "fminf(x,y)"},
                                           {"Max", "fmaxf(x,y)"},
                                           {"Equal", "x==y"},
                                           {"Less", "x<y"},
                                           {"Greater", "x>y"}};
    if (whole && strcmp(op, "Div") == 0)
        return "truncf(x/y)";
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i][0], op) == 0)
            return known[i][1];
    return NULL;
}

static void write_unary(struct tail *t, const struct fused_node *node)
{
    begin_value(t, node->output[0]);
    fused_put(t, "float x=v%d(p,b,i);", node->input[0]);
    if (strcmp(node->op, "LeakyRelu") == 0)
        fused_put(t, "return x>0.0f?x:x*%.9ef;}\n", (double)fused_float(node, "alpha", 0.01f));
    else if (strcmp(node->op, "Cast") == 0)
        fused_put(t, "return %s;}\n",
                  tensor(t, node->output[0])->type == FUSED_INT ? "truncf(x)" : "x");
    else
        fused_put(t, "return %s;}\n", unary_source(node->op));
}

static int write_clip(struct tail *t, const struct fused_node *node)
{
    double limit[2] = {(double)fused_float(node, "min", -3e38f),
                       (double)fused_float(node, "max", 3e38f)};
    for (int k = 1; k < node->input_count; ++k) {
        if (node->input[k] >= 0 && !fused_is_constant(t->plan, node->input[k]))
            return fused_tail_refuse(t, node, "limits that are computed");
        if (node->input[k] >= 0)
            limit[k - 1] = tensor(t, node->input[k])->data[0];
    }
    begin_value(t, node->output[0]);
    fused_put(t, "return fminf(fmaxf(v%d(p,b,i),%.9ef),%.9ef);}\n", node->input[0], limit[0],
              limit[1]);
    return 0;
}

static void put_operand(struct tail *t, const struct fused_node *node, int port)
{
    const struct fused_tensor *x = tensor(t, node->input[port]), *y = tensor(t, node->output[0]);
    fused_put(t, "v%d(p,b,", node->input[port]);
    if (fused_count(x) == fused_count(y))
        fused_put(t, "i");
    else
        put_index(t, x, y->rank, "a");
    fused_put(t, ")");
}

static void write_elementwise(struct tail *t, const struct fused_node *node)
{
    bool whole = tensor(t, node->input[0])->type == FUSED_INT;
    begin_value(t, node->output[0]);
    put_place(t, tensor(t, node->output[0]));
    if (strcmp(node->op, "Where") == 0) {
        fused_put(t, "return ");
        put_operand(t, node, 0);
        fused_put(t, "!=0.0f?");
        put_operand(t, node, 1);
        fused_put(t, ":");
        put_operand(t, node, 2);
        fused_put(t, ";}\n");
        return;
    }
    fused_put(t, "float x=");
    put_operand(t, node, 0);
    fused_put(t, ",y=");
    put_operand(t, node, 1);
    fused_put(t, ";return %s;}\n", binary_source(node->op, whole));
}

/* ---- moving ---- */

/* A choice of places, not of ways to go: what is read does not wait for it. */
static void write_concat(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *y = tensor(t, node->output[0]);
    int axis = (int)fused_int(node, "axis", 0);
    int64_t at = 0;
    axis = axis < 0 ? axis + y->rank : axis;
    begin_value(t, node->output[0]);
    put_place(t, y);
    for (int k = 0; k < node->input_count; ++k) {
        for (int i = 0; i < y->rank; ++i)
            fused_put(t, "int q%d_%d=a%d-%lld;", k, i, i, (long long)(i == axis ? at : 0));
        at += tensor(t, node->input[k])->dims[axis];
    }
    fused_put(t, "return ");
    at = 0;
    for (int k = 0; k < node->input_count; ++k) {
        const struct fused_tensor *x = tensor(t, node->input[k]);
        char name[24];
        snprintf(name, sizeof name, "q%d_", k);
        at += x->dims[axis];
        if (k < node->input_count - 1)
            fused_put(t, "a%d<%lld?", axis, (long long)at);
        fused_put(t, "%c%d(p,b,", kind_of(t), node->input[k]);
        put_index(t, x, y->rank, name);
        fused_put(t, ")%s", k < node->input_count - 1 ? ":" : "");
    }
    fused_put(t, ";}\n");
}

static void write_split(struct tail *t, const struct fused_node *node, int value)
{
    const struct fused_tensor *x = tensor(t, node->input[0]);
    int axis = (int)fused_int(node, "axis", 0);
    int64_t at = 0;
    axis = axis < 0 ? axis + x->rank : axis;
    for (int i = 0; i < node->output_count && node->output[i] != value; ++i)
        at += tensor(t, node->output[i])->dims[axis];
    begin_value(t, value);
    put_place(t, tensor(t, value));
    fused_put(t, "a%d+=%lld;return %c%d(p,b,", axis, (long long)at, kind_of(t), node->input[0]);
    put_index(t, x, x->rank, "a");
    fused_put(t, ");}\n");
}

static int write_slice(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(t, node->input[0]);
    int64_t begin[FUSED_RANK_MAX] = {0}, step[FUSED_RANK_MAX] = {0};
    int64_t size[FUSED_RANK_MAX] = {0};
    if (fused_slice_read(&t->plan->graph, node, begin, step, size) < 0)
        return fused_tail_refuse(t, node, "places that are not constant");
    begin_value(t, node->output[0]);
    put_place(t, tensor(t, node->output[0]));
    for (int i = 0; i < x->rank; ++i)
        fused_put(t, "a%d=%lld+a%d*%lld;", i, (long long)begin[i], i, (long long)step[i]);
    fused_put(t, "return %c%d(p,b,", kind_of(t), node->input[0]);
    put_index(t, x, x->rank, "a");
    fused_put(t, ");}\n");
    return 0;
}

static int write_transpose(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(t, node->input[0]);
    const struct fused_attribute *perm = fused_attribute(node, "perm");
    begin_value(t, node->output[0]);
    put_place(t, tensor(t, node->output[0]));
    for (int i = 0; i < x->rank; ++i)
        fused_put(t, "int c%d=a%d;", perm ? (int)perm->ints[i] : x->rank - 1 - i, i);
    fused_put(t, "return %c%d(p,b,", kind_of(t), node->input[0]);
    put_index(t, x, x->rank, "c");
    fused_put(t, ");}\n");
    return 0;
}

static void write_spread(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(t, node->input[0]), *y = tensor(t, node->output[0]);
    begin_value(t, node->output[0]);
    put_place(t, y);
    for (int i = 0; i < x->rank && strcmp(node->op, "Tile") == 0; ++i)
        fused_put(t, "a%d%%=%lld;", i, (long long)x->dims[i]);
    fused_put(t, "return %c%d(p,b,", kind_of(t), node->input[0]);
    put_index(t, x, y->rank, "a");
    fused_put(t, ");}\n");
}

static int write_gather(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(t, node->input[0]), *y = tensor(t, node->output[0]);
    const struct fused_tensor *index = tensor(t, node->input[1]);
    bool elements = strcmp(node->op, "GatherElements") == 0;
    int axis = (int)fused_int(node, "axis", 0);
    axis = axis < 0 ? axis + x->rank : axis;
    if (!elements && index->rank > 1)
        return fused_tail_refuse(t, node, "an index of several dimensions");
    begin_value(t, node->output[0]);
    put_place(t, y);
    if (elements) {
        fused_put(t, "int g=(int)v%d(p,b,i);if(g<0)g+=%lld;a%d=g;return v%d(p,b,", node->input[1],
                  (long long)x->dims[axis], axis, node->input[0]);
        put_index(t, x, x->rank, "a");
        fused_put(t, ");}\n");
        return 0;
    }
    for (int i = 0, from = 0; i < x->rank; ++i) {
        if (i == axis && index->rank == 1)
            fused_put(t, "int c%d=(int)v%d(p,b,a%d);", i, node->input[1], from++);
        else if (i == axis)
            fused_put(t, "int c%d=(int)v%d(p,b,0);", i, node->input[1]);
        else
            fused_put(t, "int c%d=a%d;", i, from++);
    }
    fused_put(t, "if(c%d<0)c%d+=%lld;return v%d(p,b,", axis, axis, (long long)x->dims[axis],
              node->input[0]);
    put_index(t, x, x->rank, "c");
    fused_put(t, ");}\n");
    return 0;
}

/* ---- along an axis ---- */

static void around(const struct fused_tensor *x, int axis, int64_t *inner)
{
    *inner = 1;
    for (int i = axis + 1; i < x->rank; ++i)
        *inner *= x->dims[i];
}

/* As a kernel: eight warps of a block share the sums of 32 numbers. */
int fused_write_reduce(struct tail *t, const struct fused_node *node, int dense)
{
    const struct fused_tensor *x = tensor(t, node->input[0]);
    int axes[FUSED_RANK_MAX];
    int64_t inner;
    if (fused_axes(&t->plan->graph, node, 1, x->rank, axes) != 1)
        return fused_tail_refuse(t, node, "more than one axis");
    around(x, axes[0], &inner);
    bool most = strcmp(node->op, "ReduceMax") == 0, mean = strcmp(node->op, "ReduceMean") == 0;
    long long size = (long long)x->dims[axes[0]], in = (long long)inner;
    long long count = (long long)fused_count(tensor(t, node->output[0]));
    const char *both = most ? "fmaxf(s,x)" : "s+x";
    fused_put(
        t,
        "extern \"C\" __global__ void __launch_bounds__(256) tail%d(const __grid_constant__ P "
        "p){__shared__ float part[8][32];int t=threadIdx.x&31,g=threadIdx.x>>5,b=blockIdx.y,"
        "i=blockIdx.x*32+t;float s=%s;if(i<%lld){int o=i/%lld*%lld+i%%%lld;\n#pragma unroll "
        "4\nfor(int k=g;k<%lld;k+=8){float x=v%d(p,b,o+k*%lld);s=%s;}}part[g][t]=s;"
        "__syncthreads();if(g==0&&i<%lld){for(int k=1;k<8;++k){float x=part[k][t];s=%s;}"
        "p.d[%d][(long long)b*%lld+i]=s*%.9ef;}}\n",
        t->kernel, most ? "-3e38f" : "0.0f", count, in, in * size, in, size, node->input[0], in,
        both, count, both, dense, count, mean ? 1.0 / (double)size : 1.0);
    return 0;
}

static void write_softmax(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(t, node->input[0]);
    int axis = (int)fused_int(node, "axis", -1);
    int64_t inner;
    axis = axis < 0 ? axis + x->rank : axis;
    around(x, axis, &inner);
    long long size = (long long)x->dims[axis], in = (long long)inner;
    begin_value(t, node->output[0]);
    fused_put(t,
              "int o=i/%lld*%lld+i%%%lld;float m=-3e38f,s=0.0f;for(int k=0;k<%lld;++k)"
              "m=fmaxf(m,v%d(p,b,o+k*%lld));for(int k=0;k<%lld;++k)s+=expf(v%d(p,b,o+k*%lld)-m);"
              "return expf(v%d(p,b,i)-m)/s;}\n",
              in * size, in * size, in, size, node->input[0], in, size, node->input[0], in,
              node->input[0]);
}

static int write_matmul(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *a = tensor(t, node->input[0]), *b = tensor(t, node->input[1]);
    long long k = (long long)a->dims[a->rank - 1], n = (long long)b->dims[b->rank - 1];
    long long m = (long long)a->dims[a->rank - 2];
    begin_value(t, node->output[0]);
    fused_put(t,
              "int w=i/%lld,r=i/%lld%%%lld,c=i%%%lld;float s=0.0f;for(int k=0;k<%lld;++k)"
              "s+=v%d(p,b,(w*%lld+r)*%lld+k)*v%d(p,b,(w*%lld+k)*%lld+c);return s;}\n",
              m * n, n, m, n, k, node->input[0], m, k, node->input[1], k, n);
    return 0;
}

static int softmax_before(const struct tail *t, const struct fused_node *conv)
{
    int n = fused_maker(t->plan, conv->input[0]);
    const struct fused_node *node = n >= 0 ? &t->plan->graph.node[n] : NULL;
    return node && strcmp(node->op, "Softmax") == 0 && t->plan->dense_of[conv->input[0]] < 0 &&
                   fused_int(node, "axis", -1) == 1
               ? node->input[0]
               : -1;
}

/* 1x1. Behind a softmax, as where a side of a box is a mean over places, both in one. */
static int write_conv(struct tail *t, const struct fused_node *node)
{
    const struct fused_tensor *x = tensor(t, node->input[0]), *w = tensor(t, node->input[1]);
    struct fused_window window;
    bool plain = x->rank == 4 && w->rank == 4 && w->dims[2] == 1 && w->dims[3] == 1 &&
                 fused_window_read(&window, node, 1, 1, (int)x->dims[2], (int)x->dims[3]) == 0 &&
                 window.groups == 1 && window.stride[0] == 1 && window.stride[1] == 1 &&
                 window.before[0] == 0 && window.before[1] == 0 && window.after[0] == 0 &&
                 window.after[1] == 0;
    if (!plain || !fused_is_constant(t->plan, node->input[1]))
        return fused_tail_refuse(t, node, "behind what is no convolution, and not 1x1");
    long long area = (long long)x->dims[2] * x->dims[3], in = (long long)x->dims[1];
    int soft = softmax_before(t, node);
    begin_value(t, node->output[0]);
    fused_put(t, "int o=i%%%lld,c=i/%lld;float s=0.0f;", area, area);
    if (soft >= 0)
        fused_put(t,
                  "float m=-3e38f,q=0.0f;for(int k=0;k<%lld;++k)m=fmaxf(m,v%d(p,b,o+k*%lld));"
                  "for(int k=0;k<%lld;++k){float e=expf(v%d(p,b,o+k*%lld)-m);q+=e;"
                  "s+=e*v%d(p,b,c*%lld+k);}s/=q;",
                  in, soft, area, in, soft, area, node->input[1], in);
    else
        fused_put(t, "for(int k=0;k<%lld;++k)s+=v%d(p,b,o+k*%lld)*v%d(p,b,c*%lld+k);", in,
                  node->input[0], area, node->input[1], in);
    if (node->input_count > 2 && node->input[2] >= 0)
        fused_put(t, "return s+v%d(p,b,c);}\n", node->input[2]);
    else
        fused_put(t, "return s;}\n");
    return 0;
}

/* ---- a value ---- */

static bool one_of(const char *op, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; ++i)
        if (strcmp(op, names[i]) == 0)
            return true;
    return false;
}

int fused_write_node(struct tail *t, const struct fused_node *node, int value)
{
    static const char *const views[] = {"Reshape", "Unsqueeze", "Squeeze", "Flatten"};
    const char *op = node->op;
    if (one_of(op, views, sizeof views / sizeof *views)) {
        begin_value(t, value);
        fused_put(t, "return %c%d(p,b,i);}\n", kind_of(t), node->input[0]);
        return 0;
    }
    if (unary_source(op) || strcmp(op, "LeakyRelu") == 0 || strcmp(op, "Cast") == 0)
        write_unary(t, node);
    else if (strcmp(op, "Where") == 0 || binary_source(op, false))
        write_elementwise(t, node);
    else if (strcmp(op, "Concat") == 0)
        write_concat(t, node);
    else if (strcmp(op, "Split") == 0)
        write_split(t, node, value);
    else if (strcmp(op, "Expand") == 0 || strcmp(op, "Tile") == 0)
        write_spread(t, node);
    else if (strcmp(op, "Softmax") == 0)
        write_softmax(t, node);
    else if (strcmp(op, "Clip") == 0)
        return write_clip(t, node);
    else if (strcmp(op, "Slice") == 0)
        return write_slice(t, node);
    else if (strcmp(op, "Transpose") == 0)
        return write_transpose(t, node);
    else if (strcmp(op, "Gather") == 0 || strcmp(op, "GatherElements") == 0)
        return write_gather(t, node);
    else if (strcmp(op, "MatMul") == 0)
        return write_matmul(t, node);
    else if (strcmp(op, "Conv") == 0)
        return write_conv(t, node);
    else
        return fused_tail_refuse(t, node, "not known behind the last convolutions");
    return 0;
}
