/* The model on the device: one session of ONNX Runtime for each batch size, all on one stream.
 * Private to the plugin. */
#pragma once

#include "../ort.h"
#include "options.h"

#include <cuda_runtime_api.h>
#include <pthread.h>

enum { CUDA_SIZES_MAX = 16 };

struct fused_model;

struct cuda_model {
    const struct ort *ort;
    OrtMemoryInfo *memory; /* of the device */
    OrtRunOptions *run;
    cudaStream_t stream;
    struct cuda_options options;
    enum spoton_layout layout;
    int height, width, batch;
    int size_count, size[CUDA_SIZES_MAX]; /* that were opened, rising */
    struct ort_session session[CUDA_SIZES_MAX];
    struct spoton_tensor input;                      /* dims[0] is 1: of one image */
    struct spoton_tensor output[SPOTON_TENSORS_MAX]; /* dims[0] is 1: of one image */
    size_t output_count[SPOTON_TENSORS_MAX];         /* elements of one image */
    int outputs;
    bool quantized;
    struct fused_model *fused; /* runs in place of the sessions, or NULL */
    float input_scale;         /* of the fused: what the input's numbers are divided by */
    bool tensorrt;             /* it is really used */
    char notice[240];          /* what had to be done without, or empty */
};

/* For a session that only inspects a file: what tools/cuda-model wrote needs the provider for that,
 * on the thread's device. NULL: the CPU's kernels will do. */
ort_prepare_fn *cuda_model_prepare(const char *path);

/* 0; -1 and a text: the library is one for CPUs. */
int cuda_provider_missing(const struct ort *ort, char *error, size_t error_bytes);

/* Opens the sizes up to options->batch; when memory runs out, those that fit: larger batches then
 * run in parts. */
int cuda_model_open(struct cuda_model *model, const struct ort *ort,
                    const struct spoton_engine_options *options, cudaStream_t stream, char *error,
                    size_t error_bytes);
void cuda_model_close(struct cuda_model *model);

/* Whether batches of this number, or the next larger that was asked for, have a size of their own
 * yet. */
bool cuda_model_has(const struct cuda_model *model, int images);

/* Enqueues `images` images, in parts where no session has their number. input and outputs lie on
 * the device. Can be captured once every size has run. */
int cuda_model_run(struct cuda_model *model, int images, void *input,
                   void *const outputs[SPOTON_TENSORS_MAX], char *error, size_t error_bytes);
