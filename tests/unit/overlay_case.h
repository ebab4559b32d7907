/* Shared by the tests of the overlay that a device draws: frames, tracks on them, and the kernel's
 * arithmetic interpreted in C. */
#pragma once

#include "frame.h"
#include "render/draw.h"
#include "render/text.h"
#include "surface.h"

#include "../../src/engine/cuda/overlay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

struct overlay_case {
    int width, height;
    enum sp_pixel_format format;
    enum sp_color_matrix matrix;
    bool full_range, predicted;
    int tracks;
};

static const struct overlay_case overlay_cases[] = {
    {640, 360, SP_PIXEL_NV12, SP_MATRIX_BT709, false, false, 12},
    {641, 361, SP_PIXEL_NV12, SP_MATRIX_BT601, false, true, 9},
    {320, 239, SP_PIXEL_I420, SP_MATRIX_BT2020, true, false, 30},
    {319, 240, SP_PIXEL_I420, SP_MATRIX_BT601, true, false, 3},
    {480, 270, SP_PIXEL_NV12, SP_MATRIX_BT709, true, true, 30},
    {64, 48, SP_PIXEL_I420, SP_MATRIX_BT2020, false, false, 0},
};
enum { OVERLAY_CASES = sizeof overlay_cases / sizeof *overlay_cases };

struct overlay {
    struct sp_frame frame;
    size_t frame_bytes; /* of its planes, in one piece */
    struct sp_track track[64];
    struct sp_draw_style style;
};

static unsigned overlay_seed = 5;

static inline int overlay_dice(int sides)
{
    overlay_seed = overlay_seed * 1664525u + 1013904223u;
    return (int)((overlay_seed >> 8) % (unsigned)sides);
}

/* A frame whose numbers change smoothly, and boxes on it and over its edges. */
static inline void overlay_make(const struct overlay_case *c, struct overlay *o)
{
    int half = (c->width + 1) / 2, rows = (c->height + 1) / 2;
    size_t luma = (size_t)c->width * (size_t)c->height, chroma = (size_t)half * (size_t)rows;
    uint8_t *planes = malloc(luma + 2 * chroma);
    bool nv12 = c->format == SP_PIXEL_NV12;
    assert_non_null(planes);
    for (size_t i = 0; i < luma; i++)
        planes[i] = (uint8_t)(20 + (int)(100 * (1 + sin((double)i * 0.013))) + overlay_dice(16));
    for (size_t i = 0; i < 2 * chroma; i++)
        planes[luma + i] = (uint8_t)(60 + (int)(60 * (1 + sin((double)i * 0.02))));
    *o = (struct overlay){
        .frame = {.plane = {planes, planes + luma, nv12 ? NULL : planes + luma + chroma},
                  .stride_bytes = {c->width, nv12 ? 2 * half : half, nv12 ? 0 : half},
                  .width_px = c->width,
                  .height_px = c->height,
                  .format = c->format,
                  .matrix = c->matrix,
                  .full_range = c->full_range},
        .frame_bytes = luma + 2 * chroma,
        .style = {.ids = true,
                  .confidences = true,
                  .predicted = c->predicted,
                  .title = "front door",
                  .clock = "0:00:01.200"},
    };
    for (int i = 0; i < c->tracks; i++) {
        double x = overlay_dice(c->width + 40) - 20, y = overlay_dice(c->height + 40) - 20;
        o->track[i] = (struct sp_track){.id = (uint32_t)(i * 7 + 1),
                                        .confidence = (float)overlay_dice(100) / 100,
                                        .x1_px = x,
                                        .y1_px = y,
                                        .x2_px = x + overlay_dice(c->width / 3) + 0.4,
                                        .y2_px = y + overlay_dice(c->height / 2)};
    }
}

static inline void overlay_free(struct overlay *o)
{
    free((uint8_t *)o->frame.plane[0]);
}

/* The planes of an image, without padding. */
struct overlay_planes {
    uint8_t *memory;
    size_t bytes, at[3];
    int stride_bytes[3], rows[3];
};

static inline struct overlay_planes overlay_planes(int width, int height)
{
    int half = (width + 1) / 2, rows = (height + 1) / 2;
    size_t luma = (size_t)width * (size_t)height, chroma = (size_t)half * (size_t)rows;
    struct overlay_planes p = {.bytes = luma + 2 * chroma,
                               .at = {0, luma, luma + chroma},
                               .stride_bytes = {width, half, half},
                               .rows = {height, rows, rows}};
    p.memory = calloc(1, p.bytes);
    assert_non_null(p.memory);
    return p;
}

static inline void overlay_point(struct cuda_overlay *overlay, const struct overlay_planes *planes,
                                 uint8_t *memory)
{
    for (int i = 0; i < 3; i++) {
        overlay->plane[i] = memory + planes->at[i];
        overlay->stride_bytes[i] = planes->stride_bytes[i];
    }
}

/* What the kernel does, thread by thread. */
static inline void overlay_interpret(const struct cuda_overlay *overlay)
{
    for (int y = 0; y < overlay->height; y += 2)
        for (int x = 0; x < overlay->width; x += 2) {
            struct cuda_four four;
            cuda_load_four(overlay, x, y, &four);
            for (int i = 0; i < overlay->mark_count; i++)
                cuda_draw_mark(&overlay->marks[i], overlay->coverage, x, y, &four);
            cuda_store_four(overlay, x, y, &four);
        }
}

/* The overlay with everything on the host. */
static inline struct cuda_overlay overlay_describe(const struct sp_frame *frame,
                                                   const struct spoton_image *image,
                                                   const struct sp_marks *marks, int width,
                                                   int height)
{
    struct cuda_overlay overlay;
    const struct spoton_drawing drawing = {
        .width = width, .height = height, .mark_count = marks->count};
    cuda_describe_overlay(&overlay, image, &drawing);
    overlay.marks = marks->mark;
    overlay.coverage = marks->coverage;
    for (int i = 0; i < 3; i++) {
        overlay.from[i] = frame->plane[i];
        overlay.from_stride_bytes[i] = frame->stride_bytes[i];
    }
    return overlay;
}
