/* Inference for others: the requests of other machines (`spoton serve --share-engine`) on the
 * detector pool's instances.
 *
 * Own cameras come first: a foreign request is submitted only while the instance has a stream that
 * none of their requests uses, so it delays a frame by one inference at most. It uses a request
 * that the pool keeps out of use, and one of the cameras' only if there is none. */
#pragma once

#include "pipeline/pipeline.h"

/* What the engine takes and returns. */
struct sp_share_model {
    enum spoton_layout layout;
    int batch, width_px, height_px;
    int streams; /* requests that can run at once */
    int output_count;
    struct sp_model_output output[SPOTON_TENSORS_MAX]; /* without data; a dimension of
                                                        * -1 depends on the input */
};

/* False: no instance is ready yet. Any thread. */
bool sp_share_describe(struct sp_pipeline *pipeline, struct sp_share_model *model);

struct sp_share_input {
    const uint8_t *images; /* u8 RGB, in the model's layout */
    int count, width_px, height_px;
    int64_t deadline_us; /* sp_clock_us(): until when it may wait for the engine */
};

/* Infers and calls take() with the raw outputs, [input->count] images each, while they are valid.
 * Blocks. SP_ERR_TIMEOUT: the own cameras left no room; SP_ERR_INVALID: no instance has this shape;
 * others: of the engine. Any thread, until sp_pipeline_close(). */
typedef void sp_share_take_fn(void *user, const struct sp_model_output *outputs, int count);
int sp_share_infer(struct sp_pipeline *pipeline, const struct sp_share_input *input,
                   sp_share_take_fn *take, void *user, struct sp_error *err);
