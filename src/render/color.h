/* Colour conversion of YUV planes: from RGB, and from any range and matrix to JPEG's YUV.
 *
 * JFIF specifies full range and the BT.601 matrix. Most cameras send limited range, from 720 lines
 * on with BT.709. Both steps are one linear map on (Y, U, V), computed in 16-bit fixed point with 5
 * fraction bits; grey stays grey, so chroma never needs luma. */
#pragma once

#include "frame.h"

struct sp_yuv {
    uint8_t y, u, v;
};

struct sp_yuv sp_color_from_rgb(const uint8_t rgb[3], enum sp_color_matrix matrix, bool full_range);

/* True when planes of this kind need no conversion for JPEG. */
bool sp_color_is_jfif(enum sp_color_matrix matrix, bool full_range);

struct sp_planes_in {
    const uint8_t *plane[3];
    const int *stride_bytes;
    enum sp_pixel_format format;
    enum sp_color_matrix matrix;
    bool full_range;
};

/* Writes I420 planes [h][w], [(h+1)/2][(w+1)/2] twice, full range, BT.601. The planes must not
 * overlap. Any thread. */
void sp_color_to_jfif(const struct sp_planes_in *from, uint8_t *const plane[3],
                      const int stride_bytes[3], int width_px, int height_px);
