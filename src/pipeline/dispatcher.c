/* The dispatcher's thread: wraps each scheduled frame in a task and letterboxes the frames that are
 * due for inference into inference requests. It alone fills requests. */
#include "pipeline/dispatcher.h"

#include "base/clock.h"
#include "pipeline/camera_state.h"
#include "pipeline/detector_pool.h"
#include "pipeline/device_health.h"
#include "pipeline/devices.h"
#include "pipeline/dispatch.h"
#include "pipeline/pipeline_impl.h"

#include <unistd.h>

/* How long a request may wait for more frames before it is submitted as it is. */
static const int64_t PARTIAL_REQUEST_WAIT_US = 2000;

static const useconds_t CAPACITY_POLL_US = 500;

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

/* From a pool. Before it waits, it submits the open requests, which hold the other items. */
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
    task->reason = SP_REASON_NONE;
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

/* A frame without inference keeps its order behind its camera's inferred frames. */
static void pass_through(struct sp_pipeline *p, struct sp_frame_task *task)
{
    struct sp_detector_instance *instance = p->cameras[task->camera].scheduling.instance;
    if (instance && instance->open) {
        append_task(p, instance->open, task);
        return;
    }
    struct sp_batch *batch = new_batch(p);
    append_task(p, batch, task);
    sp_batch_push(p->cameras[task->camera].scheduling.route, batch);
}

/* With one frame in flight the camera's order is kept without the collector, whose queue would
 * delay the decision on the next frame behind other cameras' inference. */
static void pass_unneeded(struct sp_pipeline *p, struct sp_frame_task *task)
{
    sp_queue_push(p->workers[task->camera % p->worker_count].tasks, task);
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

/* Whether the engine can process one more request, or keep one waiting: engines with servers offer
 * more requests than they have capacity for while a server is away. */
static bool has_capacity(const struct sp_detector_instance *instance)
{
    int in_flight = atomic_load(&instance->in_flight);
    return in_flight == 0 || in_flight <= sp_detector_capacity(instance->detector);
}

/* Without waiting. False: no request is free; the scheduler skips the instance's cameras until the
 * collector returns one. */
static bool try_open_request(struct sp_pipeline *p, struct sp_detector_instance *instance)
{
    int group = (int)(instance - p->instances);
    struct sp_detector_request *request =
        has_capacity(instance) ? sp_detector_acquire_within(instance->detector, 0) : NULL;
    if (!request) {
        sp_frame_scheduler_set_full(p->scheduler, group, true);
        if (has_capacity(instance)) /* returned meanwhile */
            request = sp_detector_acquire_within(instance->detector, 0);
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
        instance->open->request->image[image].head = &camera->head;
    }
    sp_stage_end(&camera->stages[SP_STAGE_LETTERBOX], begin);
    append_task(p, instance->open, task);
    if (instance->open->request->images == sp_detector_batch(instance->detector))
        sp_instance_submit(p, instance);
}

/* Offline by sequence number, so that runs are repeatable. Live every frame_skip-th frame after the
 * last inferred one, so that the next frame replaces a dropped one; and the first of a new scene.
 */
static bool is_inference_due(const struct sp_pipeline *p, int camera, uint64_t sequence,
                             uint32_t epoch)
{
    const struct sp_camera *c = &p->cameras[camera];
    if (!p->options.live)
        return sequence % (uint64_t)c->status.setting.frame_skip == 0;
    return sequence >= c->scheduling.next_due || epoch != c->scheduling.epoch;
}

static enum sp_inference_reason decide(struct sp_camera *camera, const struct sp_frame *frame)
{
    struct sp_stage_clock begin = sp_stage_begin();
    const struct sp_policy_frame seen = {
        .pts_us = frame->pts_us,
        .epoch = frame->epoch,
        .width_px = frame->width_px,
        .height_px = frame->height_px,
        .means = frame->means,
    };
    enum sp_inference_reason reason = sp_policy_decide(camera->policy, &seen);
    sp_stage_end(&camera->stages[SP_STAGE_GATE], begin);
    return reason;
}

/* Live: its detector is not compiled yet, and the frame will be too old once it is. */
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
    enum sp_inference_reason reason = camera->policy ? decide(camera, frame) : SP_REASON_NONE;
    bool due = camera->policy ? reason != SP_REASON_NONE
                              : is_inference_due(p, item->camera, frame->sequence, frame->epoch);
    struct sp_detector_instance *instance = NULL;
    if (due && !atomic_load(&p->broken)) {
        int width_px, height_px;
        sp_frame_square_size_px(frame, &width_px, &height_px);
        instance = sp_instance_for(p, camera, width_px, height_px);
        if (instance && atomic_load(&instance->state) == SP_INSTANCE_OPENING) {
            drop(p, item);
            return;
        }
    }
    struct sp_frame_task *task = new_task(p, item);
    task->reason = reason;
    sp_histogram_add(&camera->stages[SP_STAGE_WAIT].wall, sp_clock_us() - frame->received_us);
    task->batch = sp_speed_log_add(
        &p->speed_log,
        camera->scheduling.instance ? &camera->scheduling.instance->record : &p->loose,
        item->camera, frame->sequence, due, frame->decode_us);
    if (due) {
        camera->scheduling.next_due = frame->sequence + (uint64_t)camera->status.setting.frame_skip;
        camera->scheduling.epoch = frame->epoch;
        infer(p, instance, task);
    } else if (camera->policy) {
        pass_unneeded(p, task);
    } else {
        pass_through(p, task);
    }
}

/* While the instance opens, the camera's frames stay in its mailbox, where newer ones replace them,
 * and no other camera waits. False: the camera is ending, so its frames must be taken now. */
static bool hold(struct sp_pipeline *p, const struct sp_schedule_turn *turn,
                 struct sp_detector_instance *instance)
{
    if (!sp_frame_scheduler_hold(p->scheduler, turn->camera, turn->width_px, turn->height_px))
        return false;
    if (atomic_load(&instance->state) != SP_INSTANCE_OPENING) /* it opened meanwhile */
        sp_frame_scheduler_release(p->scheduler);
    return true;
}

/* Acquires an inference request first and takes the frame after it: live, the frame may be a newer
 * one by then; with several devices, no camera waits behind a device without a free request. */
static int next_with_request(struct sp_pipeline *p, struct sp_schedule_item *item,
                             int64_t timeout_us)
{
    struct sp_schedule_turn turn;
    for (;;) {
        int result = sp_frame_scheduler_peek(p->scheduler, &turn, timeout_us);
        if (result < 0)
            return result;
        bool by_need = p->cameras[turn.camera].policy; /* decided on once the frame is taken */
        if (turn.over || atomic_load(&p->broken) ||
            (!by_need && !is_inference_due(p, turn.camera, turn.sequence, turn.epoch)))
            break;
        struct sp_detector_instance *instance =
            sp_instance_for(p, &p->cameras[turn.camera], turn.width_px, turn.height_px);
        if (instance && atomic_load(&instance->state) == SP_INSTANCE_OPENING) {
            if (hold(p, &turn, instance))
                continue;
            break;
        }
        if (!instance || instance->open || by_need)
            break;
        if (p->device_count > 1) {
            try_open_request(p, instance);
            continue;
        }
        submit_all(p); /* filled requests need not wait for the free one */
        while (!has_capacity(instance))
            usleep(CAPACITY_POLL_US);
        open_request(p, instance, sp_detector_acquire(instance->detector));
        /* That may have blocked: look again whether another camera comes first now. */
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
        bool request_first = p->options.live || p->device_count > 1;
        int result = request_first ? next_with_request(p, &item, timeout_us)
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
