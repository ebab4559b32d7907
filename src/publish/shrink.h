/* Makes a picture smaller for viewers. One thread uses a shrinker. */
#pragma once

#include "frame.h"

struct sp_shrinker {
    uint8_t *memory[2]; /* chroma taken apart, and the scaled planes */
    size_t capacity_bytes[2];
};

void sp_shrinker_release(struct sp_shrinker *shrinker); /* zeroed memory is an empty one */

/* The size of a picture that is at most max_width_px wide (0: any) and `scale` (0: 1) of its size.
 * Never larger than the picture, never below 1 x 1. */
void sp_shrink_size(int width_px, int height_px, int max_width_px, double scale, int *to_width_px,
                    int *to_height_px);

/* *to describes I420 planes of this size that stay the shrinker's until the next call; where the
 * sizes are the same, the frame's own planes. SP_ERR_NO_MEMORY, SP_ERR_UNSUPPORTED. */
int sp_shrink(struct sp_shrinker *shrinker, const struct sp_frame *frame, int width_px,
              int height_px, struct sp_frame *to, struct sp_error *err);
