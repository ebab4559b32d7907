/* The model by the fused executor (fused/run.h) in place of ONNX Runtime: the smallest batch is
 * ready when this returns, the others are made ready behind it, while batches already run in parts.
 * Private to the plugin. */
#pragma once

#include "session.h"

/* -1 and why the graph, or the machine, is none for it. `model` is as cuda_model_open() leaves it;
 * its input is f16 with channels last, whose numbers are the model's times model->input_scale. */
int fused_model_open(struct cuda_model *model, const struct spoton_engine_options *options,
                     char *error, size_t error_bytes);
void fused_model_close(struct cuda_model *model);

/* Ends the thread that makes the other sizes ready: one that is in cuDNN while the process ends
 * crashes there. For a model that is never closed; NULL is fine as model->fused. */
void fused_model_stop(struct cuda_model *model);

/* Starts making the other sizes ready. Once what `lock` guards is there. */
int fused_model_continue(struct cuda_model *model, pthread_mutex_t *lock, char *error,
                         size_t error_bytes);

/* Enqueues exactly `images`, of a size that is ready. */
int fused_model_run(struct cuda_model *model, int images, const void *input, void *const *outputs,
                    char *error, size_t error_bytes);
