/* Convolutions with what follows them as one kernel, by cuDNN's graphs of operations (its backend
 * interface), whose library is opened at run time.
 *
 * A plan is one choice of kernel for one shape. Building one compiles it, which takes some ten
 * milliseconds, from any number of threads with a handle each; executing enqueues it. A kernel's
 * number (KERNEL_CFG of the engine that compiles at run time) means the same for one version of
 * cuDNN and one architecture. Private to the plugin. */
#pragma once

#include "conv.h"

#include <cuda_runtime_api.h>

struct fused_cudnn; /* a handle */

struct fused_conv_plan;

/* cuDNN's version; 0 with a text: it is not there, or too old. */
size_t fused_cudnn_version(char *error, size_t error_bytes);

int fused_cudnn_open(struct fused_cudnn **out, char *error, size_t error_bytes);
void fused_cudnn_close(struct fused_cudnn *cudnn); /* NULL is fine */

/* `kernel`: a number, or the rank-th of the heuristics' proposals that can be built. */
int fused_conv_plan_build(struct fused_cudnn *cudnn, const struct fused_conv *conv, int kernel,
                          int rank, struct fused_conv_plan **out, char *error, size_t error_bytes);

/* A built plan as text, to be kept, and from such text without compiling. The caller frees it. */
char *fused_conv_plan_save(const struct fused_conv_plan *plan);
int fused_conv_plan_restore(struct fused_cudnn *cudnn, const struct fused_conv *conv,
                            const char *text, struct fused_conv_plan **out, char *error,
                            size_t error_bytes);
void fused_conv_plan_close(struct fused_conv_plan *plan);
size_t fused_conv_plan_workspace(const struct fused_conv_plan *plan);
const char *fused_conv_plan_name(const struct fused_conv_plan *plan);

/* The memory that one convolution runs on. */
struct fused_conv_memory {
    const void *x, *weights, *bias, *residual;
    void *y, *workspace;
};
struct fused_binding; /* a plan's arguments */
int fused_binding_open(struct fused_binding **out, const struct fused_conv_plan *plan,
                       const struct fused_conv_memory *memory);
void fused_binding_close(struct fused_binding *binding);

int fused_conv_run(struct fused_cudnn *cudnn, const struct fused_conv_plan *plan,
                   const struct fused_binding *binding, cudaStream_t stream);
