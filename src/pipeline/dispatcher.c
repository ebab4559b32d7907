/* The scheduler's thread: gives every frame a task, and frames that are to be inferred a place in
 * an engine request. It alone touches open batch_queue. */
#include "pipeline/internal.h"

#include "base/clock.h"

#include <unistd.h>

/* How long a request may wait for more frames before it is submitted as it is. */
static const int64_t PARTIAL_REQUEST_WAIT_US = 2000;

static const useconds_t DELIVERY_POLL_US = 100;

static void push_batch(struct sp_device *device, struct sp_batch *batch)
{
    /* Never closed before the scheduler itself closes it. */
    sp_queue_push(device->batch_queue, batch);
}

/* A request that the engine refuses goes on as failed tasks. */
void sp_instance_submit(struct sp_pipeline *p, struct sp_detector_instance *instance)
{
    struct sp_batch *batch = instance->open;
    struct sp_error err = {0};
    if (!batch)
        return;
    instance->open = NULL;
    sp_speed_log_flush(&p->speed_log, &instance->record);
    if (batch->request->images == 0) { /* taken for a frame that then went elsewhere */
        sp_detector_release(batch->detector, batch->request);
        batch->detector = NULL;
        if (batch->first)
            push_batch(instance->device, batch);
        else
            sp_queue_push(p->free_batches, batch);
        return;
    }
    atomic_fetch_add(&instance->images, (uint64_t)batch->request->images);
    int result = sp_detector_submit(batch->detector, batch->request, &err);
    if (result < 0) {
        sp_device_note(instance->device, result, &err);
        sp_batch_fail(p, batch, result, &err);
        sp_detector_release(batch->detector, batch->request);
        batch->detector = NULL;
    }
    push_batch(instance->device, batch);
}

void sp_camera_route(struct sp_camera *camera, struct sp_device *device)
{
    struct sp_pipeline *p = camera->pipeline;
    if (camera->route == device)
        return;
    if (camera->instance)
        sp_instance_submit(p, camera->instance);
    /* Seldom: a camera's first frames, and those on a device that fails. */
    while (atomic_load(&camera->undelivered) > 0)
        usleep(DELIVERY_POLL_US);
    camera->route = device;
}

static void submit_all(struct sp_pipeline *p)
{
    for (int i = 0; i < p->instance_count; i++)
        sp_instance_submit(p, &p->instances[i]);
}

static bool any_open(const struct sp_pipeline *p)
{
    for (int i = 0; i < p->instance_count; i++)
        if (p->instances[i].open)
            return true;
    return false;
}

/* From a pool; what holds the others back is handed on before waiting for them. */
static void *take_free(struct sp_pipeline *p, struct sp_queue *pool)
{
    void *item;
    if (sp_queue_pop(pool, &item, 0) == SP_OK)
        return item;
    submit_all(p);
    return sp_queue_pop(pool, &item, -1) == SP_OK ? item : NULL;
}

static struct sp_batch *new_batch(struct sp_pipeline *p)
{
    struct sp_batch *batch = take_free(p, p->free_batches);
    *batch = (struct sp_batch){0};
    return batch;
}

static struct sp_frame_task *new_task(struct sp_pipeline *p, const struct sp_schedule_item *item)
{
    struct sp_frame_task *task = take_free(p, p->free_tasks);
    task->frame = item->frame;
    task->camera = item->camera;
    task->image = -1;
    task->failed = task->again = false;
    task->batch = NULL;
    task->next = NULL;
    task->detection_count = 0;
    return task;
}

static void append_task(struct sp_pipeline *p, struct sp_batch *batch, struct sp_frame_task *task)
{
    atomic_fetch_add(&p->cameras[task->camera].undelivered, 1);
    if (batch->last)
        batch->last->next = task;
    else
        batch->first = task;
    batch->last = task;
}

/* Frames without inference keep their place behind the inferred ones of their camera. */
static void pass_through(struct sp_pipeline *p, struct sp_frame_task *task)
{
    struct sp_detector_instance *instance = p->cameras[task->camera].instance;
    if (instance && instance->open) {
        append_task(p, instance->open, task);
        return;
    }
    struct sp_batch *batch = new_batch(p);
    append_task(p, batch, task);
    push_batch(p->cameras[task->camera].route, batch);
}

static void open_request(struct sp_pipeline *p, struct sp_detector_instance *instance,
                         struct sp_detector_request *request)
{
    struct sp_batch *batch = new_batch(p);
    batch->instance = instance;
    batch->detector = instance->detector;
    batch->request = request;
    instance->open = batch;
}

/* Without waiting. False: there is none, and until the collector gives one back the instance's
 * cameras are passed over. */
static bool try_open_request(struct sp_pipeline *p, struct sp_detector_instance *instance)
{
    int group = (int)(instance - p->instances);
    struct sp_detector_request *request = sp_detector_acquire_within(instance->detector, 0);
    if (!request) {
        sp_frame_scheduler_set_full(p->scheduler, group, true);
        request = sp_detector_acquire_within(instance->detector, 0); /* it came back meanwhile */
        if (request)
            sp_frame_scheduler_set_full(p->scheduler, group, false);
    }
    if (request)
        open_request(p, instance, request);
    return request != NULL;
}

static void infer(struct sp_pipeline *p, struct sp_detector_instance *instance,
                  struct sp_frame_task *task)
{
    struct sp_error err = {0};
    struct sp_camera *camera = &p->cameras[task->camera];
    if (!instance) {
        task->failed = true;
        pass_through(p, task);
        return;
    }
    if (!instance->open)
        open_request(p, instance, sp_detector_acquire(instance->detector));
    struct sp_stage_clock begin = sp_stage_begin();
    int image = instance->open->request->images;
    int result = sp_detector_fill(instance->detector, instance->open->request, task->frame, &err);
    if (result < 0) {
        if (result == SP_ERR_DEVICE)
            sp_device_note(instance->device, result, &err);
        task->again = sp_device_retries(instance->device, result);
        task->failed = !task->again;
        if (task->failed)
            sp_camera_fail(camera, &err);
    } else {
        task->image = image;
    }
    sp_stage_end(&camera->stages[SP_STAGE_LETTERBOX], begin);
    append_task(p, instance->open, task);
    if (instance->open->request->images == sp_detector_batch(instance->detector))
        sp_instance_submit(p, instance);
}

/* Offline by number, so that a run can be repeated. Live every frame_skip-th, counted from the last
 * one that was: so a dropped one is made up for at once; and the first of a new scene. */
static bool is_wanted(const struct sp_pipeline *p, int camera, uint64_t sequence, uint32_t epoch)
{
    const struct sp_camera *c = &p->cameras[camera];
    if (!p->options.live)
        return sequence % (uint64_t)p->frame_skip == 0;
    return sequence >= c->next_wanted || epoch != c->scheduled_epoch;
}

/* Live: its engine is not ready, and it will be too old when it is. */
static void drop(struct sp_pipeline *p, const struct sp_schedule_item *item)
{
    sp_ledger_settle(p->cameras[item->camera].ledger, SP_OUTCOME_DROPPED, 1);
    sp_frame_unref(item->frame);
    sp_frame_scheduler_done(p->scheduler, item->camera);
}

static void schedule(struct sp_pipeline *p, const struct sp_schedule_item *item)
{
    struct sp_camera *camera = &p->cameras[item->camera];
    const struct sp_frame *frame = item->frame;
    if (!frame) {
        pass_through(p, new_task(p, item));
        sp_device_leave(camera);
        return;
    }
    bool wanted = is_wanted(p, item->camera, frame->sequence, frame->epoch);
    struct sp_detector_instance *instance = NULL;
    if (wanted && !atomic_load(&p->broken)) {
        int width_px, height_px;
        sp_frame_square_size_px(frame, &width_px, &height_px);
        instance = sp_instance_for(p, camera, width_px, height_px);
        if (instance && atomic_load(&instance->state) == SP_INSTANCE_OPENING) {
            drop(p, item);
            return;
        }
    }
    struct sp_frame_task *task = new_task(p, item);
    sp_histogram_add(&camera->stages[SP_STAGE_WAIT].wall, sp_clock_us() - frame->received_us);
    task->batch =
        sp_speed_log_add(&p->speed_log, camera->instance ? &camera->instance->record : &p->loose,
                         item->camera, frame->sequence, wanted, frame->decode_us);
    if (wanted) {
        camera->next_wanted = frame->sequence + (uint64_t)p->frame_skip;
        camera->scheduled_epoch = frame->epoch;
        infer(p, instance, task);
    } else
        pass_through(p, task);
}

/* While the instance is opened, the camera's frames stay in its mailbox, where newer ones replace
 * them, and nobody else waits. False: it has to give them out all the same, because it ends. */
static bool hold(struct sp_pipeline *p, const struct sp_schedule_turn *turn,
                 struct sp_detector_instance *instance)
{
    if (!sp_frame_scheduler_hold(p->scheduler, turn->camera, turn->width_px, turn->height_px))
        return false;
    if (atomic_load(&instance->state) != SP_INSTANCE_OPENING) /* since it was looked at */
        sp_frame_scheduler_release(p->scheduler);
    return true;
}

/* First a place in the engine, then the frame: live it may be a newer one by then, and where
 * there are several devices, nobody waits behind one that has no place. */
static int next_placed(struct sp_pipeline *p, struct sp_schedule_item *item, int64_t timeout_us)
{
    struct sp_schedule_turn turn;
    for (;;) {
        int result = sp_frame_scheduler_peek(p->scheduler, &turn, timeout_us);
        if (result < 0)
            return result;
        if (turn.over || atomic_load(&p->broken) ||
            !is_wanted(p, turn.camera, turn.sequence, turn.epoch))
            break;
        struct sp_detector_instance *instance =
            sp_instance_for(p, &p->cameras[turn.camera], turn.width_px, turn.height_px);
        if (instance && atomic_load(&instance->state) == SP_INSTANCE_OPENING) {
            if (hold(p, &turn, instance))
                continue;
            break;
        }
        if (!instance || instance->open)
            break;
        if (p->device_count > 1) {
            try_open_request(p, instance);
            continue;
        }
        submit_all(p); /* what is filled need not wait for the place */
        open_request(p, instance, sp_detector_acquire(instance->detector));
        /* That may have taken its time: perhaps somebody else is to be preferred by now. */
    }
    sp_frame_scheduler_take(p->scheduler, turn.camera, item);
    return SP_OK;
}

void *sp_dispatcher_main(void *argument)
{
    struct sp_pipeline *p = argument;
    for (;;) {
        struct sp_schedule_item item;
        int64_t timeout_us = any_open(p) ? PARTIAL_REQUEST_WAIT_US : -1;
        bool placed = p->options.live || p->device_count > 1;
        int result = placed ? next_placed(p, &item, timeout_us)
                            : sp_frame_scheduler_next(p->scheduler, &item, timeout_us);
        if (result == SP_ERR_CLOSED)
            break;
        if (result == SP_OK)
            schedule(p, &item);
        else
            submit_all(p);
    }
    submit_all(p);
    for (int i = 0; i < p->instance_count; i++)
        sp_speed_log_flush(&p->speed_log, &p->instances[i].record);
    sp_speed_log_flush(&p->speed_log, &p->loose);
    sp_detector_pool_stop(p);
    for (int i = 0; i < p->device_count; i++)
        sp_queue_close(p->devices[i].batch_queue);
    return NULL;
}
