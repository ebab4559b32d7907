/* What the user asks of the cuda engine, and what ONNX Runtime's providers are told for it. Pure
 * functions: tested without a device. Private to the plugin. */
#pragma once

#include "spoton/engine.h"

#include <stdbool.h>

enum { CUDA_OPTIONS_MAX = 32, CUDA_OPTION_BYTES = 512, CUDA_DEVICES_MAX = 32 };

struct cuda_options {
    int device;        /* -1: the one that the program says */
    bool tensorrt;     /* the TensorRT provider before the CUDA one */
    bool graphs;       /* capture and replay */
    bool nhwc;         /* let convolutions have their channels last */
    bool search;       /* try all algorithms of cuDNN when the model is opened */
    bool workspace;    /* as much as cuDNN wants */
    bool fuse_bias;    /* convolutions add their bias themselves */
    bool fused;        /* run graphs that the fused executor knows by that */
    bool sweep;        /* measure in the background which of its kernels are the fastest */
    bool one_size;     /* every batch runs as a full one: opens faster */
    int memory_mib;    /* of the device, for the model; 0: all of it */
    int workspace_mib; /* of TensorRT's builder; 0: its own default */
    bool capturable;   /* not the user's: what the model does can be captured */
    int break_after;   /* for tests: the N-th batch breaks the device; 0: none does */
    int break_device;  /* and only this one; -1: each */
};

/* KEY=VALUE;KEY=VALUE. Names what it does not know, and what there is. */
int cuda_options_parse(struct cuda_options *options, const char *backend_options, char *error,
                       size_t error_bytes);

/* The device that is meant: the caller's, unless the options name one. Negative: an error. */
int cuda_options_device(const char *backend_options, int device, char *error, size_t error_bytes);

/* Pairs for a provider, as its C API wants them. */
struct cuda_provider {
    int count;
    const char *key[CUDA_OPTIONS_MAX];
    const char *value[CUDA_OPTIONS_MAX]; /* into text */
    char text[CUDA_OPTIONS_MAX][CUDA_OPTION_BYTES];
};

void cuda_provider_options(struct cuda_provider *provider, const struct cuda_options *options,
                           enum spoton_precision precision);

/* The stream is told apart, because it is a pointer. input: the model's, sizes: those of the
 * images; a profile goes from one image to `batch`. */
void cuda_tensorrt_options(struct cuda_provider *provider, const struct cuda_options *options,
                           const struct spoton_engine_options *engine, const char *input_name,
                           bool quantized);

/* Whether a runtime's text says that memory ran out. */
bool cuda_is_out_of_memory(const char *text);

/* Batch sizes a graph is made for: powers of two up to `batch`, and `batch` itself. */
int cuda_batch_sizes(int batch, bool one_size, int sizes[16]);
