#include "render/color.h"
#include "render/draw.h"

#include <libyuv.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, SIDE_MAX_PX = 1 << 15 };

void sp_canvas_release(struct sp_canvas *canvas)
{
    free(canvas->memory);
    *canvas = (struct sp_canvas){0};
}

static int stride_for(int width_px)
{
    return (width_px + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
}

/* Computes the planes' layout for a size; reuses the memory if it suffices. */
static int lay_out(struct sp_canvas *canvas, int width_px, int height_px, struct sp_error *err)
{
    int rows = (height_px + 1) / 2;
    int stride[3] = {stride_for(width_px), stride_for((width_px + 1) / 2),
                     stride_for((width_px + 1) / 2)};
    size_t luma_bytes = (size_t)stride[0] * 2 * (size_t)rows;
    size_t chroma_bytes = (size_t)stride[1] * (size_t)rows;
    size_t bytes = luma_bytes + 2 * chroma_bytes;
    if (bytes > canvas->capacity_bytes) {
        uint8_t *memory = aligned_alloc(ALIGNMENT, bytes);
        if (!memory)
            return sp_fail(err, SP_ERR_NO_MEMORY, "canvas of %dx%d: out of memory", width_px,
                           height_px);
        free(canvas->memory);
        canvas->memory = memory;
        canvas->capacity_bytes = bytes;
    }
    canvas->plane[0] = canvas->memory;
    canvas->plane[1] = canvas->memory + luma_bytes;
    canvas->plane[2] = canvas->memory + luma_bytes + chroma_bytes;
    memcpy(canvas->stride_bytes, stride, sizeof stride);
    canvas->width_px = width_px;
    canvas->height_px = height_px;
    return SP_OK;
}

static void pad_to_even(struct sp_canvas *canvas)
{
    int stride = canvas->stride_bytes[0];
    if (canvas->width_px & 1)
        for (int row = 0; row < canvas->height_px; row++) {
            uint8_t *end = canvas->plane[0] + (ptrdiff_t)row * stride + canvas->width_px;
            end[0] = end[-1];
        }
    if (canvas->height_px & 1) {
        uint8_t *last = canvas->plane[0] + (ptrdiff_t)(canvas->height_px - 1) * stride;
        memcpy(last + stride, last, (size_t)stride_for(canvas->width_px));
    }
}

int sp_canvas_load(struct sp_canvas *canvas, const struct sp_frame *frame,
                   enum sp_canvas_color color, struct sp_error *err)
{
    int width = frame->width_px, height = frame->height_px;
    if (width < 1 || height < 1 || width > SIDE_MAX_PX || height > SIDE_MAX_PX ||
        !frame->plane[0] || !frame->plane[1] ||
        (frame->format == SP_PIXEL_I420 && !frame->plane[2]))
        return sp_fail(err, SP_ERR_INVALID, "image of %dx%d: cannot be drawn on; 1..%d is allowed",
                       width, height, SIDE_MAX_PX);
    int rc = lay_out(canvas, width, height, err);
    if (rc)
        return rc;

    canvas->matrix = frame->matrix;
    canvas->full_range = frame->full_range;
    memcpy(canvas->pixel_aspect, frame->pixel_aspect, sizeof canvas->pixel_aspect);
    uint8_t *const *to = canvas->plane;
    const int *stride = canvas->stride_bytes, *from_stride = frame->stride_bytes;
    if (color == SP_CANVAS_JPEG && !sp_color_is_jfif(frame->matrix, frame->full_range)) {
        struct sp_planes_in from = {
            .plane = {frame->plane[0], frame->plane[1], frame->plane[2]},
            .stride_bytes = from_stride,
            .format = frame->format,
            .matrix = frame->matrix,
            .full_range = frame->full_range,
        };
        sp_color_to_jfif(&from, to, stride, width, height);
        canvas->matrix = SP_MATRIX_BT601;
        canvas->full_range = true;
    } else if (frame->format == SP_PIXEL_NV12) {
        NV12ToI420(frame->plane[0], from_stride[0], frame->plane[1], from_stride[1], to[0],
                   stride[0], to[1], stride[1], to[2], stride[2], width, height);
    } else {
        I420Copy(frame->plane[0], from_stride[0], frame->plane[1], from_stride[1], frame->plane[2],
                 from_stride[2], to[0], stride[0], to[1], stride[1], to[2], stride[2], width,
                 height);
    }
    pad_to_even(canvas);
    return SP_OK;
}
