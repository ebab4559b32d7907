#include "store/read_ahead.h"

#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

enum { BATCHES = 3, FRAMES = 512, TRACKS = 4096 };

/* Consecutive frames. `result` is that of the reader after the last one: 1: more follow. */
struct batch {
    int count, result;
    size_t tracks_used;
    struct sp_error error;
    struct sp_read_frame frame[FRAMES];
    struct sp_stored_track track[TRACKS];
};

struct sp_read_ahead {
    struct sp_track_reader *reader;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards the four below */
    pthread_cond_t changed;
    bool stopping;
    unsigned filled, taken; /* batches since the begin */
    int at;                 /* the caller's: in the batch `taken`; -1: it has none */
    struct batch batch[BATCHES];
};

static void fill(struct sp_track_reader *reader, struct batch *b)
{
    b->count = 0;
    b->tracks_used = 0;
    while (b->count < FRAMES && b->tracks_used + SP_TRACKS_MAX <= TRACKS) {
        struct sp_read_frame *read = &b->frame[b->count];
        b->result = sp_track_reader_next(reader, read, &b->error);
        if (b->result != 1)
            return;
        struct sp_stored_track *tracks = &b->track[b->tracks_used];
        memcpy(tracks, read->frame.tracks, read->frame.count * sizeof *tracks);
        read->frame.tracks = tracks;
        b->tracks_used += read->frame.count;
        b->count++;
    }
}

static void *run(void *argument)
{
    struct sp_read_ahead *a = argument;
    bool more = true;
    pthread_mutex_lock(&a->mutex);
    while (more && !a->stopping) {
        if (a->filled - a->taken == BATCHES) {
            pthread_cond_wait(&a->changed, &a->mutex);
            continue;
        }
        struct batch *batch = &a->batch[a->filled % BATCHES];
        pthread_mutex_unlock(&a->mutex);
        fill(a->reader, batch);
        more = batch->result == 1;
        pthread_mutex_lock(&a->mutex);
        a->filled++;
        pthread_cond_signal(&a->changed);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

int sp_read_ahead_open(struct sp_read_ahead **out, struct sp_track_reader *reader,
                       struct sp_error *err)
{
    struct sp_read_ahead *a = calloc(1, sizeof *a);
    if (!a)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    a->reader = reader;
    a->at = -1;
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->changed, NULL);
    int result = sp_thread_start(&a->thread, "history-read", run, a, err);
    if (result < 0) {
        pthread_cond_destroy(&a->changed);
        pthread_mutex_destroy(&a->mutex);
        free(a);
        return result;
    }
    *out = a;
    return SP_OK;
}

void sp_read_ahead_close(struct sp_read_ahead *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

static struct batch *wait_for_batch(struct sp_read_ahead *a)
{
    pthread_mutex_lock(&a->mutex);
    while (a->filled == a->taken)
        pthread_cond_wait(&a->changed, &a->mutex);
    pthread_mutex_unlock(&a->mutex);
    a->at = 0;
    return &a->batch[a->taken % BATCHES];
}

static void return_batch(struct sp_read_ahead *a)
{
    pthread_mutex_lock(&a->mutex);
    a->taken++;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->mutex);
    a->at = -1;
}

int sp_read_ahead_next(struct sp_read_ahead *a, struct sp_read_frame *frame, struct sp_error *err)
{
    for (;;) {
        struct batch *b = a->at < 0 ? wait_for_batch(a) : &a->batch[a->taken % BATCHES];
        if (a->at < b->count) {
            *frame = b->frame[a->at++];
            return 1;
        }
        if (b->result != 1) {
            if (b->result < 0 && err)
                *err = b->error;
            return b->result;
        }
        return_batch(a);
    }
}
