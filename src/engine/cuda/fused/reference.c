/* The plan on the CPU, plainly: what the kernels do, in f32, in the same places of the same
 * buffers. The tail runs node by node as evaluate.c has it, not by its source for the device. */
#include "plan.h"

#include "../act.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct run {
    struct fused_plan *plan;
    float *arena; /* one number for each byte of the plan's, so that what shares, shares */
    const struct fused_copy *copy; /* or what was copied from a device, to be read only */
    const float *input;
    float *const *outputs;
    bool round;
    char *error;
    size_t error_bytes;
};

static float widened(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    float sign = half & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent == 0 ? ldexpf((float)mantissa, -24)
                                 : ldexpf((float)(mantissa + 1024), exponent - 25));
}

static float copied(const struct run *r, int buffer, int64_t index)
{
    const struct fused_copy *c = r->copy;
    const struct fused_buffer *b = &r->plan->buffer[buffer];
    index += c->image * b->count;
    if (buffer == r->plan->input)
        return widened(c->input[index]);
    for (int i = 0; i < r->plan->output_count; ++i)
        if (r->plan->output[i] == buffer)
            return c->outputs[i][index];
    const uint8_t *at = c->arena + b->offset * (size_t)c->images;
    union {
        uint16_t half;
        float number;
    } u = {.number = 0};
    memcpy(&u, at + (size_t)index * (b->dense ? 4 : 2), b->dense ? 4 : 2);
    return b->dense ? u.number : widened(u.half);
}

/* To the nearest f16, ties to even. */
static float rounded(float x)
{
    int exponent;
    if (x == 0 || !isfinite(x))
        return x;
    frexpf(x, &exponent);
    exponent = exponent < -13 ? -13 : exponent;
    float step = ldexpf(1, exponent - 11), y = nearbyintf(x / step) * step;
    return fabsf(y) > 65504.0f ? copysignf(INFINITY, y) : y;
}

/* The index-th number of a buffer. */
static float *place_of(const struct run *r, int buffer, int64_t index)
{
    const struct fused_buffer *b = &r->plan->buffer[buffer];
    for (int i = 0; i < r->plan->output_count; ++i)
        if (r->outputs && r->plan->output[i] == buffer)
            return r->outputs[i] + index;
    return r->arena + b->offset + (size_t)index * (b->dense ? 4 : 2);
}

static float load(const struct run *r, const struct fused_slice *s, int y, int x, int c)
{
    const struct fused_buffer *b = &r->plan->buffer[s->buffer];
    if (y < 0 || y >= b->height || x < 0 || x >= b->width)
        return 0;
    int64_t index = ((int64_t)y * b->width + x) * b->channels + s->offset + c;
    if (r->copy)
        return copied(r, s->buffer, index);
    return r->input && s->buffer == r->plan->input ? r->input[index]
                                                   : *place_of(r, s->buffer, index);
}

static void store(const struct run *r, const struct fused_slice *s, int y, int x, int c, float v)
{
    const struct fused_buffer *b = &r->plan->buffer[s->buffer];
    if (b->dense) /* [channels][height * width], as ONNX has it */
        *place_of(r, s->buffer, (int64_t)c * (b->count / s->channels) + x) = v;
    else
        *place_of(r, s->buffer, ((int64_t)y * b->width + x) * b->channels + s->offset + c) =
            r->round ? rounded(v) : v;
}

static float finish(const struct run *r, const struct fused_op *op, float v, int y, int x, int c)
{
    v = cuda_activate(v, op->activation, op->low, op->high);
    return op->residual.buffer >= 0 ? v + load(r, &op->residual, y, x, c) : v;
}

static int channel_of(const struct fused_op *op, int c)
{
    if (op->group_stride == 0)
        return c;
    return c / op->group_width * op->group_stride + op->group_offset + c % op->group_width;
}

static float convolve(const struct run *r, const struct fused_op *op, int oy, int ox, int c)
{
    const struct fused_window *w = &op->window;
    bool each = w->groups > 1;
    int inner = each ? 1 : op->channels_in;
    float sum = op->bias[c];
    for (int ky = 0; ky < w->kernel[0]; ++ky)
        for (int kx = 0; kx < w->kernel[1]; ++kx) {
            const float *from =
                op->weights + (((int64_t)c * w->kernel[0] + ky) * w->kernel[1] + kx) * inner;
            int y = oy * w->stride[0] + ky - w->before[0],
                x = ox * w->stride[1] + kx - w->before[1];
            for (int i = 0; i < inner; ++i) {
                float weight = r->round && op->kind != FUSED_HEAD ? rounded(from[i]) : from[i];
                sum += weight * load(r, &op->x, y, x, each ? channel_of(op, c) : i);
            }
        }
    return sum;
}

static void run_conv(const struct run *r, const struct fused_op *op)
{
    const struct fused_buffer *b = &r->plan->buffer[op->y.buffer];
    const struct fused_buffer *from = &r->plan->buffer[op->x.buffer];
    for (int y = 0; y < (b->dense ? from->height : b->height); ++y)
        for (int x = 0; x < (b->dense ? from->width : b->width); ++x)
            for (int c = 0; c < op->channels_out; ++c) {
                float v = finish(r, op, convolve(r, op, y, x, c), y, x, c);
                store(r, &op->y, y, b->dense ? y * from->width + x : x, c, v);
            }
}

static float pooled(const struct run *r, const struct fused_op *op, const struct fused_slice *s,
                    int oy, int ox, int c)
{
    const struct fused_window *w = &op->window;
    const struct fused_buffer *b = &r->plan->buffer[s->buffer];
    float best = -INFINITY;
    for (int ky = 0; ky < w->kernel[0]; ++ky)
        for (int kx = 0; kx < w->kernel[1]; ++kx) {
            int y = oy * w->stride[0] + ky - w->before[0],
                x = ox * w->stride[1] + kx - w->before[1];
            if (y >= 0 && y < b->height && x >= 0 && x < b->width)
                best = fmaxf(best, load(r, s, y, x, c));
        }
    return best;
}

static float simple(const struct run *r, const struct fused_op *op, int y, int x, int c)
{
    switch (op->kind) {
    case FUSED_UPSAMPLE:
        return load(r, &op->x, y / 2, x / 2, c);
    case FUSED_POOL:
        return pooled(r, op, &op->x, y, x, c);
    case FUSED_ADD:
        return cuda_activate(load(r, &op->x, y, x, c) +
                                 (op->residual.buffer >= 0 ? load(r, &op->residual, y, x, c) : 0),
                             op->activation, op->low, op->high);
    default:
        return load(r, &op->x, y, x, c);
    }
}

static void run_simple(const struct run *r, const struct fused_op *op)
{
    const struct fused_buffer *b = &r->plan->buffer[op->y.buffer];
    const struct fused_buffer *from = &r->plan->buffer[op->x.buffer];
    int height = b->dense ? from->height : b->height, width = b->dense ? from->width : b->width;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            for (int c = 0; c < op->y.channels; ++c)
                store(r, &op->y, y, b->dense ? y * width + x : x, c, simple(r, op, y, x, c));
}

static void run_sppf(const struct run *r, const struct fused_op *op)
{
    const struct fused_slice *steps[] = {&op->x, &op->y, &op->y2, &op->y3};
    const struct fused_buffer *b = &r->plan->buffer[op->y.buffer];
    for (int k = 0; k < 3; ++k)
        for (int y = 0; y < b->height; ++y)
            for (int x = 0; x < b->width; ++x)
                for (int c = 0; c < op->y.channels; ++c)
                    store(r, steps[k + 1], y, x, c, pooled(r, op, steps[k], y, x, c));
}

/* How much one head's query at a pixel takes of each value: w[k], and their sum. */
static float weigh(const struct run *r, const struct fused_op *op, int head, int pixel, float *w)
{
    const struct fused_buffer *b = &r->plan->buffer[op->x.buffer];
    int count = b->height * b->width, first = head * (2 * op->key + op->head);
    float most = -INFINITY, sum = 0;
    for (int k = 0; k < count; ++k) {
        w[k] = 0;
        for (int c = 0; c < op->key; ++c)
            w[k] += load(r, &op->x, pixel / b->width, pixel % b->width, first + c) *
                    load(r, &op->x, k / b->width, k % b->width, first + op->key + c);
        w[k] *= op->scale;
        most = fmaxf(most, w[k]);
    }
    for (int k = 0; k < count; ++k)
        sum += w[k] = expf(w[k] - most);
    return sum;
}

static float attended(const struct run *r, const struct fused_op *op, int head, int c,
                      const float *w, float sum)
{
    const struct fused_buffer *b = &r->plan->buffer[op->x.buffer];
    int from = head * (2 * op->key + op->head) + 2 * op->key + c;
    float v = 0;
    for (int k = 0; k < b->height * b->width; ++k)
        v += w[k] * load(r, &op->x, k / b->width, k % b->width, from);
    return v / sum;
}

static int run_attention(const struct run *r, const struct fused_op *op)
{
    const struct fused_buffer *b = &r->plan->buffer[op->x.buffer];
    float *weights = calloc((size_t)b->height * (size_t)b->width, sizeof *weights);
    for (int h = 0; weights && h < op->heads; ++h)
        for (int p = 0; p < b->height * b->width; ++p) {
            float sum = weigh(r, op, h, p, weights);
            for (int c = 0; c < op->head; ++c)
                store(r, &op->y, p / b->width, p % b->width, h * op->head + c,
                      attended(r, op, h, c, weights, sum));
        }
    free(weights);
    return weights ? 0 : -1;
}

/* ---- the tail ---- */

static int fill_value(const struct run *r, int value)
{
    struct fused_tensor *t = &r->plan->graph.value[value];
    int64_t count = fused_count(t);
    fused_forget(t);
    t->data = calloc((size_t)count + 1, sizeof *t->data);
    for (int64_t i = 0; t->data && i < count; ++i)
        t->data[i] = (double)(r->copy ? copied(r, r->plan->dense_of[value], i)
                                      : *place_of(r, r->plan->dense_of[value], i));
    return t->data ? 0 : -1;
}

/* The numbers of a value, from what is kept. Those that were computed for it are marked. */
static int compute(const struct run *r, int value, bool kept, bool *made)
{
    const struct fused_plan *plan = r->plan;
    if (fused_is_constant(plan, value))
        return 0;
    made[value] = true;
    if (kept && plan->dense_of[value] >= 0)
        return fill_value(r, value);
    int n = fused_maker(plan, value);
    if (n < 0)
        return -1;
    const struct fused_node *node = &plan->graph.node[n];
    for (int i = 0; i < node->input_count; ++i)
        if (node->input[i] >= 0 && compute(r, node->input[i], true, made) < 0)
            return -1;
    for (int i = 0; i < node->output_count; ++i)
        if (node->output[i] >= 0)
            made[node->output[i]] = true;
    return fused_evaluate(&r->plan->graph, node, r->error, r->error_bytes);
}

/* Both outputs of the node that op is for, as values with numbers; made: to be forgotten. */
static int compute_op(const struct run *r, const struct fused_op *op, bool *made)
{
    const struct fused_plan *plan = r->plan;
    int value = op->y_value;
    if (op->kind == FUSED_TOPK)
        value = plan->graph.node[op->order].output[0];
    return compute(r, value, false, made);
}

static void forget(const struct run *r, const bool *made)
{
    for (int v = 0; made && v < r->plan->graph.value_count; ++v)
        if (made[v])
            fused_forget(&r->plan->graph.value[v]);
}

static bool is_of(const struct fused_plan *plan, const struct fused_op *op, int value)
{
    int b = plan->dense_of[value];
    return b >= 0 && (b == op->y.buffer || b == op->y2.buffer) && plan->graph.value[value].data;
}

static int run_tail(const struct run *r, const struct fused_op *op)
{
    struct fused_plan *plan = r->plan;
    bool *made = calloc((size_t)plan->graph.value_count, sizeof *made);
    int result = made ? compute_op(r, op, made) : -1;
    for (int v = 0; v < plan->graph.value_count && result == 0; ++v)
        for (int64_t i = 0; is_of(plan, op, v) && i < plan->buffer[plan->dense_of[v]].count; ++i)
            *place_of(r, plan->dense_of[v], i) = (float)plan->graph.value[v].data[i];
    forget(r, made);
    free(made);
    return result;
}

int fused_reference_run(struct fused_plan *plan, const float *input, float *const *outputs,
                        bool round, char *error, size_t error_bytes)
{
    struct run r = {.plan = plan,
                    .input = input,
                    .outputs = outputs,
                    .round = round,
                    .error = error,
                    .error_bytes = error_bytes,
                    .arena = malloc((plan->arena_bytes + 1) * sizeof(float))};
    int result = r.arena ? 0 : fused_fail(error, error_bytes, "out of memory");
    for (size_t i = 0; r.arena && i < plan->arena_bytes; ++i)
        r.arena[i] = NAN; /* what is read before it is written shows */
    for (int i = 0; i < plan->op_count && result == 0; ++i) {
        const struct fused_op *op = &plan->op[i];
        if (op->kind == FUSED_TAIL || op->kind == FUSED_TOPK)
            result = run_tail(&r, op);
        else if (op->kind == FUSED_ATTENTION)
            result = run_attention(&r, op);
        else if (op->kind == FUSED_SPPF)
            run_sppf(&r, op);
        else if (op->weights)
            run_conv(&r, op);
        else
            run_simple(&r, op);
    }
    free(r.arena);
    return result;
}

/* ---- beside a device ---- */

static void compare(struct fused_difference *d, float wanted, float found)
{
    double error = fabs((double)wanted - (double)found);
    if (!isfinite(found) || !isfinite(wanted))
        error = (isnan(wanted) && isnan(found)) || wanted == found ? 0 : INFINITY;
    d->squares += error * error;
    d->reference += (double)wanted * (double)wanted;
    d->largest = error > d->largest ? error : d->largest;
    ++d->count;
}

static int compare_tail(const struct run *r, const struct fused_op *op, struct fused_difference *d)
{
    struct fused_plan *plan = r->plan;
    bool *made = calloc((size_t)plan->graph.value_count, sizeof *made);
    int result = made ? compute_op(r, op, made) : -1;
    for (int v = 0; v < plan->graph.value_count && result == 0; ++v)
        for (int64_t i = 0; is_of(plan, op, v) && i < plan->buffer[plan->dense_of[v]].count; ++i)
            compare(d, (float)plan->graph.value[v].data[i], copied(r, plan->dense_of[v], i));
    forget(r, made);
    free(made);
    return result;
}

static float value_at(const struct run *r, const struct fused_op *op, int y, int x, int c)
{
    const struct fused_buffer *b = &r->plan->buffer[op->x.buffer];
    if (op->kind == FUSED_ATTENTION) {
        float *w = calloc((size_t)b->height * (size_t)b->width, sizeof *w);
        float sum = w ? weigh(r, op, c / op->head, y * b->width + x, w) : 0;
        float v = w ? attended(r, op, c / op->head, c % op->head, w, sum) : NAN;
        free(w);
        return v;
    }
    if (op->weights)
        return finish(r, op, convolve(r, op, y, x, c), y, x, c);
    return op->kind == FUSED_SPPF ? pooled(r, op, &op->x, y, x, c) : simple(r, op, y, x, c);
}

int fused_reference_compare(struct fused_plan *plan, const struct fused_op *op,
                            const struct fused_copy *before, const struct fused_copy *after,
                            int samples, struct fused_difference *difference, char *error,
                            size_t error_bytes)
{
    struct run r = {
        .plan = plan, .copy = before, .round = true, .error = error, .error_bytes = error_bytes};
    struct run found = r;
    found.copy = after;
    *difference = (struct fused_difference){0};
    if (op->kind == FUSED_TAIL || op->kind == FUSED_TOPK)
        return compare_tail(&found, op, difference);
    const struct fused_buffer *b = &plan->buffer[op->y.buffer], *from = &plan->buffer[op->x.buffer];
    int height = b->dense ? from->height : b->height, width = b->dense ? from->width : b->width;
    unsigned seed = 1;
    for (int i = 0; i < samples; ++i) {
        int place[3], limits[3] = {height, width, op->y.channels};
        for (int k = 0; k < 3; ++k) {
            seed = seed * 1664525u + 1013904223u;
            place[k] = (int)((seed >> 8) % (unsigned)limits[k]);
        }
        float wanted = value_at(&r, op, place[0], place[1], place[2]);
        int64_t pixel = (int64_t)place[0] * width + place[1];
        int64_t index = b->dense ? place[2] * (b->count / op->y.channels) + pixel
                                 : pixel * b->channels + op->y.offset + place[2];
        compare(difference, wanted, copied(&found, op->y.buffer, index));
    }
    return 0;
}
