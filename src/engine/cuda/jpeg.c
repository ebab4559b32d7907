#include "jpeg.h"

#include "kernels.h"
#include "requests.h"
#include "surfaces.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libnvjpeg.so.13"

/* ---- the library's interface, as its reference documents it ---- */

enum { CSS_420 = 2, COMPONENTS = 4 };

struct nvjpeg_image {
    unsigned char *channel[COMPONENTS];
    size_t pitch[COMPONENTS];
};

static struct {
    int (*create)(void **handle);
    int (*state_create)(void *handle, void **state, cudaStream_t stream);
    int (*state_destroy)(void *state);
    int (*params_create)(void *handle, void **params, cudaStream_t stream);
    int (*params_destroy)(void *params);
    int (*set_quality)(void *params, int quality, cudaStream_t stream);
    int (*set_sampling)(void *params, int sampling, cudaStream_t stream);
    int (*encode_yuv)(void *handle, void *state, void *params, const struct nvjpeg_image *source,
                      int sampling, int width, int height, cudaStream_t stream);
    int (*retrieve)(void *handle, void *state, unsigned char *data, size_t *length,
                    cudaStream_t stream);
    bool found;
    char reason[200];
} nvjpeg;

/* *function is a pointer to a function, of the size of others on every POSIX system; ISO C has no
 * cast for it. */
static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);
    *(void **)function = found;
    if (!found)
        snprintf(nvjpeg.reason, sizeof nvjpeg.reason, LIBRARY " has no %s", name);
    return found != NULL;
}

static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW); /* this plugin's RUNPATH names its folder */
    if (!library) {
        snprintf(nvjpeg.reason, sizeof nvjpeg.reason, LIBRARY " is missing; run ./setup gpu");
        return;
    }
    const struct {
        const char *name;
        void *function;
    } all[] = {
        {"nvjpegCreateSimple", &nvjpeg.create},
        {"nvjpegEncoderStateCreate", &nvjpeg.state_create},
        {"nvjpegEncoderStateDestroy", &nvjpeg.state_destroy},
        {"nvjpegEncoderParamsCreate", &nvjpeg.params_create},
        {"nvjpegEncoderParamsDestroy", &nvjpeg.params_destroy},
        {"nvjpegEncoderParamsSetQuality", &nvjpeg.set_quality},
        {"nvjpegEncoderParamsSetSamplingFactors", &nvjpeg.set_sampling},
        {"nvjpegEncodeYUV", &nvjpeg.encode_yuv},
        {"nvjpegEncodeRetrieveBitstream", &nvjpeg.retrieve},
    };
    nvjpeg.found = true;
    for (size_t i = 0; i < sizeof all / sizeof *all && nvjpeg.found; ++i)
        nvjpeg.found = find(library, all[i].name, all[i].function);
}

static int check(int status, const char *thing, char *error, size_t error_bytes)
{
    return status == 0 ? 0 : ort_fail(error, error_bytes, "nvJPEG, %s: status %d", thing, status);
}

/* ---- an encoder ---- */

struct spoton_jpeg {
    int device;
    cudaStream_t stream;
    void *handle, *state, *params;
    uint8_t *planes; /* device */
    size_t planes_bytes;
    uint8_t *data; /* host */
    size_t data_bytes;
    uint8_t *marks_host, *marks_device; /* pinned; marks, then the coverage of their glyphs */
    size_t marks_bytes;
    struct spoton_jpeg *other[CUDA_DEVICES_MAX]; /* for surfaces on other devices */
};

/* One a device and process: making it takes long, and it may be used by many. */
static int shared_handle(int device, void **handle, char *error, size_t error_bytes)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static void *handles[CUDA_DEVICES_MAX];
    int result = 0;
    pthread_mutex_lock(&lock);
    if (!handles[device])
        result = check(nvjpeg.create(&handles[device]), "opening", error, error_bytes);
    *handle = handles[device];
    pthread_mutex_unlock(&lock);
    return result;
}

static int open_parts(struct spoton_jpeg *jpeg, char *error, size_t error_bytes)
{
    int least = 0, greatest = 0;
    if (cuda_check(cudaSetDevice(jpeg->device), "device", error, error_bytes) < 0 ||
        shared_handle(jpeg->device, &jpeg->handle, error, error_bytes) < 0)
        return -1;
    cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (cuda_check(cudaStreamCreateWithPriority(&jpeg->stream, cudaStreamNonBlocking, least),
                   "stream", error, error_bytes) < 0 ||
        check(nvjpeg.state_create(jpeg->handle, &jpeg->state, jpeg->stream), "state", error,
              error_bytes) < 0 ||
        check(nvjpeg.params_create(jpeg->handle, &jpeg->params, jpeg->stream), "settings", error,
              error_bytes) < 0)
        return -1;
    return check(nvjpeg.set_sampling(jpeg->params, CSS_420, jpeg->stream), "sampling", error,
                 error_bytes);
}

static int open_on(struct spoton_jpeg **out, int device, char *error, size_t error_bytes)
{
    struct spoton_jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (!jpeg)
        return ort_fail(error, error_bytes, "out of memory");
    jpeg->device = device;
    int result = open_parts(jpeg, error, error_bytes);
    if (result < 0)
        cuda_jpeg_close(jpeg);
    else
        *out = jpeg;
    return result;
}

int cuda_jpeg_open(struct spoton_jpeg **out, int device, const char *backend_options, char *error,
                   size_t error_bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    device = cuda_options_device(backend_options, device, error, error_bytes);
    if (device < 0)
        return -1;
    pthread_once(&once, load);
    if (!nvjpeg.found)
        return ort_fail(error, error_bytes, "%s", nvjpeg.reason);
    return open_on(out, device, error, error_bytes);
}

void cuda_jpeg_close(struct spoton_jpeg *jpeg)
{
    if (!jpeg)
        return;
    for (int i = 0; i < CUDA_DEVICES_MAX; ++i)
        cuda_jpeg_close(jpeg->other[i]);
    cudaSetDevice(jpeg->device);
    if (jpeg->params)
        nvjpeg.params_destroy(jpeg->params);
    if (jpeg->state)
        nvjpeg.state_destroy(jpeg->state);
    if (jpeg->stream)
        cudaStreamDestroy(jpeg->stream);
    cudaFree(jpeg->planes);
    cudaFree(jpeg->marks_device);
    cudaFreeHost(jpeg->marks_host);
    cudaGetLastError(); /* of a device that failed */
    free(jpeg->data);
    free(jpeg);
}

/* Memory for the planes of an image, and where they are. */
static int lay_out(struct spoton_jpeg *jpeg, int image_width, int image_height,
                   struct nvjpeg_image *nv_image, char *error, size_t error_bytes)
{
    size_t width = (size_t)image_width, half = (width + 1) / 2;
    size_t luma = width * (size_t)image_height, chroma = half * (((size_t)image_height + 1) / 2);
    size_t bytes = luma + 2 * chroma;
    if (bytes > jpeg->planes_bytes) {
        cudaFree(jpeg->planes);
        jpeg->planes = NULL;
        jpeg->planes_bytes = 0;
        if (cuda_check(cudaMalloc((void **)&jpeg->planes, bytes), "memory", error, error_bytes) < 0)
            return -1;
        jpeg->planes_bytes = bytes;
    }
    const size_t at[3] = {0, luma, luma + chroma}, pitch[3] = {width, half, half};
    for (int i = 0; i < 3; ++i) {
        nv_image->channel[i] = jpeg->planes + at[i];
        nv_image->pitch[i] = pitch[i];
    }
    return 0;
}

static int bring_planes(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                        const struct nvjpeg_image *nv_image, char *error, size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < 3 && result == 0; ++i) {
        size_t rows = i ? ((size_t)image->height + 1) / 2 : (size_t)image->height;
        result =
            cuda_check(cudaMemcpy2DAsync(nv_image->channel[i], nv_image->pitch[i], image->plane[i],
                                         (size_t)image->stride_bytes[i], nv_image->pitch[i], rows,
                                         cudaMemcpyHostToDevice, jpeg->stream),
                       "image", error, error_bytes);
    }
    return result;
}

static int retrieve(struct spoton_jpeg *jpeg, size_t *bytes, char *error, size_t error_bytes)
{
    int result = check(nvjpeg.retrieve(jpeg->handle, jpeg->state, NULL, bytes, jpeg->stream),
                       "length", error, error_bytes);
    if (result == 0 && *bytes > jpeg->data_bytes) {
        free(jpeg->data);
        jpeg->data = malloc(*bytes * 2);
        jpeg->data_bytes = jpeg->data ? *bytes * 2 : 0;
        if (!jpeg->data)
            return ort_fail(error, error_bytes, "out of memory");
    }
    if (result == 0)
        result = check(nvjpeg.retrieve(jpeg->handle, jpeg->state, jpeg->data, bytes, jpeg->stream),
                       "result", error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaStreamSynchronize(jpeg->stream), "JPEG", error, error_bytes);
    return result;
}

/* The planes are on their way. */
static int compress(struct spoton_jpeg *jpeg, const struct nvjpeg_image *nv_image, int width,
                    int height, int quality, size_t *bytes, char *error, size_t error_bytes)
{
    int result = check(nvjpeg.set_quality(jpeg->params, quality, jpeg->stream), "quality", error,
                       error_bytes);
    if (result == 0)
        result = check(nvjpeg.encode_yuv(jpeg->handle, jpeg->state, jpeg->params, nv_image, CSS_420,
                                         width, height, jpeg->stream),
                       "encoding", error, error_bytes);
    if (result == 0)
        result = retrieve(jpeg, bytes, error, error_bytes);
    return result;
}

int cuda_jpeg_encode(struct spoton_jpeg *jpeg, const struct spoton_image *image, int quality,
                     const uint8_t **data, size_t *bytes, char *error, size_t error_bytes)
{
    struct nvjpeg_image nv_image = {{NULL}, {0}};
    cudaSetDevice(jpeg->device);
    int result = lay_out(jpeg, image->width, image->height, &nv_image, error, error_bytes);
    if (result == 0)
        result = bring_planes(jpeg, image, &nv_image, error, error_bytes);
    if (result == 0)
        result = compress(jpeg, &nv_image, image->width, image->height, quality, bytes, error,
                          error_bytes);
    *data = jpeg->data;
    return result;
}

/* ---- drawing ---- */

/* The marks and their coverage, in one copy: the last one's is done, as its JPEG was awaited. */
static int bring_marks(struct spoton_jpeg *jpeg, const struct spoton_drawing *drawing,
                       struct cuda_overlay *overlay, char *error, size_t error_bytes)
{
    size_t marks = drawing->mark_count * sizeof *drawing->marks;
    size_t bytes = marks + drawing->coverage_bytes;
    if (bytes > jpeg->marks_bytes) {
        cudaFree(jpeg->marks_device);
        cudaFreeHost(jpeg->marks_host);
        jpeg->marks_device = jpeg->marks_host = NULL;
        jpeg->marks_bytes = 0;
        if (cuda_check(cudaMalloc((void **)&jpeg->marks_device, 2 * bytes), "memory", error,
                       error_bytes) < 0 ||
            cuda_check(cudaMallocHost((void **)&jpeg->marks_host, 2 * bytes), "memory", error,
                       error_bytes) < 0)
            return -1;
        jpeg->marks_bytes = 2 * bytes;
    }
    overlay->marks = (const struct spoton_mark *)jpeg->marks_device;
    overlay->coverage = jpeg->marks_device + marks;
    if (bytes == 0)
        return 0;
    memcpy(jpeg->marks_host, drawing->marks, marks);
    if (drawing->coverage_bytes > 0)
        memcpy(jpeg->marks_host + marks, drawing->coverage, drawing->coverage_bytes);
    return cuda_check(cudaMemcpyAsync(jpeg->marks_device, jpeg->marks_host, bytes,
                                      cudaMemcpyHostToDevice, jpeg->stream),
                      "marks", error, error_bytes);
}

static int draw(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                const struct spoton_surface *surface, const struct spoton_drawing *drawing,
                struct nvjpeg_image *nv_image, char *error, size_t error_bytes)
{
    struct cuda_overlay overlay;
    cuda_describe_overlay(&overlay, image, drawing);
    int result = lay_out(jpeg, drawing->width, drawing->height, nv_image, error, error_bytes);
    if (result == 0)
        result = bring_marks(jpeg, drawing, &overlay, error, error_bytes);
    for (int i = 0; i < 3; ++i) {
        overlay.from[i] = i < surface->planes ? surface->memory + surface->at[i] : NULL;
        overlay.from_stride_bytes[i] = surface->stride_bytes[i];
        overlay.plane[i] = nv_image->channel[i];
        overlay.stride_bytes[i] = (int)nv_image->pitch[i];
    }
    if (result == 0)
        result = cuda_check((cudaError_t)cuda_draw(&overlay, jpeg->stream), "drawing", error,
                            error_bytes);
    return result;
}

int cuda_jpeg_draw(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                   const struct spoton_surface *surface, const struct spoton_drawing *drawing,
                   int quality, const uint8_t **data, size_t *bytes, char *error,
                   size_t error_bytes)
{
    struct nvjpeg_image nv_image = {{NULL}, {0}};
    int result = 0;
    if (surface->device != jpeg->device) {
        struct spoton_jpeg **other = &jpeg->other[surface->device];
        if (!*other)
            result = open_on(other, surface->device, error, error_bytes);
        if (result < 0)
            return result;
        jpeg = *other;
    }
    cudaSetDevice(jpeg->device);
    result = draw(jpeg, image, surface, drawing, &nv_image, error, error_bytes);
    if (result == 0)
        result = compress(jpeg, &nv_image, drawing->width, drawing->height, quality, bytes, error,
                          error_bytes);
    if (result < 0) /* the surface must not be read any more, nor the marks */
        cudaStreamSynchronize(jpeg->stream);
    *data = jpeg->data;
    return result;
}
