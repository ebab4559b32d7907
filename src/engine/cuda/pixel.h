/* Pixels of the letterboxed image: the arithmetic of the letterbox kernel, as inline
 * functions that compile for the device and, for the tests, for the CPU. Positions and weights are
 * libyuv's (detect/letterbox.c works by it), so that a image gives the same boxes by either way.
 */
#pragma once

#include "kernels.h"

#include <math.h>
#include <stddef.h>

enum { CUDA_GREY = 114 };

CUDA_BOTH float cuda_box_mean(const uint8_t *plane, int stride, int pixel_bytes, int left, int top,
                              int width, int height)
{
    unsigned sum = 0;
    for (int y = 0; y < height; ++y) {
        const uint8_t *row = plane + (size_t)(top + y) * (size_t)stride + left * pixel_bytes;
        for (int x = 0; x < width; ++x)
            sum += row[x * pixel_bytes];
    }
    return (float)((sum * (65536u / (unsigned)(width * height))) >> 16);
}

CUDA_BOTH int cuda_clamp(long long value, int low, int high)
{
    return value < low ? low : (value > high ? high : (int)value);
}

/* The number at (x, y) of the scaled plane. */
CUDA_BOTH float cuda_sample(const struct cuda_scaling *scaling, const uint8_t *plane, int stride,
                            int pixel_bytes, int x, int y)
{
    if (scaling->copy)
        return plane[(size_t)y * (size_t)stride + (size_t)(x * pixel_bytes)];
    long long fx = scaling->start[0] + (long long)x * scaling->step[0];
    long long fy = scaling->start[1] + (long long)y * scaling->step[1];
    int width = scaling->source[0], height = scaling->source[1];
    if (scaling->box) {
        int left = (int)(fx >> 16), top = (int)(fy >> 16);
        int right = (int)((fx + scaling->step[0]) >> 16);
        int bottom = (int)((fy + scaling->step[1]) >> 16);
        return cuda_box_mean(plane, stride, pixel_bytes, left, top,
                             cuda_clamp(right - left, 1, width - left),
                             cuda_clamp(bottom - top, 1, height - top));
    }
    int px = cuda_clamp(fx, 0, (width - 1) << 16), py = cuda_clamp(fy, 0, (height - 1) << 16);
    int left = px >> 16, top = py >> 16;
    int right = left + 1 < width ? left + 1 : left;
    int bottom = top + 1 < height ? top + 1 : top;
    float part_x = (float)(px & 0xffff) / 65536.0f, part_y = (float)(py & 0xffff) / 65536.0f;
    const uint8_t *upper = plane + (size_t)top * (size_t)stride;
    const uint8_t *lower = plane + (size_t)bottom * (size_t)stride;
    float a = upper[left * pixel_bytes], b = upper[right * pixel_bytes];
    float c = lower[left * pixel_bytes], d = lower[right * pixel_bytes];
    /* As bytes after each axis, as it is done row by row. */
    float near = floorf(a + (c - a) * part_y + 0.5f), far = floorf(b + (d - b) * part_y + 0.5f);
    return floorf(near + (far - near) * part_x + 0.5f);
}

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

/* Aligns centres when downscaling an axis, corners when upscaling it. */
static inline void cuda_set_axis(struct cuda_scaling *to, int axis, int source, int scaled)
{
    to->source[axis] = source;
    if (to->box || scaled <= source) {
        to->step[axis] = (int)(((long long)source << 16) / scaled);
        to->start[axis] = to->box ? 0 : (to->step[axis] >> 1) - 32768;
    } else if (source > 1 && scaled > 1) {
        to->step[axis] = (int)((((long long)source << 16) - 0x00010001) / (scaled - 1));
    }
}

static inline void cuda_set_scaling(struct cuda_scaling *to, int width, int height,
                                    int scaled_width, int scaled_height)
{
    to->copy = width == scaled_width && height == scaled_height;
    to->box = scaled_width * 2 < width && scaled_height * 2 < height;
    cuda_set_axis(to, 0, width, scaled_width);
    cuda_set_axis(to, 1, height, scaled_height);
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
