/* Pixels of an image for viewers: a frame scaled to its place, in JPEG's colours, with an overlay.
 * The arithmetic of the kernel, as inline functions that compile for the device and, for the tests,
 * for the CPU. Colours and marks are those of render/color.c and render/draw.c, number by number.
 */
#pragma once

#include "scaling.h"
#include "spoton/device.h"

#include <stdbool.h>

/* To full range and BT.601, in 16-bit fixed point (render/color.c). */
struct cuda_color_map {
    int16_t y, y_add, yu, yv, uu, uv, vu, vv;
};

/* The planes of the frame, of the image, and of the coverage are all on one side. */
struct cuda_overlay {
    const uint8_t *from[3]; /* Y, U, V; or Y, interleaved UV */
    int from_stride_bytes[3];
    int interleaved_chroma, black; /* luma around the frame */
    struct cuda_scaling luma, chroma;
    struct cuda_color_map map;
    int left, top, scaled_width, scaled_height; /* left and top are even */
    int width, height;
    uint8_t *plane[3]; /* Y, U, V */
    int stride_bytes[3];
    const struct spoton_mark *marks;
    const uint8_t *coverage;
    int mark_count;
};

/* Two by two pixels and their chroma. */
struct cuda_four {
    int y[4], u, v;
};

CUDA_BOTH int cuda_high(int value, int factor)
{
    return ((value - 128) * 256 * factor) >> 16;
}

CUDA_BOTH int cuda_from_fixed(int value)
{
    value >>= 5;
    return value < 0 ? 0 : (value > 255 ? 255 : value);
}

CUDA_BOTH void cuda_map_colors(const struct cuda_color_map *map, struct cuda_four *four)
{
    enum { CHROMA_ADD = (128 << 5) + 16 };
    int u = four->u, v = four->v;
    int share = cuda_high(u, map->yu) + cuda_high(v, map->yv) + map->y_add;
    for (int i = 0; i < 4; ++i)
        four->y[i] = cuda_from_fixed(cuda_high(four->y[i], map->y) + share);
    four->u = cuda_from_fixed(cuda_high(u, map->uu) + cuda_high(v, map->uv) + CHROMA_ADD);
    four->v = cuda_from_fixed(cuda_high(u, map->vu) + cuda_high(v, map->vv) + CHROMA_ADD);
}

/* The frame at (x, y) of the image, both even. */
CUDA_BOTH void cuda_load_four(const struct cuda_overlay *p, int x, int y, struct cuda_four *four)
{
    int at_x = x - p->left, at_y = y - p->top, bytes = p->interleaved_chroma ? 2 : 1;
    const uint8_t *v_plane = p->interleaved_chroma ? p->from[1] + 1 : p->from[2];
    int v_stride = p->from_stride_bytes[p->interleaved_chroma ? 1 : 2];
    bool inside = at_x >= 0 && at_y >= 0 && at_x < p->scaled_width && at_y < p->scaled_height;
    for (int i = 0; i < 4; ++i) {
        int px = at_x + (i & 1), py = at_y + (i >> 1);
        four->y[i] = p->black;
        if (inside && px < p->scaled_width && py < p->scaled_height)
            four->y[i] = (int)cuda_sample(&p->luma, p->from[0], p->from_stride_bytes[0], 1, px, py);
    }
    four->u = four->v = 128;
    if (inside) {
        four->u = (int)cuda_sample(&p->chroma, p->from[1], p->from_stride_bytes[1], bytes, at_x / 2,
                                   at_y / 2);
        four->v = (int)cuda_sample(&p->chroma, v_plane, v_stride, bytes, at_x / 2, at_y / 2);
    }
    cuda_map_colors(&p->map, four);
}

CUDA_BOTH int cuda_fade(int value, int to, int keep)
{
    return (value * keep + to * (256 - keep) + 128) >> 8;
}

/* Whether the mark is on one of the pixels from (x, y) on. */
CUDA_BOTH bool cuda_mark_is_on(const struct spoton_mark *m, int x, int y, int width, int height)
{
    return m->x0 < x + width && m->x1 > x && m->y0 < y + height && m->y1 > y;
}

/* (x, y) are even. */
CUDA_BOTH void cuda_draw_mark(const struct spoton_mark *m, const uint8_t *coverage, int x, int y,
                              struct cuda_four *four)
{
    int sum = 0;
    if (!cuda_mark_is_on(m, x, y, 2, 2))
        return;
    for (int i = 0; i < 4; ++i) {
        int px = x + (i & 1), py = y + (i >> 1);
        if (px < m->x0 || px >= m->x1 || py < m->y0 || py >= m->y1)
            continue;
        if (m->kind == SPOTON_MARK_FILL) {
            four->y[i] = m->y;
        } else if (m->kind == SPOTON_MARK_FADE_LUMA) {
            four->y[i] = cuda_fade(four->y[i], m->y, m->keep);
        } else if (m->kind == SPOTON_MARK_GLYPH) {
            int covered =
                coverage[(size_t)m->coverage + (size_t)(py - m->y0) * (size_t)(m->x1 - m->x0) +
                         (size_t)(px - m->x0)];
            four->y[i] += ((m->y - four->y[i]) * (covered + (covered >> 7)) + 128) >> 8;
            sum += covered;
        }
    }
    if (m->kind == SPOTON_MARK_FILL) {
        four->u = m->u;
        four->v = m->v;
    } else if (m->kind == SPOTON_MARK_FADE_CHROMA) {
        four->u = cuda_fade(four->u, m->u, m->keep);
        four->v = cuda_fade(four->v, m->v, m->keep);
    } else if (m->kind == SPOTON_MARK_GLYPH) {
        four->u += (m->u - four->u) * sum / (4 * 255);
        four->v += (m->v - four->v) * sum / (4 * 255);
    }
}

CUDA_BOTH void cuda_store_four(const struct cuda_overlay *p, int x, int y,
                               const struct cuda_four *four)
{
    for (int i = 0; i < 4; ++i) {
        int px = x + (i & 1), py = y + (i >> 1);
        if (px < p->width && py < p->height)
            p->plane[0][(size_t)py * (size_t)p->stride_bytes[0] + (size_t)px] = (uint8_t)four->y[i];
    }
    p->plane[1][(size_t)(y / 2) * (size_t)p->stride_bytes[1] + (size_t)(x / 2)] = (uint8_t)four->u;
    p->plane[2][(size_t)(y / 2) * (size_t)p->stride_bytes[2] + (size_t)(x / 2)] = (uint8_t)four->v;
}

static inline int16_t cuda_fixed(double value)
{
    return (int16_t)lround(value);
}

/* As map_to_jfif() of render/color.c. */
static inline void cuda_set_color_map(struct cuda_color_map *to, const struct spoton_image *from)
{
    double kr = (double)from->luma_red, kb = (double)from->luma_blue, kg = 1 - kr - kb;
    const double kr1 = 0.299, kb1 = 0.114, kg1 = 1 - kr1 - kb1, unit = 32;
    double luma = from->full_range ? 1 : 255.0 / 219, chroma = from->full_range ? 1 : 255.0 / 224;
    double ug = -2 * kb * (1 - kb) / kg, ub = 2 * (1 - kb);
    double vr = 2 * (1 - kr), vg = -2 * kr * (1 - kr) / kg;
    double yu = kg1 * ug + kb1 * ub, yv = kr1 * vr + kg1 * vg, c = chroma * 256 * unit;
    to->y = cuda_fixed(luma * 256 * unit);
    to->y_add = cuda_fixed((128 - (from->full_range ? 0 : 16)) * luma * unit + unit / 2);
    to->yu = cuda_fixed(yu * c);
    to->yv = cuda_fixed(yv * c);
    to->uu = cuda_fixed((ub - yu) / (2 * (1 - kb1)) * c);
    to->uv = cuda_fixed(-yv / (2 * (1 - kb1)) * c);
    to->vu = cuda_fixed(-yu / (2 * (1 - kr1)) * c);
    to->vv = cuda_fixed((vr - yv) / (2 * (1 - kr1)) * c);
}

/* Everything but planes, marks and coverage. */
static inline void cuda_describe_overlay(struct cuda_overlay *to, const struct spoton_image *from,
                                         const struct spoton_drawing *drawing)
{
    struct cuda_overlay overlay = {{0}};
    overlay.interleaved_chroma = from->interleaved_chroma;
    overlay.black = from->full_range ? 0 : 16;
    overlay.left = from->left;
    overlay.top = from->top;
    overlay.scaled_width = from->scaled_width;
    overlay.scaled_height = from->scaled_height;
    overlay.width = drawing->width;
    overlay.height = drawing->height;
    overlay.mark_count = (int)drawing->mark_count;
    cuda_set_scaling(&overlay.luma, from->width, from->height, from->scaled_width,
                     from->scaled_height);
    cuda_set_scaling(&overlay.chroma, (from->width + 1) / 2, (from->height + 1) / 2,
                     (from->scaled_width + 1) / 2, (from->scaled_height + 1) / 2);
    cuda_set_color_map(&overlay.map, from);
    *to = overlay;
}
