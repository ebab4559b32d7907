#include "publish/downscale.h"

#include <libyuv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void sp_downscaler_release(struct sp_downscaler *downscaler)
{
    free(downscaler->memory[0]);
    free(downscaler->memory[1]);
    *downscaler = (struct sp_downscaler){0};
}

/* An even number of pixels, so that the subsampled chroma planes align. */
static int margin(int outer_px, int inner_px)
{
    return (outer_px - inner_px) / 2 & ~1;
}

void sp_downscale_plan(struct sp_shrunk *plan, int width_px, int height_px, int max_width_px,
                       double scale, bool wide)
{
    double outer_width = width_px, outer_height = height_px;
    if (wide && width_px * 9.0 < height_px * 16.0)
        outer_width = height_px * 16.0 / 9;
    else if (wide)
        outer_height = width_px * 9.0 / 16;
    double factor = scale > 0 && scale < 1 ? scale : 1;
    if (max_width_px > 0 && outer_width * factor > max_width_px)
        factor = max_width_px / outer_width;
    const double sizes[] = {outer_width, outer_height, width_px, height_px};
    int *const to[] = {&plan->width_px, &plan->height_px, &plan->inner_width_px,
                       &plan->inner_height_px};
    for (int i = 0; i < 4; i++) {
        int size = (int)lround(sizes[i] * factor);
        *to[i] = size > 1 ? size : 1;
    }
    /* A difference of one pixel is rounding, or a decoder's last row, not another aspect. */
    if (plan->width_px - plan->inner_width_px < 2)
        plan->inner_width_px = plan->width_px;
    if (plan->height_px - plan->inner_height_px < 2)
        plan->inner_height_px = plan->height_px;
    plan->left_px = margin(plan->width_px, plan->inner_width_px);
    plan->top_px = margin(plan->height_px, plan->inner_height_px);
}

static uint8_t *reserve(struct sp_downscaler *downscaler, int which, size_t bytes)
{
    if (bytes > downscaler->capacity_bytes[which]) {
        free(downscaler->memory[which]);
        downscaler->memory[which] = malloc(bytes);
        downscaler->capacity_bytes[which] = downscaler->memory[which] ? bytes : 0;
    }
    return downscaler->memory[which];
}

/* I420 planes of the frame; NV12's chroma is deinterleaved. */
static int take_apart(struct sp_downscaler *downscaler, const struct sp_frame *frame,
                      struct sp_frame *to, struct sp_error *err)
{
    for (int i = 0; i < 3; i++) {
        to->plane[i] = frame->plane[i];
        to->stride_bytes[i] = frame->stride_bytes[i];
    }
    if (frame->format != SP_PIXEL_NV12)
        return SP_OK;
    int width = (frame->width_px + 1) / 2, height = (frame->height_px + 1) / 2;
    size_t plane_bytes = (size_t)width * (size_t)height;
    uint8_t *chroma = reserve(downscaler, 0, 2 * plane_bytes);
    if (!chroma)
        return sp_fail(err, SP_ERR_NO_MEMORY, "image of %dx%d: out of memory", frame->width_px,
                       frame->height_px);
    SplitUVPlane(frame->plane[1], frame->stride_bytes[1], chroma, width, chroma + plane_bytes,
                 width, width, height);
    to->plane[1] = chroma;
    to->plane[2] = chroma + plane_bytes;
    to->stride_bytes[1] = to->stride_bytes[2] = width;
    return SP_OK;
}

static bool is_padded(const struct sp_shrunk *plan)
{
    return plan->inner_width_px < plan->width_px || plan->inner_height_px < plan->height_px;
}

int sp_downscale(struct sp_downscaler *downscaler, const struct sp_frame *frame,
                 const struct sp_shrunk *plan, struct sp_frame *to, struct sp_error *err)
{
    struct sp_frame from;
    int width = plan->width_px, height = plan->height_px;
    *to = (struct sp_frame){.format = frame->format,
                            .matrix = frame->matrix,
                            .full_range = frame->full_range,
                            .width_px = width,
                            .height_px = height};
    if (width == frame->width_px && height == frame->height_px) {
        for (int i = 0; i < 3; i++) {
            to->plane[i] = frame->plane[i];
            to->stride_bytes[i] = frame->stride_bytes[i];
        }
        return SP_OK;
    }
    int result = take_apart(downscaler, frame, &from, err);
    if (result < 0)
        return result;
    int half = (width + 1) / 2;
    size_t luma_bytes = (size_t)width * (size_t)height;
    size_t chroma_bytes = (size_t)half * (size_t)((height + 1) / 2);
    uint8_t *planes = reserve(downscaler, 1, luma_bytes + 2 * chroma_bytes);
    if (!planes)
        return sp_fail(err, SP_ERR_NO_MEMORY, "image of %dx%d: out of memory", width, height);
    uint8_t *u = planes + luma_bytes, *v = u + chroma_bytes;
    if (is_padded(plan)) {
        memset(planes, frame->full_range ? 0 : 16, luma_bytes);
        memset(u, 128, 2 * chroma_bytes);
    }
    size_t luma_at = (size_t)plan->top_px * (size_t)width + (size_t)plan->left_px;
    size_t chroma_at = (size_t)plan->top_px / 2 * (size_t)half + (size_t)plan->left_px / 2;
    /* Bilinear is enough down to one half; below that it would skip source pixels. */
    enum FilterMode filter =
        plan->inner_width_px * 2 >= frame->width_px ? kFilterBilinear : kFilterBox;
    if (I420Scale(from.plane[0], from.stride_bytes[0], from.plane[1], from.stride_bytes[1],
                  from.plane[2], from.stride_bytes[2], frame->width_px, frame->height_px,
                  planes + luma_at, width, u + chroma_at, half, v + chroma_at, half,
                  plan->inner_width_px, plan->inner_height_px, filter) != 0)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "image of %dx%d: cannot scale to %dx%d",
                       frame->width_px, frame->height_px, width, height);
    to->format = SP_PIXEL_I420;
    to->plane[0] = planes;
    to->plane[1] = u;
    to->plane[2] = v;
    to->stride_bytes[0] = width;
    to->stride_bytes[1] = to->stride_bytes[2] = half;
    return SP_OK;
}
