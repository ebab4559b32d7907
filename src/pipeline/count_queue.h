/* A camera's frames on their way to the counting thread (live_counting.h).
 *
 * Data flow: one tracking worker -> sp_count_queue_put, which copies -> a ring of frames -> the
 * counting thread. Lock-free between one producer and one consumer. A frame's memory grows with the
 * largest number of tracks and is reused. */
#pragma once

#include "publish/hub.h"

#include <stdatomic.h>

enum { SP_COUNT_QUEUE_FRAMES = 64 };

struct sp_count_frame {
    int64_t time_us;    /* of the common clock */
    int64_t arrived_us; /* sp_clock_us() */
    int64_t wall_us;    /* wall clock less common clock */
    uint64_t sequence;
    int width_px, height_px;
    size_t count, capacity;
    bool mapped;
    struct sp_track *tracks;
    struct sp_world_position *positions;
};

struct sp_count_queue {
    atomic_bool wanted;     /* the camera's frames are needed */
    _Atomic uint64_t epoch; /* of the camera; 0: none */
    _Atomic int64_t put_us; /* sp_clock_us() of the last frame; 0: none */
    char name[SP_HUB_NAME_BYTES];
    bool checked; /* the consumer's: points in pixels are within the frame */

    atomic_uint head, tail; /* head: the consumer's; tail: the producer's */
    struct sp_count_frame frame[SP_COUNT_QUEUE_FRAMES];

    /* The producer's. */
    bool timed;
    int64_t base_us, used_base_us; /* the least delay of arrival after the pts; the one in use */
    int64_t pts_us, time_us;       /* of the last frame */
};

void sp_count_queue_release(struct sp_count_queue *queue);

/* A camera begins; no frame is inside. */
void sp_count_queue_begin(struct sp_count_queue *queue, const char *name, uint64_t epoch);

/* False: full, or out of memory. */
bool sp_count_queue_put(struct sp_count_queue *queue, const struct sp_result *result,
                        int64_t now_us);

/* The first frame, valid until it is dropped; NULL: none. */
const struct sp_count_frame *sp_count_queue_first(struct sp_count_queue *queue);
void sp_count_queue_drop(struct sp_count_queue *queue);
