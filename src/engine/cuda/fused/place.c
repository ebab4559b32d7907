/* Buffers: each image's channels get a slice of one, and parts of a concatenation their place in
 * its buffer, so that it is written where it is read.
 *
 * A convolution that fills two parts at once may fill one that another operation writes later: that
 * is fine when all that read the first have run by then. */
#include "lower.h"

#include <string.h>

struct fused_view fused_view_of(const struct fused_plan *plan, int value)
{
    struct fused_view view = {value, 0};
    for (;;) {
        int n = fused_maker(plan, view.value);
        const struct fused_node *node = n >= 0 ? &plan->graph.node[n] : NULL;
        int64_t begin[FUSED_RANK_MAX] = {0}, step[FUSED_RANK_MAX] = {0};
        int64_t size[FUSED_RANK_MAX] = {0};
        if (plan->part_of[view.value] >= 0) {
            view.offset += plan->part_at[view.value];
            view.value = plan->part_of[view.value];
        } else if (node && strcmp(node->op, "Split") == 0) {
            for (int i = 0; i < node->output_count && node->output[i] != view.value; ++i)
                view.offset += (int)plan->graph.value[node->output[i]].dims[1];
            view.value = node->input[0];
        } else if (node && strcmp(node->op, "Slice") == 0 &&
                   fused_slice_read(&plan->graph, node, begin, step, size) == 0) {
            view.offset += (int)begin[1];
            view.value = node->input[0];
        } else {
            return view;
        }
    }
}

static int channels_of(const struct fused_plan *plan, int value)
{
    return (int)plan->graph.value[value].dims[1];
}

/* ---- what may be written over ---- */

static struct fused_op *writer_of(const struct fused_plan *plan, int root)
{
    for (int i = 0; i < plan->op_count; ++i)
        if (plan->op[i].y_value >= 0 && plan->image[plan->op[i].y_value] &&
            fused_view_of(plan, plan->op[i].y_value).value == root)
            return &plan->op[i];
    return NULL;
}

static bool overlaps(const struct fused_plan *plan, int value, int root, int low, int high)
{
    if (value < 0 || value == plan->graph.input || !plan->image[value])
        return false;
    struct fused_view view = fused_view_of(plan, value);
    return view.value == root && view.offset < high && view.offset + channels_of(plan, value) > low;
}

static bool read_elsewhere(const struct fused_plan *plan, int root, int low, int high, int concat)
{
    for (int n = 0; n < plan->graph.node_count; ++n) {
        const struct fused_node *node = &plan->graph.node[n];
        if (plan->gone[n] || n == concat)
            continue;
        for (int i = 0; i < node->input_count; ++i) {
            bool tail = node->output[0] < 0 || !plan->image[node->output[0]];
            if ((strcmp(node->op, "Concat") == 0 || (tail && strcmp(node->op, "Conv") != 0)) &&
                overlaps(plan, node->input[i], root, low, high) && strcmp(node->op, "Split") != 0 &&
                strcmp(node->op, "Slice") != 0)
                return true;
        }
    }
    return false;
}

/* Channels [low, high) of root are done with before the operation that makes `part` runs. */
static bool is_done_before(const struct fused_plan *plan, int root, int low, int high, int part,
                           int concat)
{
    const struct fused_op *first = writer_of(plan, root);
    const struct fused_op *last = writer_of(plan, fused_view_of(plan, part).value);
    if (!first || !last || first == last || first->order >= last->order ||
        read_elsewhere(plan, root, low, high, concat))
        return false;
    for (int i = 0; i < plan->op_count; ++i) {
        const struct fused_op *op = &plan->op[i];
        if (op->order >= last->order && (overlaps(plan, op->x_value, root, low, high) ||
                                         overlaps(plan, op->residual_value, root, low, high)))
            return false;
    }
    return true;
}

/* ---- concatenations ---- */

/* Channels where two roots both lie and neither is wanted: the one would spoil the other. */
static bool spoils(const struct fused_plan *plan, const struct fused_node *concat, int root, int at)
{
    for (int v = 0; v < plan->graph.value_count; ++v) {
        if (v == root || plan->home[v] != concat->output[0])
            continue;
        int low = at > plan->home_at[v] ? at : plan->home_at[v], offset = 0;
        int high = at + channels_of(plan, root), end = plan->home_at[v] + channels_of(plan, v);
        high = high < end ? high : end;
        for (int i = 0; i < concat->input_count; ++i) {
            int owner = fused_view_of(plan, concat->input[i]).value;
            int next = offset + channels_of(plan, concat->input[i]);
            if (offset < high && next > low && owner != v && owner != root)
                return true;
            offset = next;
        }
    }
    return false;
}

static bool fits(const struct fused_plan *plan, const struct fused_node *concat, int n, int root,
                 int at)
{
    int size = channels_of(plan, root), total = channels_of(plan, concat->output[0]), offset = 0;
    if (at < 0 || at + size > total || spoils(plan, concat, root, at))
        return false;
    for (int i = 0; i < concat->input_count; ++i) {
        int part = concat->input[i], width = channels_of(plan, part);
        struct fused_view view = fused_view_of(plan, part);
        int low = offset > at ? offset : at;
        int high = offset + width < at + size ? offset + width : at + size;
        bool same = view.value == root && at + view.offset == offset;
        if (low < high && !same && !is_done_before(plan, root, low - at, high - at, part, n))
            return false;
        offset += width;
    }
    return true;
}

static int place_concat(struct fused_plan *plan, int n)
{
    const struct fused_node *concat = &plan->graph.node[n];
    int offset = 0, whole = concat->output[0];
    for (int i = 0; i < concat->input_count; ++i) {
        int part = concat->input[i], width = channels_of(plan, part);
        struct fused_view view = fused_view_of(plan, part);
        int at = offset - view.offset;
        offset += width;
        if (plan->home[view.value] == whole && plan->home_at[view.value] == at)
            continue;
        if (plan->home[view.value] < 0 && view.value != plan->graph.input &&
            fits(plan, concat, n, view.value, at)) {
            plan->home[view.value] = whole;
            plan->home_at[view.value] = at;
            continue;
        }
        struct fused_op *copy = fused_add_op(plan, FUSED_COPY, n, concat->name);
        if (!copy)
            return -1;
        copy->x_value = part;
        copy->y_value = whole;
        copy->group_offset = offset - width; /* where in the whole: see place_op() */
        copy->channels_in = copy->channels_out = width;
    }
    return 0;
}

/* ---- slices ---- */

struct fused_slice fused_slice_of(const struct fused_plan *plan, int value)
{
    if (value < 0)
        return (struct fused_slice){.buffer = -1};
    if (value == plan->graph.input)
        return (struct fused_slice){.buffer = plan->input, .channels = 3};
    struct fused_view view = fused_view_of(plan, value);
    while (plan->home[view.value] >= 0) {
        view.offset += plan->home_at[view.value];
        view.value = plan->home[view.value];
    }
    return (struct fused_slice){plan->buffer_of[view.value], view.offset, channels_of(plan, value)};
}

static int make_buffers(struct fused_plan *plan)
{
    int count = plan->graph.value_count;
    plan->input = fused_add_buffer(plan, plan->height, plan->width, 3);
    plan->buffer[plan->input].outside = true;
    for (int v = 0; v < count; ++v) {
        const struct fused_tensor *t = &plan->graph.value[v];
        int n = fused_maker(plan, v);
        bool concat = n >= 0 && strcmp(plan->graph.node[n].op, "Concat") == 0;
        if (!plan->image[v] || v == plan->graph.input || plan->home[v] >= 0 ||
            fused_view_of(plan, v).value != v || (!concat && !writer_of(plan, v)))
            continue;
        plan->buffer_of[v] =
            fused_add_buffer(plan, (int)t->dims[2], (int)t->dims[3], (int)t->dims[1]);
        if (plan->buffer_of[v] < 0)
            return -1;
    }
    return 0;
}

static int place_op(struct fused_plan *plan, struct fused_op *op)
{
    op->x = fused_slice_of(plan, op->x_value);
    op->residual = fused_slice_of(plan, op->residual_value);
    if (op->kind == FUSED_HEAD) {
        op->y.buffer = fused_add_dense(plan, op->y_value);
        op->y.channels = op->channels_out;
    } else {
        op->y = fused_slice_of(plan, op->y_value);
    }
    if (op->kind == FUSED_COPY) {
        op->y.offset += op->group_offset;
        op->y.channels = op->channels_out;
        op->group_offset = 0;
    }
    return op->x.buffer >= 0 && op->y.buffer >= 0 &&
                   (op->residual_value < 0 || op->residual.buffer >= 0)
               ? 0
               : -1;
}

/* ---- three poolings in a row ---- */

static bool is_five(const struct fused_op *op)
{
    const struct fused_window *w = &op->window;
    return op->kind == FUSED_POOL && w->kernel[0] == 5 && w->kernel[1] == 5 && w->stride[0] == 1 &&
           w->stride[1] == 1 && w->before[0] == 2 && w->before[1] == 2 && w->after[0] == 2 &&
           w->after[1] == 2;
}

static struct fused_op *pool_behind(struct fused_plan *plan, const struct fused_op *op)
{
    for (int i = 0; i < plan->op_count; ++i)
        if (is_five(&plan->op[i]) && plan->op[i].x_value == op->y_value)
            return &plan->op[i];
    return NULL;
}

static void join_pools(struct fused_plan *plan)
{
    enum { AREA_MAX = 1536 }; /* what a block's memory holds */
    for (int i = 0; i < plan->op_count; ++i) {
        struct fused_op *a = &plan->op[i];
        struct fused_op *b = is_five(a) ? pool_behind(plan, a) : NULL;
        struct fused_op *c = b ? pool_behind(plan, b) : NULL;
        const struct fused_buffer *buffer = &plan->buffer[a->y.buffer];
        if (!c || buffer->height * buffer->width > AREA_MAX)
            continue;
        a->kind = FUSED_SPPF;
        a->y2 = b->y;
        a->y3 = c->y;
        b->kind = c->kind = FUSED_TAIL; /* marked: they go */
        int kept = 0;
        for (int k = 0; k < plan->op_count; ++k)
            if (&plan->op[k] != b && &plan->op[k] != c)
                plan->op[kept++] = plan->op[k];
        plan->op_count = kept;
    }
}

int fused_place(struct fused_plan *plan, char *error, size_t error_bytes)
{
    for (int n = 0; n < plan->graph.node_count; ++n) {
        const struct fused_node *node = &plan->graph.node[n];
        if (!plan->gone[n] && strcmp(node->op, "Concat") == 0 && plan->image[node->output[0]] &&
            place_concat(plan, n) < 0)
            return fused_fail(error, error_bytes, "too many operations");
    }
    fused_sort(plan);
    if (make_buffers(plan) < 0)
        return fused_fail(error, error_bytes, "too many buffers");
    for (int i = 0; i < plan->op_count; ++i)
        if (place_op(plan, &plan->op[i]) < 0)
            return fused_fail(error, error_bytes, "%s: its memory was not placed",
                              plan->op[i].name);
    join_pools(plan);
    return 0;
}
