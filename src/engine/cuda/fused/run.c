#include "run_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 256, SHARED_AREA_MAX = 1536 };

int fused_cuda(cudaError_t status, const char *thing, char *error, size_t error_bytes)
{
    if (status == cudaSuccess)
        return 0;
    cudaGetLastError();
    return fused_fail(error, error_bytes, "%s: %s", thing, cudaGetErrorString(status));
}

/* ---- what the kernels can do ---- */

static int refuse(const struct fused_op *op, const char *what, char *error, size_t error_bytes)
{
    return fused_fail(error, error_bytes, "%s: %s", op->name, what);
}

static bool is_even(const struct fused_window *w)
{
    return w->kernel[0] == w->kernel[1] && w->stride[0] == w->stride[1] &&
           w->before[0] == w->before[1] && w->before[0] == w->after[0] &&
           w->after[0] == w->after[1];
}

static int check_op(const struct fused_op *op, char *error, size_t error_bytes)
{
    const struct fused_window *w = &op->window;
    if (op->kind == FUSED_STEM &&
        (!is_even(w) || w->stride[0] != 2 || fused_stem_columns(w->kernel[0]) == 0 ||
         w->before[0] != (w->kernel[0] == 3 ? 1 : 2) || op->residual.buffer >= 0))
        return refuse(op, "a first convolution that is not 3x3 or 6x6 with stride 2", error,
                      error_bytes);
    if (op->kind == FUSED_DEPTHWISE &&
        (!is_even(w) || (w->kernel[0] != 3 && w->kernel[0] != 5 && w->kernel[0] != 7)))
        return refuse(op, "channel by channel, but not 3x3, 5x5 or 7x7", error, error_bytes);
    if (op->kind == FUSED_ATTENTION && (op->key != FUSED_KEY || op->head != FUSED_VALUE))
        return refuse(op, "attention whose keys are not 32 and values 64 numbers", error,
                      error_bytes);
    size_t count = op->weights ? (size_t)op->channels_out * (size_t)op->channels_in *
                                     (size_t)w->kernel[0] * (size_t)w->kernel[1] / (size_t)w->groups
                               : 0;
    for (size_t i = 0; i < count; ++i)
        if (!(op->weights[i] > -65504.0f && op->weights[i] < 65504.0f))
            return refuse(op, "a weight that f16 cannot hold", error, error_bytes);
    return 0;
}

/* ---- weights ---- */

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t weight_count(const struct fused_op *op)
{
    size_t area = (size_t)op->window.kernel[0] * (size_t)op->window.kernel[1];
    switch (op->kind) {
    case FUSED_CONV:
        return (size_t)op->channels_out * area * (size_t)op->channels_in;
    case FUSED_STEM:
        return (size_t)op->channels_out * (size_t)fused_stem_columns(op->window.kernel[0]);
    case FUSED_DEPTHWISE:
        return (size_t)op->channels_out * area;
    case FUSED_HEAD:
        return fused_head_packed(op->channels_in, op->channels_out);
    default:
        return 0;
    }
}

static int pack(const struct fused_op *op, uint16_t *to)
{
    size_t count = weight_count(op),
           area = (size_t)op->window.kernel[0] * (size_t)op->window.kernel[1];
    size_t out = (size_t)op->channels_out;
    if (op->kind == FUSED_HEAD) {
        fused_head_pack(op->channels_in, op->channels_out, op->weights, to);
        return 0;
    }
    float *columns = op->kind == FUSED_STEM ? calloc(count, sizeof *columns) : NULL;
    if (op->kind == FUSED_STEM && !columns)
        return -1;
    if (columns)
        fused_stem_pack(op->window.kernel[0], op->channels_out, op->weights, columns);
    for (size_t i = 0; i < count; ++i)
        to[i] = fused_to_half(columns                       ? columns[i]
                              : op->kind == FUSED_DEPTHWISE ? op->weights[i % out * area + i / out]
                                                            : op->weights[i]);
    free(columns);
    return 0;
}

static int bring_weights(struct fused_engine *e, char *error, size_t error_bytes)
{
    size_t at = 0;
    for (int i = 0; i < e->plan->op_count; ++i) {
        const struct fused_op *op = &e->plan->op[i];
        e->weight_at[i] = at;
        at += rounded(weight_count(op) * sizeof(uint16_t));
        e->bias_at[i] = at;
        at += op->bias ? rounded((size_t)op->channels_out * sizeof(float)) : 0;
    }
    uint8_t *host = calloc(at + 1, 1);
    if (!host)
        return fused_fail(error, error_bytes, "out of memory");
    int result = 0;
    for (int i = 0; i < e->plan->op_count && result == 0; ++i) {
        const struct fused_op *op = &e->plan->op[i];
        if (!op->weights || !op->bias)
            continue;
        if (pack(op, (uint16_t *)(void *)(host + e->weight_at[i])) < 0)
            result = fused_fail(error, error_bytes, "out of memory");
        memcpy(host + e->bias_at[i], op->bias, (size_t)op->channels_out * sizeof(float));
    }
    if (result == 0)
        result = fused_cuda(cudaMalloc((void **)&e->weights, at + ALIGNMENT), "weights", error,
                            error_bytes);
    if (result == 0)
        result = fused_cuda(cudaMemcpy(e->weights, host, at, cudaMemcpyHostToDevice), "weights",
                            error, error_bytes);
    e->weights_bytes = at;
    free(host);
    return result;
}

/* ---- opening ---- */

static int open_device(struct fused_engine *e, char *error, size_t error_bytes)
{
    int major = 0, minor = 0;
    int result = fused_cuda(cudaSetDevice(e->options.device), "device", error, error_bytes);
    if (result == 0)
        result = fused_cuda(
            cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, e->options.device),
            "device", error, error_bytes);
    if (result == 0)
        result = fused_cuda(
            cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, e->options.device),
            "device", error, error_bytes);
    e->architecture = major * 10 + minor;
    if (result == 0 && major < 8)
        result = fused_fail(error, error_bytes, "a GPU of compute capability %d.%d: 8.0 is needed",
                            major, minor);
    e->version = result == 0 ? fused_cudnn_version(error, error_bytes) : 0;
    return e->version > 0 ? 0 : -1;
}

static int open_memory(struct fused_engine *e, char *error, size_t error_bytes)
{
    e->arena_bytes = e->plan->arena_bytes * (size_t)e->options.images;
    int result = bring_weights(e, error, error_bytes);
    if (result == 0)
        result = fused_cuda(cudaMalloc((void **)&e->arena, e->arena_bytes + ALIGNMENT), "buffers",
                            error, error_bytes);
    if (result == 0) /* what is never written is never NaN */
        result = fused_cuda(cudaMemset(e->arena, 0, e->arena_bytes), "buffers", error, error_bytes);
    size_t bytes = e->plan->constant_count * sizeof(float);
    if (result == 0)
        result = fused_cuda(cudaMalloc((void **)&e->constants, bytes + ALIGNMENT), "constants",
                            error, error_bytes);
    if (result == 0 && bytes > 0)
        result =
            fused_cuda(cudaMemcpy(e->constants, e->plan->constants, bytes, cudaMemcpyHostToDevice),
                       "constants", error, error_bytes);
    return result;
}

static int open_streams(struct fused_engine *e, char *error, size_t error_bytes)
{
    int least = 0, greatest = 0, result = 0;
    cudaDeviceGetStreamPriorityRange(&least, &greatest);
    for (int s = 1; s < FUSED_STREAMS_MAX && result == 0; ++s)
        result =
            fused_cuda(cudaStreamCreateWithPriority(&e->side[s], cudaStreamNonBlocking, greatest),
                       "stream", error, error_bytes);
    if (result == 0)
        result = fused_cuda(cudaEventCreateWithFlags(&e->begun, cudaEventDisableTiming), "event",
                            error, error_bytes);
    for (int i = 0; i < e->plan->op_count && result == 0; ++i)
        result = fused_cuda(cudaEventCreateWithFlags(&e->done[i], cudaEventDisableTiming), "event",
                            error, error_bytes);
    return result;
}

int fused_engine_open(struct fused_engine **out, const struct fused_options *options, char *error,
                      size_t error_bytes)
{
    struct fused_engine *e = calloc(1, sizeof *e);
    if (!e)
        return fused_fail(error, error_bytes, "out of memory");
    e->options = *options;
    snprintf(e->cache_dir, sizeof e->cache_dir, "%s", options->cache_dir ? options->cache_dir : "");
    e->options.cache_dir = e->cache_dir;
    int result = open_device(e, error, error_bytes);
    if (result == 0)
        result = fused_plan_open(&e->plan, options->path, options->height, options->width,
                                 options->input_scale, error, error_bytes);
    for (int i = 0; result == 0 && i < e->plan->op_count; ++i)
        result = check_op(&e->plan->op[i], error, error_bytes);
    if (result == 0)
        result = open_memory(e, error, error_bytes);
    if (result == 0)
        result = open_streams(e, error, error_bytes);
    if (result == 0)
        result = fused_cudnn_open(&e->cudnn, error, error_bytes);
    if (result == 0)
        result = fused_cudnn_open(&e->builder, error, error_bytes);
    if (result == 0)
        result = fused_tail_open(e, error, error_bytes);
    if (result == 0) {
        fused_choices_shipped(&e->choices, e->architecture, e->version);
        snprintf(e->choices_path, sizeof e->choices_path, "%s/fused-sm%d-cudnn%zu.txt",
                 e->cache_dir, e->architecture, e->version);
        if (*e->cache_dir)
            fused_choices_read(&e->choices, e->choices_path);
        *out = e;
    } else {
        fused_engine_close(e);
    }
    return result;
}

static void close_size(struct fused_engine *e, struct fused_size *size)
{
    for (int i = 0; size && i < e->plan->op_count; ++i) {
        fused_binding_close(size->binding[i]);
        if (size->owns[i])
            fused_conv_plan_close(size->plan[i]);
    }
    free(size);
}

void fused_engine_close(struct fused_engine *e)
{
    if (!e)
        return;
    cudaSetDevice(e->options.device);
    for (int i = 0; i < atomic_load(&e->size_count); ++i)
        close_size(e, e->size[i]);
    fused_cudnn_close(e->cudnn);
    fused_cudnn_close(e->builder);
    if (e->tail)
        cudaLibraryUnload(e->tail);
    for (int s = 1; s < FUSED_STREAMS_MAX; ++s)
        if (e->side[s])
            cudaStreamDestroy(e->side[s]);
    for (int s = 0; s < FUSED_STREAMS_MAX; ++s)
        cudaFree(e->workspace[s]);
    if (e->begun)
        cudaEventDestroy(e->begun);
    for (int i = 0; e->plan && i < e->plan->op_count; ++i)
        if (e->done[i])
            cudaEventDestroy(e->done[i]);
    cudaFree(e->weights);
    cudaFree(e->arena);
    cudaFree(e->constants);
    cudaGetLastError();
    fused_choices_free(&e->choices);
    fused_plan_close(e->plan);
    free(e);
}

void fused_engine_stop(struct fused_engine *engine)
{
    atomic_store(&engine->stopping, true);
}

struct fused_plan *fused_engine_plan(const struct fused_engine *engine)
{
    return engine->plan;
}

const void *fused_engine_arena(const struct fused_engine *engine)
{
    return engine->arena;
}

size_t fused_engine_bytes(const struct fused_engine *engine)
{
    return engine->arena_bytes + engine->weights_bytes +
           engine->workspace_bytes * FUSED_STREAMS_MAX;
}

struct fused_sources fused_engine_sources(const struct fused_engine *engine)
{
    return engine->sources;
}

/* ---- places ---- */

struct fused_pixels fused_pixels_of(const struct fused_engine *e, const struct fused_slice *slice,
                                    int images)
{
    if (slice->buffer < 0 || e->plan->buffer[slice->buffer].dense)
        return (struct fused_pixels){0};
    const struct fused_buffer *b = &e->plan->buffer[slice->buffer];
    return (struct fused_pixels){
        .data = e->arena + b->offset * (size_t)images + (size_t)slice->offset * 2,
        .height = b->height,
        .width = b->width,
        .pitch = b->channels,
    };
}

float *fused_dense_of(const struct fused_engine *e, int buffer, int images, float *const *outputs)
{
    for (int i = 0; i < e->plan->output_count; ++i)
        if (e->plan->output[i] == buffer)
            return outputs[i];
    return (float *)(void *)(e->arena + e->plan->buffer[buffer].offset * (size_t)images);
}

/* ---- sizes ---- */

static int bind(struct fused_engine *e, struct fused_size *size, char *error, size_t error_bytes)
{
    size_t most = 0;
    for (int i = 0; i < e->plan->op_count; ++i)
        if (size->plan[i] && fused_conv_plan_workspace(size->plan[i]) > most)
            most = fused_conv_plan_workspace(size->plan[i]);
    if (most > e->workspace_bytes) { /* earlier sizes keep the smaller one: they know its place */
        for (int s = 0; s < FUSED_STREAMS_MAX; ++s)
            if (fused_cuda(cudaMalloc(&e->workspace[s], most), "workspace", error, error_bytes) < 0)
                return -1;
        e->workspace_bytes = most;
    }
    for (int i = 0; i < e->plan->op_count; ++i) {
        const struct fused_op *op = &e->plan->op[i];
        if (!size->plan[i])
            continue;
        struct fused_conv_memory memory = {
            .x = fused_pixels_of(e, &op->x, size->images).data,
            .weights = e->weights + e->weight_at[i],
            .bias = e->weights + e->bias_at[i],
            .residual = fused_pixels_of(e, &op->residual, size->images).data,
            .y = fused_pixels_of(e, &op->y, size->images).data,
            .workspace = e->workspace[e->options.side_streams ? op->stream : 0],
        };
        if (fused_binding_open(&size->binding[i], size->plan[i], &memory) < 0)
            return fused_fail(error, error_bytes, "%s: cuDNN takes no such memory", op->name);
    }
    return 0;
}

int fused_engine_add_size(struct fused_engine *e, int images, char *error, size_t error_bytes)
{
    int count = atomic_load(&e->size_count);
    struct fused_size *size = calloc(1, sizeof *size);
    if (!size || count == FUSED_SIZES_MAX || images > e->options.images) {
        free(size);
        return fused_fail(error, error_bytes, "out of memory");
    }
    size->images = images;
    int result = fused_cuda(cudaSetDevice(e->options.device), "device", error, error_bytes);
    if (result == 0)
        result = fused_build_size(e, size, error, error_bytes);
    if (result == 0)
        result = bind(e, size, error, error_bytes);
    if (result < 0) {
        close_size(e, size);
        return -1;
    }
    e->size[count] = size;
    atomic_store(&e->size_count, count + 1);
    return 0;
}

/* ---- running ---- */

static int run_own(struct fused_engine *e, int index, int images, const void *input,
                   float *const *outputs, cudaStream_t stream)
{
    const struct fused_op *op = &e->plan->op[index];
    const struct fused_window *w = &op->window;
    struct fused_pixels x = fused_pixels_of(e, &op->x, images);
    struct fused_pixels y = fused_pixels_of(e, &op->y, images);
    const void *weights = e->weights + e->weight_at[index];
    const float *bias = (const float *)(const void *)(e->weights + e->bias_at[index]);
    struct fused_after after = {op->activation, op->low, op->high,
                                fused_pixels_of(e, &op->residual, images)};
    float *dense = op->y.buffer >= 0 && e->plan->buffer[op->y.buffer].dense
                       ? fused_dense_of(e, op->y.buffer, images, outputs)
                       : NULL;
    switch (op->kind) {
    case FUSED_STEM:
        return fused_stem(input, e->plan->height, e->plan->width, w->kernel[0], weights, bias, y,
                          op->channels_out, after, images, stream);
    case FUSED_DEPTHWISE: {
        struct fused_depthwise work = {x,
                                       y,
                                       weights,
                                       bias,
                                       after,
                                       w->kernel[0],
                                       w->stride[0],
                                       w->before[0],
                                       op->channels_out,
                                       op->group_stride,
                                       op->group_offset,
                                       op->group_width};
        return fused_depthwise(&work, images, stream);
    }
    case FUSED_HEAD:
        return fused_head(x, op->channels_in, op->channels_out, weights, bias, dense, images,
                          stream);
    case FUSED_UPSAMPLE:
        return fused_upsample(x, y, op->channels_in, images, stream);
    case FUSED_POOL:
        return fused_pool(x, y, w->kernel, w->stride, w->before, op->channels_in, images, stream);
    case FUSED_SPPF:
        return fused_sppf(x, y, fused_pixels_of(e, &op->y2, images),
                          fused_pixels_of(e, &op->y3, images), op->channels_in, images, stream);
    case FUSED_ATTENTION:
        return fused_attention(x, y, op->heads, op->scale, images, stream);
    case FUSED_ADD:
    case FUSED_COPY:
        return fused_add(x, y, after, op->y.channels, images, stream);
    case FUSED_DENSE:
        return fused_dense(x, dense, op->x.channels, images, stream);
    case FUSED_TOPK:
        return fused_topk(
            fused_dense_of(e, op->x.buffer, images, outputs), op->count, op->best, dense,
            op->y2.buffer >= 0 ? fused_dense_of(e, op->y2.buffer, images, outputs) : NULL, images,
            stream);
    case FUSED_TAIL:
        return fused_tail_run(e, op, images, outputs, stream);
    case FUSED_CONV:
        break;
    }
    return -1;
}

static struct fused_size *size_of(const struct fused_engine *e, int images)
{
    for (int i = 0; i < atomic_load(&e->size_count); ++i)
        if (e->size[i]->images == images)
            return e->size[i];
    return NULL;
}

int fused_engine_run_op(struct fused_engine *e, int images, int index, const void *input,
                        float *const *outputs, cudaStream_t stream)
{
    struct fused_size *size = size_of(e, images);
    if (!size)
        return -1;
    if (size->plan[index])
        return fused_conv_run(e->cudnn, size->plan[index], size->binding[index], stream);
    return run_own(e, index, images, input, outputs, stream);
}

static cudaError_t wait_for(struct fused_engine *e, const struct fused_op *op, cudaStream_t stream,
                            bool begun)
{
    cudaError_t status = begun ? cudaSuccess : cudaStreamWaitEvent(stream, e->begun, 0);
    for (int d = 0; d < op->depend_count && status == cudaSuccess; ++d)
        if (e->plan->op[op->depends[d]].stream != op->stream)
            status = cudaStreamWaitEvent(stream, e->done[op->depends[d]], 0);
    return status;
}

int fused_engine_run(struct fused_engine *e, int images, const void *input, float *const *outputs,
                     cudaStream_t stream, char *error, size_t error_bytes)
{
    int last[FUSED_STREAMS_MAX];
    bool side = e->options.side_streams && e->plan->streams > 1;
    cudaError_t status = side ? cudaEventRecord(e->begun, stream) : cudaSuccess;
    for (int s = 0; s < FUSED_STREAMS_MAX; ++s)
        last[s] = -1;
    for (int i = 0; i < e->plan->op_count && status == cudaSuccess; ++i) {
        const struct fused_op *op = &e->plan->op[i];
        cudaStream_t on = side && op->stream > 0 ? e->side[op->stream] : stream;
        if (side)
            status = wait_for(e, op, on, op->stream == 0 || last[op->stream] >= 0);
        int result =
            status == cudaSuccess ? fused_engine_run_op(e, images, i, input, outputs, on) : 0;
        if (result != 0)
            return fused_fail(error, error_bytes, "%s: not enqueued (%d)", op->name, result);
        if (side && status == cudaSuccess)
            status = cudaEventRecord(e->done[i], on);
        last[op->stream] = i;
    }
    for (int s = 1; side && s < FUSED_STREAMS_MAX && status == cudaSuccess; ++s)
        if (last[s] >= 0)
            status = cudaStreamWaitEvent(stream, e->done[last[s]], 0);
    return fused_cuda(status, "order of operations", error, error_bytes);
}

int fused_engine_check_range(struct fused_engine *e, const void *input, cudaStream_t stream,
                             char *error, size_t error_bytes)
{
    float *outputs[FUSED_PORTS_MAX] = {0};
    unsigned *found = NULL, *host = calloc((size_t)e->plan->op_count, sizeof *host);
    size_t bytes = (size_t)e->plan->op_count * sizeof *found;
    if (!host)
        return fused_fail(error, error_bytes, "out of memory");
    int result = 0;
    if (result == 0)
        result = fused_cuda(cudaMalloc((void **)&found, bytes), "range", error, error_bytes);
    if (result == 0)
        result = fused_cuda(cudaMemsetAsync(found, 0, bytes, stream), "range", error, error_bytes);
    for (int i = 0; i < e->plan->output_count && result == 0; ++i)
        result =
            fused_cuda(cudaMalloc((void **)&outputs[i], e->plan->buffer[e->plan->output[i]].bytes),
                       "range", error, error_bytes);
    for (int i = 0; i < e->plan->op_count && result == 0; ++i) {
        const struct fused_op *op = &e->plan->op[i];
        result = fused_engine_run_op(e, 1, i, input, outputs, stream);
        struct fused_pixels y = fused_pixels_of(e, &op->y, 1);
        if (result == 0 && y.data)
            result = fused_largest(y, op->y.channels, 1, found + i, stream);
        if (result != 0)
            result = fused_fail(error, error_bytes, "%s: not enqueued (%d)", op->name, result);
    }
    if (result == 0)
        result = fused_cuda(cudaMemcpyAsync(host, found, bytes, cudaMemcpyDeviceToHost, stream),
                            "range", error, error_bytes);
    if (result == 0)
        result = fused_cuda(cudaStreamSynchronize(stream), "range", error, error_bytes);
    for (int i = 0; i < e->plan->op_count && result == 0; ++i) {
        float largest;
        memcpy(&largest, &host[i], sizeof largest);
        if (!(largest < 65504.0f))
            result = fused_fail(error, error_bytes, "%s: numbers that f16 cannot hold",
                                e->plan->op[i].name);
    }
    for (int i = 0; i < e->plan->output_count; ++i)
        cudaFree(outputs[i]);
    cudaFree(found);
    free(host);
    return result;
}
