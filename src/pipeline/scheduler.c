/* The scheduler's thread: gives every frame a job, and frames that are to be inferred a place in an
 * engine slot. It alone touches open tickets. */
#include "pipeline/internal.h"

#include "base/clock.h"

#include <unistd.h>

/* How long a slot may wait for more frames before it is submitted as it is. */
static const int64_t PARTIAL_SLOT_WAIT_US = 2000;

static const useconds_t DELIVERY_POLL_US = 100;

static void push_ticket(struct sp_device *device, struct sp_ticket *ticket)
{
    /* Never closed before the scheduler itself closes it. */
    sp_queue_push(device->tickets, ticket);
}

/* A slot that the engine refuses goes on as failed jobs. */
void sp_lane_submit(struct sp_pipeline *p, struct sp_lane *lane)
{
    struct sp_ticket *ticket = lane->open;
    struct sp_error err = {0};
    if (!ticket)
        return;
    lane->open = NULL;
    sp_speed_log_flush(&p->speed_log, &lane->record);
    if (ticket->slot->images == 0) { /* taken for a picture that then went elsewhere */
        sp_detector_release(ticket->detector, ticket->slot);
        ticket->detector = NULL;
        if (ticket->first)
            push_ticket(lane->device, ticket);
        else
            sp_queue_push(p->free_tickets, ticket);
        return;
    }
    atomic_fetch_add(&lane->images, (uint64_t)ticket->slot->images);
    int result = sp_detector_submit(ticket->detector, ticket->slot, &err);
    if (result < 0) {
        sp_device_note(lane->device, result, &err);
        sp_ticket_fail(p, ticket, result, &err);
        sp_detector_release(ticket->detector, ticket->slot);
        ticket->detector = NULL;
    }
    push_ticket(lane->device, ticket);
}

void sp_camera_route(struct sp_camera *camera, struct sp_device *device)
{
    struct sp_pipeline *p = camera->pipeline;
    if (camera->route == device)
        return;
    if (camera->lane)
        sp_lane_submit(p, camera->lane);
    /* Seldom: a camera's first frames, and those on a device that fails. */
    while (atomic_load(&camera->undelivered) > 0)
        usleep(DELIVERY_POLL_US);
    camera->route = device;
}

static void submit_all(struct sp_pipeline *p)
{
    for (int i = 0; i < p->lane_count; i++)
        sp_lane_submit(p, &p->lanes[i]);
}

static bool any_open(const struct sp_pipeline *p)
{
    for (int i = 0; i < p->lane_count; i++)
        if (p->lanes[i].open)
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

static struct sp_ticket *new_ticket(struct sp_pipeline *p)
{
    struct sp_ticket *ticket = take_free(p, p->free_tickets);
    *ticket = (struct sp_ticket){0};
    return ticket;
}

static struct sp_job *new_job(struct sp_pipeline *p, const struct sp_batch_item *item)
{
    struct sp_job *job = take_free(p, p->free_jobs);
    job->frame = item->frame;
    job->camera = item->camera;
    job->image = -1;
    job->failed = job->again = false;
    job->batch = NULL;
    job->next = NULL;
    job->detection_count = 0;
    return job;
}

static void append_job(struct sp_pipeline *p, struct sp_ticket *ticket, struct sp_job *job)
{
    atomic_fetch_add(&p->cameras[job->camera].undelivered, 1);
    if (ticket->last)
        ticket->last->next = job;
    else
        ticket->first = job;
    ticket->last = job;
}

/* Frames without inference keep their place behind the inferred ones of their camera. */
static void pass_through(struct sp_pipeline *p, struct sp_job *job)
{
    struct sp_lane *lane = p->cameras[job->camera].lane;
    if (lane && lane->open) {
        append_job(p, lane->open, job);
        return;
    }
    struct sp_ticket *ticket = new_ticket(p);
    append_job(p, ticket, job);
    push_ticket(p->cameras[job->camera].route, ticket);
}

static void open_slot(struct sp_pipeline *p, struct sp_lane *lane, struct sp_detector_slot *slot)
{
    struct sp_ticket *ticket = new_ticket(p);
    ticket->lane = lane;
    ticket->detector = lane->detector;
    ticket->slot = slot;
    lane->open = ticket;
}

/* Without waiting. False: there is none, and until the collector gives one back the lane's cameras
 * are passed over. */
static bool try_open_slot(struct sp_pipeline *p, struct sp_lane *lane)
{
    int group = (int)(lane - p->lanes);
    struct sp_detector_slot *slot = sp_detector_acquire_within(lane->detector, 0);
    if (!slot) {
        sp_batcher_set_full(p->batcher, group, true);
        slot = sp_detector_acquire_within(lane->detector, 0); /* it came back meanwhile */
        if (slot)
            sp_batcher_set_full(p->batcher, group, false);
    }
    if (slot)
        open_slot(p, lane, slot);
    return slot != NULL;
}

static void infer(struct sp_pipeline *p, struct sp_lane *lane, struct sp_job *job)
{
    struct sp_error err = {0};
    struct sp_camera *camera = &p->cameras[job->camera];
    if (!lane) {
        job->failed = true;
        pass_through(p, job);
        return;
    }
    if (!lane->open)
        open_slot(p, lane, sp_detector_acquire(lane->detector));
    struct sp_stage_clock begin = sp_stage_begin();
    int image = lane->open->slot->images;
    int result = sp_detector_fill(lane->detector, lane->open->slot, job->frame, &err);
    if (result < 0) {
        if (result == SP_ERR_DEVICE)
            sp_device_note(lane->device, result, &err);
        job->again = sp_device_retries(lane->device, result);
        job->failed = !job->again;
        if (job->failed)
            sp_camera_fail(camera, &err);
    } else {
        job->image = image;
    }
    sp_stage_end(&camera->stages[SP_STAGE_LETTERBOX], begin);
    append_job(p, lane->open, job);
    if (lane->open->slot->images == sp_detector_batch(lane->detector))
        sp_lane_submit(p, lane);
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
static void drop(struct sp_pipeline *p, const struct sp_batch_item *item)
{
    sp_ledger_settle(p->cameras[item->camera].ledger, SP_OUTCOME_STALE, 1);
    sp_frame_unref(item->frame);
    sp_batcher_done(p->batcher, item->camera);
}

static void schedule(struct sp_pipeline *p, const struct sp_batch_item *item)
{
    struct sp_camera *camera = &p->cameras[item->camera];
    const struct sp_frame *frame = item->frame;
    if (!frame) {
        pass_through(p, new_job(p, item));
        sp_device_leave(camera);
        return;
    }
    bool wanted = is_wanted(p, item->camera, frame->sequence, frame->epoch);
    struct sp_lane *lane = NULL;
    if (wanted && !atomic_load(&p->broken)) {
        int width_px, height_px;
        sp_frame_square_size_px(frame, &width_px, &height_px);
        lane = sp_lane_for(p, camera, width_px, height_px);
        if (lane && atomic_load(&lane->state) == SP_LANE_OPENING) {
            drop(p, item);
            return;
        }
    }
    struct sp_job *job = new_job(p, item);
    sp_histogram_add(&camera->stages[SP_STAGE_WAIT].wall, sp_clock_us() - frame->received_us);
    job->batch = sp_speed_log_add(&p->speed_log, camera->lane ? &camera->lane->record : &p->loose,
                                  item->camera, frame->sequence, wanted, frame->decode_us);
    if (wanted) {
        camera->next_wanted = frame->sequence + (uint64_t)p->frame_skip;
        camera->scheduled_epoch = frame->epoch;
        infer(p, lane, job);
    } else
        pass_through(p, job);
}

/* While the lane is opened, the camera's pictures stay in its mailbox, where newer ones replace
 * them, and nobody else waits. False: it has to give them out all the same, because it ends. */
static bool hold(struct sp_pipeline *p, const struct sp_batch_turn *turn, struct sp_lane *lane)
{
    if (!sp_batcher_hold(p->batcher, turn->camera, turn->width_px, turn->height_px))
        return false;
    if (atomic_load(&lane->state) != SP_LANE_OPENING) /* since it was looked at */
        sp_batcher_release(p->batcher);
    return true;
}

/* First a place in the engine, then the picture: live it may be a newer one by then, and where
 * there are several devices, nobody waits behind one that has no place. */
static int next_placed(struct sp_pipeline *p, struct sp_batch_item *item, int64_t timeout_us)
{
    struct sp_batch_turn turn;
    for (;;) {
        int result = sp_batcher_peek(p->batcher, &turn, timeout_us);
        if (result < 0)
            return result;
        if (turn.over || atomic_load(&p->broken) ||
            !is_wanted(p, turn.camera, turn.sequence, turn.epoch))
            break;
        struct sp_lane *lane =
            sp_lane_for(p, &p->cameras[turn.camera], turn.width_px, turn.height_px);
        if (lane && atomic_load(&lane->state) == SP_LANE_OPENING) {
            if (hold(p, &turn, lane))
                continue;
            break;
        }
        if (!lane || lane->open)
            break;
        if (p->device_count > 1) {
            try_open_slot(p, lane);
            continue;
        }
        submit_all(p); /* what is filled need not wait for the place */
        open_slot(p, lane, sp_detector_acquire(lane->detector));
        /* That may have taken its time: perhaps somebody else is to be preferred by now. */
    }
    sp_batcher_take(p->batcher, turn.camera, item);
    return SP_OK;
}

void *sp_scheduler_main(void *argument)
{
    struct sp_pipeline *p = argument;
    for (;;) {
        struct sp_batch_item item;
        int64_t timeout_us = any_open(p) ? PARTIAL_SLOT_WAIT_US : -1;
        bool placed = p->options.live || p->device_count > 1;
        int result = placed ? next_placed(p, &item, timeout_us)
                            : sp_batcher_next(p->batcher, &item, timeout_us);
        if (result == SP_ERR_CLOSED)
            break;
        if (result == SP_OK)
            schedule(p, &item);
        else
            submit_all(p);
    }
    submit_all(p);
    for (int i = 0; i < p->lane_count; i++)
        sp_speed_log_flush(&p->speed_log, &p->lanes[i].record);
    sp_speed_log_flush(&p->speed_log, &p->loose);
    sp_lanes_stop(p);
    for (int i = 0; i < p->device_count; i++)
        sp_queue_close(p->devices[i].tickets);
    return NULL;
}
