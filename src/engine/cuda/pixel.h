/* Pixels of the letterboxed image: the arithmetic of the letterbox kernel, as inline
 * functions that compile for the device and, for the tests, for the CPU. Positions and weights are
 * libyuv's (detect/letterbox.c works by it), so that a image gives the same boxes by either way.
 */
#pragma once

#include "kernels.h"
#include "scaling.h"

#include <math.h>
#include <stddef.h>

enum { CUDA_GREY = 114 };

/* R, G and B, whole levels, of four pixels that share their chroma: (x, y) of the scaled image,
 * both even, and those to the right and below. */
CUDA_BOTH void cuda_four_pixels(const struct cuda_image *p, int x, int y, float color[4][3])
{
    int interleaved = p->interleaved_chroma, chroma_bytes = interleaved ? 2 : 1;
    const uint8_t *v_plane = interleaved ? p->plane[1] + 1 : p->plane[2];
    int v_stride = p->stride_bytes[interleaved ? 1 : 2];
    float u =
        cuda_sample(&p->chroma, p->plane[1], p->stride_bytes[1], chroma_bytes, x / 2, y / 2) - 128;
    float v = cuda_sample(&p->chroma, v_plane, v_stride, chroma_bytes, x / 2, y / 2) - 128;
    float red = p->red_v * v, green = p->green_u * u + p->green_v * v, blue = p->blue_u * u;
    for (int i = 0; i < 4; ++i) {
        int px = x + (i & 1), py = y + (i >> 1);
        if (px >= p->scaled_width || py >= p->scaled_height)
            continue;
        float base =
            (cuda_sample(&p->luma, p->plane[0], p->stride_bytes[0], 1, px, py) - p->luma_offset) *
            p->luma_gain;
        float sum[3] = {base + red, base + green, base + blue};
        for (int c = 0; c < 3; ++c)
            color[i][c] = floorf(fminf(fmaxf(sum[c], 0.0f), 255.0f) + 0.5f);
    }
}

/* The same for (x, y) of the input, which may lie outside of the image: grey. x - left and y -
 * top are even. */
CUDA_BOTH void cuda_four_of_input(const struct cuda_image *p, int x, int y, float color[4][3])
{
    int px = x - p->left, py = y - p->top;
    for (int i = 0; i < 4; ++i)
        for (int c = 0; c < 3; ++c)
            color[i][c] = CUDA_GREY;
    if (p->width > 0 && px >= 0 && py >= 0 && px < p->scaled_width && py < p->scaled_height)
        cuda_four_pixels(p, px, py, color);
}

/* Chroma's parts in 64ths and blue's at most two, as libyuv has them. */
static inline float cuda_chroma_part(double value)
{
    double part = rint(value * 64) / 64;
    return (float)(part > 2 ? 2 : part);
}

static inline void cuda_set_color(struct cuda_image *to, const struct spoton_image *from)
{
    double red = (double)from->luma_red, blue = (double)from->luma_blue, green = 1 - red - blue;
    double chroma = from->full_range ? 1.0 : 255.0 / 224.0;
    to->luma_offset = from->full_range ? 0 : 16;
    to->luma_gain = from->full_range ? 1.0f : 255.0f / 219.0f;
    to->red_v = cuda_chroma_part(2 * (1 - red) * chroma);
    to->blue_u = cuda_chroma_part(2 * (1 - blue) * chroma);
    to->green_u = cuda_chroma_part(-2 * (1 - blue) * blue / green * chroma);
    to->green_v = cuda_chroma_part(-2 * (1 - red) * red / green * chroma);
}

/* Everything but the planes. */
static inline void cuda_describe_image(struct cuda_image *to, const struct spoton_image *from)
{
    struct cuda_image image = {{0}};
    image.width = from->width;
    image.height = from->height;
    image.interleaved_chroma = from->interleaved_chroma;
    image.left = from->left;
    image.top = from->top;
    image.scaled_width = from->scaled_width;
    image.scaled_height = from->scaled_height;
    cuda_set_scaling(&image.luma, from->width, from->height, from->scaled_width,
                     from->scaled_height);
    cuda_set_scaling(&image.chroma, (from->width + 1) / 2, (from->height + 1) / 2,
                     (from->scaled_width + 1) / 2, (from->scaled_height + 1) / 2);
    cuda_set_color(&image, from);
    *to = image;
}
