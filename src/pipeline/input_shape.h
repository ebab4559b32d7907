/* The input shape of the model for images of an aspect. Pure. */
#pragma once

#include "detect/model.h"

/* The model's own shape, a square, or the first of 16:9, 4:3 and 1:1 (landscape or portrait) that
 * holds the image. So a few compiled models serve any mix of cameras, and a camera's shape depends
 * on its own frames only. size_px: the longest side. */
void sp_input_shape_choose(const struct sp_model *model, int size_px, bool square,
                           int image_width_px, int image_height_px, int *width_px, int *height_px);
