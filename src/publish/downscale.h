/* Makes a image smaller for viewers. One thread uses a downscaler. */
#pragma once

#include "frame.h"

struct sp_downscaler {
    uint8_t *memory[2]; /* chroma taken apart, and the scaled planes */
    size_t capacity_bytes[2];
};

void sp_downscaler_release(struct sp_downscaler *downscaler); /* zeroed memory is an empty one */

/* Where the frame lies in what viewers get: the whole of it, or, padded to 16:9, its middle. */
struct sp_shrunk {
    int width_px, height_px;
    int left_px, top_px; /* of the frame; even */
    int inner_width_px, inner_height_px;
};

/* At most max_width_px wide (0: any) and `scale` (0: 1) of the frame's size, or, with `wide`, of
 * that of the frame padded to 16:9. Never larger than that, never below 1 x 1. */
void sp_shrink_plan(struct sp_shrunk *plan, int width_px, int height_px, int max_width_px,
                    double scale, bool wide);

/* *to describes I420 planes of this plan that stay the downscaler's until the next call, black
 * around the frame; where the sizes are the same, the frame's own planes. SP_ERR_NO_MEMORY,
 * SP_ERR_UNSUPPORTED. */
int sp_downscale(struct sp_downscaler *downscaler, const struct sp_frame *frame,
                 const struct sp_shrunk *plan, struct sp_frame *to, struct sp_error *err);
