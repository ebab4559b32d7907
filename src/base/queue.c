#include "base/queue.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct sp_queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty;
    pthread_cond_t not_full;
    size_t capacity;
    size_t head; /* index of the oldest item */
    size_t depth;
    bool closed;
    void *items[];
};

int sp_queue_open(struct sp_queue **out, size_t capacity, struct sp_error *err)
{
    struct sp_queue *q = calloc(1, sizeof *q + capacity * sizeof q->items[0]);
    if (!q)
        return sp_fail(err, SP_ERR_NO_MEMORY, "queue of %zu items: out of memory", capacity);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_cond_init(&q->not_empty, &monotonic);
    pthread_cond_init(&q->not_full, &monotonic);
    pthread_condattr_destroy(&monotonic);
    q->capacity = capacity;
    *out = q;
    return SP_OK;
}

void sp_queue_free(struct sp_queue *queue)
{
    if (!queue)
        return;
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->mutex);
    free(queue);
}

static int push(struct sp_queue *q, void *item, bool wait)
{
    int result = SP_OK;
    pthread_mutex_lock(&q->mutex);
    while (wait && !q->closed && q->depth == q->capacity)
        pthread_cond_wait(&q->not_full, &q->mutex);
    if (q->closed) {
        result = SP_ERR_CLOSED;
    } else if (q->depth == q->capacity) {
        result = SP_ERR_TIMEOUT;
    } else {
        q->items[(q->head + q->depth) % q->capacity] = item;
        q->depth++;
        pthread_cond_signal(&q->not_empty);
    }
    pthread_mutex_unlock(&q->mutex);
    return result;
}

int sp_queue_push(struct sp_queue *queue, void *item)
{
    return push(queue, item, true);
}

int sp_queue_try_push(struct sp_queue *queue, void *item)
{
    return push(queue, item, false);
}

/* Waits until there is an item, the queue closes or the deadline passes. */
static void wait_not_empty(struct sp_queue *q, int64_t timeout_us)
{
    if (timeout_us < 0) {
        while (!q->closed && q->depth == 0)
            pthread_cond_wait(&q->not_empty, &q->mutex);
        return;
    }
    int64_t deadline_us = sp_clock_us() + timeout_us;
    struct timespec at = {.tv_sec = deadline_us / 1000000,
                          .tv_nsec = (deadline_us % 1000000) * 1000};
    while (!q->closed && q->depth == 0)
        if (pthread_cond_timedwait(&q->not_empty, &q->mutex, &at) == ETIMEDOUT)
            return;
}

int sp_queue_pop(struct sp_queue *queue, void **item, int64_t timeout_us)
{
    int result = SP_OK;
    pthread_mutex_lock(&queue->mutex);
    if (timeout_us != 0)
        wait_not_empty(queue, timeout_us);
    if (queue->depth > 0) {
        *item = queue->items[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
        queue->depth--;
        pthread_cond_signal(&queue->not_full);
    } else {
        result = queue->closed ? SP_ERR_CLOSED : SP_ERR_TIMEOUT;
    }
    pthread_mutex_unlock(&queue->mutex);
    return result;
}

void sp_queue_close(struct sp_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->mutex);
}

size_t sp_queue_depth(struct sp_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    size_t depth = queue->depth;
    pthread_mutex_unlock(&queue->mutex);
    return depth;
}
