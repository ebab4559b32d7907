/* The result of one finished frame, without its pixels: made once, shared by reference.
 *
 * Data flow: a tracking worker gets one from the pool, the tracker and the map write into it -> the
 * pipeline's sink -> the hub, which gives it the camera's identity and clips its boxes -> viewers,
 * encoder, outputs, outbox, counting, each with a reference or for a call. The last unref returns
 * it to the pool. No stage copies the tracks to pass them on.
 *
 * Ownership: until it is shared (sp_hub_publish), its one owner may change it; afterwards it is
 * read-only. The pool grows to the number of results in use at once, which the hub's rings and the
 * outputs' queues bound, and keeps them: no allocation in the steady state. */
#pragma once

#include "base/error.h"
#include "frame.h"
#include "track.h"
#include "world_position.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_RESULT_NAME_BYTES = 64 };

struct sp_result_pool;

struct sp_result {
    int camera; /* camera index */
    uint64_t sequence;
    int64_t pts_us;
    int64_t received_us; /* sp_clock_us() when decoded */
    int64_t wall_us;     /* wall clock when decoded */
    bool inferred;       /* else predicted */
    bool failed;         /* inference was due, and the engine failed */
    const char *reason;  /* why it was inferred, with INFERENCE=need: static; or NULL */
    int width_px, height_px;
    double seen_width_px, seen_height_px; /* in square pixels */

    /* The hub's: */
    char name[SP_RESULT_NAME_BYTES]; /* of the camera */
    uint64_t generation;  /* of the camera index: differs for a later camera of the same index */
    uint64_t serial;      /* counts this camera's results from 1 */
    int64_t published_us; /* sp_clock_us() */

    size_t track_count;
    struct sp_track tracks[SP_TRACKS_MAX];
    bool has_world_positions;                          /* false: the camera has no calibration */
    struct sp_world_position positions[SP_TRACKS_MAX]; /* [track_count] */

    /* Private to result.c. */
    atomic_int refs;
    struct sp_result_pool *pool;
    struct sp_result *next_free;
};

/* SP_ERR_NO_MEMORY. */
int sp_result_pool_open(struct sp_result_pool **out, struct sp_error *err);

/* Results in use keep the pool's memory until their last unref. NULL is fine. */
void sp_result_pool_close(struct sp_result_pool *pool);

/* With one reference, without tracks and identity; the rest is that of the frame. NULL: out of
 * memory. Any thread. */
struct sp_result *sp_result_new(struct sp_result_pool *pool, const struct sp_frame *frame);

/* Any thread. */
struct sp_result *sp_result_ref(struct sp_result *result);
void sp_result_unref(struct sp_result *result); /* NULL is fine */
