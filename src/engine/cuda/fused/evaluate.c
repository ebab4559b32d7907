#include "evaluate.h"

#include "evaluate_layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT_MAX = 1 << 28 };

int fused_refuse(struct fused_eval *e, const char *what)
{
    return fused_fail(e->error, e->error_bytes, "%s %s: %s", e->node->op,
                      e->node->name ? e->node->name : "", what);
}

int fused_make(struct fused_eval *e, int index, enum fused_type type, int rank, const int64_t *dims)
{
    struct fused_tensor *out = index < e->node->output_count ? e->out[index] : NULL;
    int64_t count = 1;
    if (!out)
        return 0;
    if (rank > FUSED_RANK_MAX)
        return fused_refuse(e, "too many dimensions");
    for (int i = 0; i < rank; ++i) {
        if (dims[i] < 0 || dims[i] > COUNT_MAX)
            return fused_refuse(e, "a size that does not fit");
        count *= dims[i];
        if (count > COUNT_MAX)
            return fused_refuse(e, "too large");
    }
    int64_t kept[FUSED_RANK_MAX] = {0};
    for (int i = 0; i < rank; ++i) /* dims may be those of out itself */
        kept[i] = dims[i];
    fused_forget(out);
    out->type = type;
    out->rank = rank;
    memcpy(out->dims, kept, sizeof kept);
    if (e->known && !(out->data = calloc((size_t)count + 1, sizeof *out->data)))
        return fused_refuse(e, "out of memory");
    return 0;
}

void fused_forget(struct fused_tensor *tensor)
{
    free(tensor->data);
    free(tensor->weights);
    tensor->data = NULL;
    tensor->weights = NULL;
}

static double number(const struct fused_tensor *t, int64_t index)
{
    return t->data ? t->data[index] : (double)t->weights[index];
}

/* ---- one by one ---- */

bool fused_unary(const char *op, double x, double alpha, double *y)
{
    if (strcmp(op, "Sigmoid") == 0)
        *y = 1.0 / (1.0 + exp(-x));
    else if (strcmp(op, "Relu") == 0)
        *y = x > 0 ? x : 0;
    else if (strcmp(op, "Softplus") == 0)
        *y = x > 30 ? x : log1p(exp(x));
    else if (strcmp(op, "Exp") == 0)
        *y = exp(x);
    else if (strcmp(op, "Abs") == 0)
        *y = fabs(x);
    else if (strcmp(op, "Neg") == 0)
        *y = -x;
    else if (strcmp(op, "Sqrt") == 0)
        *y = sqrt(x);
    else if (strcmp(op, "Log") == 0)
        *y = log(x);
    else if (strcmp(op, "Tanh") == 0)
        *y = tanh(x);
    else if (strcmp(op, "Floor") == 0)
        *y = floor(x);
    else if (strcmp(op, "Ceil") == 0)
        *y = ceil(x);
    else if (strcmp(op, "LeakyRelu") == 0)
        *y = x > 0 ? x : alpha * x;
    else if (strcmp(op, "Identity") == 0)
        *y = x;
    else if (strcmp(op, "Not") == 0)
        *y = x == 0;
    else
        return false;
    return true;
}

bool fused_binary(const char *op, double a, double b, bool whole, double *y)
{
    if (strcmp(op, "Add") == 0)
        *y = a + b;
    else if (strcmp(op, "Sub") == 0)
        *y = a - b;
    else if (strcmp(op, "Mul") == 0)
        *y = a * b;
    else if (strcmp(op, "Div") == 0)
        *y = whole ? (b != 0 ? trunc(a / b) : 0) : a / b;
    else if (strcmp(op, "Mod") == 0)
        *y = b != 0 ? a - b * floor(a / b) : 0;
    else if (strcmp(op, "Pow") == 0)
        *y = pow(a, b);
    else if (strcmp(op, "Min") == 0)
        *y = a < b ? a : b;
    else if (strcmp(op, "Max") == 0)
        *y = a > b ? a : b;
    else if (strcmp(op, "Equal") == 0)
        *y = a == b;
    else if (strcmp(op, "Less") == 0)
        *y = a < b;
    else if (strcmp(op, "Greater") == 0)
        *y = a > b;
    else
        return false;
    return true;
}

static int do_unary(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    double alpha = (double)fused_float(e->node, "alpha", 0.01f);
    if (fused_make(e, 0, x->type, x->rank, x->dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(x); ++i)
        if (!fused_unary(e->node->op, number(x, i), alpha, &e->out[0]->data[i]))
            return fused_refuse(e, "unknown");
    return 0;
}

/* Where, in a tensor of fewer or shorter dimensions, the element of index `at` stands. */
int64_t fused_broadcast(const struct fused_tensor *t, int rank, const int64_t *at)
{
    int64_t index = 0;
    for (int i = 0; i < t->rank; ++i) {
        int64_t where = at[rank - t->rank + i];
        index = index * t->dims[i] + (t->dims[i] == 1 ? 0 : where);
    }
    return index;
}

void fused_unravel(int64_t index, int rank, const int64_t *dims, int64_t *at)
{
    for (int i = rank - 1; i >= 0; --i) {
        at[i] = dims[i] ? index % dims[i] : 0;
        index = dims[i] ? index / dims[i] : 0;
    }
}

static int common_shape(struct fused_eval *e, int count, int64_t *dims)
{
    int rank = 0;
    for (int k = 0; k < count; ++k)
        if (!e->in[k])
            return fused_refuse(e, "an input is left out");
    for (int k = 0; k < count; ++k)
        rank = e->in[k]->rank > rank ? e->in[k]->rank : rank;
    for (int i = 0; i < rank; ++i) {
        dims[i] = 1;
        for (int k = 0; k < count; ++k) {
            int at = i - (rank - e->in[k]->rank);
            int64_t size = at >= 0 ? e->in[k]->dims[at] : 1;
            if (size != 1 && dims[i] != 1 && dims[i] != size)
                return fused_refuse(e, "sizes that do not go together");
            dims[i] = size != 1 ? size : dims[i];
        }
    }
    return rank;
}

static int do_binary(struct fused_eval *e)
{
    int64_t dims[FUSED_RANK_MAX], at[FUSED_RANK_MAX];
    int rank = common_shape(e, 2, dims);
    const char *op = e->node->op;
    bool whole = e->in[0]->type == FUSED_INT && e->in[1]->type == FUSED_INT;
    bool boolean =
        strcmp(op, "Equal") == 0 || strcmp(op, "Less") == 0 || strcmp(op, "Greater") == 0;
    if (rank < 0 || fused_make(e, 0, boolean ? FUSED_BOOL : e->in[0]->type, rank, dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(e->out[0]); ++i) {
        fused_unravel(i, rank, dims, at);
        if (!fused_binary(op, number(e->in[0], fused_broadcast(e->in[0], rank, at)),
                          number(e->in[1], fused_broadcast(e->in[1], rank, at)), whole,
                          &e->out[0]->data[i]))
            return fused_refuse(e, "unknown");
    }
    return 0;
}

static int do_where(struct fused_eval *e)
{
    int64_t dims[FUSED_RANK_MAX], at[FUSED_RANK_MAX];
    int rank = common_shape(e, 3, dims);
    if (rank < 0 || fused_make(e, 0, e->in[1]->type, rank, dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(e->out[0]); ++i) {
        fused_unravel(i, rank, dims, at);
        int from = number(e->in[0], fused_broadcast(e->in[0], rank, at)) != 0 ? 1 : 2;
        e->out[0]->data[i] = number(e->in[from], fused_broadcast(e->in[from], rank, at));
    }
    return 0;
}

static int do_clip(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    double low = (double)fused_float(e->node, "min", -3e38f);
    double high = (double)fused_float(e->node, "max", 3e38f);
    for (int k = 1; k < 3; ++k)
        if (e->in[k]) {
            if (!e->in[k]->data)
                return fused_refuse(e, "limits that are computed");
            *(k == 1 ? &low : &high) = e->in[k]->data[0];
        }
    if (fused_make(e, 0, x->type, x->rank, x->dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(x); ++i)
        e->out[0]->data[i] = fmin(fmax(number(x, i), low), high);
    return 0;
}

static int do_cast(struct fused_eval *e)
{
    static const enum fused_type types[] = {
        [1] = FUSED_FLOAT, [6] = FUSED_INT,    [7] = FUSED_INT,
        [9] = FUSED_BOOL,  [10] = FUSED_FLOAT, [11] = FUSED_FLOAT};
    const struct fused_tensor *x = e->in[0];
    int64_t to = fused_int(e->node, "to", 0);
    if (to != 1 && to != 6 && to != 7 && to != 9 && to != 10 && to != 11)
        return fused_refuse(e, "a type that is not known");
    if (fused_make(e, 0, types[to], x->rank, x->dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(x); ++i) {
        double value = number(x, i);
        e->out[0]->data[i] = types[to] == FUSED_INT    ? trunc(value)
                             : types[to] == FUSED_BOOL ? value != 0
                                                       : value;
    }
    return 0;
}

/* ---- images ---- */

int fused_window_read(struct fused_window *window, const struct fused_node *node, int kernel_h,
                      int kernel_w, int height, int width)
{
    const struct fused_attribute *pads = fused_attribute(node, "pads");
    const struct fused_attribute *strides = fused_attribute(node, "strides");
    const struct fused_attribute *dilations = fused_attribute(node, "dilations");
    const struct fused_attribute *automatic = fused_attribute(node, "auto_pad");
    *window = (struct fused_window){.kernel = {kernel_h, kernel_w},
                                    .groups = (int)fused_int(node, "group", 1)};
    if ((strides && strides->count != 2) || (pads && pads->count != 4) ||
        (dilations && dilations->count != 2) || fused_int(node, "ceil_mode", 0) != 0)
        return -1;
    for (int i = 0; i < 2; ++i) {
        window->stride[i] = strides ? (int)strides->ints[i] : 1;
        window->dilation[i] = dilations ? (int)dilations->ints[i] : 1;
        window->before[i] = pads ? (int)pads->ints[i] : 0;
        window->after[i] = pads ? (int)pads->ints[2 + i] : 0;
        if (automatic && strncmp(automatic->s, "SAME", 4) == 0) {
            int size = i ? width : height, steps = (size - 1) / window->stride[i];
            int all = steps * window->stride[i] + window->kernel[i] - size;
            all = all > 0 ? all : 0;
            window->before[i] = strcmp(automatic->s, "SAME_LOWER") == 0 ? (all + 1) / 2 : all / 2;
            window->after[i] = all - window->before[i];
        }
        if (window->stride[i] < 1 || window->dilation[i] < 1 || window->kernel[i] < 1 ||
            window->groups < 1)
            return -1;
    }
    return 0;
}

int fused_window_size(const struct fused_window *w, int axis, int size)
{
    return (size + w->before[axis] + w->after[axis] - (w->kernel[axis] - 1) * w->dilation[axis] -
            1) /
               w->stride[axis] +
           1;
}

static double convolve(const struct fused_eval *e, const struct fused_window *w, int64_t c,
                       int64_t oy, int64_t ox)
{
    const struct fused_tensor *x = e->in[0], *f = e->in[1];
    int64_t inner = f->dims[1], first = c / (f->dims[0] / w->groups) * inner;
    double sum = e->in[2] ? number(e->in[2], c) : 0;
    for (int ky = 0; ky < w->kernel[0]; ++ky)
        for (int kx = 0; kx < w->kernel[1]; ++kx) {
            int64_t y = oy * w->stride[0] + (int64_t)ky * w->dilation[0] - w->before[0];
            int64_t xx = ox * w->stride[1] + (int64_t)kx * w->dilation[1] - w->before[1];
            if (y < 0 || y >= x->dims[2] || xx < 0 || xx >= x->dims[3])
                continue;
            for (int64_t i = 0; i < inner; ++i)
                sum += number(x, ((first + i) * x->dims[2] + y) * x->dims[3] + xx) *
                       number(f, ((c * inner + i) * w->kernel[0] + ky) * w->kernel[1] + kx);
        }
    return sum;
}

static double pool(const struct fused_tensor *x, const struct fused_window *w, int64_t c,
                   int64_t oy, int64_t ox)
{
    double best = -INFINITY;
    for (int ky = 0; ky < w->kernel[0]; ++ky)
        for (int kx = 0; kx < w->kernel[1]; ++kx) {
            int64_t y = oy * w->stride[0] + (int64_t)ky * w->dilation[0] - w->before[0];
            int64_t xx = ox * w->stride[1] + (int64_t)kx * w->dilation[1] - w->before[1];
            if (y >= 0 && y < x->dims[2] && xx >= 0 && xx < x->dims[3])
                best = fmax(best, number(x, (c * x->dims[2] + y) * x->dims[3] + xx));
        }
    return best;
}

static int do_window(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    bool conv = strcmp(e->node->op, "Conv") == 0;
    const struct fused_attribute *kernel = fused_attribute(e->node, "kernel_shape");
    struct fused_window w;
    if (x->rank != 4 || x->dims[0] != 1 || (conv && (!e->in[1] || e->in[1]->rank != 4)) ||
        (!conv && (!kernel || kernel->count != 2)))
        return fused_refuse(e, "not of two dimensions and one image");
    if (fused_window_read(&w, e->node, (int)(conv ? e->in[1]->dims[2] : kernel->ints[0]),
                          (int)(conv ? e->in[1]->dims[3] : kernel->ints[1]), (int)x->dims[2],
                          (int)x->dims[3]) < 0 ||
        (conv && (e->in[1]->dims[1] * w.groups != x->dims[1] || e->in[1]->dims[0] % w.groups)))
        return fused_refuse(e, "a window that is not read");
    int64_t dims[] = {1, conv ? e->in[1]->dims[0] : x->dims[1],
                      fused_window_size(&w, 0, (int)x->dims[2]),
                      fused_window_size(&w, 1, (int)x->dims[3])};
    if (fused_make(e, 0, FUSED_FLOAT, 4, dims) < 0)
        return -1;
    double *to = e->out[0]->data;
    for (int64_t c = 0; e->known && c < dims[1]; ++c)
        for (int64_t y = 0; y < dims[2]; ++y)
            for (int64_t xx = 0; xx < dims[3]; ++xx)
                *to++ = conv ? convolve(e, &w, c, y, xx) : pool(x, &w, c, y, xx);
    return 0;
}

/* Nearest, by whole factors, as upsampling between levels is. */
static int do_resize(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *scales = e->in[2], *sizes = e->in[3];
    const struct fused_attribute *mode = fused_attribute(e->node, "mode");
    int64_t dims[4];
    if (strcmp(e->node->op, "Upsample") == 0) {
        scales = e->in[1];
        sizes = NULL;
    }
    bool by_scale = scales && scales->data && fused_count(scales) == 4;
    bool by_size = sizes && sizes->data && fused_count(sizes) == 4;
    if (x->rank != 4 || (mode && strcmp(mode->s, "nearest") != 0) || (!by_scale && !by_size))
        return fused_refuse(e, "only to the nearest, by scales or sizes that are constant");
    for (int i = 0; i < 4; ++i) {
        dims[i] = by_scale ? (int64_t)floor((double)x->dims[i] * scales->data[i])
                           : (int64_t)sizes->data[i];
        if (x->dims[i] == 0 || dims[i] % x->dims[i] || (i < 2 && dims[i] != x->dims[i]))
            return fused_refuse(e, "a scale that is no whole number");
    }
    if (fused_make(e, 0, FUSED_FLOAT, 4, dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(e->out[0]); ++i) {
        int64_t at[4];
        fused_unravel(i, 4, dims, at);
        at[2] /= dims[2] / x->dims[2];
        at[3] /= dims[3] / x->dims[3];
        e->out[0]->data[i] = number(x, (at[1] * x->dims[2] + at[2]) * x->dims[3] + at[3]);
    }
    return 0;
}

/* ---- dispatch ---- */

static const struct {
    const char *op;
    fused_eval_fn *run;
} known[] = {
    {"Cast", do_cast},     {"Clip", do_clip},   {"Conv", do_window},     {"MaxPool", do_window},
    {"Resize", do_resize}, {"Where", do_where}, {"Upsample", do_resize},
};

static fused_eval_fn *find(const char *op)
{
    double y;
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i].op, op) == 0)
            return known[i].run;
    if (fused_unary(op, 1, 1, &y))
        return do_unary;
    return fused_binary(op, 1, 1, false, &y) ? do_binary : fused_layout_find(op);
}

int fused_evaluate(struct fused_onnx *onnx, const struct fused_node *node, char *error,
                   size_t error_bytes)
{
    struct fused_eval e = {.onnx = onnx, .node = node, .error = error, .error_bytes = error_bytes};
    fused_eval_fn *run = find(node->op);
    e.known = true;
    for (int i = 0; i < node->input_count; ++i) {
        e.in[i] = node->input[i] >= 0 ? &onnx->value[node->input[i]] : NULL;
        if (e.in[i] && e.in[i]->rank < 0)
            return fused_refuse(&e, "an input of unknown shape");
        e.known = e.known && (!e.in[i] || e.in[i]->data || e.in[i]->weights);
    }
    for (int i = 0; i < node->output_count; ++i)
        e.out[i] = node->output[i] >= 0 ? &onnx->value[node->output[i]] : NULL;
    if (!run)
        return fused_refuse(&e, "not known here");
    if (node->input_count == 0 && strcmp(node->op, "Constant") != 0)
        return fused_refuse(&e, "no inputs");
    if (node->input_count > 0 && !e.in[0])
        return fused_refuse(&e, "the first input is left out");
    return run(&e);
}
