#include "pipeline/count_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As in map.c: a camera's clock drifts against the server's, and the least recent delay is the
 * camera's own. */
static const int64_t DRIFT_US_A_SECOND = 1000, NEW_START_US = 2000000;
/* A lower delay takes effect gradually, at a tenth of the time that passes, so that no frame is
 * before its predecessor and steps stay close to those of the pts. */
enum { SLEW_PART = 10, TRACKS_FIRST = 16 };

void sp_count_queue_release(struct sp_count_queue *queue)
{
    for (int i = 0; i < SP_COUNT_QUEUE_FRAMES; i++) {
        free(queue->frame[i].tracks);
        free(queue->frame[i].positions);
        queue->frame[i].tracks = NULL;
        queue->frame[i].positions = NULL;
    }
}

void sp_count_queue_begin(struct sp_count_queue *queue, const char *name, uint64_t epoch)
{
    snprintf(queue->name, sizeof queue->name, "%s", name);
    queue->timed = false;
    queue->checked = false;
    atomic_store(&queue->put_us, 0);
    atomic_store(&queue->epoch, epoch);
}

static int64_t time_of(struct sp_count_queue *queue, const struct sp_result *result)
{
    int64_t delay_us = result->received_us - result->pts_us;
    int64_t passed_us = result->pts_us - queue->pts_us;
    bool follows = queue->timed && passed_us >= 0 && passed_us < NEW_START_US &&
                   delay_us < queue->base_us + NEW_START_US;
    if (follows) {
        queue->base_us += passed_us * DRIFT_US_A_SECOND / 1000000;
        if (delay_us < queue->base_us)
            queue->base_us = delay_us;
        int64_t step_us = passed_us / SLEW_PART, change_us = queue->base_us - queue->used_base_us;
        if (change_us < -step_us)
            change_us = -step_us;
        queue->used_base_us += change_us;
    } else {
        queue->base_us = queue->used_base_us = delay_us;
    }
    int64_t time_us = result->pts_us + queue->used_base_us;
    if (queue->timed && time_us <= queue->time_us)
        time_us = queue->time_us + 1;
    queue->timed = true;
    queue->pts_us = result->pts_us;
    queue->time_us = time_us;
    return time_us;
}

static bool has_room(struct sp_count_frame *frame, size_t count)
{
    if (count <= frame->capacity)
        return true;
    size_t capacity = frame->capacity ? frame->capacity : TRACKS_FIRST;
    while (capacity < count)
        capacity *= 2;
    free(frame->tracks);
    free(frame->positions);
    frame->tracks = malloc(capacity * sizeof *frame->tracks);
    frame->positions = malloc(capacity * sizeof *frame->positions);
    frame->capacity = frame->tracks && frame->positions ? capacity : 0;
    return frame->capacity > 0;
}

bool sp_count_queue_put(struct sp_count_queue *queue, const struct sp_result *result,
                        int64_t now_us)
{
    unsigned tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    unsigned head = atomic_load_explicit(&queue->head, memory_order_acquire);
    int64_t time_us = time_of(queue, result);
    struct sp_count_frame *frame = &queue->frame[tail % SP_COUNT_QUEUE_FRAMES];
    if (tail - head == SP_COUNT_QUEUE_FRAMES || !has_room(frame, result->track_count))
        return false;
    frame->time_us = time_us;
    frame->arrived_us = now_us;
    frame->wall_us = result->wall_us - result->received_us;
    frame->sequence = result->sequence;
    frame->width_px = result->width_px;
    frame->height_px = result->height_px;
    frame->count = result->track_count;
    frame->mapped = result->has_world_positions;
    for (size_t i = 0; i < frame->count; i++) {
        frame->tracks[i] = result->tracks[i];
        if (frame->mapped)
            frame->positions[i] = result->positions[i];
    }
    atomic_store(&queue->put_us, now_us);
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
    return true;
}

const struct sp_count_frame *sp_count_queue_first(struct sp_count_queue *queue)
{
    unsigned head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    unsigned tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
    return head == tail ? NULL : &queue->frame[head % SP_COUNT_QUEUE_FRAMES];
}

void sp_count_queue_drop(struct sp_count_queue *queue)
{
    atomic_fetch_add_explicit(&queue->head, 1, memory_order_release);
}
