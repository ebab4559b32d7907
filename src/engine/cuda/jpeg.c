#include "jpeg.h"

#include "requests.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

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

void cuda_jpeg_close(struct spoton_jpeg *jpeg)
{
    if (!jpeg)
        return;
    cudaSetDevice(jpeg->device);
    if (jpeg->params)
        nvjpeg.params_destroy(jpeg->params);
    if (jpeg->state)
        nvjpeg.state_destroy(jpeg->state);
    if (jpeg->stream)
        cudaStreamDestroy(jpeg->stream);
    cudaFree(jpeg->planes);
    cudaGetLastError(); /* of a device that failed */
    free(jpeg->data);
    free(jpeg);
}

static int bring_planes(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                        struct nvjpeg_image *nv_image, char *error, size_t error_bytes)
{
    size_t half = ((size_t)image->width + 1) / 2, rows = ((size_t)image->height + 1) / 2;
    const size_t width[3] = {(size_t)image->width, half, half};
    const size_t height[3] = {(size_t)image->height, rows, rows};
    size_t bytes = width[0] * height[0] + 2 * half * rows;
    if (bytes > jpeg->planes_bytes) {
        cudaFree(jpeg->planes);
        jpeg->planes = NULL;
        jpeg->planes_bytes = 0;
        if (cuda_check(cudaMalloc((void **)&jpeg->planes, bytes), "memory", error, error_bytes) < 0)
            return -1;
        jpeg->planes_bytes = bytes;
    }
    uint8_t *at = jpeg->planes;
    for (int i = 0; i < 3; ++i) {
        nv_image->channel[i] = at;
        nv_image->pitch[i] = width[i];
        int result = cuda_check(cudaMemcpy2DAsync(at, width[i], image->plane[i],
                                                  (size_t)image->stride_bytes[i], width[i],
                                                  height[i], cudaMemcpyHostToDevice, jpeg->stream),
                                "image", error, error_bytes);
        if (result < 0)
            return result;
        at += width[i] * height[i];
    }
    return 0;
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

int cuda_jpeg_encode(struct spoton_jpeg *jpeg, const struct spoton_image *image, int quality,
                     const uint8_t **data, size_t *bytes, char *error, size_t error_bytes)
{
    struct nvjpeg_image nv_image = {{NULL}, {0}};
    cudaSetDevice(jpeg->device);
    int result = bring_planes(jpeg, image, &nv_image, error, error_bytes);
    if (result == 0)
        result = check(nvjpeg.set_quality(jpeg->params, quality, jpeg->stream), "quality", error,
                       error_bytes);
    if (result == 0)
        result = check(nvjpeg.encode_yuv(jpeg->handle, jpeg->state, jpeg->params, &nv_image,
                                         CSS_420, image->width, image->height, jpeg->stream),
                       "encoding", error, error_bytes);
    if (result == 0)
        result = retrieve(jpeg, bytes, error, error_bytes);
    *data = jpeg->data;
    return result;
}
