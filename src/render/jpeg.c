#include "render/jpeg.h"

#include "render/color.h"

#include <stdlib.h>
#include <turbojpeg.h>

struct sp_jpeg {
    tjhandle compressor;
    unsigned char *data; /* large enough for any content: turbojpeg never reallocates it */
    size_t capacity_bytes;
    struct sp_canvas scratch; /* the planes in JPEG's colours, when the canvas has others */
};

int sp_jpeg_open(struct sp_jpeg **out, struct sp_error *err)
{
    struct sp_jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (!jpeg)
        return sp_fail(err, SP_ERR_NO_MEMORY, "JPEG encoder: out of memory");
    jpeg->compressor = tjInitCompress();
    if (!jpeg->compressor) {
        free(jpeg);
        return sp_fail(err, SP_ERR_NO_MEMORY, "JPEG encoder: %s", tjGetErrorStr2(NULL));
    }
    *out = jpeg;
    return SP_OK;
}

void sp_jpeg_close(struct sp_jpeg *jpeg)
{
    if (!jpeg)
        return;
    tjDestroy(jpeg->compressor);
    sp_canvas_release(&jpeg->scratch);
    free(jpeg->data);
    free(jpeg);
}

/* Untouched pages of the worst case cost no memory. */
static int reserve(struct sp_jpeg *jpeg, const struct sp_canvas *canvas, struct sp_error *err)
{
    unsigned long bytes = tjBufSize(canvas->width_px, canvas->height_px, TJSAMP_420);
    if (bytes == (unsigned long)-1)
        return sp_fail(err, SP_ERR_INVALID, "JPEG of %dx%d: too large", canvas->width_px,
                       canvas->height_px);
    if (bytes <= jpeg->capacity_bytes)
        return SP_OK;
    free(jpeg->data);
    jpeg->data = malloc(bytes);
    jpeg->capacity_bytes = jpeg->data ? bytes : 0;
    if (!jpeg->data)
        return sp_fail(err, SP_ERR_NO_MEMORY, "JPEG of %dx%d: out of memory", canvas->width_px,
                       canvas->height_px);
    return SP_OK;
}

static int convert(struct sp_jpeg *jpeg, const struct sp_canvas *canvas, struct sp_error *err)
{
    struct sp_frame frame = {
        .plane = {canvas->plane[0], canvas->plane[1], canvas->plane[2]},
        .stride_bytes = {canvas->stride_bytes[0], canvas->stride_bytes[1], canvas->stride_bytes[2]},
        .width_px = canvas->width_px,
        .height_px = canvas->height_px,
        .format = SP_PIXEL_I420,
        .matrix = canvas->matrix,
        .full_range = canvas->full_range,
    };
    return sp_canvas_load(&jpeg->scratch, &frame, SP_CANVAS_JPEG, err);
}

int sp_jpeg_encode(struct sp_jpeg *jpeg, const struct sp_canvas *canvas, int quality,
                   const uint8_t **data, size_t *bytes, struct sp_error *err)
{
    if (quality < 1 || quality > 100)
        return sp_fail(err, SP_ERR_INVALID, "JPEG quality %d: must be 1..100", quality);
    if (!canvas->memory)
        return sp_fail(err, SP_ERR_INVALID, "JPEG of an empty canvas: load a picture first");
    int rc = reserve(jpeg, canvas, err);
    if (rc)
        return rc;
    if (!sp_color_is_jfif(canvas->matrix, canvas->full_range)) {
        rc = convert(jpeg, canvas, err);
        if (rc)
            return rc;
        canvas = &jpeg->scratch;
    }

    const unsigned char *planes[3] = {canvas->plane[0], canvas->plane[1], canvas->plane[2]};
    unsigned char *out = jpeg->data;
    unsigned long size = jpeg->capacity_bytes;
    if (tjCompressFromYUVPlanes(jpeg->compressor, planes, canvas->width_px, canvas->stride_bytes,
                                canvas->height_px, TJSAMP_420, &out, &size, quality,
                                TJFLAG_NOREALLOC))
        return sp_fail(err, SP_ERR_INVALID, "JPEG of %dx%d: %s", canvas->width_px,
                       canvas->height_px, tjGetErrorStr2(jpeg->compressor));
    *data = out;
    *bytes = size;
    return SP_OK;
}
