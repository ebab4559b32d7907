/* One number of the letterboxed picture: the arithmetic of the letterbox kernel, as inline
 * functions that compile for the device and, for the tests, for the CPU. Positions and weights are
 * libyuv's (detect/letterbox.c works by it), so that a picture gives the same boxes by either way.
 */
#pragma once

#include "kernels.h"

#include <math.h>
#include <stddef.h>

enum { CUDA_GREY = 114 };

/* Steps of a scaled axis in 16.16: centres on centres when it shrinks, corners on corners when it
 * grows. */
CUDA_BOTH void cuda_axis(int source, int scaled, int box, int *start, int *step)
{
    if (box || scaled <= source) {
        *step = (int)(((long long)source << 16) / scaled);
        *start = box ? 0 : (*step >> 1) - 32768;
    } else {
        *step = source > 1 && scaled > 1
                    ? (int)((((long long)source << 16) - 0x00010001) / (scaled - 1))
                    : 0;
        *start = 0;
    }
}

CUDA_BOTH float cuda_box_mean(const uint8_t *plane, int stride, int pixel_bytes, int left, int top,
                              int width, int height)
{
    unsigned sum = 0;
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x)
            sum += plane[(size_t)(top + y) * (size_t)stride + (size_t)((left + x) * pixel_bytes)];
    return (float)((sum * (65536u / (unsigned)(width * height))) >> 16);
}

CUDA_BOTH int cuda_clamp(long long value, int low, int high)
{
    return value < low ? low : (value > high ? high : (int)value);
}

/* The number at (x, y) of the plane scaled from source to scaled size. */
CUDA_BOTH float cuda_sample(const uint8_t *plane, int stride, int pixel_bytes, int source_width,
                            int source_height, int scaled_width, int scaled_height, int x, int y)
{
    if (source_width == scaled_width && source_height == scaled_height)
        return plane[(size_t)y * (size_t)stride + (size_t)(x * pixel_bytes)];
    int box = scaled_width * 2 < source_width && scaled_height * 2 < source_height;
    int x_start, x_step, y_start, y_step;
    cuda_axis(source_width, scaled_width, box, &x_start, &x_step);
    cuda_axis(source_height, scaled_height, box, &y_start, &y_step);
    long long fx = x_start + (long long)x * x_step, fy = y_start + (long long)y * y_step;
    if (box) {
        int left = (int)(fx >> 16), top = (int)(fy >> 16);
        int width = (int)((fx + x_step) >> 16) - left, height = (int)((fy + y_step) >> 16) - top;
        return cuda_box_mean(plane, stride, pixel_bytes, left, top,
                             cuda_clamp(width, 1, source_width - left),
                             cuda_clamp(height, 1, source_height - top));
    }
    int px = cuda_clamp(fx, 0, (source_width - 1) << 16);
    int py = cuda_clamp(fy, 0, (source_height - 1) << 16);
    int left = px >> 16, top = py >> 16;
    int right = left + 1 < source_width ? left + 1 : left;
    int bottom = top + 1 < source_height ? top + 1 : top;
    float part_x = (float)(px & 0xffff) / 65536.0f, part_y = (float)(py & 0xffff) / 65536.0f;
    const uint8_t *upper = plane + (size_t)top * (size_t)stride;
    const uint8_t *lower = plane + (size_t)bottom * (size_t)stride;
    float a = upper[left * pixel_bytes], b = upper[right * pixel_bytes];
    float c = lower[left * pixel_bytes], d = lower[right * pixel_bytes];
    /* As bytes after each axis, as it is done row by row. */
    float near = floorf(a + (c - a) * part_y + 0.5f), far = floorf(b + (d - b) * part_y + 0.5f);
    return floorf(near + (far - near) * part_x + 0.5f);
}

/* R, G and B at (x, y) of the input, whole levels; grey outside the picture. */
CUDA_BOTH void cuda_pixel(const struct cuda_picture *p, int x, int y, float color[3])
{
    int px = x - p->left, py = y - p->top;
    for (int i = 0; i < 3; ++i)
        color[i] = CUDA_GREY;
    if (p->width == 0 || px < 0 || py < 0 || px >= p->scaled_width || py >= p->scaled_height)
        return;
    int chroma_bytes = p->interleaved_chroma ? 2 : 1;
    int width = (p->width + 1) / 2, height = (p->height + 1) / 2;
    int scaled_width = (p->scaled_width + 1) / 2, scaled_height = (p->scaled_height + 1) / 2;
    const uint8_t *v_plane = p->interleaved_chroma ? p->plane[1] + 1 : p->plane[2];
    int v_stride = p->stride_bytes[p->interleaved_chroma ? 1 : 2];
    /* libyuv looks at the size of the luma plane to choose how all are scaled. */
    float luma = cuda_sample(p->plane[0], p->stride_bytes[0], 1, p->width, p->height,
                             p->scaled_width, p->scaled_height, px, py);
    float u = cuda_sample(p->plane[1], p->stride_bytes[1], chroma_bytes, width, height,
                          scaled_width, scaled_height, px / 2, py / 2) -
              128;
    float v = cuda_sample(v_plane, v_stride, chroma_bytes, width, height, scaled_width,
                          scaled_height, px / 2, py / 2) -
              128;
    float base = (luma - p->luma_offset) * p->luma_gain;
    color[0] = base + p->red_v * v;
    color[1] = base + p->green_u * u + p->green_v * v;
    color[2] = base + p->blue_u * u;
    for (int i = 0; i < 3; ++i)
        color[i] = floorf(fminf(fmaxf(color[i], 0.0f), 255.0f) + 0.5f);
}

/* Chroma's parts in 64ths and blue's at most two, as libyuv has them. */
static inline float cuda_chroma_part(double value)
{
    double part = rint(value * 64) / 64;
    return (float)(part > 2 ? 2 : part);
}

static inline void cuda_set_color(struct cuda_picture *to, const struct spoton_picture *from)
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
static inline void cuda_describe_picture(struct cuda_picture *to, const struct spoton_picture *from)
{
    struct cuda_picture picture = {{0}};
    picture.width = from->width;
    picture.height = from->height;
    picture.interleaved_chroma = from->interleaved_chroma;
    picture.left = from->left;
    picture.top = from->top;
    picture.scaled_width = from->scaled_width;
    picture.scaled_height = from->scaled_height;
    cuda_set_color(&picture, from);
    *to = picture;
}
