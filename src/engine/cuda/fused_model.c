#include "fused_model.h"

#include "fused/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* u8 numbers divided by a power of two are exact in f16; the weights take the rest. */
enum { EXACT_SCALE = 256 };

struct fused_model {
    struct fused_engine *engine;
    struct cuda_model *model;
    pthread_mutex_t *lock; /* of the compute stream, and of model->size_count */
    pthread_t thread;      /* adds the sizes behind the first */
    bool running;
    int sizes[CUDA_SIZES_MAX], count;
    void *input; /* for first runs, as large as the largest batch's */
    float *outputs[SPOTON_TENSORS_MAX];
    char failure[200];
};

static void describe(struct cuda_model *model, const struct spoton_engine_options *options,
                     const struct fused_plan *plan)
{
    struct spoton_tensor *input = &model->input;
    snprintf(input->name, sizeof input->name, "input");
    input->element = SPOTON_ELEMENT_F16;
    input->rank = 4;
    input->dims[0] = 1;
    input->dims[1] = options->height;
    input->dims[2] = options->width;
    input->dims[3] = 3;
    model->layout = SPOTON_LAYOUT_NHWC;
    model->outputs = plan->output_count;
    for (int i = 0; i < plan->output_count; ++i) {
        int value = plan->graph.output[i];
        const struct fused_tensor *from = &plan->graph.value[value];
        struct spoton_tensor *output = &model->output[i];
        snprintf(output->name, sizeof output->name, "%.120s",
                 plan->graph.value_name[value] ? plan->graph.value_name[value] : "");
        output->element = SPOTON_ELEMENT_F32;
        output->rank = from->rank;
        memcpy(output->dims, from->dims, sizeof output->dims);
        model->output_count[i] = (size_t)plan->buffer[plan->output[i]].count;
    }
}

/* Numbers as of a image, for the first runs and the search for what f16 cannot hold. */
static int make_input(struct fused_model *f, const struct spoton_engine_options *options,
                      char *error, size_t error_bytes)
{
    size_t count = (size_t)options->height * (size_t)options->width * 3;
    const struct fused_plan *plan = fused_engine_plan(f->engine);
    uint16_t *host = calloc(count, sizeof *host);
    float full = options->scale > 1 ? 255.0f / EXACT_SCALE : 255.0f;
    unsigned seed = 3;
    if (!host)
        return ort_fail(error, error_bytes, "out of memory");
    for (size_t i = 0; i < count; ++i) {
        seed = seed * 1664525u + 1013904223u;
        size_t x = i / 3 % (size_t)options->width, y = i / 3 / (size_t)options->width;
        bool bright = ((x / 48 + y / 32) & 1) != 0; /* edges, and noise on them */
        float value = (bright ? 0.75f : 0.1f) + (float)(seed >> 24) / 1024.0f;
        host[i] = fused_to_half(value * full);
    }
    cudaError_t status = cudaMalloc(&f->input, count * sizeof *host * (size_t)options->batch);
    for (int i = 0; i < options->batch && status == cudaSuccess; ++i)
        status = cudaMemcpy((uint16_t *)f->input + (size_t)i * count, host, count * sizeof *host,
                            cudaMemcpyHostToDevice);
    free(host);
    for (int i = 0; i < plan->output_count && status == cudaSuccess; ++i)
        status = cudaMalloc((void **)&f->outputs[i],
                            plan->buffer[plan->output[i]].bytes * (size_t)options->batch);
    if (status == cudaSuccess)
        return 0;
    cudaGetLastError();
    return ort_fail(error, error_bytes, "device memory: %s", cudaGetErrorString(status));
}

/* The first run loads what the driver loads late: it must not be in a capture. */
static int first_run(struct fused_model *f, int images, char *error, size_t error_bytes)
{
    void *outputs[SPOTON_TENSORS_MAX];
    memcpy(outputs, f->outputs, sizeof outputs);
    int result = fused_model_run(f->model, images, f->input, outputs, error, error_bytes);
    cudaError_t status = cudaStreamSynchronize(f->model->stream);
    if (result == 0 && status != cudaSuccess)
        result = ort_fail(error, error_bytes, "first run: %s", cudaGetErrorString(status));
    return result;
}

static int open_engine(struct fused_model *f, const struct spoton_engine_options *options,
                       char *error, size_t error_bytes)
{
    struct cuda_model *model = f->model;
    float scale = options->scale > 1 ? EXACT_SCALE : 1;
    struct fused_options wanted = {
        .path = options->model_path,
        .device = model->options.device,
        .height = options->height,
        .width = options->width,
        .images = options->batch,
        .input_scale = scale / options->scale,
        .cache_dir = options->cache_dir,
        .side_streams = model->options.graphs,
    };
    if (fused_engine_open(&f->engine, &wanted, error, error_bytes) < 0)
        return -1;
    if (fused_engine_plan(f->engine)->output_count > SPOTON_TENSORS_MAX)
        return ort_fail(error, error_bytes, "more outputs than %d", SPOTON_TENSORS_MAX);
    model->input_scale = scale;
    describe(model, options, fused_engine_plan(f->engine));
    f->count = cuda_batch_sizes(options->batch, model->options.one_size, f->sizes);
    if (make_input(f, options, error, error_bytes) < 0 ||
        fused_engine_add_size(f->engine, f->sizes[0], error, error_bytes) < 0)
        return -1;
    model->size[0] = f->sizes[0];
    return 0;
}

int fused_model_open(struct cuda_model *model, const struct spoton_engine_options *options,
                     char *error, size_t error_bytes)
{
    struct fused_model *f = calloc(1, sizeof *f);
    if (!f)
        return ort_fail(error, error_bytes, "out of memory");
    f->model = model;
    model->fused = f;
    int result = open_engine(f, options, error, error_bytes);
    if (result == 0 && f->sizes[0] == 1)
        result = fused_engine_check_range(f->engine, f->input, model->stream, error, error_bytes);
    if (result == 0)
        result = first_run(f, f->sizes[0], error, error_bytes);
    if (result == 0)
        model->size_count = 1;
    else
        fused_model_close(model);
    return result;
}

static void *add_sizes(void *argument)
{
    struct fused_model *f = argument;
    int result = 0;
    cudaSetDevice(f->model->options.device);
    for (int i = 1; i < f->count && result == 0; ++i) {
        result = fused_engine_add_size(f->engine, f->sizes[i], f->failure, sizeof f->failure);
        if (result < 0)
            break;
        pthread_mutex_lock(f->lock);
        result = first_run(f, f->sizes[i], f->failure, sizeof f->failure);
        if (result == 0) {
            f->model->size[f->model->size_count] = f->sizes[i];
            ++f->model->size_count;
        }
        pthread_mutex_unlock(f->lock);
    }
    if (result == 0 && f->model->options.sweep)
        fused_engine_sweep(f->engine, f->sizes, f->count, 1, NULL);
    return NULL;
}

int fused_model_continue(struct cuda_model *model, pthread_mutex_t *lock, char *error,
                         size_t error_bytes)
{
    struct fused_model *f = model->fused;
    f->lock = lock;
    if (f->count < 2 && !model->options.sweep)
        return 0;
    if (pthread_create(&f->thread, NULL, add_sizes, f) != 0)
        return ort_fail(error, error_bytes, "no thread for the larger batches");
    f->running = true;
    return 0;
}

void fused_model_stop(struct cuda_model *model)
{
    struct fused_model *f = model->fused;
    if (!f)
        return;
    if (f->engine)
        fused_engine_stop(f->engine);
    if (f->running)
        pthread_join(f->thread, NULL);
    f->running = false;
}

void fused_model_close(struct cuda_model *model)
{
    struct fused_model *f = model->fused;
    if (!f)
        return;
    fused_model_stop(model);
    fused_engine_close(f->engine);
    cudaFree(f->input);
    for (int i = 0; i < SPOTON_TENSORS_MAX; ++i)
        cudaFree(f->outputs[i]);
    cudaGetLastError();
    free(f);
    model->fused = NULL;
    model->size_count = 0;
}

int fused_model_run(struct cuda_model *model, int images, const void *input, void *const *outputs,
                    char *error, size_t error_bytes)
{
    float *places[SPOTON_TENSORS_MAX] = {0};
    for (int i = 0; i < model->outputs; ++i)
        places[i] = outputs[i];
    return fused_engine_run(model->fused->engine, images, input, places, model->stream, error,
                            error_bytes);
}
