#include "evaluate_layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const struct fused_tensor *t, int64_t index)
{
    return t->data ? t->data[index] : (double)t->weights[index];
}

int fused_axes(const struct fused_onnx *onnx, const struct fused_node *node, int port, int rank,
               int *axes)
{
    const struct fused_attribute *attribute = fused_attribute(node, "axes");
    const struct fused_tensor *input =
        port < node->input_count && node->input[port] >= 0 ? &onnx->value[node->input[port]] : NULL;
    if (!attribute && !(input && input->data))
        return -1;
    int64_t count = attribute ? attribute->count : fused_count(input);
    if (count > FUSED_RANK_MAX)
        return -1;
    for (int i = 0; i < count; ++i) {
        int64_t axis = attribute ? attribute->ints[i] : (int64_t)input->data[i];
        axes[i] = (int)(axis < 0 ? axis + rank : axis);
        if (axes[i] < 0 || axes[i] >= rank)
            return -1;
    }
    return (int)count;
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

/* ---- shapes ---- */

static int copy_as(struct fused_eval *e, int rank, const int64_t *dims)
{
    const struct fused_tensor *x = e->in[0];
    int64_t count = 1;
    for (int i = 0; i < rank; ++i)
        count *= dims[i];
    if (count != fused_count(x))
        return fused_refuse(e, "another number of elements");
    if (fused_make(e, 0, x->type, rank, dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < count; ++i)
        e->out[0]->data[i] = number(x, i);
    return 0;
}

static int do_constant(struct fused_eval *e)
{
    const struct fused_attribute *value = fused_attribute(e->node, "value");
    struct fused_tensor *from = value && value->tensor >= 0 ? &e->onnx->value[value->tensor] : NULL;
    if (!from || (!from->data && !from->weights))
        return fused_refuse(e, "not a tensor");
    e->in[0] = from;
    e->known = true;
    if (copy_as(e, from->rank, from->dims) < 0)
        return -1;
    fused_forget(from);
    return 0;
}

static int do_shape(struct fused_eval *e)
{
    int64_t rank = e->in[0]->rank, start = fused_int(e->node, "start", 0);
    int64_t end = fused_int(e->node, "end", rank);
    start = start < 0 ? start + rank : start;
    end = end < 0 ? end + rank : end;
    if (start < 0 || end > rank || end < start)
        return fused_refuse(e, "a part that is not there");
    e->known = true;
    int64_t count = end - start;
    if (fused_make(e, 0, FUSED_INT, 1, &count) < 0)
        return -1;
    for (int64_t i = 0; i < count; ++i)
        e->out[0]->data[i] = (double)e->in[0]->dims[start + i];
    return 0;
}

static int do_reshape(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *shape = e->in[1];
    int64_t dims[FUSED_RANK_MAX], known = 1, all = fused_count(x);
    int open = -1, rank = shape ? (int)fused_count(shape) : 0;
    if (!shape || !shape->data || rank > FUSED_RANK_MAX)
        return fused_refuse(e, "a shape that is not constant");
    for (int i = 0; i < rank; ++i) {
        dims[i] = (int64_t)shape->data[i];
        if (dims[i] == 0 && i < x->rank && fused_int(e->node, "allowzero", 0) == 0)
            dims[i] = x->dims[i];
        if (dims[i] == -1)
            open = i;
        else
            known *= dims[i];
    }
    if (open >= 0)
        dims[open] = known > 0 ? all / known : 0;
    return copy_as(e, rank, dims);
}

static int do_flatten(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    int64_t axis = fused_int(e->node, "axis", 1), dims[2] = {1, 1};
    for (int i = 0; i < x->rank; ++i)
        dims[i >= axis] *= x->dims[i];
    return copy_as(e, 2, dims);
}

static int do_unsqueeze(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    const struct fused_attribute *attribute = fused_attribute(e->node, "axes");
    int axes[FUSED_RANK_MAX], rank = x->rank;
    int64_t dims[FUSED_RANK_MAX];
    rank += attribute ? attribute->count : e->in[1] ? (int)fused_count(e->in[1]) : 0;
    if (rank > FUSED_RANK_MAX)
        return fused_refuse(e, "too many dimensions");
    int count = fused_axes(e->onnx, e->node, 1, rank, axes);
    if (count < 0)
        return fused_refuse(e, "axes that are not constant");
    for (int i = 0, from = 0; i < rank; ++i) {
        bool added = false;
        for (int k = 0; k < count; ++k)
            added = added || axes[k] == i;
        if (!added && from == x->rank)
            return fused_refuse(e, "an axis twice");
        dims[i] = added ? 1 : x->dims[from++];
    }
    return copy_as(e, rank, dims);
}

static int do_squeeze(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    int axes[FUSED_RANK_MAX], rank = 0;
    int64_t dims[FUSED_RANK_MAX];
    bool all = e->node->input_count < 2 && !fused_attribute(e->node, "axes");
    int count = all ? 0 : fused_axes(e->onnx, e->node, 1, x->rank, axes);
    if (count < 0)
        return fused_refuse(e, "axes that are not constant");
    for (int i = 0; i < x->rank; ++i) {
        bool gone = all && x->dims[i] == 1;
        for (int k = 0; k < count; ++k)
            gone = gone || axes[k] == i;
        if (!gone)
            dims[rank++] = x->dims[i];
    }
    return copy_as(e, rank, dims);
}

static int do_transpose(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    const struct fused_attribute *perm = fused_attribute(e->node, "perm");
    int64_t dims[FUSED_RANK_MAX], at[FUSED_RANK_MAX], from[FUSED_RANK_MAX];
    int order[FUSED_RANK_MAX];
    for (int i = 0; i < x->rank; ++i) {
        order[i] = perm ? (int)perm->ints[i] : x->rank - 1 - i;
        if ((perm && perm->count != x->rank) || order[i] < 0 || order[i] >= x->rank)
            return fused_refuse(e, "an order that does not fit");
        dims[i] = x->dims[order[i]];
    }
    if (fused_make(e, 0, x->type, x->rank, dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(x); ++i) {
        fused_unravel(i, x->rank, dims, at);
        for (int k = 0; k < x->rank; ++k)
            from[order[k]] = at[k];
        e->out[0]->data[i] = number(x, fused_broadcast(x, x->rank, from));
    }
    return 0;
}

/* ---- parts ---- */

static int do_concat(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    int64_t dims[FUSED_RANK_MAX], outer, inner, at = 0;
    int axis = axis_of(e, 0, x->rank);
    if (axis < 0)
        return -1;
    memcpy(dims, x->dims, sizeof dims);
    for (int k = 1; k < e->node->input_count; ++k) {
        if (!e->in[k] || e->in[k]->rank != x->rank)
            return fused_refuse(e, "inputs that do not go together");
        for (int i = 0; i < x->rank; ++i)
            if (i != axis && e->in[k]->dims[i] != x->dims[i])
                return fused_refuse(e, "inputs that do not go together");
        dims[axis] += e->in[k]->dims[axis];
    }
    if (fused_make(e, 0, x->type, x->rank, dims) < 0)
        return -1;
    around(x, axis, &outer, &inner);
    for (int k = 0; e->known && k < e->node->input_count; ++k) {
        int64_t size = e->in[k]->dims[axis];
        for (int64_t o = 0; o < outer; ++o)
            for (int64_t i = 0; i < size * inner; ++i)
                e->out[0]->data[(o * dims[axis] + at) * inner + i] =
                    number(e->in[k], o * size * inner + i);
        at += size;
    }
    return 0;
}

static int do_split(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *sizes = e->in[1];
    const struct fused_attribute *attribute = fused_attribute(e->node, "split");
    int64_t dims[FUSED_RANK_MAX], outer, inner, at = 0;
    int axis = axis_of(e, 0, x->rank), parts = e->node->output_count;
    if (axis < 0)
        return -1;
    if (sizes && (!sizes->data || fused_count(sizes) != parts))
        return fused_refuse(e, "sizes that are not constant");
    around(x, axis, &outer, &inner);
    for (int k = 0; k < parts; ++k) {
        int64_t even = (x->dims[axis] + parts - 1) / parts;
        int64_t left = x->dims[axis] - at;
        int64_t size = sizes                               ? (int64_t)sizes->data[k]
                       : attribute && k < attribute->count ? attribute->ints[k]
                       : even < left                       ? even
                                                           : left;
        if (size < 0 || size > left)
            return fused_refuse(e, "sizes that do not fit");
        memcpy(dims, x->dims, sizeof dims);
        dims[axis] = size;
        if (fused_make(e, k, x->type, x->rank, dims) < 0)
            return -1;
        for (int64_t o = 0; e->known && e->out[k] && o < outer; ++o)
            for (int64_t i = 0; i < size * inner; ++i)
                e->out[k]->data[o * size * inner + i] =
                    number(x, (o * x->dims[axis] + at) * inner + i);
        at += size;
    }
    return at == x->dims[axis] ? 0 : fused_refuse(e, "sizes that do not fit");
}

static const double *constant_of(const struct fused_onnx *onnx, const struct fused_node *node,
                                 int port, int count)
{
    if (port >= node->input_count || node->input[port] < 0)
        return NULL;
    const struct fused_tensor *t = &onnx->value[node->input[port]];
    return t->data && (count < 0 || fused_count(t) == count) ? t->data : NULL;
}

static int64_t clamp(double value, int64_t low, int64_t high)
{
    return value < (double)low ? low : value > (double)high ? high : (int64_t)value;
}

int fused_slice_read(const struct fused_onnx *onnx, const struct fused_node *node, int64_t *begin,
                     int64_t *step, int64_t *size)
{
    const struct fused_tensor *x = &onnx->value[node->input[0]];
    const double *starts = constant_of(onnx, node, 1, -1);
    int count = starts ? (int)fused_count(&onnx->value[node->input[1]]) : 0;
    const double *ends = constant_of(onnx, node, 2, count);
    bool has_axes = node->input_count > 3 && node->input[3] >= 0;
    bool has_steps = node->input_count > 4 && node->input[4] >= 0;
    const double *axes = constant_of(onnx, node, 3, count);
    const double *steps = constant_of(onnx, node, 4, count);
    if (!starts || !ends || (has_axes && !axes) || (has_steps && !steps) || count > x->rank)
        return -1;
    for (int i = 0; i < x->rank; ++i) {
        begin[i] = 0;
        step[i] = 1;
        size[i] = x->dims[i];
    }
    for (int k = 0; k < count; ++k) {
        int axis = axes ? (int)axes[k] : k;
        axis = axis < 0 ? axis + x->rank : axis;
        if (axis < 0 || axis >= x->rank || (steps && steps[k] == 0))
            return -1;
        int64_t length = x->dims[axis], by = steps ? (int64_t)steps[k] : 1;
        double from = starts[k] < 0 ? starts[k] + (double)length : starts[k];
        double to = ends[k] < 0 ? ends[k] + (double)length : ends[k];
        if (by > 0) {
            begin[axis] = clamp(from, 0, length);
            size[axis] = (clamp(to, 0, length) - begin[axis] + by - 1) / by;
        } else {
            begin[axis] = clamp(from, -1, length - 1);
            size[axis] = (begin[axis] - clamp(to, -1, length - 1) - by - 1) / -by;
        }
        size[axis] = size[axis] < 0 ? 0 : size[axis];
        step[axis] = by;
    }
    return 0;
}

static int do_slice(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0];
    int64_t begin[FUSED_RANK_MAX] = {0}, step[FUSED_RANK_MAX] = {0};
    int64_t size[FUSED_RANK_MAX] = {0}, at[FUSED_RANK_MAX] = {0};
    if (fused_slice_read(e->onnx, e->node, begin, step, size) < 0)
        return fused_refuse(e, "places that are not constant");
    if (fused_make(e, 0, x->type, x->rank, size) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(e->out[0]); ++i) {
        fused_unravel(i, x->rank, size, at);
        for (int k = 0; k < x->rank; ++k)
            at[k] = begin[k] + at[k] * step[k];
        e->out[0]->data[i] = number(x, fused_broadcast(x, x->rank, at));
    }
    return 0;
}

static int do_gather(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *index = e->in[1];
    int64_t dims[FUSED_RANK_MAX], outer, inner;
    int axis = axis_of(e, 0, x->rank), rank = 0;
    if (axis < 0 || !index || x->rank + index->rank - 1 > FUSED_RANK_MAX)
        return fused_refuse(e, "inputs that do not go together");
    for (int i = 0; i < x->rank; ++i)
        if (i != axis)
            dims[rank++] = x->dims[i];
        else
            for (int k = 0; k < index->rank; ++k)
                dims[rank++] = index->dims[k];
    if (fused_make(e, 0, x->type, rank, dims) < 0)
        return -1;
    around(x, axis, &outer, &inner);
    int64_t count = fused_count(index), length = x->dims[axis];
    for (int64_t o = 0; e->known && o < outer; ++o)
        for (int64_t k = 0; k < count; ++k) {
            int64_t from = (int64_t)number(index, k);
            from = from < 0 ? from + length : from;
            if (from < 0 || from >= length)
                return fused_refuse(e, "a place that is not there");
            for (int64_t i = 0; i < inner; ++i)
                e->out[0]->data[(o * count + k) * inner + i] =
                    number(x, (o * length + from) * inner + i);
        }
    return 0;
}

static int do_gather_elements(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *index = e->in[1];
    int64_t at[FUSED_RANK_MAX];
    int axis = axis_of(e, 0, x->rank);
    if (axis < 0 || !index || index->rank != x->rank)
        return fused_refuse(e, "inputs that do not go together");
    if (fused_make(e, 0, x->type, index->rank, index->dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(index); ++i) {
        fused_unravel(i, x->rank, index->dims, at);
        int64_t from = (int64_t)number(index, i);
        at[axis] = from < 0 ? from + x->dims[axis] : from;
        if (at[axis] < 0 || at[axis] >= x->dims[axis])
            return fused_refuse(e, "a place that is not there");
        e->out[0]->data[i] = number(x, fused_broadcast(x, x->rank, at));
    }
    return 0;
}

static int spread(struct fused_eval *e, int rank, const int64_t *dims, bool tiled)
{
    const struct fused_tensor *x = e->in[0];
    int64_t at[FUSED_RANK_MAX];
    if (fused_make(e, 0, x->type, rank, dims) < 0)
        return -1;
    for (int64_t i = 0; e->known && i < fused_count(e->out[0]); ++i) {
        fused_unravel(i, rank, dims, at);
        for (int k = 0; tiled && k < rank; ++k)
            at[k] %= x->dims[k];
        e->out[0]->data[i] = number(x, fused_broadcast(x, rank, at));
    }
    return 0;
}

static int do_expand(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *shape = e->in[1];
    int64_t dims[FUSED_RANK_MAX];
    if (!shape || !shape->data || fused_count(shape) > FUSED_RANK_MAX)
        return fused_refuse(e, "a shape that is not constant");
    int wanted = (int)fused_count(shape), rank = wanted > x->rank ? wanted : x->rank;
    for (int i = 0; i < rank; ++i) {
        int a = i - (rank - wanted), b = i - (rank - x->rank);
        int64_t to = a >= 0 ? (int64_t)shape->data[a] : 1, from = b >= 0 ? x->dims[b] : 1;
        if (to != 1 && from != 1 && to != from)
            return fused_refuse(e, "a shape that does not fit");
        dims[i] = to == 1 ? from : to;
    }
    return spread(e, rank, dims, false);
}

static int do_tile(struct fused_eval *e)
{
    const struct fused_tensor *x = e->in[0], *times = e->in[1];
    int64_t dims[FUSED_RANK_MAX];
    if (!times || !times->data || fused_count(times) != x->rank)
        return fused_refuse(e, "counts that are not constant");
    for (int i = 0; i < x->rank; ++i)
        dims[i] = x->dims[i] * (int64_t)times->data[i];
    return spread(e, x->rank, dims, true);
}

static int do_range(struct fused_eval *e)
{
    for (int i = 0; i < 3; ++i)
        if (!e->in[i] || !e->in[i]->data)
            return fused_refuse(e, "limits that are not constant");
    double start = e->in[0]->data[0], step = e->in[2]->data[0];
    double steps = step != 0 ? ceil((e->in[1]->data[0] - start) / step) : -1;
    int64_t count = steps > 0 && steps < 1e8 ? (int64_t)steps : 0;
    if (step == 0 || fused_make(e, 0, e->in[0]->type, 1, &count) < 0)
        return fused_refuse(e, "no steps");
    for (int64_t i = 0; i < count; ++i)
        e->out[0]->data[i] = start + (double)i * step;
    return 0;
}

static int do_fill(struct fused_eval *e)
{
    const struct fused_attribute *value = fused_attribute(e->node, "value");
    const struct fused_tensor *shape = e->in[0];
    const struct fused_tensor *with =
        value && value->tensor >= 0 ? &e->onnx->value[value->tensor] : NULL;
    int64_t dims[FUSED_RANK_MAX];
    if (!shape->data || fused_count(shape) > FUSED_RANK_MAX || (with && !with->data))
        return fused_refuse(e, "a shape that is not constant");
    for (int i = 0; i < fused_count(shape); ++i)
        dims[i] = (int64_t)shape->data[i];
    if (fused_make(e, 0, with ? with->type : FUSED_FLOAT, (int)fused_count(shape), dims) < 0)
        return -1;
    for (int64_t i = 0; i < fused_count(e->out[0]); ++i)
        e->out[0]->data[i] = with ? with->data[0] : 0;
    return 0;
}

static const struct {
    const char *op;
    fused_eval_fn *run;
} known[] = {
    {"Concat", do_concat},
    {"Constant", do_constant},
    {"ConstantOfShape", do_fill},
    {"Expand", do_expand},
    {"Flatten", do_flatten},
    {"Gather", do_gather},
    {"GatherElements", do_gather_elements},
    {"Range", do_range},
    {"Reshape", do_reshape},
    {"Shape", do_shape},
    {"Slice", do_slice},
    {"Split", do_split},
    {"Squeeze", do_squeeze},
    {"Tile", do_tile},
    {"Transpose", do_transpose},
    {"Unsqueeze", do_unsqueeze},
};

fused_eval_fn *fused_layout_find(const char *op)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
        if (strcmp(known[i].op, op) == 0)
            return known[i].run;
    return fused_axis_find(op);
}
