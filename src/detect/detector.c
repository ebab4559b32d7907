#include "detect/detector.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/queue.h"
#include "detect/device.h"
#include "detect/spill.h"
#include "detect/verify.h"
#include "engine_error.h"

#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INPUT_PX_MAX = 8192,
    BATCH_MAX = 1024,
    GREY = 114,
    ENGINE_ERROR_BYTES = 400,
    HEAD_OUTPUTS_MAX = 2
};

struct sp_detector {
    const struct spoton_engine_api *api;
    struct spoton_engine *engine;
    struct sp_model model; /* verified by the first inference */
    struct sp_head_options head;
    int batch, width_px, height_px;
    struct spoton_engine_description description;
    struct sp_letterbox *letterbox;
    pthread_mutex_t letterbox_lock;
    struct sp_detector_request *requests; /* [description.requests] */
    struct sp_queue *free_requests;
    struct sp_model_output output[SPOTON_TENSORS_MAX]; /* shapes, as of the first inference */
    int output_count;
    bool takes_images; /* the engine does the letterbox and the head */
};

static int engine_error(const struct spoton_engine_api *api, int code, const char *text,
                        struct sp_error *err)
{
    return sp_fail(err, sp_engine_error_code(code), "engine %s: %s", api->name, text);
}

static size_t image_bytes(const struct sp_detector *detector)
{
    return (size_t)detector->width_px * (size_t)detector->height_px * 3;
}

static int choose_size(struct sp_detector *detector, const struct sp_detector_options *options,
                       struct sp_error *err)
{
    const struct sp_model *model = options->model;
    detector->batch = model->fixed_batch ? model->fixed_batch : options->batch;
    detector->width_px = model->fixed_width_px ? model->fixed_width_px : options->width_px;
    detector->height_px = model->fixed_height_px ? model->fixed_height_px : options->height_px;
    if (detector->batch < 1 || detector->batch > BATCH_MAX)
        return sp_fail(err, SP_ERR_INVALID, "batch of %d: must be 1 to %d", detector->batch,
                       BATCH_MAX);
    bool width_fits = model->fixed_width_px || options->width_px % model->stride_px == 0;
    bool height_fits = model->fixed_height_px || options->height_px % model->stride_px == 0;
    if (detector->width_px < 1 || detector->width_px > INPUT_PX_MAX || detector->height_px < 1 ||
        detector->height_px > INPUT_PX_MAX || !width_fits || !height_fits)
        return sp_fail(err, SP_ERR_INVALID,
                       "model %s: input of %dx%d px: sides must be multiples of %d up to %d",
                       model->path, detector->width_px, detector->height_px, model->stride_px,
                       INPUT_PX_MAX);
    return SP_OK;
}

static int open_engine(struct sp_detector *detector, const struct sp_detector_options *options,
                       struct sp_error *err)
{
    const struct sp_model *model = &detector->model;
    struct spoton_engine_options engine_options = {
        .struct_bytes = sizeof engine_options,
        .model_path = model->path,
        .precision = options->precision,
        .batch = detector->batch,
        .height = detector->height_px,
        .width = detector->width_px,
        .layout = model->layout,
        .input_layout = model->layout, /* so that the graph needs no transpose */
        .swap_red_blue = model->swap_red_blue,
        .scale = model->scale,
        .threads = options->threads > 0 ? options->threads : 1,
        .streams = options->streams,
        .cache_dir = options->cache_dir,
        .backend_options = options->backend_options,
        .device = options->device,
    };
    memcpy(engine_options.mean, model->mean, sizeof engine_options.mean);
    memcpy(engine_options.deviation, model->deviation, sizeof engine_options.deviation);
    char text[ENGINE_ERROR_BYTES] = "";
    struct sp_spill_engines engines = {options->engine, options->spill, options->spill_options};
    int code = options->spill
                   ? sp_spill_open(&detector->engine, &engines, &engine_options, text, sizeof text)
                   : detector->api->open(&detector->engine, &engine_options, text, sizeof text);
    if (code < 0)
        return engine_error(options->engine, code, text, err);
    detector->description.struct_bytes = sizeof detector->description;
    detector->api->describe(detector->engine, &detector->description);
    assert(detector->description.requests > 0);
    return SP_OK;
}

static int open_requests(struct sp_detector *detector, struct sp_error *err)
{
    size_t count = (size_t)detector->description.requests;
    detector->requests = calloc(count, sizeof *detector->requests);
    if (!detector->requests)
        return sp_fail(err, SP_ERR_NO_MEMORY, "detector: out of memory");
    int result = sp_queue_open(&detector->free_requests, count, err);
    for (size_t i = 0; i < count && result == SP_OK; ++i) {
        struct sp_detector_request *request = &detector->requests[i];
        request->index = (int)i;
        request->image = calloc((size_t)detector->batch, sizeof *request->image);
        if (!request->image)
            return sp_fail(err, SP_ERR_NO_MEMORY, "detector: out of memory");
        /* The unused images of a partial batch are grey, so that results are reproducible. */
        memset(detector->api->input(detector->engine, (int)i), GREY,
               (size_t)detector->batch * image_bytes(detector));
        result = sp_queue_push(detector->free_requests, request);
    }
    return result;
}

/* Gets the first `count` outputs, of the batch's first image. */
static int wait_and_get(struct sp_detector *detector, int request, struct sp_model_output *outputs,
                        int count, struct sp_error *err)
{
    char text[ENGINE_ERROR_BYTES] = "";
    int code = detector->api->wait(detector->engine, request, text, sizeof text);
    if (code < 0)
        return engine_error(detector->api, code, text, err);
    for (int i = 0; i < count; ++i) {
        int64_t dims[SPOTON_RANK_MAX] = {0};
        int rank = 0;
        code = detector->api->output(detector->engine, request, i, &outputs[i].data, dims, &rank,
                                     text, sizeof text);
        if (code < 0)
            return engine_error(detector->api, code, text, err);
        if (rank < 1 || dims[0] != detector->batch)
            return sp_fail(err, SP_ERR_UNSUPPORTED,
                           "model %s: the first dimension of output %d is not the batch; export it "
                           "with a batch dimension",
                           detector->model.path, i);
        outputs[i].rank = rank - 1;
        memcpy(outputs[i].dims, dims + 1, sizeof dims - sizeof dims[0]);
    }
    return SP_OK;
}

/* Verifies the model by its outputs for a grey image. */
static int run_first(struct sp_detector *detector, struct sp_error *err)
{
    struct sp_detector_request *request = &detector->requests[0];
    struct sp_model_output outputs[SPOTON_TENSORS_MAX];
    int count = detector->description.output_count;
    if (count > SPOTON_TENSORS_MAX)
        count = SPOTON_TENSORS_MAX;
    memset(outputs, 0, sizeof outputs);
    int result = sp_detector_submit(detector, request, err);
    if (result == SP_OK)
        result = wait_and_get(detector, request->index, outputs, count, err);
    for (int i = 0; i < count && result == SP_OK; ++i) {
        detector->output[i] = outputs[i];
        detector->output[i].data = NULL;
    }
    detector->output_count = count;
    if (result == SP_OK)
        result = sp_model_verify(&detector->model, outputs, count, detector->width_px,
                                 detector->height_px, err);
    return result;
}

static void close_engine(struct sp_detector *detector)
{
    if (detector->engine)
        detector->api->close(detector->engine);
    detector->engine = NULL;
    for (int i = 0; detector->requests && i < detector->description.requests; ++i)
        free(detector->requests[i].image);
    free(detector->requests);
    detector->requests = NULL;
    if (detector->free_requests)
        sp_queue_free(detector->free_requests);
    detector->free_requests = NULL;
}

/* The first inference can recognize another head type, which takes another range or order of
 * colors: the model is then compiled a second time. */
static int open_and_run(struct sp_detector *detector, const struct sp_detector_options *options,
                        struct sp_error *err)
{
    int result = SP_OK;
    for (int attempt = 0; attempt < 2 && result == SP_OK; ++attempt) {
        float scale = detector->model.scale;
        bool swap = detector->model.swap_red_blue;
        result = open_engine(detector, options, err);
        if (result == SP_OK)
            result = open_requests(detector, err);
        if (result == SP_OK)
            result = run_first(detector, err);
        if (detector->model.scale == scale && detector->model.swap_red_blue == swap)
            break;
        if (result == SP_OK && attempt == 0)
            close_engine(detector);
    }
    return result;
}

/* After the first inference, which verifies the format of the boxes. */
static void use_device_head(struct sp_detector *detector)
{
    char text[ENGINE_ERROR_BYTES] = "";
    struct spoton_head head;
    if (!spoton_engine_takes_images(detector->api))
        return;
    uint8_t *wanted = calloc((size_t)detector->model.classes, 1);
    if (!wanted || !sp_device_head(&head, wanted, &detector->model, &detector->head,
                                   detector->width_px, detector->height_px))
        snprintf(text, sizeof text, "this head type is decoded on the CPU");
    else if (detector->api->device_api->use_head(detector->engine, &head, text, sizeof text) == 0)
        detector->takes_images = true;
    free(wanted);
    if (!detector->takes_images)
        sp_log(SP_LOG_WARNING, "engine %s: letterbox and head run on the CPU: %s",
               detector->api->name, text);
    detector->api->describe(detector->engine, &detector->description);
}

int sp_detector_open(struct sp_detector **out, const struct sp_detector_options *options,
                     struct sp_error *err)
{
    struct sp_detector *detector = calloc(1, sizeof *detector);
    if (!detector)
        return sp_fail(err, SP_ERR_NO_MEMORY, "detector: out of memory");
    pthread_mutex_init(&detector->letterbox_lock, NULL);
    detector->api = options->spill ? sp_spill_api() : options->engine;
    detector->model = *options->model;
    detector->head = options->head;
    int result = choose_size(detector, options, err);
    if (result == SP_OK)
        result = sp_letterbox_open(&detector->letterbox, err);
    if (result == SP_OK)
        result = open_and_run(detector, options, err);
    if (result == SP_OK)
        use_device_head(detector);
    if (result < 0) {
        sp_detector_close(detector);
        return result;
    }
    *out = detector;
    return SP_OK;
}

void sp_detector_close(struct sp_detector *detector)
{
    if (!detector)
        return;
    close_engine(detector);
    sp_letterbox_close(detector->letterbox);
    pthread_mutex_destroy(&detector->letterbox_lock);
    free(detector);
}

void sp_detector_describe(const struct sp_detector *detector,
                          struct spoton_engine_description *description)
{
    *description = detector->description;
}

int sp_detector_capacity(const struct sp_detector *detector)
{
    return SPOTON_ENGINE_HAS(detector->api, capacity) ? detector->api->capacity(detector->engine)
                                                      : INT_MAX;
}

bool sp_detector_server(const struct sp_detector *detector, int index, struct spoton_server *server)
{
    *server = (struct spoton_server){.struct_bytes = sizeof *server};
    return SPOTON_ENGINE_HAS(detector->api, server) &&
           detector->api->server(detector->engine, index, server) >= 0;
}

int sp_detector_batch(const struct sp_detector *detector)
{
    return detector->batch;
}

void sp_detector_input_size(const struct sp_detector *detector, int *width_px, int *height_px)
{
    *width_px = detector->width_px;
    *height_px = detector->height_px;
}

static struct sp_detector_request *take_request(struct sp_detector *detector, int64_t timeout_us)
{
    void *item = NULL;
    if (sp_queue_pop(detector->free_requests, &item, timeout_us) < 0)
        return NULL;
    struct sp_detector_request *request = item;
    request->images = 0;
    request->given = false;
    return request;
}

struct sp_detector_request *sp_detector_acquire(struct sp_detector *detector)
{
    struct sp_detector_request *request = take_request(detector, -1);
    assert(request);
    return request;
}

struct sp_detector_request *sp_detector_acquire_within(struct sp_detector *detector,
                                                       int64_t timeout_us)
{
    return take_request(detector, timeout_us);
}

void sp_detector_release(struct sp_detector *detector, struct sp_detector_request *request)
{
    int result = sp_queue_try_push(detector->free_requests, request);
    assert(result == SP_OK); /* else it was released twice */
    (void)result;
}

static void begin_image(struct sp_detector_request *request)
{
    request->image[request->images].head = NULL;
    request->image[request->images++].detection_count = 0;
}

static int put_image(struct sp_detector *detector, struct sp_detector_request *request,
                     const struct sp_frame *frame, struct sp_error *err)
{
    char text[ENGINE_ERROR_BYTES] = "";
    struct spoton_image image;
    int result = sp_device_image(&image, &request->image[request->images].geometry, frame,
                                 detector->width_px, detector->height_px, err);
    if (result < 0)
        return result;
    if (frame->surface && frame->gpu == detector->api)
        result = detector->api->device_api->put_surface(detector->engine, request->index,
                                                        request->images, &image, frame->surface,
                                                        text, sizeof text);
    else
        result = detector->api->device_api->put_image(detector->engine, request->index,
                                                      request->images, &image, text, sizeof text);
    if (result < 0)
        return engine_error(detector->api, result, text, err);
    begin_image(request);
    return SP_OK;
}

int sp_detector_fill(struct sp_detector *detector, struct sp_detector_request *request,
                     const struct sp_frame *frame, struct sp_error *err)
{
    assert(request->images < detector->batch);
    if (detector->takes_images)
        return put_image(detector, request, frame, err);
    uint8_t *input = detector->api->input(detector->engine, request->index) +
                     (size_t)request->images * image_bytes(detector);
    int result = sp_frame_fetch(frame, err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&detector->letterbox_lock);
    result = sp_letterbox_fill(detector->letterbox, frame, input, detector->model.layout,
                               detector->width_px, detector->height_px,
                               &request->image[request->images].geometry, err);
    pthread_mutex_unlock(&detector->letterbox_lock);
    if (result == SP_OK)
        begin_image(request);
    return result;
}

void sp_detector_fill_input(struct sp_detector *detector, struct sp_detector_request *request,
                            const uint8_t *image)
{
    assert(request->images < detector->batch);
    size_t bytes = image_bytes(detector);
    memcpy(detector->api->input(detector->engine, request->index) + (size_t)request->images * bytes,
           image, bytes);
    struct sp_letterbox_geometry *geometry = &request->image[request->images].geometry;
    sp_letterbox_geometry(geometry, detector->width_px, detector->height_px, detector->width_px,
                          detector->height_px);
    request->given = true;
    begin_image(request);
}

int sp_detector_submit(struct sp_detector *detector, struct sp_detector_request *request,
                       struct sp_error *err)
{
    char text[ENGINE_ERROR_BYTES] = "";
    request->submitted_us = request->finished_us = sp_clock_us();
    int result = detector->takes_images && request->images == 0
                     ? detector->api->device_api->submit_again(detector->engine, request->index,
                                                               detector->batch, text, sizeof text)
                     : detector->api->submit(detector->engine, request->index, text, sizeof text);
    return result < 0 ? engine_error(detector->api, result, text, err) : SP_OK;
}

static int collect_boxes(struct sp_detector *detector, struct sp_detector_request *request,
                         struct sp_error *err)
{
    char text[ENGINE_ERROR_BYTES] = "";
    int result = detector->api->wait(detector->engine, request->index, text, sizeof text);
    request->finished_us = sp_clock_us();
    for (int i = 0; i < request->images && result >= 0; ++i) {
        const struct spoton_box *boxes = NULL;
        result = detector->api->device_api->boxes(detector->engine, request->index, i, &boxes, text,
                                                  sizeof text);
        if (result < 0)
            break;
        size_t count = sp_device_detections(boxes, result, &request->image[i].geometry,
                                            request->image[i].detections);
        request->image[i].detection_count =
            sp_head_select(request->image[i].head, request->image[i].detections, count);
    }
    if (result >= 0)
        return SP_OK;
    for (int i = 0; i < request->images; ++i)
        request->image[i].detection_count = 0;
    return engine_error(detector->api, result, text, err);
}

int sp_detector_collect(struct sp_detector *detector, struct sp_detector_request *request,
                        struct sp_error *err)
{
    struct sp_model_output outputs[HEAD_OUTPUTS_MAX] = {0};
    size_t step[HEAD_OUTPUTS_MAX];
    int count = 1 + (detector->model.boxes_output != detector->model.confidences_output);
    for (int i = 0; i < request->images; ++i)
        request->image[i].detection_count = 0;
    if (detector->takes_images && !request->given)
        return collect_boxes(detector, request, err);
    int result = wait_and_get(detector, request->index, outputs, count, err);
    request->finished_us = sp_clock_us();
    if (result < 0)
        return result;
    for (int k = 0; k < count; ++k) {
        step[k] = 1;
        for (int i = 0; i < outputs[k].rank; ++i)
            step[k] *= (size_t)outputs[k].dims[i];
    }
    for (int i = 0; i < request->images; ++i) {
        request->image[i].detection_count =
            sp_head_decode(&detector->model, outputs,
                           request->image[i].head ? request->image[i].head : &detector->head,
                           &request->image[i].geometry, request->image[i].detections);
        for (int k = 0; k < count; ++k)
            outputs[k].data += step[k];
    }
    return SP_OK;
}

int sp_detector_outputs(const struct sp_detector *detector,
                        struct sp_model_output outputs[SPOTON_TENSORS_MAX])
{
    memcpy(outputs, detector->output, sizeof detector->output);
    return detector->output_count;
}

int sp_detector_collect_outputs(struct sp_detector *detector, struct sp_detector_request *request,
                                struct sp_model_output outputs[SPOTON_TENSORS_MAX], int *count,
                                struct sp_error *err)
{
    *count = detector->output_count;
    int result = wait_and_get(detector, request->index, outputs, *count, err);
    request->finished_us = sp_clock_us();
    return result;
}

const struct sp_model *sp_detector_model(const struct sp_detector *detector)
{
    return &detector->model;
}
