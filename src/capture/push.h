/* A source whose frames come from the program that runs the pipeline, not from a URL.
 *
 * Data flow: sp_push_put (any thread) -> a queue of SP_PUSH_QUEUE frames -> sp_source_read on the
 * camera's thread. The queue is bounded: put waits for room for as long as its caller allows, and a
 * frame without room is not accepted, so it has no sequence number. Numbers are assigned in the
 * order of acceptance, times are the caller's.
 *
 * Ownership: shared by reference, by the caller and by the camera. Threads: all functions from any
 * thread; calls of put wait for each other. */
#pragma once

#include "frame.h"

struct sp_push;
struct sp_source_kind;

enum { SP_PUSH_QUEUE = 4 };

/* A frame's pts_us: one nominal frame period after the previous frame; live: the clock's. */
#define SP_PUSH_NO_TIME INT64_MIN

struct sp_push_options {
    double frame_rate; /* nominal; 0: unknown */
    bool live;         /* frames arrive in real time */
};

/* With one reference. SP_ERR_NO_MEMORY. */
int sp_push_open(struct sp_push **out, const struct sp_push_options *options, struct sp_error *err);
struct sp_push *sp_push_ref(struct sp_push *push);
void sp_push_unref(struct sp_push *push); /* NULL is fine */

/* Sets the frame's sequence, and pts_us if it has none, and takes its reference if the result is
 * SP_OK; *sequence, which may be NULL: its sequence. timeout_us: for room in the queue; negative:
 * no limit. SP_ERR_TIMEOUT: no room; SP_ERR_INVALID: the time is not after that of the previous
 * frame; SP_ERR_CLOSED: after sp_push_end or _close, or the camera has ended. */
int sp_push_put(struct sp_push *push, struct sp_frame *frame, int64_t timeout_us,
                uint64_t *sequence, struct sp_error *err);

/* No more frames: the source ends after those in the queue. */
void sp_push_end(struct sp_push *push);

/* The same, and the frames in the queue are dropped: the pipeline stops. */
void sp_push_close(struct sp_push *push);

/* For source.c: opens when sp_source_options.push is set. */
extern const struct sp_source_kind sp_source_kind_push;
