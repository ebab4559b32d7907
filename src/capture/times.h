/* Presentation times of a stream whose own clock may jump, stand or waver.
 *
 * Data flow: the stream's timestamp of each frame, in the order of display, goes in; a time that
 * strictly rises comes out. One frame whose timestamp does not fit is an outlier, in the past as in
 * the future: it comes one step after the frame before it and moves nothing else. Two in a row that
 * agree with each other are a clock that was set anew: later times are shifted alike, so that the
 * distances behind the jump stay true.
 *
 * A live stream is held against the clock of its arrival too: its time cannot run ahead of that.
 * A file's time may leap forward as it likes. A plain value, not thread-safe, knows nothing of
 * FFmpeg. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sp_times {
    bool live;
    int64_t period_us; /* the step where nothing else is known; > 0 */

    bool started;
    int64_t shift_us;            /* from the stream's time to ours */
    int64_t good_us, before_us;  /* our times of the last two frames that fitted */
    int64_t good_at_us;          /* when the last one arrived */
    int64_t last_us, last_at_us; /* what came out last, and when */
    int64_t odd_us;              /* the stream's time of the last frame, where it did not fit */
    int odd;                     /* frames in a row that did not */
};

/* After a start and after a jump to another place: the next frame is at its stream's time, with
 * times from then on above `last_us`. */
void sp_times_restart(struct sp_times *times, int64_t last_us);

/* `stream_us`: INT64_MIN where the frame has no timestamp. `now_us`: of its arrival; live only. */
int64_t sp_times_next(struct sp_times *times, int64_t stream_us, int64_t now_us);

/* Frames per second by timestamps in any order: the mean of the usual distances, so that outliers
 * and gaps do not count. Near `nominal` (0: none) it is that; else near a usual rate it is the
 * usual one. 0: too few to tell. Sorts stream_us. */
double sp_times_rate(int64_t *stream_us, int count, double nominal);
