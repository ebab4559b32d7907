/* What follows the last convolutions, as source for the device: each value is a function of its
 * image and index that calls those of its inputs, so that reshaping, cutting and turning cost
 * nothing, and whole chains are one kernel. Kept in memory is what is wanted more than once for
 * each number: what a sort needs, sums and maxima along an axis, products; and the outputs. */
#include "tail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUM_MAX = 64, SUMS = 32 }; /* numbers that are added up anew rather than kept */

static const struct fused_node *maker(const struct tail *t, int value)
{
    int n = fused_maker(t->plan, value);
    return n >= 0 ? &t->plan->graph.node[n] : NULL;
}

/* ---- which values are kept ---- */

static bool feeds_topk(const struct tail *t, int value)
{
    for (int n = 0; n < t->plan->graph.node_count; ++n)
        if (!t->plan->gone[n] && strcmp(t->plan->graph.node[n].op, "TopK") == 0 &&
            t->plan->graph.node[n].input[0] == value)
            return true;
    return false;
}

static bool is_kept(const struct tail *t, int value, const struct fused_node *node)
{
    const struct fused_tensor *x = &t->plan->graph.value[node->input[0]];
    int axis = (int)fused_int(node, "axis", -1);
    axis = axis < 0 ? axis + x->rank : axis;
    return fused_is_output(t->plan, value) || feeds_topk(t, value) ||
           strncmp(node->op, "Reduce", 6) == 0 || strcmp(node->op, "MatMul") == 0 ||
           (strcmp(node->op, "Softmax") == 0 && x->dims[axis] > SUM_MAX) ||
           (strcmp(node->op, "Conv") == 0 && x->dims[1] > SUM_MAX);
}

static int add_dense_op(struct tail *t, int value, int user)
{
    struct fused_plan *plan = t->plan;
    struct fused_op *op = fused_add_op(plan, FUSED_DENSE, user, plan->graph.value_name[value]);
    if (!op)
        return -1;
    op->x_value = op->y_value = value;
    op->x = fused_slice_of(plan, value);
    op->channels_in = op->channels_out = op->x.channels;
    op->y = (struct fused_slice){fused_add_dense(plan, value), 0, op->x.channels};
    return op->x.buffer >= 0 && op->y.buffer >= 0 && value != plan->graph.input ? 0 : -1;
}

static int add_topk(struct tail *t, const struct fused_node *node, int n)
{
    struct fused_plan *plan = t->plan;
    const struct fused_tensor *x = &plan->graph.value[node->input[0]];
    struct fused_op *op = fused_add_op(plan, FUSED_TOPK, n, node->name);
    enum { BEST_MAX = 512, COUNT_MAX = 32768 };
    if (!op)
        return fused_tail_refuse(t, node, "too many operations");
    op->x_value = node->input[0];
    op->x.buffer = plan->dense_of[node->input[0]];
    op->count = (int)x->dims[x->rank - 1];
    int outputs[2] = {node->output[0], node->output_count > 1 ? node->output[1] : -1};
    for (int i = 0; i < 2; ++i) {
        if (outputs[i] < 0)
            continue;
        *(i ? &op->y2.buffer : &op->y.buffer) = fused_add_dense(plan, outputs[i]);
        op->best = (int)plan->graph.value[outputs[i]].dims[x->rank - 1];
    }
    if (fused_count(x) != op->count || op->best > BEST_MAX || op->count > COUNT_MAX)
        return fused_tail_refuse(t, node, "of several rows, or too long");
    return 0;
}

static int need(struct tail *t, int value, int user);

static int need_inputs(struct tail *t, const struct fused_node *node, int n)
{
    for (int i = 0; i < node->input_count; ++i)
        if (node->input[i] >= 0 && need(t, node->input[i], n) < 0)
            return -1;
    return 0;
}

/* Operations for what is kept of a value and of all that it is computed from. */
static int need(struct tail *t, int value, int user)
{
    struct fused_plan *plan = t->plan;
    int n = fused_maker(plan, value);
    if (t->visited[value] || fused_is_constant(plan, value) || plan->dense_of[value] >= 0)
        return 0;
    t->visited[value] = true;
    if (plan->image[value])
        return add_dense_op(t, value, user) < 0
                   ? fused_tail_refuse(t, &plan->graph.node[user], "reads the input itself")
                   : 0;
    if (n < 0)
        return fused_tail_refuse(t, &plan->graph.node[user], "reads the input itself");
    const struct fused_node *node = &plan->graph.node[n];
    if (need_inputs(t, node, n) < 0)
        return -1;
    if (strcmp(node->op, "TopK") == 0)
        return add_topk(t, node, n);
    if (!is_kept(t, value, node))
        return 0;
    struct fused_op *op = fused_add_op(plan, FUSED_TAIL, n, plan->graph.value_name[value]);
    int buffer = op ? fused_add_dense(plan, value) : -1;
    if (buffer < 0)
        return fused_tail_refuse(t, node, "too many operations");
    op->y_value = value;
    op->y.buffer = buffer;
    return 0;
}

/* ---- source ---- */

static int dense_number(const struct fused_plan *plan, int buffer)
{
    int number = 0;
    for (int i = 0; i < buffer; ++i)
        number += plan->buffer[i].dense;
    return number;
}

static void note_read(struct tail *t, struct fused_op *op, int buffer)
{
    for (int i = 0; i < op->read_count; ++i)
        if (op->reads[i] == buffer)
            return;
    if (op->read_count == FUSED_DEPENDS_MAX)
        t->failed = true;
    else
        op->reads[op->read_count++] = buffer;
}

/* Moves numbers that stand somewhere as they are. */
static bool moves(const struct tail *t, const struct fused_node *node)
{
    static const char *const names[] = {"Concat", "Expand",  "Flatten", "Reshape",   "Slice",
                                        "Split",  "Squeeze", "Tile",    "Transpose", "Unsqueeze"};
    bool all = strcmp(node->op, "Concat") == 0;
    bool move = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        move = move || strcmp(node->op, names[i]) == 0;
    for (int i = 0; i < (all ? node->input_count : 1) && move; ++i)
        move = fused_is_constant(t->plan, node->input[i]) ||
               t->plan->dense_of[node->input[i]] >= 0 || t->address[node->input[i]];
    return move;
}

/* The functions that a value's own is made of, before it. reader: whose kernel it is for. */
static int write_value(struct tail *t, int value, struct fused_op *reader, bool own)
{
    struct fused_plan *plan = t->plan;
    const struct fused_node *node = maker(t, value);
    int buffer = plan->dense_of[value], result = 0;
    if (!own && buffer >= 0)
        note_read(t, reader, buffer);
    if (!own && (buffer >= 0 || fused_is_constant(plan, value))) {
        if (t->written[value])
            return 0;
        t->written[value] = true;
        if (buffer < 0)
            return fused_write_constant(t, value);
        fused_put(t,
                  "D const float*w%d(const P&p,int b,int i){return p.d[%d]+(long long)b*%lld+i;}\n"
                  "D float v%d(const P&p,int b,int i){return *w%d(p,b,i);}\n",
                  value, dense_number(plan, buffer), (long long)plan->buffer[buffer].count, value,
                  value);
        return 0;
    }
    if (!node)
        return fused_fail(t->error, t->error_bytes, "a value that nothing computes");
    for (int i = 0; i < node->input_count && result == 0; ++i)
        if (node->input[i] >= 0)
            result = write_value(t, node->input[i], reader, false);
    if (result < 0 || (t->written[value] && !own))
        return result;
    if (!own)
        t->written[value] = true;
    t->as_address = t->address[value] = moves(t, node);
    if (t->as_address) { /* loads behind the choice of their place need not wait for each other */
        result = fused_write_node(t, node, value);
        t->as_address = false;
        fused_put(t, "D float %c%d(const P&p,int b,int i){return *w%d(p,b,i);}\n", own ? 'k' : 'v',
                  value, value);
        return result;
    }
    t->kernel_value = own ? value : -1;
    result = fused_write_node(t, node, value);
    t->kernel_value = -1;
    return result;
}

static int write_kernels(struct tail *t)
{
    struct fused_plan *plan = t->plan;
    fused_put(
        t, "#define D static __device__ __forceinline__\nstruct P{float*d[%d];const float*c;};\n",
        FUSED_DENSE_MAX);
    for (int i = 0; i < plan->op_count; ++i) {
        struct fused_op *op = &plan->op[i];
        if (op->kind != FUSED_TAIL)
            continue;
        const struct fused_node *node = maker(t, op->y_value);
        int dense = dense_number(plan, op->y.buffer);
        t->kernel = op->best = plan->kernel_count++;
        if (node && strncmp(node->op, "Reduce", 6) == 0) {
            op->count = SUMS; /* a block's */
            if (write_value(t, node->input[0], op, false) < 0 ||
                fused_write_reduce(t, node, dense) < 0)
                return -1;
            continue;
        }
        if (write_value(t, op->y_value, op, true) < 0)
            return -1;
        long long count = (long long)plan->buffer[op->y.buffer].count;
        fused_put(t,
                  "extern \"C\" __global__ void __launch_bounds__(256) tail%d(const "
                  "__grid_constant__ P p){int i=blockIdx.x*blockDim.x+threadIdx.x;if(i<%lld)"
                  "p.d[%d][(long long)blockIdx.y*%lld+i]=k%d(p,blockIdx.y,i);}\n",
                  op->best, count, dense, count, op->y_value);
    }
    if (t->failed)
        return fused_fail(t->error, t->error_bytes, "the tail is too large");
    return 0;
}

int fused_tail(struct fused_plan *plan, char *error, size_t error_bytes)
{
    size_t values = (size_t)plan->graph.value_count + 1;
    struct tail t = {.plan = plan,
                     .kernel_value = -1,
                     .error = error,
                     .error_bytes = error_bytes,
                     .written = calloc(values, sizeof *t.written),
                     .visited = calloc(values, sizeof *t.visited),
                     .address = calloc(values, sizeof *t.address)};
    int result = 0;
    if (!t.written || !t.visited || !t.address) {
        free(t.written);
        free(t.visited);
        free(t.address);
        return fused_fail(error, error_bytes, "out of memory");
    }
    for (int i = 0; i < plan->graph.output_count && result == 0; ++i) {
        int value = plan->graph.output[i], n = fused_maker(plan, value);
        result = need(&t, value, n);
        if (result == 0 && plan->image[value])
            result = fused_fail(error, error_bytes, "an output that a convolution reads, too");
        plan->output[i] = plan->dense_of[value];
        if (result == 0)
            plan->buffer[plan->output[i]].outside = true;
    }
    plan->output_count = plan->graph.output_count;
    if (result == 0 && dense_number(plan, plan->buffer_count) > FUSED_DENSE_MAX)
        result = fused_fail(error, error_bytes, "the tail is too large");
    fused_sort(plan);
    if (result == 0)
        result = write_kernels(&t);
    plan->source = t.text;
    free(t.written);
    free(t.visited);
    free(t.address);
    return result;
}
