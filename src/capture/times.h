/* Presentation times of a stream whose own clock may jump, stop or jitter.
 *
 * Data flow: the stream's timestamp of each frame, in display order -> a strictly rising time. A
 * single frame with an inconsistent timestamp, in the past or the future, is an outlier: it is
 * placed one step after the previous frame and changes nothing else. Two consecutive frames that
 * agree with each other are a clock that was set: later times are shifted by the same amount, so
 * that intervals after the jump are kept.
 *
 * The clock of a live stream is also compared with arrival times: it cannot run ahead of them. A
 * file's time may jump forward freely. A plain value, not thread-safe, independent of FFmpeg. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sp_times {
    bool live;
    int64_t period_us; /* the default step; > 0 */

    bool started;
    int64_t shift_us;            /* from the stream's time to the output's */
    int64_t good_us, before_us;  /* output times of the last two consistent frames */
    int64_t good_at_us;          /* arrival of the last one */
    int64_t last_us, last_at_us; /* the last output and its arrival */
    int64_t odd_us;              /* the stream's time of the last frame, if inconsistent */
    int odd;                     /* consecutive inconsistent frames */
};

/* After a start or a seek: the next frame keeps its stream's time, and times are above `last_us`
 * from then on. */
void sp_times_restart(struct sp_times *times, int64_t last_us);

/* `stream_us`: INT64_MIN without a timestamp. `now_us`: of arrival; used for live streams only. */
int64_t sp_times_next(struct sp_times *times, int64_t stream_us, int64_t now_us);

/* Frames per second from timestamps in any order: the mean of the usual intervals, without outliers
 * and gaps. Near `nominal` (0: none) the result is `nominal`; else near a usual rate, that rate.
 * 0: too few. Sorts stream_us. */
double sp_times_rate(int64_t *stream_us, int count, double nominal);
