/* What people look like: a model of crops, any that takes images of a fixed size and gives one
 * row of numbers each.
 *
 * Data flow: a person's box on a frame's planes -> scaled and converted into a crop (u8 RGB,
 * planar)
 * -> several crops in one batch through an engine of their own -> one embedding each. Read from the
 * file: the size of a crop and how many numbers there are. Crops and embeddings are never written
 * anywhere.
 *
 * sp_crop_fill() may be called from any threads, each with its own scratch; run from one at a time.
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
    float mean[3], deviation[3]; /* of red, green, blue, where 255 is 1 */
    const char *cache_dir;       /* NULL: none */
};

/* SP_ERR_UNSUPPORTED: not such a model; SP_ERR_ENGINE, SP_ERR_NO_MEMORY. */
int sp_embedder_open(struct sp_embedder **out, const struct sp_embedder_options *options,
                     struct sp_error *err);
void sp_embedder_close(struct sp_embedder *embedder); /* NULL is fine */

int sp_embedder_numbers(const struct sp_embedder *embedder);
void sp_embedder_crop_size(const struct sp_embedder *embedder, int *width_px, int *height_px);

/* crops: [count][3][height][width] u8 RGB, count <= SP_EMBEDDER_BATCH. *embeddings [count][numbers]
 * is valid until the next run. */
int sp_embedder_run(struct sp_embedder *embedder, const uint8_t *crops, int count,
                    const float **embeddings, struct sp_error *err);

struct sp_crop_scratch; /* planes; one a thread */
int sp_crop_scratch_open(struct sp_crop_scratch **out, struct sp_error *err);
void sp_crop_scratch_close(struct sp_crop_scratch *scratch); /* NULL is fine */

/* The part of the image that the box (corners, px) covers, stretched to width x height, as u8 RGB
 * [3][height][width]. SP_ERR_INVALID: the box covers less than 8 x 8 px of it. */
int sp_crop_fill(struct sp_crop_scratch *scratch, const struct sp_frame *frame,
                 const double box_px[4], int width_px, int height_px, uint8_t *rgb,
                 struct sp_error *err);
