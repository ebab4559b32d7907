/* Computes appearance embeddings with a re-identification model: any model that maps images of a
 * fixed size to one vector each.
 *
 * Data flow: a person's box in a frame -> crop, scaled and converted (u8 RGB, planar) -> a batch of
 * crops through an engine of its own -> one embedding each. The crop size and the embedding length
 * are read from the file. Crops and embeddings are never written to disk.
 *
 * sp_crop_fill(): any thread, each with its own scratch. sp_embedder_run(): one thread at a time.
 */
#pragma once

#include "base/error.h"
#include "detection.h"
#include "frame.h"
#include "spoton/engine.h"

enum { SP_EMBEDDER_BATCH = 8 };

struct sp_embedder;

struct sp_embedder_options {
    const struct spoton_engine_api *engine;
    const char *model_path;
    float mean[3], deviation[3]; /* of red, green, blue, in 0..1 */
    const char *cache_dir;       /* NULL: none */
};

/* SP_ERR_UNSUPPORTED: no such model; SP_ERR_FORMAT, SP_ERR_ENGINE, SP_ERR_NO_MEMORY. */
int sp_embedder_open(struct sp_embedder **out, const struct sp_embedder_options *options,
                     struct sp_error *err);
void sp_embedder_close(struct sp_embedder *embedder); /* NULL is fine */

int sp_embedder_numbers(const struct sp_embedder *embedder);
void sp_embedder_crop_size(const struct sp_embedder *embedder, int *width_px, int *height_px);

/* crops: [count][3][height][width] u8 RGB, count <= SP_EMBEDDER_BATCH. *embeddings [count][numbers]
 * is valid until the next run. */
int sp_embedder_run(struct sp_embedder *embedder, const uint8_t *crops, int count,
                    const float **embeddings, struct sp_error *err);

struct sp_crop_scratch; /* scratch planes; one per thread */
int sp_crop_scratch_open(struct sp_crop_scratch **out, struct sp_error *err);
void sp_crop_scratch_close(struct sp_crop_scratch *scratch); /* NULL is fine */

/* Scales the part of the frame inside the box (corners, px) to width x height, as u8 RGB
 * [3][height][width]. SP_ERR_INVALID: less than 8 x 8 px of the box are inside the frame. */
int sp_crop_fill(struct sp_crop_scratch *scratch, const struct sp_frame *frame,
                 const double box_px[4], int width_px, int height_px, uint8_t *rgb,
                 struct sp_error *err);
