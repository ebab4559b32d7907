#include "surface.h"

#include "engine_error.h"

#include <stdlib.h>

/* Pinned memory if the engine has it, for full transfer speed. */
static uint8_t *alloc_host(const struct spoton_engine_api *gpu, size_t bytes)
{
    return gpu->device_api->host_alloc ? gpu->device_api->host_alloc(bytes) : malloc(bytes);
}

static void free_host(const struct spoton_engine_api *gpu, uint8_t *memory)
{
    if (memory && gpu->device_api->host_free)
        gpu->device_api->host_free(memory);
    else
        free(memory);
}

static int gpu_error(int code, const char *text, struct sp_error *err)
{
    return sp_fail(err, sp_engine_error_code(code), "frame in GPU memory: %s", text);
}

struct spoton_image sp_frame_image(const struct sp_frame *frame)
{
    /* Kr and Kb of ITU-R BT.601, BT.709 and BT.2020 */
    static const float red[] = {0.299f, 0.2126f, 0.2627f}, blue[] = {0.114f, 0.0722f, 0.0593f};
    struct spoton_image image = {
        .width = frame->width_px,
        .height = frame->height_px,
        .interleaved_chroma = frame->format == SP_PIXEL_NV12,
        .luma_red = red[frame->matrix],
        .luma_blue = blue[frame->matrix],
        .full_range = frame->full_range,
        .pinned = frame->pinned,
    };
    for (int i = 0; i < 3 && !frame->surface; i++) {
        image.plane[i] = frame->plane[i];
        image.stride_bytes[i] = frame->stride_bytes[i];
    }
    return image;
}

int sp_surface_take(struct spoton_surface **out, const struct spoton_engine_api *gpu,
                    struct spoton_decoding *decoding, const struct spoton_image *image,
                    struct sp_error *err)
{
    char text[256] = "";
    int result = gpu->device_api->surface_take(decoding, image, out, text, sizeof text);
    return result < 0 ? gpu_error(result, text, err) : SP_OK;
}

static void release(void *owner)
{
    struct sp_frame *frame = owner;
    frame->gpu->device_api->surface_free(frame->surface);
    free_host(frame->gpu, frame->fetched);
}

void sp_frame_attach(struct sp_frame *frame, const struct spoton_engine_api *gpu,
                     struct spoton_surface *surface)
{
    if (frame->release)
        frame->release(frame->owner);
    frame->release = release;
    frame->owner = frame;
    frame->pinned = false;
    for (int i = 0; i < 3; i++)
        frame->plane[i] = NULL;
    frame->gpu = gpu;
    frame->surface = surface;
}

/* Called with the mutex locked. */
static int fetch(struct sp_frame *frame, struct sp_error *err)
{
    char text[256] = "";
    size_t width = (size_t)frame->width_px, height = (size_t)frame->height_px;
    size_t half = (width + 1) / 2, chroma = half * ((height + 1) / 2), luma = width * height;
    bool two_planes = frame->format == SP_PIXEL_NV12;
    frame->fetched = alloc_host(frame->gpu, luma + 2 * chroma);
    if (!frame->fetched)
        return sp_fail(err, SP_ERR_NO_MEMORY, "frame of %dx%d: out of memory", frame->width_px,
                       frame->height_px);
    int result =
        frame->gpu->device_api->surface_read(frame->surface, frame->fetched, text, sizeof text);
    if (result < 0) {
        free_host(frame->gpu, frame->fetched);
        frame->fetched = NULL;
        return gpu_error(result, text, err);
    }
    frame->plane[0] = frame->fetched;
    frame->plane[1] = frame->fetched + luma;
    frame->plane[2] = two_planes ? NULL : frame->fetched + luma + chroma;
    frame->stride_bytes[0] = frame->width_px;
    frame->stride_bytes[1] = (int)(two_planes ? 2 * half : half);
    frame->stride_bytes[2] = (int)(two_planes ? 0 : half);
    return SP_OK;
}

int sp_frame_fetch(const struct sp_frame *frame, struct sp_error *err)
{
    /* const for callers: fetching does not change the frame's content. */
    struct sp_frame *own = (struct sp_frame *)frame;
    int result = SP_OK;
    if (!frame->surface)
        return SP_OK;
    pthread_mutex_lock(&own->fetching);
    if (!own->fetched)
        result = fetch(own, err);
    pthread_mutex_unlock(&own->fetching);
    return result;
}
