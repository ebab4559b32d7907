/* The time between a tracker's frames, in nominal frame periods.
 *
 * Used by the pipeline and `spoton track`, so that tracking a results log again uses the same steps
 * as the run that wrote it. One per tracker; one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sp_timestep {
    bool timestamps;   /* false: every update is one step, whatever its time (the reference) */
    double frame_rate; /* nominal, of the source; 0: unknown, frames are counted instead */
    int frame_skip;    /* without timestamps: frames from one update to the next */

    bool started;
    int64_t last_pts_us;
    uint64_t last_sequence;
};

/* The step of the next inferred frame, for sp_tracker_update. With timestamps it is the time since
 * the last one. A step within 5 % of a whole number is rounded to it: timestamps are rounded (to
 * milliseconds in Matroska), and a step of exactly 1 is the reference's. If the time does not
 * advance, frames are counted. */
double sp_timestep_next(struct sp_timestep *step, uint64_t sequence, int64_t pts_us);

/* The time of a later frame without inference, for sp_tracker_predict. */
double sp_timestep_ahead(const struct sp_timestep *step, uint64_t sequence, int64_t pts_us);
