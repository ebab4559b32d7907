/* What waits for what, which memory is shared, and which stream an operation runs on.
 *
 * The order of the operations is right by itself; two of them may change places when neither writes
 * channels that the other reads or writes. A buffer may take another's memory when all that touch
 * the other are done before any that touches it begins, whatever the streams do. */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS = (FUSED_OPS_MAX + 63) / 64, ALIGNMENT = 256, ACCESSES_MAX = FUSED_DEPENDS_MAX + 8 };

struct access {
    struct fused_slice slice;
    bool writes;
};

static int accesses_of(const struct fused_op *op, struct access *all)
{
    const struct access some[] = {
        {op->x, false}, {op->residual, false}, {op->y, true}, {op->y2, true}, {op->y3, true}};
    int count = 0;
    for (size_t i = 0; i < sizeof some / sizeof *some; ++i)
        if (some[i].slice.buffer >= 0)
            all[count++] = some[i];
    for (int i = 0; i < op->read_count; ++i)
        all[count++] = (struct access){{.buffer = op->reads[i]}, false};
    return count;
}

static bool meet(const struct fused_plan *plan, const struct access *a, const struct access *b)
{
    if (a->slice.buffer != b->slice.buffer || (!a->writes && !b->writes))
        return false;
    if (plan->buffer[a->slice.buffer].dense)
        return true;
    return a->slice.offset < b->slice.offset + b->slice.channels &&
           b->slice.offset < a->slice.offset + a->slice.channels;
}

static bool must_wait(const struct fused_plan *plan, const struct fused_op *op,
                      const struct fused_op *before)
{
    struct access a[ACCESSES_MAX], b[ACCESSES_MAX];
    int count = accesses_of(op, a), others = accesses_of(before, b);
    for (int i = 0; i < count; ++i)
        for (int k = 0; k < others; ++k)
            if (meet(plan, &a[i], &b[k]))
                return true;
    return false;
}

struct order {
    uint64_t before[FUSED_OPS_MAX][WORDS]; /* [op]: those that are done when it begins */
};

static bool is_before(const struct order *order, int a, int b)
{
    return order->before[b][a / 64] >> (a % 64) & 1;
}

/* Direct ones only: what waits for another's waiting needs not say so. */
static int find_depends(struct fused_plan *plan, struct order *order)
{
    for (int i = 0; i < plan->op_count; ++i) {
        struct fused_op *op = &plan->op[i];
        op->depend_count = 0;
        for (int k = i - 1; k >= 0; --k) {
            if (is_before(order, k, i) || !must_wait(plan, op, &plan->op[k]))
                continue;
            if (op->depend_count == FUSED_DEPENDS_MAX)
                return -1;
            op->depends[op->depend_count++] = k;
            order->before[i][k / 64] |= (uint64_t)1 << (k % 64);
            for (int w = 0; w < WORDS; ++w)
                order->before[i][w] |= order->before[k][w];
        }
    }
    return 0;
}

/* ---- streams ---- */

static bool depends_on(const struct fused_op *op, int other)
{
    for (int i = 0; i < op->depend_count; ++i)
        if (op->depends[i] == other)
            return true;
    return false;
}

/* Behind the operation it waits for, if nothing else went there; else on a stream whose last one it
 * waits for anyway; else on a new one. */
static void choose_streams(struct fused_plan *plan, const struct order *order)
{
    int last[FUSED_STREAMS_MAX];
    for (int s = 0; s < FUSED_STREAMS_MAX; ++s)
        last[s] = -1;
    plan->streams = 1;
    for (int i = 0; i < plan->op_count; ++i) {
        struct fused_op *op = &plan->op[i];
        int chosen = -1, empty = -1;
        for (int s = 0; s < FUSED_STREAMS_MAX && chosen < 0; ++s)
            if (last[s] >= 0 && depends_on(op, last[s]))
                chosen = s;
        for (int s = 0; s < FUSED_STREAMS_MAX && chosen < 0; ++s)
            if (last[s] >= 0 && is_before(order, last[s], i))
                chosen = s;
        for (int s = FUSED_STREAMS_MAX - 1; s >= 0; --s)
            empty = last[s] < 0 ? s : empty;
        if (chosen < 0)
            chosen = empty >= 0 ? empty : 0;
        op->stream = chosen;
        last[chosen] = i;
        plan->streams = chosen + 1 > plan->streams ? chosen + 1 : plan->streams;
    }
}

/* ---- memory ---- */

static bool touches(const struct fused_op *op, int buffer)
{
    struct access all[ACCESSES_MAX];
    int count = accesses_of(op, all);
    for (int i = 0; i < count; ++i)
        if (all[i].slice.buffer == buffer)
            return true;
    return false;
}

static bool all_before(const struct fused_plan *plan, const struct order *order, int a, int b)
{
    for (int i = 0; i < plan->op_count; ++i) {
        if (!touches(&plan->op[i], a))
            continue;
        for (int k = 0; k < plan->op_count; ++k)
            if (touches(&plan->op[k], b) && !is_before(order, i, k))
                return false;
    }
    return true;
}

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int first_touch(const struct fused_plan *plan, int buffer)
{
    for (int i = 0; i < plan->op_count; ++i)
        if (touches(&plan->op[i], buffer))
            return i;
    return -1;
}

/* The lowest place that no buffer of the same time has. */
static void give_memory(struct fused_plan *plan, const struct order *order, const int *placed,
                        int count, int buffer)
{
    struct fused_buffer *b = &plan->buffer[buffer];
    size_t at = 0, size = rounded(b->bytes);
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < count; ++i) {
            const struct fused_buffer *other = &plan->buffer[placed[i]];
            size_t end = other->offset + rounded(other->bytes);
            if (at >= end || other->offset >= at + size)
                continue;
            if (all_before(plan, order, placed[i], buffer) ||
                all_before(plan, order, buffer, placed[i]))
                continue;
            at = end;
            moved = true;
        }
    }
    b->offset = at;
    plan->arena_bytes = at + size > plan->arena_bytes ? at + size : plan->arena_bytes;
}

int fused_schedule(struct fused_plan *plan, char *error, size_t error_bytes)
{
    struct order *order = calloc(1, sizeof *order);
    int *placed = calloc(FUSED_BUFFERS_MAX, sizeof *placed), count = 0;
    int result = 0;
    if (!order || !placed) {
        free(order);
        free(placed);
        return fused_fail(error, error_bytes, "out of memory");
    }
    if (find_depends(plan, order) < 0)
        result = fused_fail(error, error_bytes, "an operation that waits for too many");
    if (result == 0) {
        choose_streams(plan, order);
        for (int i = 0; i < plan->op_count; ++i)
            for (int b = 0; b < plan->buffer_count; ++b) {
                if (plan->buffer[b].outside || first_touch(plan, b) != i)
                    continue;
                give_memory(plan, order, placed, count, b);
                placed[count++] = b;
            }
    }
    free(order);
    free(placed);
    return result;
}
