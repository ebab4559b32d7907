#include "surfaces.h"

#include "memory_pool.h"
#include "options.h"
#include "requests.h"

#include <cuda.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_ALIGN_BYTES = 256 };

struct spoton_decoding {
    int device;
    cudaStream_t stream;
    cudaEvent_t copied;
};

/* ---- memory ---- */

static void *get_memory(int device, size_t bytes)
{
    void *memory = NULL;
    if (cudaSetDevice(device) == cudaSuccess && cudaMalloc(&memory, bytes) == cudaSuccess)
        return memory;
    cudaGetLastError();
    return NULL;
}

/* After a device is lost it stays: see ort_keep_sessions(). */
static bool put_back_memory(int device, void *memory)
{
    if (ort_keeps_sessions())
        return false;
    cudaSetDevice(device);
    cudaFree(memory);
    return true;
}

static struct cuda_pool pool[CUDA_DEVICES_MAX];

static void open_pools(void)
{
    for (int i = 0; i < CUDA_DEVICES_MAX; ++i) {
        pool[i] = (struct cuda_pool){.get = get_memory, .put_back = put_back_memory, .device = i};
        pthread_mutex_init(&pool[i].lock, NULL);
    }
}

/* ---- a camera's decoder ---- */

/* The runtime's own context of the thread's device, which is the driver's primary one. */
static int current_context(void **context, char *error, size_t error_bytes)
{
    union {
        void *object;
        CUresult (*function)(CUcontext *context);
    } entry = {NULL};
    enum cudaDriverEntryPointQueryResult found;
    CUcontext current = NULL;
    if (cuda_check(cudaFree(NULL), "context", error, error_bytes) < 0 || /* makes it, if need be */
        cuda_check(cudaGetDriverEntryPointByVersion("cuCtxGetCurrent", &entry.object, 12000,
                                                    cudaEnableDefault, &found),
                   "driver", error, error_bytes) < 0)
        return -1;
    if (found != cudaDriverEntryPointSuccess || !entry.function ||
        entry.function(&current) != CUDA_SUCCESS || !current)
        return ort_fail(error, error_bytes, "the driver tells no context");
    *context = current;
    return 0;
}

int cuda_decoding_open(struct spoton_decoding **out, int device, const char *backend_options,
                       void **context, void **stream, char *error, size_t error_bytes)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, open_pools);
    device = cuda_options_device(backend_options, device, error, error_bytes);
    if (device < 0)
        return -1;
    struct spoton_decoding *decoding = calloc(1, sizeof *decoding);
    if (!decoding)
        return ort_fail(error, error_bytes, "out of memory");
    decoding->device = device;
    int result = cuda_check(cudaSetDevice(device), "device", error, error_bytes);
    if (result == 0)
        result = current_context(context, error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaStreamCreateWithFlags(&decoding->stream, cudaStreamNonBlocking),
                            "stream", error, error_bytes);
    if (result == 0) /* waiting threads sleep: there are more cameras than cores */
        result = cuda_check(cudaEventCreateWithFlags(&decoding->copied, cudaEventDisableTiming |
                                                                            cudaEventBlockingSync),
                            "event", error, error_bytes);
    if (result < 0) {
        cuda_decoding_close(decoding);
        return result;
    }
    *stream = decoding->stream;
    *out = decoding;
    return 0;
}

void cuda_decoding_close(struct spoton_decoding *decoding)
{
    if (!decoding)
        return;
    cudaSetDevice(decoding->device);
    if (decoding->copied)
        cudaEventDestroy(decoding->copied);
    if (decoding->stream)
        cudaStreamDestroy(decoding->stream);
    cudaGetLastError(); /* of a device that failed */
    free(decoding);
}

/* ---- images ---- */

static size_t lay_out(struct spoton_surface *surface, const struct spoton_image *image)
{
    size_t bytes = 0;
    int half = (image->width + 1) / 2;
    surface->planes = image->interleaved_chroma ? 2 : 3;
    for (int i = 0; i < surface->planes; ++i) {
        int width = i == 0 ? image->width : (image->interleaved_chroma ? 2 * half : half);
        surface->at[i] = bytes;
        surface->width_bytes[i] = width;
        surface->stride_bytes[i] =
            (width + ROW_ALIGN_BYTES - 1) / ROW_ALIGN_BYTES * ROW_ALIGN_BYTES;
        surface->rows[i] = i == 0 ? image->height : (image->height + 1) / 2;
        bytes += (size_t)surface->stride_bytes[i] * (size_t)surface->rows[i];
    }
    return bytes;
}

static int copy_in(struct spoton_decoding *decoding, const struct spoton_image *image,
                   struct spoton_surface *surface, char *error, size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < surface->planes && result == 0; ++i)
        result = cuda_check(
            cudaMemcpy2DAsync(surface->memory + surface->at[i], (size_t)surface->stride_bytes[i],
                              image->plane[i], (size_t)image->stride_bytes[i],
                              (size_t)surface->width_bytes[i], (size_t)surface->rows[i],
                              cudaMemcpyDefault, decoding->stream),
            "decoded image", error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaEventRecord(decoding->copied, decoding->stream), "decoded image",
                            error, error_bytes);
    if (result == 0)
        result =
            cuda_check(cudaEventSynchronize(decoding->copied), "decoded image", error, error_bytes);
    return result;
}

int cuda_surface_take(struct spoton_decoding *decoding, const struct spoton_image *image,
                      struct spoton_surface **out, char *error, size_t error_bytes)
{
    struct spoton_surface *surface = calloc(1, sizeof *surface);
    if (!surface)
        return ort_fail(error, error_bytes, "out of memory");
    surface->device = decoding->device;
    size_t bytes = lay_out(surface, image);
    cudaSetDevice(decoding->device);
    surface->memory = cuda_pool_take(&pool[decoding->device], bytes);
    if (!surface->memory) {
        free(surface);
        ort_fail(error, error_bytes, "no memory on device %d for images", decoding->device);
        return SPOTON_NO_MEMORY;
    }
    int result = copy_in(decoding, image, surface, error, error_bytes);
    if (result < 0) {
        cuda_surface_free(surface);
        return result;
    }
    *out = surface;
    return 0;
}

int cuda_surface_read(struct spoton_surface *surface, uint8_t *planes, char *error,
                      size_t error_bytes)
{
    int result = cuda_check(cudaSetDevice(surface->device), "device", error, error_bytes);
    for (int i = 0; i < surface->planes && result == 0; ++i) {
        size_t width = (size_t)surface->width_bytes[i], rows = (size_t)surface->rows[i];
        /* On the thread's own default stream: it waits for no other thread's work. */
        result = cuda_check(cudaMemcpy2DAsync(planes, width, surface->memory + surface->at[i],
                                              (size_t)surface->stride_bytes[i], width, rows,
                                              cudaMemcpyDeviceToHost, cudaStreamPerThread),
                            "image", error, error_bytes);
        planes += width * rows;
    }
    if (result == 0)
        result =
            cuda_check(cudaStreamSynchronize(cudaStreamPerThread), "image", error, error_bytes);
    return result;
}

void cuda_surface_free(struct spoton_surface *surface)
{
    if (!surface)
        return;
    cuda_pool_give(&pool[surface->device], surface->memory);
    free(surface);
}
