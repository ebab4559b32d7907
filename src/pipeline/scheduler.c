/* The scheduler's thread: gives every frame a job, and frames that are to be inferred a place in an
 * engine slot. It alone touches lanes and open tickets. */
#include "pipeline/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/loader.h"

/* How long a slot may wait for more frames before it is submitted as it is. */
static const int64_t PARTIAL_SLOT_WAIT_US = 2000;

static void push_ticket(struct sp_pipeline *p, struct sp_ticket *ticket)
{
    /* Never closed before the scheduler itself closes it. */
    sp_queue_push(p->tickets, ticket);
}

/* Submits the lane's open slot. A slot that the engine refuses goes on as failed jobs. */
static void submit(struct sp_pipeline *p, struct sp_lane *lane)
{
    struct sp_ticket *ticket = lane->open;
    struct sp_error err = {0};
    if (!ticket)
        return;
    lane->open = NULL;
    if (ticket->slot->images == 0) { /* taken for a picture that then went elsewhere */
        sp_detector_release(ticket->detector, ticket->slot);
        ticket->detector = NULL;
        if (ticket->first)
            push_ticket(p, ticket);
        else
            sp_queue_push(p->free_tickets, ticket);
        return;
    }
    atomic_fetch_add(&lane->images, (uint64_t)ticket->slot->images);
    if (sp_detector_submit(ticket->detector, ticket->slot, &err) < 0) {
        sp_ticket_fail(p, ticket, &err);
        sp_detector_release(ticket->detector, ticket->slot);
        ticket->detector = NULL;
    }
    push_ticket(p, ticket);
}

static void submit_all(struct sp_pipeline *p)
{
    for (int i = 0; i < p->lane_count; i++)
        submit(p, &p->lanes[i]);
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
    job->failed = false;
    job->batch = NULL;
    job->next = NULL;
    job->detection_count = 0;
    return job;
}

static void append_job(struct sp_ticket *ticket, struct sp_job *job)
{
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
        append_job(lane->open, job);
        return;
    }
    struct sp_ticket *ticket = new_ticket(p);
    append_job(ticket, job);
    push_ticket(p, ticket);
}

/* The input shape for a picture: the model's own, a square, or the first of 16:9, 4:3 and 1:1
 * (lying or standing) that holds it: so that a handful of compiled models serves any mix of
 * cameras, and which one a camera gets depends on nothing but its own first picture. */
static void choose_shape(const struct sp_pipeline *p, int picture_width_px, int picture_height_px,
                         int *width_px, int *height_px)
{
    static const double sides[] = {9.0 / 16, 3.0 / 4};
    const struct sp_model *model = &p->model;
    int size = p->settings->input_size_px, stride = model->stride_px;
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

void sp_lane_close(struct sp_lane *lane)
{
    while (lane->reserved_count > 0)
        sp_detector_release(lane->detector, lane->reserved[--lane->reserved_count]);
    sp_detector_close(lane->detector);
}

static struct sp_lane *open_lane(struct sp_pipeline *p, int width_px, int height_px)
{
    const struct sp_settings *s = p->settings;
    struct sp_error err = {0};
    struct sp_lane *lane = &p->lanes[p->lane_count];
    int batch = p->model.fixed_batch ? p->model.fixed_batch : s->engine_batch;
    struct sp_detector_options options = {
        .engine = p->engine,
        .model = &p->model,
        .precision = (enum spoton_precision)s->precision,
        .batch = batch > 0 ? batch : 1,
        .width_px = width_px,
        .height_px = height_px,
        .threads = p->cores,
        .streams = s->streams,
        .cache_dir = p->cache_dir[0] ? p->cache_dir : NULL,
        .extra = s->engine_options[0] ? s->engine_options : NULL,
        .head = {.score_threshold = s->confidence_threshold,
                 .nms_iou = s->nms_iou,
                 .class_wanted = p->class_wanted},
    };
    int64_t begin_us = sp_clock_us();
    pthread_setname_np(pthread_self(), "engine"); /* the engine's threads inherit the name */
    int result = sp_detector_open(&lane->detector, &options, &err);
    pthread_setname_np(pthread_self(), "scheduler");
    if (result < 0) {
        sp_pipeline_fail(p, &err);
        return NULL;
    }
    lane->width_px = width_px;
    lane->height_px = height_px;
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    sp_detector_describe(lane->detector, &d);
    sp_log(SP_LOG_INFO,
           "engine %s ready in %.1f s: %dx%d, batch %d, %s, %d streams, %d threads on %s",
           p->engine->name, (double)(sp_clock_us() - begin_us) / 1e6, width_px, height_px,
           options.batch, sp_precision_name(d.precision), d.streams, d.threads, d.device);
    reserve_slots(p, lane, &d);
    atomic_fetch_add(&p->lane_count, 1); /* readers see a complete lane */
    return lane;
}

/* By the camera's first picture; live also anew when its pictures change their size. */
static struct sp_lane *lane_for(struct sp_pipeline *p, struct sp_camera *camera, int width_px,
                                int height_px)
{
    bool resized = camera->lane_width_px != width_px || camera->lane_height_px != height_px;
    if (camera->lane && !(p->options.live && resized))
        return camera->lane;
    int lane_width_px, lane_height_px;
    choose_shape(p, width_px, height_px, &lane_width_px, &lane_height_px);
    struct sp_lane *lane = NULL;
    for (int i = 0; i < p->lane_count && !lane; i++)
        if (p->lanes[i].width_px == lane_width_px && p->lanes[i].height_px == lane_height_px)
            lane = &p->lanes[i];
    if (!lane)
        lane = open_lane(p, lane_width_px, lane_height_px);
    camera->lane = lane;
    camera->lane_width_px = width_px;
    camera->lane_height_px = height_px;
    return lane;
}

static void open_slot(struct sp_pipeline *p, struct sp_lane *lane)
{
    struct sp_ticket *ticket = new_ticket(p);
    ticket->detector = lane->detector;
    ticket->slot = sp_detector_acquire(lane->detector);
    lane->open = ticket;
}

static void infer(struct sp_pipeline *p, struct sp_job *job)
{
    struct sp_error err = {0};
    struct sp_camera *camera = &p->cameras[job->camera];
    struct sp_lane *lane = atomic_load(&p->broken)
                               ? NULL
                               : lane_for(p, camera, job->frame->width_px, job->frame->height_px);
    if (!lane) {
        job->failed = true;
        pass_through(p, job);
        return;
    }
    if (!lane->open)
        open_slot(p, lane);
    struct sp_stage_clock begin = sp_stage_begin();
    int image = lane->open->slot->images;
    if (sp_detector_fill(lane->detector, lane->open->slot, job->frame, &err) < 0) {
        sp_camera_fail(camera, &err);
        job->failed = true;
    } else {
        job->image = image;
    }
    sp_stage_end(&camera->stages[SP_STAGE_LETTERBOX], begin);
    append_job(lane->open, job);
    if (lane->open->slot->images == sp_detector_batch(lane->detector))
        submit(p, lane);
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

static void schedule(struct sp_pipeline *p, const struct sp_batch_item *item)
{
    struct sp_job *job = new_job(p, item);
    if (!item->frame) {
        pass_through(p, job);
        return;
    }
    const struct sp_frame *frame = item->frame;
    bool wanted = is_wanted(p, item->camera, frame->sequence, frame->epoch);
    sp_histogram_add(&p->cameras[item->camera].stages[SP_STAGE_WAIT].wall,
                     sp_clock_us() - frame->received_us);
    job->batch =
        sp_speed_log_add(&p->speed_log, item->camera, frame->sequence, wanted, frame->decode_us);
    if (wanted) {
        p->cameras[item->camera].next_wanted = frame->sequence + (uint64_t)p->frame_skip;
        p->cameras[item->camera].scheduled_epoch = frame->epoch;
        infer(p, job);
    } else
        pass_through(p, job);
}

/* Live: first a place in the engine, then the picture, which by then may be a newer one. */
static int next_live(struct sp_pipeline *p, struct sp_batch_item *item, int64_t timeout_us)
{
    struct sp_batch_turn turn;
    int result = sp_batcher_peek(p->batcher, &turn, timeout_us);
    if (result < 0)
        return result;
    if (!turn.over && is_wanted(p, turn.camera, turn.sequence, turn.epoch) &&
        !atomic_load(&p->broken)) {
        struct sp_lane *lane = lane_for(p, &p->cameras[turn.camera], turn.width_px, turn.height_px);
        if (lane && !lane->open) {
            submit_all(p); /* what is filled need not wait for the place */
            open_slot(p, lane);
        }
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
        int result = p->options.live ? next_live(p, &item, timeout_us)
                                     : sp_batcher_next(p->batcher, &item, timeout_us);
        if (result == SP_ERR_CLOSED)
            break;
        if (result == SP_OK)
            schedule(p, &item);
        else
            submit_all(p);
    }
    submit_all(p);
    sp_speed_log_flush(&p->speed_log);
    sp_queue_close(p->tickets);
    return NULL;
}
