#include "capture/push.h"

#include "base/clock.h"
#include "capture/source_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static const int64_t SLICE_US = 100000; /* between checks of the source's flag */

struct sp_push {
    struct sp_push_options options;
    atomic_int refs;
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    struct sp_frame *queue[SP_PUSH_QUEUE];
    int first, count;
    bool ended, closed;
    uint64_t accepted; /* frames */
    int64_t last_pts_us, began_us;
};

/* The camera's side of it; the camera's thread. */
struct reader {
    struct sp_push *push;
    const atomic_bool *interrupted;
    int camera, skip; /* skip 1: all frames are returned */
    int64_t timeout_us;
    uint64_t undecoded; /* skipped since the last returned frame */
};

int sp_push_open(struct sp_push **out, const struct sp_push_options *options, struct sp_error *err)
{
    struct sp_push *push = calloc(1, sizeof *push);
    if (!push)
        return sp_fail(err, SP_ERR_NO_MEMORY, "pushed frames: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&push->mutex, NULL);
    pthread_cond_init(&push->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    atomic_init(&push->refs, 1);
    push->options = *options;
    *out = push;
    return SP_OK;
}

struct sp_push *sp_push_ref(struct sp_push *push)
{
    atomic_fetch_add_explicit(&push->refs, 1, memory_order_relaxed);
    return push;
}

void sp_push_unref(struct sp_push *push)
{
    if (!push || atomic_fetch_sub_explicit(&push->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (int i = 0; i < push->count; i++)
        sp_frame_unref(push->queue[(push->first + i) % SP_PUSH_QUEUE]);
    pthread_cond_destroy(&push->changed);
    pthread_mutex_destroy(&push->mutex);
    free(push);
}

/* With the mutex held. False: the deadline has passed. */
static bool wait_until(struct sp_push *push, int64_t deadline_us)
{
    struct timespec at = {.tv_sec = deadline_us / 1000000,
                          .tv_nsec = (deadline_us % 1000000) * 1000};
    return pthread_cond_timedwait(&push->changed, &push->mutex, &at) != ETIMEDOUT;
}

static int check_time(struct sp_push *push, struct sp_frame *frame, struct sp_error *err)
{
    double rate = push->options.frame_rate > 0 ? push->options.frame_rate : SP_FRAME_RATE_DEFAULT;
    int64_t now_us = sp_clock_us(), next_us = push->last_pts_us + (int64_t)(1e6 / rate);
    if (push->accepted == 0) {
        push->began_us = now_us;
        next_us = 0;
    }
    if (frame->pts_us == SP_PUSH_NO_TIME) {
        int64_t clock_us = now_us - push->began_us;
        frame->pts_us = push->options.live && push->accepted > 0 && clock_us > push->last_pts_us
                            ? clock_us
                            : next_us;
    } else if (push->accepted > 0 && frame->pts_us <= push->last_pts_us) {
        return sp_fail(err, SP_ERR_INVALID,
                       "pushed frame: time %lld us is not after the previous frame's, %lld us; "
                       "push frames in order, each once",
                       (long long)frame->pts_us, (long long)push->last_pts_us);
    }
    return SP_OK;
}

int sp_push_put(struct sp_push *push, struct sp_frame *frame, int64_t timeout_us,
                uint64_t *sequence, struct sp_error *err)
{
    int64_t deadline_us = sp_clock_us() + timeout_us;
    int result = SP_OK;
    pthread_mutex_lock(&push->mutex);
    while (push->count == SP_PUSH_QUEUE && !push->ended && !push->closed) {
        if (timeout_us < 0)
            pthread_cond_wait(&push->changed, &push->mutex);
        else if (timeout_us == 0 || !wait_until(push, deadline_us)) {
            if (push->count == SP_PUSH_QUEUE)
                result = sp_fail(err, SP_ERR_TIMEOUT,
                                 "pushed frame: %d frames are waiting; push it again, or drop it",
                                 push->count);
            break;
        }
    }
    if (result == SP_OK && (push->ended || push->closed))
        result = sp_fail(err, SP_ERR_CLOSED, "pushed frame: the camera has ended");
    if (result == SP_OK)
        result = check_time(push, frame, err);
    if (result == SP_OK) {
        frame->sequence = push->accepted++;
        if (sequence)
            *sequence = frame->sequence;
        frame->received_us = sp_clock_us();
        push->last_pts_us = frame->pts_us;
        push->queue[(push->first + push->count++) % SP_PUSH_QUEUE] = frame;
        pthread_cond_broadcast(&push->changed);
    }
    pthread_mutex_unlock(&push->mutex);
    return result;
}

void sp_push_end(struct sp_push *push)
{
    pthread_mutex_lock(&push->mutex);
    push->ended = true;
    pthread_cond_broadcast(&push->changed);
    pthread_mutex_unlock(&push->mutex);
}

void sp_push_close(struct sp_push *push)
{
    pthread_mutex_lock(&push->mutex);
    push->ended = push->closed = true;
    pthread_cond_broadcast(&push->changed);
    pthread_mutex_unlock(&push->mutex);
}

/* ---- the source ---- */

static bool accepts(const char *url)
{
    (void)url;
    return false; /* by its option only */
}

static int open_reader(void **out, const struct sp_source_options *options,
                       const atomic_bool *interrupted, struct sp_error *err)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader)
        return sp_fail(err, SP_ERR_NO_MEMORY, "pushed frames: out of memory");
    reader->push = sp_push_ref(options->push);
    reader->interrupted = interrupted;
    reader->camera = options->camera;
    reader->skip = options->sparse && options->frame_skip > 1 ? options->frame_skip : 1;
    reader->timeout_us = options->read_timeout_us;
    *out = reader;
    return SP_OK;
}

static void close_reader(void *self)
{
    struct reader *reader = self;
    sp_push_unref(reader->push);
    free(reader);
}

static void describe(const void *self, struct sp_source_info *info)
{
    const struct reader *reader = self;
    struct sp_push *push = reader->push;
    *info = (struct sp_source_info){.format = "push", .codec = "raw"};
    pthread_mutex_lock(&push->mutex);
    info->frame_rate = push->options.frame_rate;
    info->live = push->options.live;
    if (push->count > 0) {
        info->width_px = push->queue[push->first]->width_px;
        info->height_px = push->queue[push->first]->height_px;
    }
    pthread_mutex_unlock(&push->mutex);
}

/* With the mutex held. SP_ERR_END, SP_ERR_INTERRUPTED, SP_ERR_TIMEOUT. */
static int await_frame(struct reader *reader, struct sp_error *err)
{
    struct sp_push *push = reader->push;
    int64_t begin_us = sp_clock_us();
    for (;;) {
        if (atomic_load_explicit(reader->interrupted, memory_order_acquire))
            return sp_fail(err, SP_ERR_INTERRUPTED, "source: reading was interrupted");
        if (push->closed)
            return SP_ERR_END;
        if (push->count > 0)
            return SP_OK;
        if (push->ended)
            return SP_ERR_END;
        int64_t now_us = sp_clock_us();
        if (reader->timeout_us > 0 && now_us - begin_us >= reader->timeout_us)
            return sp_fail(err, SP_ERR_TIMEOUT, "pushed frames: none for %.1f s",
                           (double)reader->timeout_us / 1e6);
        wait_until(push, now_us + SLICE_US);
    }
}

static int read_frame(void *self, struct sp_frame **out, struct sp_error *err)
{
    struct reader *reader = self;
    struct sp_push *push = reader->push;
    struct sp_frame *frame = NULL;
    int result = SP_OK;
    while (!frame && result == SP_OK) {
        pthread_mutex_lock(&push->mutex);
        result = await_frame(reader, err);
        if (result == SP_OK) {
            frame = push->queue[push->first];
            push->first = (push->first + 1) % SP_PUSH_QUEUE;
            push->count--;
            pthread_cond_broadcast(&push->changed);
        }
        pthread_mutex_unlock(&push->mutex);
        if (frame && frame->sequence % (uint64_t)reader->skip != 0) {
            sp_frame_unref(frame);
            frame = NULL;
            reader->undecoded++;
        }
    }
    if (!frame)
        return result;
    frame->camera = reader->camera;
    frame->undecoded = (uint32_t)reader->undecoded;
    reader->undecoded = 0;
    *out = frame;
    return SP_OK;
}

static uint64_t count_failed(const void *self)
{
    (void)self;
    return 0;
}

static uint64_t count_tail(const void *self)
{
    return ((const struct reader *)self)->undecoded;
}

const struct sp_source_kind sp_source_kind_push = {
    .accepts = accepts,
    .open = open_reader,
    .close = close_reader,
    .info = describe,
    .read = read_frame,
    .failed = count_failed,
    .tail_undecoded = count_tail,
};
