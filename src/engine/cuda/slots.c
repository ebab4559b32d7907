#include "slots.h"

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

static int open_slot(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                     size_t error_bytes)
{
    const struct cuda_model *model = &engine->model;
    size_t batch = (size_t)model->batch, rgb = rgb_bytes(engine);
    slot->planes = calloc(batch, sizeof *slot->planes);
    if (!slot->planes)
        return ort_fail(error, error_bytes, "out of memory");
    size_t pictures = batch * sizeof *slot->picture_host;
    int result = allocate((void **)&slot->picture_host, pictures, true, error, error_bytes);
    if (result == 0)
        result = allocate((void **)&slot->picture_device, pictures, false, error, error_bytes);
    if (result == 0)
        result = allocate((void **)&slot->rgb_host, rgb, true, error, error_bytes);
    if (result == 0)
        result = allocate(&slot->input, rgb * ort_element_bytes(model->input.element), false, error,
                          error_bytes);
    for (int i = 0; i < model->outputs && result == 0; ++i)
        result =
            allocate(&slot->output[i],
                     batch * model->output_count[i] * ort_element_bytes(model->output[i].element),
                     false, error, error_bytes);
    if (result == 0)
        result = cuda_check(cudaEventCreateWithFlags(&slot->uploaded, cudaEventDisableTiming),
                            "event", error, error_bytes);
    if (result == 0) /* whoever waits sleeps: the cores have pictures to decode */
        result = cuda_check(
            cudaEventCreateWithFlags(&slot->done, cudaEventDisableTiming | cudaEventBlockingSync),
            "event", error, error_bytes);
    return result;
}

int cuda_slots_open(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    int result = 0;
    engine->slot = calloc((size_t)engine->slots, sizeof *engine->slot);
    if (!engine->slot)
        return ort_fail(error, error_bytes, "out of memory");
    for (int i = 0; i < engine->slots && result == 0; ++i)
        result = open_slot(engine, &engine->slot[i], error, error_bytes);
    return result;
}

static void close_slot(struct spoton_engine *engine, struct cuda_slot *slot)
{
    for (int i = 0; i < CUDA_SIZES_MAX; ++i) {
        if (slot->graph[i])
            cudaGraphExecDestroy(slot->graph[i]);
        if (slot->model_graph[i])
            cudaGraphExecDestroy(slot->model_graph[i]);
    }
    for (int i = 0; slot->planes && i < engine->model.batch; ++i) {
        cudaFreeHost(slot->planes[i].host);
        cudaFree(slot->planes[i].device);
    }
    free(slot->planes);
    for (int i = 0; i < SPOTON_TENSORS_MAX; ++i) {
        cudaFree(slot->output[i]);
        cudaFree(slot->f32_device[i]);
        cudaFreeHost(slot->f32_host[i]);
    }
    cudaFreeHost(slot->picture_host);
    cudaFree(slot->picture_device);
    cudaFreeHost(slot->rgb_host);
    cudaFree(slot->rgb_device);
    cudaFree(slot->input);
    cudaFree(slot->head.keys);
    cudaFree(slot->head.candidate);
    cudaFree(slot->head.candidate_count);
    cudaFree(slot->head.boxes);
    cudaFree(slot->head.box_count);
    cudaFreeHost(slot->boxes);
    cudaFreeHost(slot->box_count);
    if (slot->uploaded)
        cudaEventDestroy(slot->uploaded);
    if (slot->done)
        cudaEventDestroy(slot->done);
}

void cuda_slots_close(struct spoton_engine *engine)
{
    for (int i = 0; engine->slot && i < engine->slots; ++i)
        close_slot(engine, &engine->slot[i]);
    free(engine->slot);
    engine->slot = NULL;
    cudaFree(engine->class_wanted);
    cudaGetLastError(); /* of a device that failed */
}

/* ---- what is enqueued ---- */

static struct cuda_input input_of(const struct spoton_engine *engine, const struct cuda_slot *slot)
{
    enum spoton_element element = engine->model.input.element;
    return (struct cuda_input){
        .data = slot->input,
        .half = element == SPOTON_ELEMENT_F16,
        .bytes = element == SPOTON_ELEMENT_U8,
        .nhwc = engine->model.layout == SPOTON_LAYOUT_NHWC,
        .swap_red_blue = engine->swap_red_blue,
        .width = engine->model.width,
        .height = engine->model.height,
        .scale = engine->scale,
    };
}

static int enqueue_model(struct spoton_engine *engine, struct cuda_slot *slot, int images,
                         char *error, size_t error_bytes)
{
    return cuda_model_run(&engine->model, images, slot->input, slot->output, error, error_bytes);
}

/* Pictures on the device to boxes on the host. */
static int enqueue_pictures(struct spoton_engine *engine, struct cuda_slot *slot, int images,
                            char *error, size_t error_bytes)
{
    struct cuda_input input = input_of(engine, slot);
    size_t count = (size_t)images, boxes = count * (size_t)slot->head.boxes_max;
    int status = cuda_letterbox(slot->picture_device, images, &input, engine->compute);
    if (cuda_check((cudaError_t)status, "letterbox", error, error_bytes) < 0 ||
        enqueue_model(engine, slot, images, error, error_bytes) < 0)
        return -1;
    status = cuda_head(&slot->head, images, engine->compute);
    if (cuda_check((cudaError_t)status, "head", error, error_bytes) < 0 ||
        cuda_check(cudaMemcpyAsync(slot->box_count, slot->head.box_count,
                                   count * sizeof *slot->box_count, cudaMemcpyDeviceToHost,
                                   engine->compute),
                   "boxes", error, error_bytes) < 0)
        return -1;
    return cuda_check(cudaMemcpyAsync(slot->boxes, slot->head.boxes, boxes * sizeof *slot->boxes,
                                      cudaMemcpyDeviceToHost, engine->compute),
                      "boxes", error, error_bytes);
}

typedef int enqueue_fn(struct spoton_engine *engine, struct cuda_slot *slot, int images,
                       char *error, size_t error_bytes);

/* A graph of what `enqueue` enqueues. */
static int capture(struct spoton_engine *engine, struct cuda_slot *slot, int images,
                   enqueue_fn *enqueue, cudaGraphExec_t *graph, char *error, size_t error_bytes)
{
    cudaGraph_t captured = NULL;
    if (cuda_check(cudaStreamBeginCapture(engine->compute, cudaStreamCaptureModeThreadLocal),
                   "capture", error, error_bytes) < 0)
        return -1;
    int result = enqueue(engine, slot, images, error, error_bytes);
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

/* ---- the head ---- */

static int open_head(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                     size_t error_bytes)
{
    const struct spoton_head *head = &engine->head;
    const struct spoton_tensor *output = &engine->model.output[0];
    size_t batch = (size_t)engine->model.batch;
    struct cuda_head *h = &slot->head;
    bool corners = head->kind == SPOTON_HEAD_CORNERS;
    *h = (struct cuda_head){
        .data = slot->output[0],
        .half = output->element == SPOTON_ELEMENT_F16,
        .corners = corners,
        .rows_first = head->rows_first,
        .classes = head->classes,
        .anchors = (int)output->dims[corners || head->rows_first ? 1 : 2],
        .unit_x = head->unit_x,
        .unit_y = head->unit_y,
        .threshold = head->score_threshold,
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
        {(void **)&slot->boxes, boxes * sizeof *slot->boxes, true},
        {(void **)&slot->box_count, batch * sizeof *slot->box_count, true},
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
static int capture_pictures(struct spoton_engine *engine, struct cuda_slot *slot, int bucket,
                            char *error, size_t error_bytes)
{
    int images = engine->bucket[bucket], result = -1;
    for (int i = 0; i < CAPTURES_MAX && result < 0 && result != SPOTON_DEVICE_LOST; ++i) {
        if (i > 0)
            usleep(CAPTURE_WAIT_US);
        result = enqueue_pictures(engine, slot, images, error, error_bytes);
        if (result == 0) /* what is taken while the first one runs is there when it is captured */
            result =
                cuda_check(cudaStreamSynchronize(engine->compute), "first run", error, error_bytes);
        if (result == 0)
            result = capture(engine, slot, images, enqueue_pictures, &slot->graph[bucket], error,
                             error_bytes);
    }
    return result;
}

static int capture_slot(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                        size_t error_bytes)
{
    int result = 0;
    memset(slot->picture_host, 0, (size_t)engine->model.batch * sizeof *slot->picture_host);
    result = cuda_check(cudaMemset(slot->picture_device, 0,
                                   (size_t)engine->model.batch * sizeof *slot->picture_device),
                        "pictures", error, error_bytes);
    for (int i = 0; i < engine->bucket_count && result == 0; ++i)
        result = capture_pictures(engine, slot, i, error, error_bytes);
    slot->captured = result == 0;
    return result;
}

int cuda_slots_use_head(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < engine->slots && result == 0; ++i)
        result = open_head(engine, &engine->slot[i], error, error_bytes);
    for (int i = 0; i < engine->slots && result == 0 && engine->model.options.graphs; ++i) {
        char why[160];
        if (capture_slot(engine, &engine->slot[i], why, sizeof why) < 0) {
            snprintf(engine->model.notice, sizeof engine->model.notice, "without graph replay: %s",
                     why);
            engine->model.options.graphs = false;
        }
    }
    return result;
}

/* ---- pictures ---- */

/* Grows only. `host`: pictures that are copied need memory on this side, too. */
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

/* The first picture says what the others will need: taken at once, while nothing is in flight,
 * because taking memory waits for what the device does. */
static int reserve_for(struct spoton_engine *engine, struct cuda_slot *slot, int image,
                       size_t bytes, bool host, char *error, size_t error_bytes)
{
    int result = 0;
    pthread_mutex_lock(&engine->lock);
    bool first = !engine->planes_reserved;
    engine->planes_reserved = true;
    for (int i = 0; first && i < engine->slots * engine->model.batch && result == 0; ++i)
        result =
            reserve_planes(&engine->slot[i / engine->model.batch].planes[i % engine->model.batch],
                           bytes, false, error, error_bytes);
    if (result == 0)
        result = reserve_planes(&slot->planes[image], bytes, host, error, error_bytes);
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
                      "picture", error, error_bytes);
}

int cuda_slot_put(struct spoton_engine *engine, struct cuda_slot *slot, int image,
                  const struct spoton_picture *picture, char *error, size_t error_bytes)
{
    int planes = picture->interleaved_chroma ? 2 : 3, result = 0;
    int chroma_height = (picture->height + 1) / 2;
    int chroma_width = (picture->width + 1) / 2 * (picture->interleaved_chroma ? 2 : 1);
    size_t luma = (size_t)picture->width * (size_t)picture->height;
    size_t chroma = (size_t)chroma_width * (size_t)chroma_height, at = 0;
    if (image != slot->images || image >= engine->model.batch)
        return ort_fail(error, error_bytes, "picture %d after %d of at most %d", image,
                        slot->images, engine->model.batch);
    result = reserve_for(engine, slot, image, luma + (size_t)(planes - 1) * chroma,
                         !picture->pinned, error, error_bytes);
    if (result < 0)
        return result;
    struct cuda_picture *to = &slot->picture_host[image];
    cuda_describe_picture(to, picture);
    /* It goes now, while the next picture is still being filled in. */
    for (int i = 0; i < planes && result == 0; ++i) {
        int width = i ? chroma_width : picture->width, height = i ? chroma_height : picture->height;
        to->plane[i] = slot->planes[image].device + at;
        to->stride_bytes[i] = width;
        result = bring_plane(engine, &slot->planes[image], at, width, height, picture->plane[i],
                             picture->stride_bytes[i], picture->pinned != 0, error, error_bytes);
        at += i ? chroma : luma;
    }
    if (result == 0)
        slot->images = image + 1;
    return result;
}

int cuda_slot_put_surface(struct spoton_engine *engine, struct cuda_slot *slot, int image,
                          const struct spoton_picture *picture,
                          const struct spoton_surface *surface, char *error, size_t error_bytes)
{
    struct spoton_picture where = *picture;
    for (int i = 0; i < surface->planes; ++i) {
        where.plane[i] = surface->memory + surface->at[i];
        where.stride_bytes[i] = surface->stride_bytes[i];
    }
    if (surface->device != engine->device) { /* its camera was moved */
        where.pinned = 1;
        return cuda_slot_put(engine, slot, image, &where, error, error_bytes);
    }
    if (image != slot->images || image >= engine->model.batch)
        return ort_fail(error, error_bytes, "picture %d after %d of at most %d", image,
                        slot->images, engine->model.batch);
    struct cuda_picture *to = &slot->picture_host[image];
    cuda_describe_picture(to, picture);
    for (int i = 0; i < surface->planes; ++i) {
        to->plane[i] = where.plane[i];
        to->stride_bytes[i] = where.stride_bytes[i];
    }
    slot->images = image + 1;
    return 0;
}

/* The compute stream waits for what the upload stream has got so far. */
static int join_upload(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                       size_t error_bytes)
{
    if (cuda_check(cudaEventRecord(slot->uploaded, engine->upload), "upload", error, error_bytes) <
        0)
        return -1;
    return cuda_check(cudaStreamWaitEvent(engine->compute, slot->uploaded, 0), "upload", error,
                      error_bytes);
}

int cuda_slot_submit_pictures(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                              size_t error_bytes)
{
    int bucket = bucket_of(engine, slot->images), images = engine->bucket[bucket];
    for (int i = slot->images; i < images; ++i)
        slot->picture_host[i].width = 0;
    slot->images = 0;
    slot->has_boxes = true;
    if (cuda_check(cudaMemcpyAsync(slot->picture_device, slot->picture_host,
                                   (size_t)images * sizeof *slot->picture_host,
                                   cudaMemcpyHostToDevice, engine->upload),
                   "pictures", error, error_bytes) < 0 ||
        join_upload(engine, slot, error, error_bytes) < 0)
        return -1;
    int result = slot->captured ? cuda_check(cudaGraphLaunch(slot->graph[bucket], engine->compute),
                                             "graph", error, error_bytes)
                                : enqueue_pictures(engine, slot, images, error, error_bytes);
    if (result == 0)
        result =
            cuda_check(cudaEventRecord(slot->done, engine->compute), "event", error, error_bytes);
    return result;
}

/* ---- the way without pictures ---- */

static int reserve_rgb(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                       size_t error_bytes)
{
    size_t batch = (size_t)engine->model.batch;
    int result = 0;
    if (slot->rgb_device)
        return 0;
    for (int i = 0; i < engine->model.outputs && result == 0; ++i) {
        size_t bytes = batch * engine->model.output_count[i] * sizeof(float);
        result = allocate((void **)&slot->f32_device[i], bytes, false, error, error_bytes);
        if (result == 0)
            result = allocate((void **)&slot->f32_host[i], bytes, true, error, error_bytes);
    }
    if (result == 0)
        result = allocate((void **)&slot->rgb_device, rgb_bytes(engine), false, error, error_bytes);
    return result;
}

static int fetch_outputs(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                         size_t error_bytes)
{
    int result = 0;
    for (int i = 0; i < engine->model.outputs && result == 0; ++i) {
        size_t count = (size_t)engine->model.batch * engine->model.output_count[i];
        const void *from = slot->output[i];
        if (engine->model.output[i].element == SPOTON_ELEMENT_F16) {
            result = cuda_check(
                (cudaError_t)cuda_widen(slot->f32_device[i], from, count, engine->compute),
                "output", error, error_bytes);
            from = slot->f32_device[i];
        }
        if (result == 0)
            result = cuda_check(cudaMemcpyAsync(slot->f32_host[i], from, count * sizeof(float),
                                                cudaMemcpyDeviceToHost, engine->compute),
                                "output", error, error_bytes);
    }
    return result;
}

int cuda_slot_submit_rgb(struct spoton_engine *engine, struct cuda_slot *slot, char *error,
                         size_t error_bytes)
{
    struct cuda_input input = input_of(engine, slot);
    int batch = engine->model.batch;
    slot->has_boxes = false;
    if (reserve_rgb(engine, slot, error, error_bytes) < 0 ||
        cuda_check(cudaMemcpyAsync(slot->rgb_device, slot->rgb_host, rgb_bytes(engine),
                                   cudaMemcpyHostToDevice, engine->upload),
                   "pictures", error, error_bytes) < 0 ||
        join_upload(engine, slot, error, error_bytes) < 0)
        return -1;
    int status = cuda_convert(slot->rgb_device, engine->input_layout == SPOTON_LAYOUT_NHWC, batch,
                              &input, engine->compute);
    if (cuda_check((cudaError_t)status, "conversion", error, error_bytes) < 0 ||
        enqueue_model(engine, slot, batch, error, error_bytes) < 0 ||
        fetch_outputs(engine, slot, error, error_bytes) < 0)
        return -1;
    return cuda_check(cudaEventRecord(slot->done, engine->compute), "event", error, error_bytes);
}

int cuda_slot_submit_again(struct spoton_engine *engine, struct cuda_slot *slot, int images,
                           char *error, size_t error_bytes)
{
    int bucket = bucket_of(engine, images), result = 0;
    if (engine->model.options.graphs && !slot->model_graph[bucket]) {
        result = enqueue_model(engine, slot, engine->bucket[bucket], error, error_bytes);
        if (result == 0)
            result =
                cuda_check(cudaStreamSynchronize(engine->compute), "first run", error, error_bytes);
        if (result == 0)
            result = capture(engine, slot, engine->bucket[bucket], enqueue_model,
                             &slot->model_graph[bucket], error, error_bytes);
    }
    if (result == 0)
        result = slot->model_graph[bucket]
                     ? cuda_check(cudaGraphLaunch(slot->model_graph[bucket], engine->compute),
                                  "graph", error, error_bytes)
                     : enqueue_model(engine, slot, engine->bucket[bucket], error, error_bytes);
    if (result == 0)
        result =
            cuda_check(cudaEventRecord(slot->done, engine->compute), "event", error, error_bytes);
    return result;
}
