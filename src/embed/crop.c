#include "embed/embedder.h"

#include <libyuv.h>

#include <math.h>
#include <stdlib.h>

enum { SIDE_MIN_PX = 8 };

struct plane {
    uint8_t *data;
    size_t bytes;
};

struct sp_crop_scratch {
    struct plane chroma[2], scaled[3], rgb;
};

int sp_crop_scratch_open(struct sp_crop_scratch **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "crops: out of memory");
}

void sp_crop_scratch_close(struct sp_crop_scratch *scratch)
{
    if (!scratch)
        return;
    for (int i = 0; i < 2; i++)
        free(scratch->chroma[i].data);
    for (int i = 0; i < 3; i++)
        free(scratch->scaled[i].data);
    free(scratch->rgb.data);
    free(scratch);
}

static int reserve(struct plane *plane, int width_px, int height_px, struct sp_error *err)
{
    size_t bytes = (size_t)width_px * (size_t)height_px;
    if (bytes <= plane->bytes)
        return SP_OK;
    free(plane->data);
    plane->bytes = 0;
    plane->data = malloc(bytes);
    if (!plane->data)
        return sp_fail(err, SP_ERR_NO_MEMORY, "crops: out of memory");
    plane->bytes = bytes;
    return SP_OK;
}

static int clip(double value, int limit)
{
    return !(value > 0) ? 0 : (value < limit ? (int)value : limit);
}

/* Finds the planes of the box, from even coordinates on, since two pixels share one chroma sample.
 */
static int crop_planes(struct sp_crop_scratch *s, const struct sp_frame *frame, const double box[4],
                       const uint8_t *plane[3], int stride[3], int *width, int *height,
                       struct sp_error *err)
{
    int left = clip(box[0], frame->width_px) & ~1, top = clip(box[1], frame->height_px) & ~1;
    *width = clip(ceil(box[2]), frame->width_px) - left;
    *height = clip(ceil(box[3]), frame->height_px) - top;
    if (*width < SIDE_MIN_PX || *height < SIDE_MIN_PX)
        return sp_fail(err, SP_ERR_INVALID, "crop of %dx%d px: too small", *width, *height);
    size_t half_left = (size_t)left / 2, half_top = (size_t)top / 2;
    stride[0] = frame->stride_bytes[0];
    plane[0] = frame->plane[0] + (size_t)top * (size_t)stride[0] + (size_t)left;
    if (frame->format == SP_PIXEL_I420) {
        for (int i = 1; i < 3; i++) {
            stride[i] = frame->stride_bytes[i];
            plane[i] = frame->plane[i] + half_top * (size_t)stride[i] + half_left;
        }
        return SP_OK;
    }
    int chroma_width = (*width + 1) / 2, chroma_height = (*height + 1) / 2;
    for (int i = 0; i < 2; i++) {
        int result = reserve(&s->chroma[i], chroma_width, chroma_height, err);
        if (result < 0)
            return result;
        stride[1 + i] = chroma_width;
        plane[1 + i] = s->chroma[i].data;
    }
    SplitUVPlane(frame->plane[1] + half_top * (size_t)frame->stride_bytes[1] + 2 * half_left,
                 frame->stride_bytes[1], s->chroma[0].data, chroma_width, s->chroma[1].data,
                 chroma_width, chroma_width, chroma_height);
    return SP_OK;
}

int sp_crop_fill(struct sp_crop_scratch *s, const struct sp_frame *frame, const double box_px[4],
                 int width_px, int height_px, uint8_t *rgb, struct sp_error *err)
{
    const uint8_t *plane[3] = {NULL};
    int stride[3] = {0}, width = 0, height = 0, half = (width_px + 1) / 2;
    int result = crop_planes(s, frame, box_px, plane, stride, &width, &height, err);
    for (int i = 0; i < 3 && result == SP_OK; i++)
        result =
            reserve(&s->scaled[i], i ? half : width_px, i ? (height_px + 1) / 2 : height_px, err);
    if (result == SP_OK)
        result = reserve(&s->rgb, width_px * 3, height_px, err);
    if (result < 0)
        return result;
    enum FilterMode filter =
        width > 2 * width_px || height > 2 * height_px ? kFilterBox : kFilterBilinear;
    uint8_t *y = s->scaled[0].data, *u = s->scaled[1].data, *v = s->scaled[2].data;
    size_t pixels = (size_t)width_px * (size_t)height_px;
    if (I420Scale(plane[0], stride[0], plane[1], stride[1], plane[2], stride[2], width, height, y,
                  width_px, u, half, v, half, width_px, height_px, filter) != 0 ||
        I420ToRGB24Matrix(y, width_px, v, half, u, half, s->rgb.data, width_px * 3,
                          sp_frame_red_first(frame), width_px, height_px) != 0)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "crop of %dx%d px: cannot be scaled to %dx%d",
                       width, height, width_px, height_px);
    SplitRGBPlane(s->rgb.data, width_px * 3, rgb, width_px, rgb + pixels, width_px,
                  rgb + 2 * pixels, width_px, width_px, height_px);
    return SP_OK;
}
