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
static void choose_shape(const struct sp_pipeline *p, const struct sp_frame *frame, int *width_px,
                         int *height_px)
{
    static const double sides[] = {9.0 / 16, 3.0 / 4};
    const struct sp_model *model = &p->model;
    int size = p->settings->input_size_px, stride = model->stride_px;
    *width_px = model->fixed_width_px ? model->fixed_width_px : size;
    *height_px = model->fixed_height_px ? model->fixed_height_px : size;
    if (model->fixed_width_px || p->settings->square_input)
        return;
    int exact_width_px, exact_height_px;
    sp_letterbox_input_shape(frame->width_px, frame->height_px, size, stride, &exact_width_px,
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
    atomic_fetch_add(&p->lane_count, 1); /* readers see a complete lane */
    return lane;
}

static struct sp_lane *lane_for(struct sp_pipeline *p, const struct sp_frame *frame)
{
    struct sp_camera *camera = &p->cameras[frame->camera];
    if (camera->lane)
        return camera->lane;
    int width_px, height_px;
    choose_shape(p, frame, &width_px, &height_px);
    for (int i = 0; i < p->lane_count && !camera->lane; i++)
        if (p->lanes[i].width_px == width_px && p->lanes[i].height_px == height_px)
            camera->lane = &p->lanes[i];
    if (!camera->lane)
        camera->lane = open_lane(p, width_px, height_px);
    return camera->lane;
}

static void infer(struct sp_pipeline *p, struct sp_job *job)
{
    struct sp_error err = {0};
    struct sp_camera *camera = &p->cameras[job->camera];
    struct sp_lane *lane = atomic_load(&p->broken) ? NULL : lane_for(p, job->frame);
    if (!lane) {
        job->failed = true;
        pass_through(p, job);
        return;
    }
    if (!lane->open) {
        struct sp_ticket *ticket = new_ticket(p);
        ticket->detector = lane->detector;
        ticket->slot = sp_detector_acquire(lane->detector);
        lane->open = ticket;
    }
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

static void schedule(struct sp_pipeline *p, const struct sp_batch_item *item)
{
    struct sp_job *job = new_job(p, item);
    if (!item->frame) {
        pass_through(p, job);
        return;
    }
    const struct sp_frame *frame = item->frame;
    bool wanted = frame->sequence % (uint64_t)p->frame_skip == 0;
    sp_histogram_add(&p->cameras[item->camera].stages[SP_STAGE_WAIT].wall,
                     sp_clock_us() - frame->received_us);
    job->batch =
        sp_speed_log_add(&p->speed_log, item->camera, frame->sequence, wanted, frame->decode_us);
    if (wanted)
        infer(p, job);
    else
        pass_through(p, job);
}

void *sp_scheduler_main(void *argument)
{
    struct sp_pipeline *p = argument;
    for (;;) {
        struct sp_batch_item item;
        int result = sp_batcher_next(p->batcher, &item, any_open(p) ? PARTIAL_SLOT_WAIT_US : -1);
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
