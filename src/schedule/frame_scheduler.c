#include "schedule/frame_scheduler.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* After this many frames of other cameras, one of a camera that is not healthy is next. */
enum { PASSED_OVER_MAX = 8 };

struct mailbox {
    pthread_cond_t has_capacity;
    struct sp_frame **frames; /* ring [depth] */
    int head, count;
    int out;     /* taken and not done */
    int credits; /* of these, at most; 0: no limit */
    bool ended;  /* its end has not been taken yet */
    bool over;   /* its end was taken */
    bool healthy;
    int passed_over; /* how often its frame was skipped; unhealthy cameras only */
    bool held;       /* its frames of this size */
    int held_width_px, held_height_px;
    int group; /* -1: none */
};

struct sp_frame_scheduler {
    pthread_mutex_t mutex;
    pthread_cond_t has_item;
    int cameras, depth, credits;
    int turn;            /* the camera whose turn it is */
    int unhealthy_limit; /* frames in flight of all unhealthy cameras, while others are healthy */
    bool live, by_time, closed;
    bool full[SP_GROUPS_MAX];
    struct sp_ledger *ledgers;
    struct mailbox box[];
};

int sp_frame_scheduler_open(struct sp_frame_scheduler **out,
                            const struct sp_frame_scheduler_options *options, struct sp_error *err)
{
    size_t cameras = (size_t)options->cameras;
    struct sp_frame_scheduler *b = calloc(1, sizeof *b + cameras * sizeof b->box[0]);
    if (!b)
        return sp_fail(err, SP_ERR_NO_MEMORY, "scheduler: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->has_item, &monotonic);
    pthread_condattr_destroy(&monotonic);
    b->cameras = options->cameras;
    b->depth = options->mailbox_frames;
    b->live = options->live;
    b->by_time = options->by_time && !options->live;
    b->credits = options->credits;
    b->unhealthy_limit = 1;
    b->ledgers = options->ledgers;
    bool complete = true;
    for (int i = 0; i < b->cameras; i++) {
        pthread_cond_init(&b->box[i].has_capacity, NULL);
        b->box[i].group = -1;
        b->box[i].credits = options->credits;
        b->box[i].frames = calloc((size_t)b->depth, sizeof(void *));
        complete = complete && b->box[i].frames;
    }
    if (!complete) {
        sp_frame_scheduler_free(b);
        return sp_fail(err, SP_ERR_NO_MEMORY, "mailboxes of %d cameras: out of memory",
                       options->cameras);
    }
    *out = b;
    return SP_OK;
}

static struct sp_frame *take_oldest(struct sp_frame_scheduler *b, struct mailbox *box)
{
    struct sp_frame *frame = box->frames[box->head];
    box->head = (box->head + 1) % b->depth;
    box->count--;
    return frame;
}

void sp_frame_scheduler_free(struct sp_frame_scheduler *scheduler)
{
    if (!scheduler)
        return;
    for (int i = 0; i < scheduler->cameras; i++) {
        struct mailbox *box = &scheduler->box[i];
        while (box->frames && box->count > 0)
            sp_frame_unref(take_oldest(scheduler, box));
        free(box->frames);
        pthread_cond_destroy(&box->has_capacity);
    }
    pthread_cond_destroy(&scheduler->has_item);
    pthread_mutex_destroy(&scheduler->mutex);
    free(scheduler);
}

int sp_frame_scheduler_push(struct sp_frame_scheduler *scheduler, int camera,
                            struct sp_frame *frame)
{
    struct mailbox *box = &scheduler->box[camera];
    struct sp_frame *unwanted = NULL;
    int result = SP_OK;
    pthread_mutex_lock(&scheduler->mutex);
    while (!scheduler->live && !scheduler->closed && box->count == scheduler->depth)
        pthread_cond_wait(&box->has_capacity, &scheduler->mutex);
    if (scheduler->closed) {
        unwanted = frame;
        result = SP_ERR_CLOSED;
    } else {
        if (box->count == scheduler->depth) {
            unwanted = take_oldest(scheduler, box);
            sp_ledger_settle(&scheduler->ledgers[camera], SP_OUTCOME_DROPPED, 1);
        }
        box->frames[(box->head + box->count) % scheduler->depth] = frame;
        box->count++;
        pthread_cond_signal(&scheduler->has_item);
    }
    pthread_mutex_unlock(&scheduler->mutex);
    sp_frame_unref(unwanted);
    return result;
}

void sp_frame_scheduler_end_camera(struct sp_frame_scheduler *scheduler, int camera)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->box[camera].ended = true;
    pthread_cond_signal(&scheduler->has_item);
    pthread_mutex_unlock(&scheduler->mutex);
}

static bool must_release(const struct sp_frame_scheduler *b, const struct mailbox *box)
{
    return b->closed || box->ended;
}

static bool is_held(const struct sp_frame_scheduler *b, const struct mailbox *box)
{
    int width_px, height_px;
    if (!box->held || must_release(b, box))
        return false;
    sp_frame_square_size_px(box->frames[box->head], &width_px, &height_px);
    return width_px == box->held_width_px && height_px == box->held_height_px;
}

/* What the health of the cameras allows at this moment. */
struct rank {
    bool matters;        /* there are cameras of both kinds */
    bool unhealthy_full; /* the unhealthy cameras have enough frames in flight */
};

static struct rank rank_cameras(const struct sp_frame_scheduler *b)
{
    bool any_healthy = false;
    struct rank rank = {0};
    int unhealthy_out = 0;
    for (int i = 0; i < b->cameras; i++)
        any_healthy = any_healthy || b->box[i].healthy;
    for (int i = 0; any_healthy && i < b->cameras; i++) {
        const struct mailbox *box = &b->box[i];
        rank.matters = rank.matters || (!box->healthy && box->count > 0);
        unhealthy_out += box->healthy ? 0 : box->out;
    }
    rank.unhealthy_full = unhealthy_out >= b->unhealthy_limit;
    return rank;
}

static bool has_frame(const struct sp_frame_scheduler *b, const struct mailbox *box)
{
    return box->count > 0 && (box->credits == 0 || box->out < box->credits) && !is_held(b, box) &&
           (box->group < 0 || !b->full[box->group]);
}

/* The next camera, counted from the turn: healthy cameras and ends, which need no request, come
 * first. -1: none. */
static int find_turn(const struct sp_frame_scheduler *b)
{
    struct rank rank = rank_cameras(b);
    int first = -1, second = -1;
    for (int i = 0; i < b->cameras; i++) {
        int camera = (b->turn + i) % b->cameras;
        const struct mailbox *box = &b->box[camera];
        bool has = has_frame(b, box);
        if (!has && !(box->count == 0 && box->ended))
            continue;
        if (!has || box->healthy || !rank.matters || must_release(b, box))
            first = first < 0 ? camera : first;
        else if (!rank.unhealthy_full &&
                 (second < 0 || box->passed_over > b->box[second].passed_over))
            second = camera;
    }
    bool overdue = second >= 0 && b->box[second].passed_over >= PASSED_OVER_MAX;
    return first < 0 || overdue ? second : first;
}

/* The camera with the earliest frame, once every camera has one or has ended; ends come first. -1:
 * none. */
static int find_earliest(const struct sp_frame_scheduler *b)
{
    int earliest = -1;
    bool waits = false;
    for (int i = 0; i < b->cameras; i++) {
        const struct mailbox *box = &b->box[i];
        if (box->count == 0 && box->ended)
            return i;
        if (box->count == 0) {
            waits = waits || !box->over;
            continue;
        }
        if (earliest < 0 ||
            box->frames[box->head]->pts_us < b->box[earliest].frames[b->box[earliest].head]->pts_us)
            earliest = i;
    }
    if (earliest < 0 || (waits && !b->closed))
        return -1;
    return has_frame(b, &b->box[earliest]) ? earliest : -1;
}

static void count_passed_over(struct sp_frame_scheduler *b, int taken)
{
    for (int i = 0; i < b->cameras; i++) {
        struct mailbox *box = &b->box[i];
        if (i == taken)
            box->passed_over = 0;
        else if (!box->healthy && has_frame(b, box) && box->passed_over < PASSED_OVER_MAX)
            box->passed_over++;
    }
}

static void take(struct sp_frame_scheduler *b, int camera, struct sp_schedule_item *item)
{
    struct mailbox *box = &b->box[camera];
    item->camera = camera;
    item->frame = NULL;
    if (box->count > 0) {
        item->frame = take_oldest(b, box);
        box->out++;
        pthread_cond_signal(&box->has_capacity);
        count_passed_over(b, camera);
    } else {
        box->ended = box->healthy = false;
        box->over = true;
    }
    b->turn = (camera + 1) % b->cameras;
}

/* A camera that waits for a credit still has its frame. */
static bool is_empty(const struct sp_frame_scheduler *b)
{
    for (int i = 0; i < b->cameras; i++)
        if (b->box[i].count > 0)
            return false;
    return true;
}

/* With the mutex held: a camera, SP_ERR_TIMEOUT or SP_ERR_CLOSED. */
static int wait_turn(struct sp_frame_scheduler *b, int64_t timeout_us)
{
    int64_t deadline_us = sp_clock_us() + timeout_us;
    struct timespec at = {.tv_sec = deadline_us / 1000000,
                          .tv_nsec = (deadline_us % 1000000) * 1000};
    int camera;
    while ((camera = b->by_time ? find_earliest(b) : find_turn(b)) < 0) {
        if (b->closed && is_empty(b))
            return SP_ERR_CLOSED;
        if (timeout_us == 0)
            return SP_ERR_TIMEOUT;
        if (timeout_us < 0) {
            pthread_cond_wait(&b->has_item, &b->mutex);
        } else if (pthread_cond_timedwait(&b->has_item, &b->mutex, &at) == ETIMEDOUT) {
            camera = b->by_time ? find_earliest(b) : find_turn(b);
            return camera < 0 ? SP_ERR_TIMEOUT : camera;
        }
    }
    return camera;
}

int sp_frame_scheduler_next(struct sp_frame_scheduler *scheduler, struct sp_schedule_item *item,
                            int64_t timeout_us)
{
    pthread_mutex_lock(&scheduler->mutex);
    int camera = wait_turn(scheduler, timeout_us);
    if (camera >= 0)
        take(scheduler, camera, item);
    pthread_mutex_unlock(&scheduler->mutex);
    return camera < 0 ? camera : SP_OK;
}

int sp_frame_scheduler_peek(struct sp_frame_scheduler *scheduler, struct sp_schedule_turn *turn,
                            int64_t timeout_us)
{
    pthread_mutex_lock(&scheduler->mutex);
    int camera = wait_turn(scheduler, timeout_us);
    if (camera >= 0) {
        const struct mailbox *box = &scheduler->box[camera];
        *turn = (struct sp_schedule_turn){.camera = camera, .over = box->count == 0};
        if (!turn->over) {
            const struct sp_frame *frame = box->frames[box->head];
            sp_frame_square_size_px(frame, &turn->width_px, &turn->height_px);
            turn->sequence = frame->sequence;
            turn->epoch = frame->epoch;
        }
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return camera < 0 ? camera : SP_OK;
}

void sp_frame_scheduler_take(struct sp_frame_scheduler *scheduler, int camera,
                             struct sp_schedule_item *item)
{
    pthread_mutex_lock(&scheduler->mutex);
    take(scheduler, camera, item);
    pthread_mutex_unlock(&scheduler->mutex);
}

bool sp_frame_scheduler_hold(struct sp_frame_scheduler *scheduler, int camera, int width_px,
                             int height_px)
{
    struct mailbox *box = &scheduler->box[camera];
    pthread_mutex_lock(&scheduler->mutex);
    bool held = !must_release(scheduler, box);
    if (held) {
        box->held = true;
        box->held_width_px = width_px;
        box->held_height_px = height_px;
    }
    pthread_mutex_unlock(&scheduler->mutex);
    return held;
}

void sp_frame_scheduler_release(struct sp_frame_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->mutex);
    for (int i = 0; i < scheduler->cameras; i++)
        scheduler->box[i].held = false;
    pthread_cond_broadcast(&scheduler->has_item);
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_set_healthy(struct sp_frame_scheduler *scheduler, int camera, bool healthy)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->box[camera].healthy = healthy;
    pthread_cond_signal(&scheduler->has_item); /* another camera may be next */
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_set_capacity(struct sp_frame_scheduler *scheduler, int frames)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->unhealthy_limit = frames > 2 ? frames - 1 : 1;
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_set_group(struct sp_frame_scheduler *scheduler, int camera, int group)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->box[camera].group = group;
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_set_full(struct sp_frame_scheduler *scheduler, int group, bool full)
{
    pthread_mutex_lock(&scheduler->mutex);
    bool changed = scheduler->full[group] != full;
    scheduler->full[group] = full;
    if (changed && !full)
        pthread_cond_signal(&scheduler->has_item);
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_set_credits(struct sp_frame_scheduler *scheduler, int camera, int frames)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->box[camera].credits = frames > 0 ? frames : scheduler->credits;
    pthread_cond_signal(&scheduler->has_item);
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_done(struct sp_frame_scheduler *scheduler, int camera)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->box[camera].out--;
    pthread_cond_signal(&scheduler->has_item);
    pthread_mutex_unlock(&scheduler->mutex);
}

void sp_frame_scheduler_close(struct sp_frame_scheduler *scheduler)
{
    pthread_mutex_lock(&scheduler->mutex);
    scheduler->closed = true;
    pthread_cond_broadcast(&scheduler->has_item);
    for (int i = 0; i < scheduler->cameras; i++)
        pthread_cond_broadcast(&scheduler->box[i].has_capacity);
    pthread_mutex_unlock(&scheduler->mutex);
}

size_t sp_frame_scheduler_depth(struct sp_frame_scheduler *scheduler, int camera)
{
    pthread_mutex_lock(&scheduler->mutex);
    size_t depth = (size_t)scheduler->box[camera].count;
    pthread_mutex_unlock(&scheduler->mutex);
    return depth;
}
