/* Downscales frames for viewers. A downscaler belongs to one thread. */
#pragma once

#include "frame.h"

struct sp_downscaler {
    uint8_t *memory[2]; /* deinterleaved chroma, and the scaled planes */
    size_t capacity_bytes[2];
};

void sp_downscaler_release(struct sp_downscaler *downscaler); /* a zeroed one is empty */

/* Position of the frame in the viewers' image: all of it, or its centre when padded to 16:9. */
struct sp_shrunk {
    int width_px, height_px;
    int left_px, top_px; /* of the frame; even */
    int inner_width_px, inner_height_px;
};

/* At most max_width_px wide (0: any) and `scale` (0: 1) times the size of the frame or, with
 * `wide`, of the frame padded to 16:9. Never upscales; at least 1 x 1. */
void sp_downscale_plan(struct sp_shrunk *plan, int width_px, int height_px, int max_width_px,
                       double scale, bool wide);

/* Fills *to with I420 planes of this plan, black around the frame, which the downscaler owns until
 * the next call; where the sizes are equal, with the frame's own planes. SP_ERR_NO_MEMORY,
 * SP_ERR_UNSUPPORTED. */
int sp_downscale(struct sp_downscaler *downscaler, const struct sp_frame *frame,
                 const struct sp_shrunk *plan, struct sp_frame *to, struct sp_error *err);
