/* A plan on a GPU: weights, memory, kernels for each number of images, and the order in which they
 * are enqueued. What is enqueued can be captured; then operations that need not wait for each other
 * run beside each other. Private to the plugin.
 *
 * Threads: sizes are added by one thread at a time, while another runs those that are there. */
#pragma once

#include "cudnn.h"
#include "device.h"

#include <stdatomic.h>

enum { FUSED_SIZES_MAX = 16 };

struct fused_engine;

struct fused_options {
    const char *path;                  /* the model */
    int device, height, width, images; /* images: at most */
    float input_scale;
    int threads;           /* to build kernels with; 0: as the machine has cores, at most 8 */
    const char *cache_dir; /* or NULL */
    bool side_streams;
};

/* Reads the model and puts its weights on the device. -1 and what of the model, or of the machine,
 * keeps it from running here. */
int fused_engine_open(struct fused_engine **out, const struct fused_options *options, char *error,
                      size_t error_bytes);
void fused_engine_close(struct fused_engine *engine); /* nothing of it is in flight */

/* A size that is being added comes back soon, with an error. Any thread. */
void fused_engine_stop(struct fused_engine *engine);

struct fused_plan *fused_engine_plan(const struct fused_engine *engine);

/* Kernels for batches of exactly so many. */
int fused_engine_add_size(struct fused_engine *engine, int images, char *error, size_t error_bytes);

/* Enqueues a size that was added. input: f16 [images][height][width][3], outputs: f32. */
int fused_engine_run(struct fused_engine *engine, int images, const void *input,
                     float *const *outputs, cudaStream_t stream, char *error, size_t error_bytes);

/* One operation alone, for tests. */
int fused_engine_run_op(struct fused_engine *engine, int images, int index, const void *input,
                        float *const *outputs, cudaStream_t stream);

/* Runs one image and finds what f16 cannot hold. -1 and where. */
int fused_engine_check_range(struct fused_engine *engine, const void *input, cudaStream_t stream,
                             char *error, size_t error_bytes);

/* The memory between operations: buffer b of n images lies at plan->buffer[b].offset * n. */
const void *fused_engine_arena(const struct fused_engine *engine);
size_t fused_engine_bytes(const struct fused_engine *engine); /* all it holds of the device */

/* How many kernels were of the table or the cache, proposed by heuristics, restored as a whole. */
struct fused_sources {
    int chosen, proposed, restored;
};
struct fused_sources fused_engine_sources(const struct fused_engine *engine);

/* Measures all kernels of those convolutions of these sizes for which no choice is known, and keeps
 * the fastest in the file `path`, or, if NULL, in the cache: sizes added from then on use them.
 * Ends early once the engine is stopped. Returns how many it measured. */
int fused_engine_sweep(struct fused_engine *engine, const int *images, int sizes, int threads,
                       const char *path);
