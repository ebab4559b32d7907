#include "publish/shrink.h"

#include <libyuv.h>
#include <math.h>
#include <stdlib.h>

void sp_shrinker_release(struct sp_shrinker *shrinker)
{
    free(shrinker->memory[0]);
    free(shrinker->memory[1]);
    *shrinker = (struct sp_shrinker){0};
}

void sp_shrink_size(int width_px, int height_px, int max_width_px, double scale, int *to_width_px,
                    int *to_height_px)
{
    double factor = scale > 0 && scale < 1 ? scale : 1;
    if (max_width_px > 0 && width_px * factor > max_width_px)
        factor = (double)max_width_px / width_px;
    int width = (int)lround(width_px * factor), height = (int)lround(height_px * factor);
    *to_width_px = width > 1 ? width : 1;
    *to_height_px = height > 1 ? height : 1;
}

static uint8_t *reserve(struct sp_shrinker *shrinker, int which, size_t bytes)
{
    if (bytes > shrinker->capacity_bytes[which]) {
        free(shrinker->memory[which]);
        shrinker->memory[which] = malloc(bytes);
        shrinker->capacity_bytes[which] = shrinker->memory[which] ? bytes : 0;
    }
    return shrinker->memory[which];
}

/* I420 planes of the frame; chroma of NV12 is taken apart. */
static int take_apart(struct sp_shrinker *shrinker, const struct sp_frame *frame,
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
    uint8_t *chroma = reserve(shrinker, 0, 2 * plane_bytes);
    if (!chroma)
        return sp_fail(err, SP_ERR_NO_MEMORY, "picture of %dx%d: out of memory", frame->width_px,
                       frame->height_px);
    SplitUVPlane(frame->plane[1], frame->stride_bytes[1], chroma, width, chroma + plane_bytes,
                 width, width, height);
    to->plane[1] = chroma;
    to->plane[2] = chroma + plane_bytes;
    to->stride_bytes[1] = to->stride_bytes[2] = width;
    return SP_OK;
}

int sp_shrink(struct sp_shrinker *shrinker, const struct sp_frame *frame, int width_px,
              int height_px, struct sp_frame *to, struct sp_error *err)
{
    struct sp_frame from;
    *to = (struct sp_frame){.format = frame->format,
                            .matrix = frame->matrix,
                            .full_range = frame->full_range,
                            .width_px = width_px,
                            .height_px = height_px};
    if (width_px == frame->width_px && height_px == frame->height_px) {
        for (int i = 0; i < 3; i++) {
            to->plane[i] = frame->plane[i];
            to->stride_bytes[i] = frame->stride_bytes[i];
        }
        return SP_OK;
    }
    int result = take_apart(shrinker, frame, &from, err);
    if (result < 0)
        return result;
    int half = (width_px + 1) / 2;
    size_t luma_bytes = (size_t)width_px * (size_t)height_px;
    size_t chroma_bytes = (size_t)half * (size_t)((height_px + 1) / 2);
    uint8_t *planes = reserve(shrinker, 1, luma_bytes + 2 * chroma_bytes);
    if (!planes)
        return sp_fail(err, SP_ERR_NO_MEMORY, "picture of %dx%d: out of memory", width_px,
                       height_px);
    uint8_t *u = planes + luma_bytes, *v = u + chroma_bytes;
    /* Two taps are enough down to a half; below that they would skip source pixels. */
    enum FilterMode filter = width_px * 2 >= frame->width_px ? kFilterBilinear : kFilterBox;
    if (I420Scale(from.plane[0], from.stride_bytes[0], from.plane[1], from.stride_bytes[1],
                  from.plane[2], from.stride_bytes[2], frame->width_px, frame->height_px, planes,
                  width_px, u, half, v, half, width_px, height_px, filter) != 0)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "picture of %dx%d: cannot be scaled to %dx%d",
                       frame->width_px, frame->height_px, width_px, height_px);
    to->format = SP_PIXEL_I420;
    to->plane[0] = planes;
    to->plane[1] = u;
    to->plane[2] = v;
    to->stride_bytes[0] = width_px;
    to->stride_bytes[1] = to->stride_bytes[2] = half;
    return SP_OK;
}
