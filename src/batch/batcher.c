#include "batch/batcher.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

struct mailbox {
    pthread_cond_t has_room;
    struct sp_frame **frames; /* ring [depth] */
    int head, count;
    bool ended; /* and the end not yet taken */
};

struct sp_batcher {
    pthread_mutex_t mutex;
    pthread_cond_t has_item;
    int cameras, depth;
    int turn; /* whose turn it is */
    bool live, closed;
    struct sp_ledger *ledgers;
    struct mailbox box[];
};

int sp_batcher_open(struct sp_batcher **out, const struct sp_batcher_options *options,
                    struct sp_error *err)
{
    size_t cameras = (size_t)options->cameras;
    struct sp_batcher *b = calloc(1, sizeof *b + cameras * sizeof b->box[0]);
    if (!b)
        return sp_fail(err, SP_ERR_NO_MEMORY, "batcher: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&b->mutex, NULL);
    pthread_cond_init(&b->has_item, &monotonic);
    pthread_condattr_destroy(&monotonic);
    b->cameras = options->cameras;
    b->depth = options->mailbox_frames;
    b->live = options->live;
    b->ledgers = options->ledgers;
    bool complete = true;
    for (int i = 0; i < b->cameras; i++) {
        pthread_cond_init(&b->box[i].has_room, NULL);
        b->box[i].frames = calloc((size_t)b->depth, sizeof(void *));
        complete = complete && b->box[i].frames;
    }
    if (!complete) {
        sp_batcher_free(b);
        return sp_fail(err, SP_ERR_NO_MEMORY, "mailboxes of %d cameras: out of memory",
                       options->cameras);
    }
    *out = b;
    return SP_OK;
}

static struct sp_frame *take_oldest(struct sp_batcher *b, struct mailbox *box)
{
    struct sp_frame *frame = box->frames[box->head];
    box->head = (box->head + 1) % b->depth;
    box->count--;
    return frame;
}

void sp_batcher_free(struct sp_batcher *batcher)
{
    if (!batcher)
        return;
    for (int i = 0; i < batcher->cameras; i++) {
        struct mailbox *box = &batcher->box[i];
        while (box->frames && box->count > 0)
            sp_frame_unref(take_oldest(batcher, box));
        free(box->frames);
        pthread_cond_destroy(&box->has_room);
    }
    pthread_cond_destroy(&batcher->has_item);
    pthread_mutex_destroy(&batcher->mutex);
    free(batcher);
}

int sp_batcher_push(struct sp_batcher *batcher, int camera, struct sp_frame *frame)
{
    struct mailbox *box = &batcher->box[camera];
    struct sp_frame *unwanted = NULL;
    int result = SP_OK;
    pthread_mutex_lock(&batcher->mutex);
    while (!batcher->live && !batcher->closed && box->count == batcher->depth)
        pthread_cond_wait(&box->has_room, &batcher->mutex);
    if (batcher->closed) {
        unwanted = frame;
        result = SP_ERR_CLOSED;
    } else {
        if (box->count == batcher->depth) {
            unwanted = take_oldest(batcher, box);
            sp_ledger_settle(&batcher->ledgers[camera], SP_OUTCOME_STALE, 1);
        }
        box->frames[(box->head + box->count) % batcher->depth] = frame;
        box->count++;
        pthread_cond_signal(&batcher->has_item);
    }
    pthread_mutex_unlock(&batcher->mutex);
    sp_frame_unref(unwanted);
    return result;
}

void sp_batcher_end_camera(struct sp_batcher *batcher, int camera)
{
    pthread_mutex_lock(&batcher->mutex);
    batcher->box[camera].ended = true;
    pthread_cond_signal(&batcher->has_item);
    pthread_mutex_unlock(&batcher->mutex);
}

/* The first camera from the turn on that has something. */
static bool take_by_turn(struct sp_batcher *b, struct sp_batch_item *item)
{
    for (int i = 0; i < b->cameras; i++) {
        int camera = (b->turn + i) % b->cameras;
        struct mailbox *box = &b->box[camera];
        if (box->count == 0 && !box->ended)
            continue;
        item->camera = camera;
        item->frame = NULL;
        if (box->count > 0) {
            item->frame = take_oldest(b, box);
            pthread_cond_signal(&box->has_room);
        } else {
            box->ended = false;
        }
        b->turn = (camera + 1) % b->cameras;
        return true;
    }
    return false;
}

int sp_batcher_next(struct sp_batcher *batcher, struct sp_batch_item *item, int64_t timeout_us)
{
    int64_t deadline_us = sp_clock_us() + timeout_us;
    struct timespec at = {.tv_sec = deadline_us / 1000000,
                          .tv_nsec = (deadline_us % 1000000) * 1000};
    int result = SP_OK;
    pthread_mutex_lock(&batcher->mutex);
    while (!take_by_turn(batcher, item)) {
        if (batcher->closed) {
            result = SP_ERR_CLOSED;
            break;
        }
        if (timeout_us < 0) {
            pthread_cond_wait(&batcher->has_item, &batcher->mutex);
        } else if (pthread_cond_timedwait(&batcher->has_item, &batcher->mutex, &at) == ETIMEDOUT) {
            result = take_by_turn(batcher, item) ? SP_OK : SP_ERR_TIMEOUT;
            break;
        }
    }
    pthread_mutex_unlock(&batcher->mutex);
    return result;
}

void sp_batcher_close(struct sp_batcher *batcher)
{
    pthread_mutex_lock(&batcher->mutex);
    batcher->closed = true;
    pthread_cond_broadcast(&batcher->has_item);
    for (int i = 0; i < batcher->cameras; i++)
        pthread_cond_broadcast(&batcher->box[i].has_room);
    pthread_mutex_unlock(&batcher->mutex);
}

size_t sp_batcher_depth(struct sp_batcher *batcher, int camera)
{
    pthread_mutex_lock(&batcher->mutex);
    size_t depth = (size_t)batcher->box[camera].count;
    pthread_mutex_unlock(&batcher->mutex);
    return depth;
}
