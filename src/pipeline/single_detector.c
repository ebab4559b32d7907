#include "pipeline/single_detector.h"

#include "base/cpu.h"
#include "detect/detector.h"
#include "pipeline/classes.h"
#include "pipeline/input_shape.h"
#include "pipeline/model_choice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SHAPES_MAX = 5 };

struct sp_single_detector {
    struct sp_settings settings; /* a copy, without cameras */
    struct sp_model_choice choice;
    char cache_dir[SP_PATH_BYTES]; /* empty: none */
    bool *class_wanted;            /* NULL: all */
    int threads;
    pthread_mutex_t mutex; /* guards the rest; detectors stay until the close */
    struct {
        int width_px, height_px;
        struct sp_detector *detector;
    } shape[SHAPES_MAX];
    int shapes;
};

int sp_single_detector_open(struct sp_single_detector **out, const struct sp_settings *settings,
                            struct sp_error *err)
{
    struct sp_single_detector *d = calloc(1, sizeof *d);
    if (!d)
        return sp_fail(err, SP_ERR_NO_MEMORY, "detector: out of memory");
    pthread_mutex_init(&d->mutex, NULL);
    d->settings = *settings;
    d->settings.camera_count = 0;
    d->threads = settings->threads;
    if (d->threads == 0) {
        struct sp_cpu cpu;
        sp_cpu_read(&cpu);
        d->threads = cpu.cores_usable;
    }
    int result = sp_model_choose(&d->choice, &d->settings, err);
    if (result == SP_OK)
        result = sp_model_choice_cache_dir(d->cache_dir, &d->settings, err);
    if (result == SP_OK)
        result = sp_model_choice_check_quantization(
            &d->choice, &d->settings, d->threads, d->cache_dir[0] ? d->cache_dir : NULL, NULL, err);
    if (result == SP_OK)
        result = sp_classes_choose(&d->class_wanted, &d->choice.model, d->settings.classes, err);
    if (result < 0) {
        sp_single_detector_close(d);
        return result;
    }
    *out = d;
    return SP_OK;
}

void sp_single_detector_close(struct sp_single_detector *detector)
{
    if (!detector)
        return;
    for (int i = 0; i < detector->shapes; i++)
        sp_detector_close(detector->shape[i].detector);
    pthread_mutex_destroy(&detector->mutex);
    free(detector->class_wanted);
    free(detector);
}

const struct sp_model *sp_single_detector_model(const struct sp_single_detector *detector)
{
    return &detector->choice.model;
}

/* With the mutex held. */
static int open_shape(struct sp_single_detector *d, int width_px, int height_px,
                      struct sp_detector **out, struct sp_error *err)
{
    const struct sp_model *model = &d->choice.model;
    if (d->shapes == SHAPES_MAX) /* a shape is one of five */
        return sp_fail(err, SP_ERR_NO_SPACE, "detector: %d input shapes are open", d->shapes);
    struct sp_detector_options options = {
        .engine = d->choice.engine,
        .model = model,
        .precision = d->choice.precision,
        .batch = model->fixed_batch ? model->fixed_batch : 1,
        .width_px = width_px,
        .height_px = height_px,
        .threads = d->threads,
        .streams = d->settings.streams,
        .cache_dir = d->cache_dir[0] ? d->cache_dir : NULL,
        .backend_options = sp_model_choice_backend_options(&d->choice),
        .head = {.confidence_threshold = d->settings.confidence_threshold,
                 .nms_iou = d->settings.nms_iou,
                 .class_wanted = d->class_wanted},
    };
    int result = sp_detector_open(out, &options, err);
    if (result < 0)
        return result;
    d->shape[d->shapes].width_px = width_px;
    d->shape[d->shapes].height_px = height_px;
    d->shape[d->shapes++].detector = *out;
    return SP_OK;
}

static int find_shape(struct sp_single_detector *d, const struct sp_frame *frame,
                      struct sp_detector **out, struct sp_error *err)
{
    int seen_width_px, seen_height_px, width_px, height_px;
    sp_frame_square_size_px(frame, &seen_width_px, &seen_height_px);
    sp_input_shape_choose(&d->choice.model, d->choice.input_size_px, d->settings.square_input,
                          seen_width_px, seen_height_px, &width_px, &height_px);
    *out = NULL;
    pthread_mutex_lock(&d->mutex);
    for (int i = 0; i < d->shapes; i++)
        if (d->shape[i].width_px == width_px && d->shape[i].height_px == height_px)
            *out = d->shape[i].detector;
    int result = *out ? SP_OK : open_shape(d, width_px, height_px, out, err);
    pthread_mutex_unlock(&d->mutex);
    return result;
}

int sp_single_detector_run(struct sp_single_detector *detector, const struct sp_frame *frame,
                           struct sp_detection detections[SP_DETECTIONS_MAX], size_t *count,
                           struct sp_error *err)
{
    struct sp_detector *d;
    int result = find_shape(detector, frame, &d, err);
    if (result < 0)
        return result;
    struct sp_detector_request *request = sp_detector_acquire(d);
    result = sp_detector_fill(d, request, frame, err);
    if (result == SP_OK)
        result = sp_detector_submit(d, request, err);
    if (result == SP_OK)
        result = sp_detector_collect(d, request, err);
    if (result == SP_OK) {
        *count = request->image[0].detection_count;
        memcpy(detections, request->image[0].detections, *count * sizeof *detections);
    }
    sp_detector_release(d, request);
    return result;
}
