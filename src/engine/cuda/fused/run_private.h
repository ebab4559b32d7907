/* Of run.c, build.c and tail_device.c alone. */
#pragma once

#include "choice.h"
#include "run.h"

#include <pthread.h>

struct fused_size {
    int images;
    struct fused_conv_plan *plan[FUSED_OPS_MAX]; /* of CONV; shared by operations of one shape */
    struct fused_binding *binding[FUSED_OPS_MAX];
    bool owns[FUSED_OPS_MAX];
};

struct fused_engine {
    struct fused_plan *plan;
    struct fused_options options;
    char cache_dir[512], choices_path[640];
    int architecture;
    size_t version;                      /* cuDNN's */
    struct fused_cudnn *cudnn, *builder; /* of who runs, and of who adds sizes */
    struct fused_choices choices;
    uint8_t *weights, *arena;
    size_t weights_bytes, arena_bytes;
    size_t weight_at[FUSED_OPS_MAX], bias_at[FUSED_OPS_MAX];
    float *constants;
    void *workspace[FUSED_STREAMS_MAX];
    size_t workspace_bytes;
    cudaStream_t side[FUSED_STREAMS_MAX]; /* [0] is the caller's */
    cudaEvent_t begun, done[FUSED_OPS_MAX];
    cudaLibrary_t tail;
    cudaKernel_t tail_kernel[FUSED_DENSE_MAX];
    struct fused_size *size[FUSED_SIZES_MAX];
    atomic_int size_count;
    atomic_bool stopping;
    struct fused_sources sources;
};

int fused_cuda(cudaError_t status, const char *thing, char *error, size_t error_bytes);

/* build.c: the plans of a size, on several threads. */
int fused_build_size(struct fused_engine *engine, struct fused_size *size, char *error,
                     size_t error_bytes);
void fused_conv_of(const struct fused_engine *engine, const struct fused_op *op, int images,
                   struct fused_conv *conv);

/* tail_device.c: the tail's source compiled for this device, from the cache where it is there. */
int fused_tail_open(struct fused_engine *engine, char *error, size_t error_bytes);
int fused_tail_run(struct fused_engine *engine, const struct fused_op *op, int images,
                   float *const *outputs, cudaStream_t stream);

/* Where an operation's slice lies for so many images. */
struct fused_pixels fused_pixels_of(const struct fused_engine *engine,
                                    const struct fused_slice *slice, int images);
float *fused_dense_of(const struct fused_engine *engine, int buffer, int images,
                      float *const *outputs);
