/* Sums, maxima, orders and products along an axis. */
#include "evaluate_layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const struct fused_tensor *t, int64_t index)
{
    return t->data ? t->data[index] : (double)t->weights[index];
}

static int axis_of(struct fused_eval *e, int64_t otherwise, int rank)
{
    int64_t axis = fused_int(e->node, "axis", otherwise);
    axis = axis < 0 ? axis + rank : axis;
    return axis >= 0 && axis < rank ? (int)axis : fused_refuse(e, "an axis that is not there");
}

/* Elements before, along and after an axis. */
static void around(const struct fused_tensor *t, int axis, int64_t *outer, int64_t *inner)
{
    *outer = *inner = 1;
    for (int i = 0; i < t->rank; ++i)
        *(i < axis ? outer : inner) *= i == axis ? 1 : t->dims[i];
}

static int do_softmax(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    int64_t outer, inner;
    int axis = axis_of(e, -1, x->rank);
    if (axis < 0 || fused_make(e, 0, FUSED_FLOAT, x->rank, x->dims) < 0)
        return -1;
    around(x, axis, &outer, &inner);
    int64_t size = x->dims[axis];
    for (int64_t o = 0; e->known && o < outer * inner; ++o) {
        int64_t first = o / inner * size * inner + o % inner;
        double most = -INFINITY, sum = 0;
        for (int64_t k = 0; k < size; ++k)
            most = fmax(most, number(x, first + k * inner));
        for (int64_t k = 0; k < size; ++k)
            sum += exp(number(x, first + k * inner) - most);
        for (int64_t k = 0; k < size; ++k)
            e->out[0]->data[first + k * inner] = exp(number(x, first + k * inner) - most) / sum;
    }
    return 0;
}

/* Over one axis, as detectors do. */
static int do_reduce(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    int axes[FUSED_RANK_MAX], rank = 0;
    int64_t dims[FUSED_RANK_MAX], outer, inner;
    const char *kind = e->node->op + strlen("Reduce");
    if (fused_axes(e->onnx, e->node, 1, x->rank, axes) != 1)
        return fused_refuse(e, "more than one axis");
    for (int i = 0; i < x->rank; ++i)
        if (i != axes[0] || fused_int(e->node, "keepdims", 1) != 0)
            dims[rank++] = i == axes[0] ? 1 : x->dims[i];
    if (fused_make(e, 0, x->type, rank, dims) < 0)
        return -1;
    around(x, axes[0], &outer, &inner);
    int64_t size = x->dims[axes[0]];
    for (int64_t o = 0; e->known && o < outer * inner; ++o) {
        int64_t first = o / inner * size * inner + o % inner;
        double sum = 0, most = -INFINITY;
        for (int64_t k = 0; k < size; ++k) {
            sum += number(x, first + k * inner);
            most = fmax(most, number(x, first + k * inner));
        }
        e->out[0]->data[o] = strcmp(kind, "Max") == 0    ? most
                             : strcmp(kind, "Mean") == 0 ? sum / (double)size
                                                         : sum;
    }
    return 0;
}

static int do_matmul(struct fused_eval *e)
{
    const struct fused_tensor *a = e->in[0], *b = e->in[1];
    int64_t dims[FUSED_RANK_MAX], outer = 1;
    if (!b || a->rank != b->rank || a->rank < 2 || a->dims[a->rank - 1] != b->dims[b->rank - 2])
        return fused_refuse(e, "sizes that do not go together");
    for (int i = 0; i < a->rank - 2; ++i) {
        if (a->dims[i] != b->dims[i])
            return fused_refuse(e, "sizes that do not go together");
        outer *= dims[i] = a->dims[i];
    }
    int64_t m = dims[a->rank - 2] = a->dims[a->rank - 2], k = a->dims[a->rank - 1];
    int64_t n = dims[a->rank - 1] = b->dims[b->rank - 1];
    if (fused_make(e, 0, FUSED_FLOAT, a->rank, dims) < 0)
        return -1;
    for (int64_t o = 0; e->known && o < outer * m * n; ++o) {
        int64_t which = o / (m * n), row = o / n % m, column = o % n;
        double sum = 0;
        for (int64_t i = 0; i < k; ++i)
            sum += number(a, (which * m + row) * k + i) * number(b, (which * k + i) * n + column);
        e->out[0]->data[o] = sum;
    }
    return 0;
}

struct ranked {
    double value;
    int64_t index;
};

static int falling(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The largest along the last axis. */
static int do_topk(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *k = e->in[1];
    int64_t dims[FUSED_RANK_MAX];
    int axis = axis_of(e, -1, x->rank);
    if (axis != x->rank - 1 || !k || !k->data || fused_int(e->node, "largest", 1) != 1)
        return fused_refuse(e, "not the largest of the last axis");
    int64_t size = x->dims[axis], wanted = (int64_t)k->data[0];
    if (wanted < 1 || wanted > size)
        return fused_refuse(e, "more than there are");
    memcpy(dims, x->dims, sizeof dims);
    dims[axis] = wanted;
    if (fused_make(e, 0, x->type, x->rank, dims) < 0 ||
        fused_make(e, 1, FUSED_INT, x->rank, dims) < 0)
        return -1;
    struct ranked *row = e->known ? calloc((size_t)size, sizeof *row) : NULL;
    if (e->known && !row)
        return fused_refuse(e, "out of memory");
    for (int64_t o = 0; row && o < fused_count(x) / size; ++o) {
        for (int64_t i = 0; i < size; ++i)
            row[i] = (struct ranked){number(x, o * size + i), i};
        qsort(row, (size_t)size, sizeof *row, falling);
        for (int64_t i = 0; i < wanted; ++i) {
            if (e->out[0])
                e->out[0]->data[o * wanted + i] = row[i].value;
            if (e->out[1])
                e->out[1]->data[o * wanted + i] = (double)row[i].index;
        }
    }
    free(row);
    return 0;
}

static const struct {
    const char *op;
    fused_eval_fn *run;
} known[] = {
    {"MatMul", do_matmul},    {"ReduceMax", do_reduce}, {"ReduceMean", do_reduce},
    {"ReduceSum", do_reduce}, {"Softmax", do_softmax},  {"TopK", do_topk},
};

fused_eval_fn *fused_axis_find(const char *op)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i].op, op) == 0)
            return known[i].run;
    return NULL;
}
