/* Scaling of a plane as libyuv does it, number by number. Inline, so that it compiles for the
 * device and, for the tests, for the CPU; needs nothing of CUDA. */
#pragma once

#include "activation.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

/* How a plane comes to its scaled size, along x and y; positions are in 16.16. */
struct cuda_scaling {
    int copy, box; /* as it is; means of boxes; else the four numbers around a place */
    int source[2]; /* numbers there are */
    int start[2], step[2];
};

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
