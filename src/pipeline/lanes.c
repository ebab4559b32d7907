/* Lanes: detectors, one an input shape.
 *
 * Offline the scheduler opens one when it meets the first picture of a shape, and all cameras wait,
 * so that no result depends on how long that took. Live a thread of its own opens them, which can
 * take seconds: only the cameras of that shape have to do without. */
#include "pipeline/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/loader.h"

#include <assert.h>

/* The input shape for a picture: the model's own, a square, or the first of 16:9, 4:3 and 1:1
 * (lying or standing) that holds it: so that a handful of compiled models serves any mix of
 * cameras, and which one a camera gets depends on nothing but its own first picture. */
static void choose_shape(const struct sp_pipeline *p, int picture_width_px, int picture_height_px,
                         int *width_px, int *height_px)
{
    static const double sides[] = {9.0 / 16, 3.0 / 4};
    const struct sp_model *model = &p->model;
    int size = p->choice.input_size_px, stride = model->stride_px;
    *width_px = model->fixed_width_px ? model->fixed_width_px : size;
    *height_px = model->fixed_height_px ? model->fixed_height_px : size;
    if (model->fixed_width_px || p->settings->square_input)
        return;
    int exact_width_px, exact_height_px;
    sp_letterbox_input_shape(picture_width_px, picture_height_px, size, stride, &exact_width_px,
                             &exact_height_px);
    bool lying = exact_width_px >= exact_height_px;
    int exact_short = lying ? exact_height_px : exact_width_px;
    int *short_px = lying ? height_px : width_px;
    for (size_t i = 0; i < sizeof sides / sizeof sides[0]; i++) {
        int side = ((int)(size * sides[i]) + stride - 1) / stride * stride;
        if (side >= exact_short) {
            *short_px = side;
            return;
        }
    }
}

/* ---- opening ---- */

/* An engine offers more slots than it works on at once, so that none of its streams ever waits. A
 * live picture in such a slot would only grow older there: one more than there are streams is
 * enough, and the rest stays empty. */
static void reserve_slots(const struct sp_pipeline *p, struct sp_lane *lane,
                          const struct spoton_engine_description *d)
{
    if (!p->options.live || d->streams < 1)
        return;
    while (lane->reserved_count < SP_SLOTS_RESERVED_MAX &&
           d->slots - lane->reserved_count > d->streams + 1)
        lane->reserved[lane->reserved_count++] = sp_detector_acquire(lane->detector);
}

static void close_lane(struct sp_lane *lane)
{
    if (!lane->detector)
        return;
    while (lane->reserved_count > 0)
        sp_detector_release(lane->detector, lane->reserved[--lane->reserved_count]);
    sp_detector_close(lane->detector);
}

/* A bundle brings what was compiled for its input; other shapes are kept where all are. */
static const char *cache_for(const struct sp_pipeline *p, const struct sp_lane *lane, int batch)
{
    const struct sp_bundle *bundle = &p->choice.bundle;
    if (bundle->cache_dir[0] && bundle->card.width_px == lane->width_px &&
        bundle->card.height_px == lane->height_px && bundle->card.batch == batch)
        return bundle->cache_dir;
    return p->cache_dir[0] ? p->cache_dir : NULL;
}

/* Whatever else the scheduler does with a lane, it does after it has seen the state change. */
static void open_lane(struct sp_pipeline *p, struct sp_lane *lane, const char *thread_name)
{
    const struct sp_settings *s = p->settings;
    struct sp_error err = {0};
    int batch = p->model.fixed_batch ? p->model.fixed_batch : p->choice.batch;
    struct sp_detector_options options = {
        .engine = p->engine,
        .model = &p->model,
        .precision = p->choice.precision,
        .batch = batch > 0 ? batch : 1,
        .width_px = lane->width_px,
        .height_px = lane->height_px,
        .threads = p->cores,
        .streams = s->streams,
        .cache_dir = cache_for(p, lane, batch > 0 ? batch : 1),
        .extra = s->engine_options[0] ? s->engine_options : NULL,
        .head = {.score_threshold = s->confidence_threshold,
                 .nms_iou = s->nms_iou,
                 .class_wanted = p->class_wanted},
    };
    int64_t begin_us = sp_clock_us();
    pthread_setname_np(pthread_self(), "engine"); /* the engine's threads inherit the name */
    int result = sp_detector_open(&lane->detector, &options, &err);
    pthread_setname_np(pthread_self(), thread_name);
    if (result < 0) {
        if (!p->options.live || !sp_lane_ready(p, 0))
            sp_pipeline_fail(p, &err);
        else
            sp_log(SP_LOG_WARNING, "input of %dx%d: %s; its cameras use another shape",
                   lane->width_px, lane->height_px, err.text);
        atomic_store(&lane->state, SP_LANE_REFUSED);
        return;
    }
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    sp_detector_describe(lane->detector, &d);
    sp_log(
        SP_LOG_INFO, "engine %s ready in %.1f s: %dx%d, batch %d, %s, %d streams, %d threads on %s",
        p->engine->name, (double)(sp_clock_us() - begin_us) / 1e6, lane->width_px, lane->height_px,
        options.batch, sp_precision_name(d.precision), d.streams, d.threads, d.device);
    reserve_slots(p, lane, &d);
    sp_batcher_set_room(p->batcher, d.streams * options.batch);
    atomic_store(&lane->state, SP_LANE_READY);
}

static void *opener_main(void *argument)
{
    struct sp_pipeline *p = argument;
    void *item;
    while (sp_queue_pop(p->lanes_to_open, &item, -1) == SP_OK) {
        if (atomic_load(&p->lanes_stopped))
            continue;
        open_lane(p, item, "opener");
        sp_batcher_release(p->batcher);
    }
    sp_pipeline_worker_done(p);
    return NULL;
}

int sp_lanes_start(struct sp_pipeline *p, struct sp_error *err)
{
    if (!p->options.live)
        return SP_OK;
    int result = sp_queue_open(&p->lanes_to_open, SP_DETECTORS_MAX, err);
    if (result == SP_OK)
        result = sp_thread_start(&p->opener, "opener", opener_main, p, err);
    p->opener_started = result == SP_OK;
    return result;
}

void sp_lanes_stop(struct sp_pipeline *p)
{
    atomic_store(&p->lanes_stopped, true);
    if (p->lanes_to_open)
        sp_queue_close(p->lanes_to_open);
}

void sp_lanes_close(struct sp_pipeline *p)
{
    sp_lanes_stop(p);
    if (p->opener_started)
        pthread_join(p->opener, NULL);
    sp_queue_free(p->lanes_to_open);
    for (int i = 0; i < p->lane_count; i++)
        close_lane(&p->lanes[i]);
}

/* ---- finding ---- */

struct sp_lane *sp_lane_ready(struct sp_pipeline *p, int index)
{
    for (int i = 0; i < SP_DETECTORS_MAX; i++)
        if (atomic_load(&p->lanes[i].state) == SP_LANE_READY && index-- == 0)
            return &p->lanes[i];
    return NULL;
}

static struct sp_lane *lane_of_shape(struct sp_pipeline *p, int width_px, int height_px)
{
    for (int i = 0; i < p->lane_count; i++)
        if (p->lanes[i].width_px == width_px && p->lanes[i].height_px == height_px)
            return &p->lanes[i];
    assert(p->lane_count < SP_DETECTORS_MAX); /* there are fewer shapes to choose */
    struct sp_lane *lane = &p->lanes[p->lane_count++];
    lane->width_px = width_px;
    lane->height_px = height_px;
    atomic_store(&lane->state, SP_LANE_OPENING);
    if (p->options.live)
        sp_queue_push(p->lanes_to_open, lane);
    else
        open_lane(p, lane, "scheduler");
    return lane;
}

struct sp_lane *sp_lane_for(struct sp_pipeline *p, struct sp_camera *camera, int width_px,
                            int height_px)
{
    bool resized = camera->lane_width_px != width_px || camera->lane_height_px != height_px;
    if (camera->lane && !(p->options.live && resized))
        return camera->lane;
    int lane_width_px, lane_height_px;
    choose_shape(p, width_px, height_px, &lane_width_px, &lane_height_px);
    struct sp_lane *lane = lane_of_shape(p, lane_width_px, lane_height_px);
    int state = atomic_load(&lane->state);
    if (state == SP_LANE_OPENING)
        return lane;
    if (state == SP_LANE_REFUSED)
        lane = sp_lane_ready(p, 0);
    if (camera->lane && camera->lane != lane)
        sp_lane_submit(p, camera->lane); /* what is in it comes first */
    camera->lane = lane;
    camera->lane_width_px = width_px;
    camera->lane_height_px = height_px;
    return lane;
}
