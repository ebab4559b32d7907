#include "requests.h"

#include "pixel.h"
#include "surfaces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CAPTURES_MAX = 20, CAPTURE_WAIT_US = 50000 };

/* What every later call on the device gives, too. */
static bool is_lost(cudaError_t status)
{
    switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorDeviceUninitialized:
    case cudaErrorContained:
        return true;
    default:
        return false;
    }
}

int cuda_check(cudaError_t status, const char *thing, char *error, size_t error_bytes)
{
    if (status == cudaSuccess)
        return 0;
    cudaGetLastError(); /* else the next call would give it again */
    ort_fail(error, error_bytes, "%s: %s", thing, cudaGetErrorString(status));
    if (!is_lost(status))
        return SPOTON_FAILED;
    ort_keep_sessions();
    return SPOTON_DEVICE_LOST;
}

int cuda_failure(cudaStream_t stream, int result)
{
    char text[80];
    if (result >= 0 || result == SPOTON_DEVICE_LOST)
        return result;
    cudaError_t status = cudaStreamQuery(stream);
    if (is_lost(status))
        return cuda_check(status, "device", text, sizeof text);
    return result;
}

static int allocate(void **memory, size_t bytes, bool pinned, char *error, size_t error_bytes)
{
    return cuda_check(pinned ? cudaHostAlloc(memory, bytes, cudaHostAllocDefault)
                             : cudaMalloc(memory, bytes),
                      pinned ? "pinned memory" : "device memory", error, error_bytes);
}

/* ---- opening ---- */

static size_t rgb_bytes(const struct spoton_engine *engine)
{
    return (size_t)engine->model.batch * 3 * (size_t)engine->model.height *
           (size_t)engine->model.width;
}

static int open_request(struct spoton_engine *engine, struct cuda_request *request, char *error,
                        size_t error_bytes)
{
    const struct cuda_model *model = &engine->model;
    size_t batch = (size_t)model->batch, rgb = rgb_bytes(engine);
    request->planes = calloc(batch, sizeof *request->planes);
    if (!request->planes)
        return ort_fail(error, error_bytes, "out of memory");
    size_t images = batch * sizeof *request->image_host;
    int result = allocate((void **)&request->image_host, images, true, error, error_bytes);
    if (result == 0)
        result = allocate((void **)&request->image_device, images, false, error, error_bytes);
    if (result == 0)
        result = allocate((void **)&request->rgb_host, rgb, true, error, error_bytes);
    if (result == 0)
        result = allocate(&request->input, rgb * ort_element_bytes(model->input.element), false,
                          error, error_bytes);
    for (int i = 0; i < model->outputs && result == 0; ++i)
        result =
            allocate(&request->output[i],
                     batch * model->output_count[i] * ort_element_bytes(model->output[i].element),
                     false, error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaEventCreateWithFlags(&request->uploaded, cudaEventDisableTiming),
                            "event", error, error_bytes);
    if (result == 0) /* waiting threads sleep: the cores have frames to decode */
        result = cuda_check(cudaEventCreateWithFlags(&request->done, cudaEventDisableTiming |
                                                                         cudaEventBlockingSync),
                            "event", error, error_bytes);
    return result;
}

int cuda_requests_open(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    int result = 0;
    engine->request = calloc((size_t)engine->requests, sizeof *engine->request);
    if (!engine->request)
        return ort_fail(error, error_bytes, "out of memory");
    for (int i = 0; i < engine->requests && result == 0; ++i)
        result = open_request(engine, &engine->request[i], error, error_bytes);
    return result;
}

static void close_request(struct spoton_engine *engine, struct cuda_request *request)
{
    for (int i = 0; i < CUDA_SIZES_MAX; ++i) {
        if (request->graph[i])
            cudaGraphExecDestroy(request->graph[i]);
        if (request->model_graph[i])
            cudaGraphExecDestroy(request->model_graph[i]);
    }
    for (int i = 0; request->planes && i < engine->model.batch; ++i) {
        cudaFreeHost(request->planes[i].host);
        cudaFree(request->planes[i].device);
    }
    free(request->planes);
    for (int i = 0; i < SPOTON_TENSORS_MAX; ++i) {
        cudaFree(request->output[i]);
        cudaFree(request->f32_device[i]);
        cudaFreeHost(request->f32_host[i]);
    }
    cudaFreeHost(request->image_host);
    cudaFree(request->image_device);
    cudaFreeHost(request->rgb_host);
    cudaFree(request->rgb_device);
    cudaFree(request->input);
    cudaFree(request->head.keys);
    cudaFree(request->head.candidate);
    cudaFree(request->head.candidate_count);
    cudaFree(request->head.boxes);
    cudaFree(request->head.box_count);
    cudaFreeHost(request->boxes);
    cudaFreeHost(request->box_count);
    if (request->uploaded)
        cudaEventDestroy(request->uploaded);
    if (request->done)
        cudaEventDestroy(request->done);
}

void cuda_requests_close(struct spoton_engine *engine)
{
    for (int i = 0; engine->request && i < engine->requests; ++i)
        close_request(engine, &engine->request[i]);
    free(engine->request);
    engine->request = NULL;
    cudaFree(engine->class_wanted);
    cudaGetLastError(); /* of a device that failed */
}

/* ---- what is enqueued ---- */

static struct cuda_input input_of(const struct spoton_engine *engine,
                                  const struct cuda_request *request)
{
    enum spoton_element element = engine->model.input.element;
    return (struct cuda_input){
        .data = request->input,
        .half = element == SPOTON_ELEMENT_F16,
        .bytes = element == SPOTON_ELEMENT_U8,
        .nhwc = engine->model.layout == SPOTON_LAYOUT_NHWC,
        .swap_red_blue = engine->swap_red_blue,
        .width = engine->model.width,
        .height = engine->model.height,
        .scale = engine->scale,
    };
}

static int enqueue_model(struct spoton_engine *engine, struct cuda_request *request, int images,
                         char *error, size_t error_bytes)
{
    return cuda_model_run(&engine->model, images, request->input, request->output, error,
                          error_bytes);
}

/* Images on the device to boxes on the host. */
static int enqueue_images(struct spoton_engine *engine, struct cuda_request *request, int images,
                          char *error, size_t error_bytes)
{
    struct cuda_input input = input_of(engine, request);
    size_t count = (size_t)images, boxes = count * (size_t)request->head.boxes_max;
    int status = cuda_letterbox(request->image_device, images, &input, engine->compute);
    if (cuda_check((cudaError_t)status, "letterbox", error, error_bytes) < 0 ||
        enqueue_model(engine, request, images, error, error_bytes) < 0)
        return -1;
    status = cuda_head(&request->head, images, engine->compute);
    if (cuda_check((cudaError_t)status, "head", error, error_bytes) < 0 ||
        cuda_check(cudaMemcpyAsync(request->box_count, request->head.box_count,
                                   count * sizeof *request->box_count, cudaMemcpyDeviceToHost,
                                   engine->compute),
                   "boxes", error, error_bytes) < 0)
        return -1;
    return cuda_check(cudaMemcpyAsync(request->boxes, request->head.boxes,
                                      boxes * sizeof *request->boxes, cudaMemcpyDeviceToHost,
                                      engine->compute),
                      "boxes", error, error_bytes);
}

typedef int enqueue_fn(struct spoton_engine *engine, struct cuda_request *request, int images,
                       char *error, size_t error_bytes);

/* A graph of what `enqueue` enqueues. */
static int capture(struct spoton_engine *engine, struct cuda_request *request, int images,
                   enqueue_fn *enqueue, cudaGraphExec_t *graph, char *error, size_t error_bytes)
{
    cudaGraph_t captured = NULL;
    if (cuda_check(cudaStreamBeginCapture(engine->compute, cudaStreamCaptureModeThreadLocal),
                   "capture", error, error_bytes) < 0)
        return -1;
    int result = enqueue(engine, request, images, error, error_bytes);
    cudaError_t status = cudaStreamEndCapture(engine->compute, &captured);
    if (result == 0)
        result = cuda_check(status, "capture", error, error_bytes);
    else
        cudaGetLastError();
    if (result == 0)
        result = cuda_check(cudaGraphInstantiate(graph, captured, 0), "graph", error, error_bytes);
    if (captured)
        cudaGraphDestroy(captured);
    return result;
}

static int bucket_of(const struct spoton_engine *engine, int images)
{
    int index = 0;
    while (index < engine->bucket_count - 1 && engine->bucket[index] < images)
        ++index;
    return index;
}

/* Whether batches of this number run as they will: larger ones are made ready behind the first. */
static bool is_ready(const struct spoton_engine *engine, int bucket)
{
    return !engine->model.fused || cuda_model_has(&engine->model, engine->bucket[bucket]);
}

/* ---- the head ---- */

static int open_head(struct spoton_engine *engine, struct cuda_request *request, char *error,
                     size_t error_bytes)
{
    const struct spoton_head *head = &engine->head;
    const struct spoton_tensor *output = &engine->model.output[0];
    size_t batch = (size_t)engine->model.batch;
    struct cuda_head *h = &request->head;
    bool corners = head->kind == SPOTON_HEAD_CORNERS;
    *h = (struct cuda_head){
        .data = request->output[0],
        .half = output->element == SPOTON_ELEMENT_F16,
        .corners = corners,
        .rows_first = head->rows_first,
        .classes = head->classes,
        .anchors = (int)output->dims[corners || head->rows_first ? 1 : 2],
        .unit_x = head->unit_x,
        .unit_y = head->unit_y,
        .threshold = head->confidence_threshold,
        .nms_iou = head->nms_iou,
        .class_wanted = engine->class_wanted,
        .candidates_max = head->candidates_max,
        .boxes_max = head->boxes_max,
        .keys_stride = 1,
    };
    while (h->keys_stride < h->anchors)
        h->keys_stride *= 2;
    size_t anchors = batch * (size_t)h->anchors, boxes = batch * (size_t)h->boxes_max;
    const struct {
        void **memory;
        size_t bytes;
        bool pinned;
    } all[] = {
        {(void **)&h->keys, batch * (size_t)h->keys_stride * sizeof *h->keys, false},
        {(void **)&h->candidate, anchors * sizeof *h->candidate, false},
        {(void **)&h->candidate_count, batch * sizeof *h->candidate_count, false},
        {(void **)&h->boxes, boxes * sizeof *h->boxes, false},
        {(void **)&h->box_count, batch * sizeof *h->box_count, false},
        {(void **)&request->boxes, boxes * sizeof *request->boxes, true},
        {(void **)&request->box_count, batch * sizeof *request->box_count, true},
    };
    int result = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && result == 0; ++i)
        result = allocate(all[i].memory, all[i].bytes, all[i].pinned, error, error_bytes);
    if (result == 0) /* what was never written is never sent */
        result = cuda_check(cudaMemset(h->boxes, 0, boxes * sizeof *h->boxes), "boxes", error,
                            error_bytes);
    return result;
}

/* What other threads ask of the driver, such as a decoder for a camera, can spoil a capture, though
 * it has nothing to do with it: then it is begun again. */
static int capture_images(struct spoton_engine *engine, struct cuda_request *request, int bucket,
                          char *error, size_t error_bytes)
{
    int images = engine->bucket[bucket], result = -1;
    for (int i = 0; i < CAPTURES_MAX && result < 0 && result != SPOTON_DEVICE_LOST; ++i) {
        if (i > 0)
            usleep(CAPTURE_WAIT_US);
        result = enqueue_images(engine, request, images, error, error_bytes);
        if (result == 0) /* what is taken while the first one runs is there when it is captured */
            result =
                cuda_check(cudaStreamSynchronize(engine->compute), "first run", error, error_bytes);
        if (result == 0)
            result = capture(engine, request, images, enqueue_images, &request->graph[bucket],
                             error, error_bytes);
    }
    return result;
}

static int capture_request(struct spoton_engine *engine, struct cuda_request *request, char *error,
                           size_t error_bytes)
{
    int result = 0;
    memset(request->image_host, 0, (size_t)engine->model.batch * sizeof *request->image_host);
    result = cuda_check(cudaMemset(request->image_device, 0,
                                   (size_t)engine->model.batch * sizeof *request->image_device),
                        "images", error, error_bytes);
    for (int i = 0; i < engine->bucket_count && result == 0; ++i)
        if (is_ready(engine, i))
            result = capture_images(engine, request, i, error, error_bytes);
    return result;
}

/* A size that became ready while batches ran: its graph, for this request. Nothing runs now, so
 * what the request's memory holds stays. When that fails, the batch is enqueued piece by piece. */
static void capture_late(struct spoton_engine *engine, struct cuda_request *request, int bucket)
{
    char why[160];
    if (!engine->model.fused || !engine->model.options.graphs || request->graph[bucket] ||
        !is_ready(engine, bucket) || request->captures[bucket] >= CAPTURES_MAX)
        return;
    ++request->captures[bucket];
    if (capture(engine, request, engine->bucket[bucket], enqueue_images, &request->graph[bucket],
                why, sizeof why) < 0)
        request->graph[bucket] = NULL;
}

int cuda_requests_use_head(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < engine->requests && result == 0; ++i)
        result = open_head(engine, &engine->request[i], error, error_bytes);
    for (int i = 0; i < engine->requests && result == 0 && engine->model.options.graphs; ++i) {
        char why[160];
        if (capture_request(engine, &engine->request[i], why, sizeof why) < 0) {
            snprintf(engine->model.notice, sizeof engine->model.notice, "without graph replay: %s",
                     why);
            engine->model.options.graphs = false;
        }
    }
    return result;
}

/* ---- images ---- */

/* Grows only. `host`: images that are copied need memory on this side, too. */
static int reserve_planes(struct cuda_planes *planes, size_t bytes, bool host, char *error,
                          size_t error_bytes)
{
    if (bytes > planes->capacity_bytes) {
        cudaFreeHost(planes->host);
        cudaFree(planes->device);
        *planes = (struct cuda_planes){0};
        if (allocate((void **)&planes->device, bytes, false, error, error_bytes) < 0)
            return -1;
        planes->capacity_bytes = bytes;
    }
    if (host && !planes->host)
        return allocate((void **)&planes->host, planes->capacity_bytes, true, error, error_bytes);
    return 0;
}

/* The first image says what the others will need: taken at once, while nothing is in flight,
 * because taking memory waits for what the device does. */
static int reserve_for(struct spoton_engine *engine, struct cuda_request *request, int image_index,
                       size_t bytes, bool host, char *error, size_t error_bytes)
{
    int result = 0;
    pthread_mutex_lock(&engine->lock);
    bool first = !engine->planes_reserved;
    engine->planes_reserved = true;
    for (int i = 0; first && i < engine->requests * engine->model.batch && result == 0; ++i)
        result = reserve_planes(
            &engine->request[i / engine->model.batch].planes[i % engine->model.batch], bytes, false,
            error, error_bytes);
    if (result == 0)
        result = reserve_planes(&request->planes[image_index], bytes, host, error, error_bytes);
    pthread_mutex_unlock(&engine->lock);
    return result;
}

/* One plane on its way, packed; pinned ones need no copy on the host. */
static int bring_plane(struct spoton_engine *engine, const struct cuda_planes *planes, size_t at,
                       int width_bytes, int height, const uint8_t *from, int stride_bytes,
                       bool pinned, char *error, size_t error_bytes)
{
    size_t width = (size_t)width_bytes;
    if (!pinned) {
        for (int y = 0; y < height; ++y)
            memcpy(planes->host + at + (size_t)y * width, from + (ptrdiff_t)y * stride_bytes,
                   width);
        from = planes->host + at;
        stride_bytes = width_bytes;
    }
    return cuda_check(cudaMemcpy2DAsync(planes->device + at, width, from, (size_t)stride_bytes,
                                        width, (size_t)height, cudaMemcpyDefault, engine->upload),
                      "image", error, error_bytes);
}

int cuda_request_put(struct spoton_engine *engine, struct cuda_request *request, int image_index,
                     const struct spoton_image *image, char *error, size_t error_bytes)
{
    int planes = image->interleaved_chroma ? 2 : 3, result = 0;
    int chroma_height = (image->height + 1) / 2;
    int chroma_width = (image->width + 1) / 2 * (image->interleaved_chroma ? 2 : 1);
    size_t luma = (size_t)image->width * (size_t)image->height;
    size_t chroma = (size_t)chroma_width * (size_t)chroma_height, at = 0;
    if (image_index != request->images || image_index >= engine->model.batch)
        return ort_fail(error, error_bytes, "image %d after %d of at most %d", image_index,
                        request->images, engine->model.batch);
    result = reserve_for(engine, request, image_index, luma + (size_t)(planes - 1) * chroma,
                         !image->pinned, error, error_bytes);
    if (result < 0)
        return result;
    struct cuda_image *to = &request->image_host[image_index];
    cuda_describe_image(to, image);
    /* It goes now, while the next image is still being filled in. */
    for (int i = 0; i < planes && result == 0; ++i) {
        int width = i ? chroma_width : image->width, height = i ? chroma_height : image->height;
        to->plane[i] = request->planes[image_index].device + at;
        to->stride_bytes[i] = width;
        result =
            bring_plane(engine, &request->planes[image_index], at, width, height, image->plane[i],
                        image->stride_bytes[i], image->pinned != 0, error, error_bytes);
        at += i ? chroma : luma;
    }
    if (result == 0)
        request->images = image_index + 1;
    return result;
}

int cuda_request_put_surface(struct spoton_engine *engine, struct cuda_request *request,
                             int image_index, const struct spoton_image *image,
                             const struct spoton_surface *surface, char *error, size_t error_bytes)
{
    struct spoton_image where = *image;
    for (int i = 0; i < surface->planes; ++i) {
        where.plane[i] = surface->memory + surface->at[i];
        where.stride_bytes[i] = surface->stride_bytes[i];
    }
    if (surface->device != engine->device) { /* its camera was moved */
        where.pinned = 1;
        return cuda_request_put(engine, request, image_index, &where, error, error_bytes);
    }
    if (image_index != request->images || image_index >= engine->model.batch)
        return ort_fail(error, error_bytes, "image %d after %d of at most %d", image_index,
                        request->images, engine->model.batch);
    struct cuda_image *to = &request->image_host[image_index];
    cuda_describe_image(to, image);
    for (int i = 0; i < surface->planes; ++i) {
        to->plane[i] = where.plane[i];
        to->stride_bytes[i] = where.stride_bytes[i];
    }
    request->images = image_index + 1;
    return 0;
}

/* The compute stream waits for what the upload stream has got so far. */
static int join_upload(struct spoton_engine *engine, struct cuda_request *request, char *error,
                       size_t error_bytes)
{
    if (cuda_check(cudaEventRecord(request->uploaded, engine->upload), "upload", error,
                   error_bytes) < 0)
        return -1;
    return cuda_check(cudaStreamWaitEvent(engine->compute, request->uploaded, 0), "upload", error,
                      error_bytes);
}

int cuda_request_submit_images(struct spoton_engine *engine, struct cuda_request *request,
                               char *error, size_t error_bytes)
{
    int bucket = bucket_of(engine, request->images), images = engine->bucket[bucket];
    for (int i = request->images; i < images; ++i)
        request->image_host[i].width = 0;
    request->images = 0;
    request->has_boxes = true;
    if (cuda_check(cudaMemcpyAsync(request->image_device, request->image_host,
                                   (size_t)images * sizeof *request->image_host,
                                   cudaMemcpyHostToDevice, engine->upload),
                   "images", error, error_bytes) < 0 ||
        join_upload(engine, request, error, error_bytes) < 0)
        return -1;
    capture_late(engine, request, bucket);
    int result = request->graph[bucket]
                     ? cuda_check(cudaGraphLaunch(request->graph[bucket], engine->compute), "graph",
                                  error, error_bytes)
                     : enqueue_images(engine, request, images, error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaEventRecord(request->done, engine->compute), "event", error,
                            error_bytes);
    return result;
}

/* ---- the way without images ---- */

static int reserve_rgb(struct spoton_engine *engine, struct cuda_request *request, char *error,
                       size_t error_bytes)
{
    size_t batch = (size_t)engine->model.batch;
    int result = 0;
    if (request->rgb_device)
        return 0;
    for (int i = 0; i < engine->model.outputs && result == 0; ++i) {
        size_t bytes = batch * engine->model.output_count[i] * sizeof(float);
        result = allocate((void **)&request->f32_device[i], bytes, false, error, error_bytes);
        if (result == 0)
            result = allocate((void **)&request->f32_host[i], bytes, true, error, error_bytes);
    }
    if (result == 0)
        result =
            allocate((void **)&request->rgb_device, rgb_bytes(engine), false, error, error_bytes);
    return result;
}

static int fetch_outputs(struct spoton_engine *engine, struct cuda_request *request, char *error,
                         size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < engine->model.outputs && result == 0; ++i) {
        size_t count = (size_t)engine->model.batch * engine->model.output_count[i];
        const void *from = request->output[i];
        if (engine->model.output[i].element == SPOTON_ELEMENT_F16) {
            result = cuda_check(
                (cudaError_t)cuda_widen(request->f32_device[i], from, count, engine->compute),
                "output", error, error_bytes);
            from = request->f32_device[i];
        }
        if (result == 0)
            result = cuda_check(cudaMemcpyAsync(request->f32_host[i], from, count * sizeof(float),
                                                cudaMemcpyDeviceToHost, engine->compute),
                                "output", error, error_bytes);
    }
    return result;
}

int cuda_request_submit_rgb(struct spoton_engine *engine, struct cuda_request *request, char *error,
                            size_t error_bytes)
{
    struct cuda_input input = input_of(engine, request);
    int batch = engine->model.batch;
    request->has_boxes = false;
    if (reserve_rgb(engine, request, error, error_bytes) < 0 ||
        cuda_check(cudaMemcpyAsync(request->rgb_device, request->rgb_host, rgb_bytes(engine),
                                   cudaMemcpyHostToDevice, engine->upload),
                   "images", error, error_bytes) < 0 ||
        join_upload(engine, request, error, error_bytes) < 0)
        return -1;
    int status = cuda_convert(request->rgb_device, engine->input_layout == SPOTON_LAYOUT_NHWC,
                              batch, &input, engine->compute);
    if (cuda_check((cudaError_t)status, "conversion", error, error_bytes) < 0 ||
        enqueue_model(engine, request, batch, error, error_bytes) < 0 ||
        fetch_outputs(engine, request, error, error_bytes) < 0)
        return -1;
    return cuda_check(cudaEventRecord(request->done, engine->compute), "event", error, error_bytes);
}

int cuda_request_submit_again(struct spoton_engine *engine, struct cuda_request *request,
                              int images, char *error, size_t error_bytes)
{
    int bucket = bucket_of(engine, images), result = 0;
    if (engine->model.options.graphs && !request->model_graph[bucket] && is_ready(engine, bucket)) {
        result = enqueue_model(engine, request, engine->bucket[bucket], error, error_bytes);
        if (result == 0)
            result =
                cuda_check(cudaStreamSynchronize(engine->compute), "first run", error, error_bytes);
        if (result == 0)
            result = capture(engine, request, engine->bucket[bucket], enqueue_model,
                             &request->model_graph[bucket], error, error_bytes);
    }
    if (result == 0)
        result = request->model_graph[bucket]
                     ? cuda_check(cudaGraphLaunch(request->model_graph[bucket], engine->compute),
                                  "graph", error, error_bytes)
                     : enqueue_model(engine, request, engine->bucket[bucket], error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaEventRecord(request->done, engine->compute), "event", error,
                            error_bytes);
    return result;
}
