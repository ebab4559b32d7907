/* The cuda engine: models on NVIDIA GPUs, by an executor of its own (fused/) or ONNX Runtime's CUDA
 * and TensorRT providers, with everything from the decoder's planes to the boxes on the device.
 *
 * One engine serves one device with two streams: images are brought on the one while the other
 * runs letterbox, model and head of the requests before (requests.h). A batch that is not full runs
 * in the next larger power of two. CUDA's runtime is linked in statically and finds the driver by
 * itself, so the plugin loads, and says why it cannot run, on machines without one. */
#include "fused/cudnn.h"
#include "fused_model.h"
#include "jpeg.h"
#include "memory_pool.h"
#include "requests.h"
#include "surfaces.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REQUESTS = 4, BATCH_THAT_PAYS = 16 };

/* ---- the runtime's libraries ---- */

/* What ONNX Runtime's CUDA provider is linked with may be in wheels of its own, which this plugin's
 * RUNPATH names and the provider's does not. Loaded first, they are found by name. */
static void load_companions(void)
{
    static const char *const names[] = {
        "libcudart.so.13", "libnvrtc.so.13",  "libnvJitLink.so.13", "libcublasLt.so.13",
        "libcublas.so.13", "libcurand.so.10", "libcufft.so.12",     "libcudnn.so.9",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        dlopen(names[i], RTLD_NOW | RTLD_GLOBAL);
}

static const struct ort *find_ort(char *error, size_t error_bytes)
{
    load_companions();
    return ort_get(error, error_bytes);
}

/* The library, or NULL with the reason why nothing can run here. */
static const struct ort *find_device(int device, struct cudaDeviceProp *properties, char *error,
                                     size_t error_bytes)
{
    int count = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice || count == 0) {
        ort_fail(error, error_bytes, "no NVIDIA GPU, or its driver is older than CUDA 13's (580)");
        return NULL;
    }
    if (cuda_check(status, "no NVIDIA GPU", error, error_bytes) < 0)
        return NULL;
    if (device >= count) {
        ort_fail(error, error_bytes, "device=%d: there are %d, from 0 on", device, count);
        return NULL;
    }
    if (cuda_check(cudaGetDeviceProperties(properties, device), "device", error, error_bytes) < 0)
        return NULL;
    return find_ort(error, error_bytes);
}

static void cuda_probe(struct spoton_engine_probe *probe)
{
    struct cudaDeviceProp properties;
    char text[200];
    const struct ort *ort = find_device(0, &properties, probe->reason, sizeof probe->reason);
    /* Without ONNX Runtime's provider cuDNN alone runs what the fused executor knows. */
    if (!ort || (cuda_provider_missing(ort, probe->reason, sizeof probe->reason) < 0 &&
                 fused_cudnn_version(text, sizeof text) == 0))
        return;
    probe->reason[0] = '\0';
    probe->preference = 200;
    snprintf(probe->version, sizeof probe->version, "%s", ort->version);
    snprintf(probe->device, sizeof probe->device, "%.100s (%.0f GiB)", properties.name,
             (double)properties.totalGlobalMem / (1 << 30));
    snprintf(probe->precisions, sizeof probe->precisions, "f16,f32");
    probe->batch = BATCH_THAT_PAYS;
}

/* With an option device=N that one is all there is. */
static int cuda_device(int index, const char *backend_options, struct spoton_device *device)
{
    struct cuda_options options;
    struct cudaDeviceProp properties;
    char error[200];
    int count = 0;
    if (cuda_options_parse(&options, backend_options, error, sizeof error) == 0 &&
        options.device >= 0) {
        if (index != 0)
            return -1;
        index = options.device;
    }
    if (index < 0 || cudaGetDeviceCount(&count) != cudaSuccess || index >= count ||
        cudaGetDeviceProperties(&properties, index) != cudaSuccess) {
        cudaGetLastError();
        return -1;
    }
    snprintf(device->name, sizeof device->name, "%.95s", properties.name);
    device->power = properties.multiProcessorCount;
    return 0;
}

static int cuda_inspect(const char *path, struct spoton_model_info *info, char *error,
                        size_t error_bytes)
{
    const struct ort *ort = find_ort(error, error_bytes);
    if (!ort)
        return -1;
    ort_prepare_fn *prepare = cuda_model_prepare(path);
    /* With the provider first what is missing is named before what it would be needed for. */
    if (prepare && (!find_device(0, &(struct cudaDeviceProp){0}, error, error_bytes) ||
                    cuda_provider_missing(ort, error, error_bytes) < 0))
        return -1;
    return ort_inspect(ort, path, prepare, info, error, error_bytes);
}

/* ---- opening ---- */

static int check_precision(struct spoton_engine *engine, enum spoton_precision wanted, char *error,
                           size_t error_bytes)
{
    bool half = engine->model.input.element == SPOTON_ELEMENT_F16; /* so of the fused one, too */
    engine->precision = half ? SPOTON_PRECISION_F16 : SPOTON_PRECISION_F32;
    if (engine->model.quantized)
        engine->precision = SPOTON_PRECISION_INT8;
    if (engine->model.tensorrt && wanted != SPOTON_PRECISION_AUTO) {
        engine->precision = wanted;
        return 0;
    }
    if (wanted == SPOTON_PRECISION_F16 && !half)
        return ort_fail(error, error_bytes,
                        "f16 needs a model file in f16, and this one is not: tools/half-model "
                        "makes one; or use PRECISION=auto");
    if (wanted == SPOTON_PRECISION_BF16)
        return ort_fail(error, error_bytes, "bf16 is for TensorRT; use auto, f32 or f16");
    if (wanted == SPOTON_PRECISION_INT8 && !engine->model.quantized)
        return ort_fail(error, error_bytes, "int8 needs a quantized model file; use auto or f32");
    return 0;
}

static int open_streams(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    int least = 0, greatest = 0;
    cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (cuda_check(cudaSetDevice(engine->device), "device", error, error_bytes) < 0 ||
        cuda_check(cudaStreamCreateWithPriority(&engine->upload, cudaStreamNonBlocking, least),
                   "stream", error, error_bytes) < 0)
        return -1;
    return cuda_check(
        cudaStreamCreateWithPriority(&engine->compute, cudaStreamNonBlocking, greatest), "stream",
        error, error_bytes);
}

static pthread_mutex_t left_lock = PTHREAD_MUTEX_INITIALIZER;
static struct spoton_engine *left; /* until the process's end: see ort_keep_sessions() */

/* A device that is lost says so to every call: so also where no call of ours met it first. */
static bool is_beyond_closing(struct spoton_engine *engine)
{
    char text[80];
    cudaSetDevice(engine->device);
    if (engine->upload)
        cuda_check(cudaStreamSynchronize(engine->upload), "close", text, sizeof text);
    if (engine->compute)
        cuda_check(cudaStreamSynchronize(engine->compute), "close", text, sizeof text);
    return ort_keeps_sessions();
}

static void cuda_close(struct spoton_engine *engine)
{
    if (!engine)
        return;
    if (is_beyond_closing(engine)) {
        fused_model_stop(&engine->model);
        pthread_mutex_lock(&left_lock);
        engine->next_left = left;
        left = engine;
        pthread_mutex_unlock(&left_lock);
        return;
    }
    cuda_requests_close(engine);
    cuda_model_close(&engine->model);
    if (engine->upload)
        cudaStreamDestroy(engine->upload);
    if (engine->compute)
        cudaStreamDestroy(engine->compute);
    cudaGetLastError();
    pthread_mutex_destroy(&engine->lock);
    free(engine);
}

static int cuda_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                     char *error, size_t error_bytes)
{
    struct cudaDeviceProp properties;
    struct spoton_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return ort_fail(error, error_bytes, "out of memory");
    pthread_mutex_init(&engine->lock, NULL);
    struct cuda_options *own = &engine->model.options;
    int result = cuda_options_parse(own, options->backend_options, error, error_bytes);
    if (result == 0 && options->struct_bytes >= sizeof *options && options->deviation[0] > 0) {
        snprintf(error, error_bytes, "a mean and deviation of colours are not read on this device");
        result = -1;
    }
    if (own->device < 0)
        own->device = options->struct_bytes >= offsetof(struct spoton_engine_options, mean)
                          ? options->device
                          : 0;
    if (own->break_device >= 0 && own->break_device != own->device)
        own->break_after = 0;
    engine->device = own->device;
    engine->requests = REQUESTS;
    engine->input_layout = options->input_layout;
    engine->swap_red_blue = options->swap_red_blue != 0;
    engine->scale = options->scale;
    engine->bucket_count =
        cuda_batch_sizes(options->batch, engine->model.options.one_size, engine->bucket);
    if (result == 0) {
        engine->ort = find_device(engine->device, &properties, error, error_bytes);
        result = engine->ort ? open_streams(engine, error, error_bytes) : -1;
    }
    if (result == 0)
        result = cuda_model_open(&engine->model, engine->ort, options, engine->compute, error,
                                 error_bytes);
    if (result == 0)
        result = check_precision(engine, options->precision, error, error_bytes);
    if (result == 0 && engine->model.fused)
        engine->scale = engine->model.input_scale;
    if (result == 0)
        result = cuda_requests_open(engine, error, error_bytes);
    if (result == 0 && engine->model.fused)
        result = fused_model_continue(&engine->model, &engine->lock, error, error_bytes);
    if (result == 0) {
        snprintf(engine->device_name, sizeof engine->device_name, "%.80s", properties.name);
        *out = engine;
    } else {
        cuda_close(engine);
    }
    return result;
}

static void cuda_describe(struct spoton_engine *engine,
                          struct spoton_engine_description *description)
{
    const struct cuda_model *model = &engine->model;
    description->requests = engine->requests;
    description->streams = 2;
    description->threads = 1;
    description->output_count = model->outputs;
    description->precision = engine->precision;
    snprintf(description->device, sizeof description->device, "%.40s%s%s%.80s", engine->device_name,
             model->tensorrt ? " by TensorRT" : "", model->notice[0] ? ", " : "", model->notice);
}

/* ---- running ---- */

static uint8_t *cuda_input_memory(struct spoton_engine *engine, int request)
{
    return engine->request[request].rgb_host;
}

static int finish_submit(struct spoton_engine *engine, struct cuda_request *request, int result)
{
    request->in_flight = result == 0;
    request->images = 0;
    pthread_mutex_unlock(&engine->lock);
    return cuda_failure(engine->compute, result);
}

static int cuda_submit(struct spoton_engine *engine, int index, char *error, size_t error_bytes)
{
    struct cuda_request *request = &engine->request[index];
    cudaSetDevice(engine->device);
    pthread_mutex_lock(&engine->lock);
    if (engine->model.options.break_after > 0 &&
        ++engine->batches >= engine->model.options.break_after)
        cuda_break(engine->compute);
    int result = request->images > 0
                     ? cuda_request_submit_images(engine, request, error, error_bytes)
                     : cuda_request_submit_rgb(engine, request, error, error_bytes);
    return finish_submit(engine, request, result);
}

static int cuda_submit_again(struct spoton_engine *engine, int index, int images, char *error,
                             size_t error_bytes)
{
    struct cuda_request *request = &engine->request[index];
    cudaSetDevice(engine->device);
    pthread_mutex_lock(&engine->lock);
    request->has_boxes = false;
    return finish_submit(engine, request,
                         cuda_request_submit_again(engine, request, images, error, error_bytes));
}

static int cuda_wait(struct spoton_engine *engine, int index, char *error, size_t error_bytes)
{
    struct cuda_request *request = &engine->request[index];
    cudaSetDevice(engine->device);
    if (!request->in_flight)
        return ort_fail(error, error_bytes, "wait: nothing was submitted");
    request->in_flight = false;
    return cuda_check(cudaEventSynchronize(request->done), "inference", error, error_bytes);
}

static int cuda_output(struct spoton_engine *engine, int index, int output, const float **data,
                       int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes)
{
    const struct cuda_request *request = &engine->request[index];
    if (output < 0 || output >= engine->model.outputs)
        return ort_fail(error, error_bytes, "no such output");
    if (!request->f32_host[output])
        return ort_fail(error, error_bytes, "output: the request gave boxes, or nothing yet");
    *data = request->f32_host[output];
    *rank = engine->model.output[output].rank;
    memcpy(dims, engine->model.output[output].dims, sizeof engine->model.output[output].dims);
    dims[0] = engine->model.batch;
    return 0;
}

static int check_head(const struct spoton_engine *engine, const struct spoton_head *head,
                      char *error, size_t error_bytes)
{
    const struct spoton_tensor *output = &engine->model.output[0];
    bool corners = head->kind == SPOTON_HEAD_CORNERS;
    int values = corners ? 6 : 4 + head->classes;
    if (output->rank != 3 || output->dims[corners || head->rows_first ? 2 : 1] != values)
        return ort_fail(error, error_bytes, "output 0 has not %d values a box", values);
    if (head->boxes_max < 1 || head->boxes_max > CUDA_BOXES_MAX || head->candidates_max < 1)
        return ort_fail(error, error_bytes, "%d boxes a image: 1 to %d", head->boxes_max,
                        CUDA_BOXES_MAX);
    return 0;
}

static int cuda_use_head(struct spoton_engine *engine, const struct spoton_head *head, char *error,
                         size_t error_bytes)
{
    cudaSetDevice(engine->device);
    if (engine->head.boxes_max > 0)
        return ort_fail(error, error_bytes, "the engine has a head already");
    if (check_head(engine, head, error, error_bytes) < 0)
        return -1;
    if (head->class_wanted) {
        size_t bytes = (size_t)head->classes;
        if (cuda_check(cudaMalloc((void **)&engine->class_wanted, bytes), "classes", error,
                       error_bytes) < 0 ||
            cuda_check(
                cudaMemcpy(engine->class_wanted, head->class_wanted, bytes, cudaMemcpyHostToDevice),
                "classes", error, error_bytes) < 0)
            return -1;
    }
    engine->head = *head;
    engine->head.class_wanted = NULL;
    pthread_mutex_lock(&engine->lock); /* a size that becomes ready runs on the same stream */
    int result = cuda_requests_use_head(engine, error, error_bytes);
    pthread_mutex_unlock(&engine->lock);
    return result;
}

static int cuda_put_image(struct spoton_engine *engine, int request, int image_index,
                          const struct spoton_image *image, char *error, size_t error_bytes)
{
    cudaSetDevice(engine->device);
    int result =
        cuda_request_put(engine, &engine->request[request], image_index, image, error, error_bytes);
    return cuda_failure(engine->compute, result);
}

static int cuda_put_surface(struct spoton_engine *engine, int request, int image_index,
                            const struct spoton_image *image, const struct spoton_surface *surface,
                            char *error, size_t error_bytes)
{
    cudaSetDevice(engine->device);
    int result = cuda_request_put_surface(engine, &engine->request[request], image_index, image,
                                          surface, error, error_bytes);
    return cuda_failure(engine->compute, result);
}

/* For all devices, because a frame does not know where it will go. */
static void *pin(int device, size_t bytes)
{
    void *memory = NULL;
    (void)device;
    if (cudaHostAlloc(&memory, bytes, cudaHostAllocPortable) == cudaSuccess)
        return memory;
    cudaGetLastError();
    return NULL;
}

/* After a device is lost the pools stay: CUDA would have to ask it, too. */
static bool unpin(int device, void *memory)
{
    (void)device;
    if (ort_keeps_sessions())
        return false;
    cudaFreeHost(memory);
    return true;
}

static struct cuda_pool pinned = {.get = pin, .put_back = unpin, .lock = PTHREAD_MUTEX_INITIALIZER};

static void *cuda_host_alloc(size_t bytes)
{
    return cuda_pool_take(&pinned, bytes);
}

static void cuda_host_free(void *memory)
{
    cuda_pool_give(&pinned, memory);
}

static int cuda_boxes(struct spoton_engine *engine, int index, int image_index,
                      const struct spoton_box **boxes, char *error, size_t error_bytes)
{
    const struct cuda_request *request = &engine->request[index];
    if (!request->has_boxes || image_index < 0 || image_index >= engine->model.batch)
        return ort_fail(error, error_bytes, "boxes: the request was not filled with images");
    *boxes = request->boxes + (size_t)image_index * (size_t)engine->head.boxes_max;
    return request->box_count[image_index];
}

__attribute__((visibility("default"))) const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_device_api device_api = {
        .struct_bytes = sizeof device_api,
        .use_head = cuda_use_head,
        .put_image = cuda_put_image,
        .host_alloc = cuda_host_alloc,
        .host_free = cuda_host_free,
        .boxes = cuda_boxes,
        .submit_again = cuda_submit_again,
        .decoding_open = cuda_decoding_open,
        .decoding_close = cuda_decoding_close,
        .surface_take = cuda_surface_take,
        .surface_read = cuda_surface_read,
        .surface_free = cuda_surface_free,
        .put_surface = cuda_put_surface,
        .jpeg_open = cuda_jpeg_open,
        .jpeg_close = cuda_jpeg_close,
        .jpeg_encode = cuda_jpeg_encode,
        .jpeg_draw = cuda_jpeg_draw,
    };
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "cuda",
        .probe = cuda_probe,
        .inspect = cuda_inspect,
        .open = cuda_open,
        .close = cuda_close,
        .describe = cuda_describe,
        .input = cuda_input_memory,
        .submit = cuda_submit,
        .wait = cuda_wait,
        .output = cuda_output,
        .device = cuda_device,
        .device_api = &device_api,
    };
    return &api;
}
