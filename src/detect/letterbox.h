/* The letterbox: scales a frame, keeping its aspect, into the center of the model's input.
 *
 * Data flow: YUV planes -> scaled planes (scratch memory) -> RGB, written directly into the
 * engine's input; the bars are grey 114. The geometry is that of Ultralytics' LetterBox
 * (auto=False, scaleup=True): gain = min(W/w, H/h), size rounded, bars split evenly. */
#pragma once

#include "detection.h"
#include "frame.h"
#include "spoton/engine.h"

#include <stdbool.h>

struct sp_letterbox_geometry {
    int source_width_px, source_height_px;
    int input_width_px, input_height_px;
    int left_px, top_px;     /* of the image inside the input */
    int width_px, height_px; /* of the image inside the input */
    double gain_x, gain_y;   /* input px per source px; differ if pixels are not square */
};

void sp_letterbox_geometry(struct sp_letterbox_geometry *geometry, int source_width_px,
                           int source_height_px, int input_width_px, int input_height_px);

/* The same for a frame, whose pixels may not be square: keeps its display aspect. */
void sp_letterbox_geometry_of(struct sp_letterbox_geometry *geometry, const struct sp_frame *frame,
                              int input_width_px, int input_height_px);

/* The smallest input for images of this aspect whose longest side is size_px and whose sides are
 * multiples of stride_px: 16:9 at 640 is 640x384, 4:3 is 640x480, 9:16 is 384x640. */
void sp_letterbox_input_shape(int source_width_px, int source_height_px, int size_px, int stride_px,
                              int *width_px, int *height_px);

/* From input pixels to source pixels, clipped to the image. box: x1 y1 x2 y2. */
void sp_letterbox_to_source(const struct sp_letterbox_geometry *geometry, double box[4]);

/* The detection of a box in input pixels. False: the box covers only the bars. */
bool sp_letterbox_detection(const struct sp_letterbox_geometry *geometry, const double box[4],
                            double confidence, int class_id, struct sp_detection *detection);

struct sp_letterbox; /* scratch planes; one per thread */

int sp_letterbox_open(struct sp_letterbox **out, struct sp_error *err);
void sp_letterbox_close(struct sp_letterbox *letterbox); /* NULL is fine */

/* Writes the frame into input: u8 RGB, [height][width][3] (SPOTON_LAYOUT_NHWC) or
 * [3][height][width] (SPOTON_LAYOUT_NCHW). last: the geometry that this memory was filled with
 * before (zeroed at first); updated. The bars are painted only when they change.
 * SP_ERR_NO_MEMORY, SP_ERR_INVALID, SP_ERR_UNSUPPORTED. Allocates only when the size grows. */
int sp_letterbox_fill(struct sp_letterbox *letterbox, const struct sp_frame *frame, uint8_t *input,
                      enum spoton_layout layout, int input_width_px, int input_height_px,
                      struct sp_letterbox_geometry *last, struct sp_error *err);
