#include "render/jpeg.h"

#include "base/log.h"
#include "render/color.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

struct sp_jpeg {
    tjhandle compressor;
    unsigned char *data; /* large enough for any content: turbojpeg never reallocates it */
    size_t capacity_bytes;
    struct sp_canvas scratch; /* the planes in JPEG's colours, when the canvas has others */
    struct sp_jpeg_device place;
    char *backend_options;   /* a copy, or NULL */
    struct spoton_jpeg *gpu; /* or NULL */
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
    if (jpeg->gpu)
        jpeg->place.api->device_api->jpeg_close(jpeg->gpu);
    tjDestroy(jpeg->compressor);
    sp_canvas_release(&jpeg->scratch);
    free(jpeg->data);
    free(jpeg->backend_options);
    free(jpeg);
}

void sp_jpeg_set_device(struct sp_jpeg *jpeg, struct sp_jpeg_device place)
{
    free(jpeg->backend_options);
    jpeg->backend_options = place.backend_options ? strdup(place.backend_options) : NULL;
    jpeg->place = place;
    jpeg->place.backend_options = jpeg->backend_options;
    if (place.backend_options && !jpeg->backend_options)
        jpeg->place.api = NULL; /* out of memory: use the CPU */
}

/* ---- on a device ---- */

/* After a failure the device is not used again. */
static void give_up(struct sp_jpeg *jpeg, const char *why)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&told))
        sp_log(SP_LOG_WARNING, "JPEG is compressed on the CPU, not on GPU %d: %s",
               jpeg->place.device, why);
    if (jpeg->gpu)
        jpeg->place.api->device_api->jpeg_close(jpeg->gpu);
    jpeg->gpu = NULL;
    jpeg->place.api = NULL;
}

/* Opens the device's encoder before its first image. */
static int open_on_device(struct sp_jpeg *jpeg, char *why, size_t why_bytes)
{
    struct spoton_jpeg *gpu = NULL;
    if (jpeg->gpu)
        return 0;
    int result = jpeg->place.api->device_api->jpeg_open(
        &gpu, jpeg->place.device, jpeg->place.backend_options, why, why_bytes);
    if (gpu && result == 0)
        jpeg->gpu = gpu;
    return result;
}

/* False: use the CPU. The canvas has JPEG's colours. */
static bool encode_on_device(struct sp_jpeg *jpeg, const struct sp_canvas *canvas, int quality,
                             const uint8_t **data, size_t *bytes)
{
    const struct spoton_engine_api *api = jpeg->place.api;
    char why[256] = "";
    if (!api)
        return false;
    int result = open_on_device(jpeg, why, sizeof why);
    struct spoton_image image = {.width = canvas->width_px, .height = canvas->height_px};
    for (int i = 0; i < 3; i++) {
        image.plane[i] = canvas->plane[i];
        image.stride_bytes[i] = canvas->stride_bytes[i];
    }
    if (result == 0)
        result =
            api->device_api->jpeg_encode(jpeg->gpu, &image, quality, data, bytes, why, sizeof why);
    if (result < 0)
        give_up(jpeg, why);
    return result == 0;
}

bool sp_jpeg_draws(const struct sp_jpeg *jpeg, const struct sp_frame *frame)
{
    const struct spoton_engine_api *api = jpeg->place.api;
    return api && frame->surface && frame->gpu == api && spoton_engine_draws(api);
}

bool sp_jpeg_draw(struct sp_jpeg *jpeg, const struct sp_frame *frame,
                  const struct sp_jpeg_layout *layout, const struct sp_marks *marks, int quality,
                  const uint8_t **data, size_t *bytes)
{
    char why[256] = "";
    struct spoton_image image = sp_frame_image(frame);
    image.left = layout->left_px;
    image.top = layout->top_px;
    image.scaled_width = layout->inner_width_px;
    image.scaled_height = layout->inner_height_px;
    const struct spoton_drawing drawing = {.struct_bytes = sizeof drawing,
                                           .width = layout->width_px,
                                           .height = layout->height_px,
                                           .marks = marks->mark,
                                           .mark_count = marks->count,
                                           .coverage = marks->coverage,
                                           .coverage_bytes = marks->coverage_bytes};
    int result = open_on_device(jpeg, why, sizeof why);
    if (result == 0)
        result = jpeg->place.api->device_api->jpeg_draw(jpeg->gpu, &image, frame->surface, &drawing,
                                                        quality, data, bytes, why, sizeof why);
    if (result < 0)
        give_up(jpeg, why);
    return result == 0;
}

/* ---- on the CPU ---- */

/* Allocated for the worst case; untouched pages cost no memory. */
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
        return sp_fail(err, SP_ERR_INVALID, "JPEG of an empty canvas: load an image first");
    int rc = SP_OK;
    if (!sp_color_is_jfif(canvas->matrix, canvas->full_range)) {
        rc = convert(jpeg, canvas, err);
        if (rc)
            return rc;
        canvas = &jpeg->scratch;
    }
    if (encode_on_device(jpeg, canvas, quality, data, bytes))
        return SP_OK;
    rc = reserve(jpeg, canvas, err);
    if (rc)
        return rc;

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
