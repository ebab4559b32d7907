/* How much time lies between the frames that a tracker is given, in nominal frame periods.
 *
 * The pipeline and `spoton track` take their steps from here, so that a results log that is tracked
 * again takes the same steps as the run that wrote it. One per tracker; one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sp_timestep {
    bool timestamps;   /* false: every update is one step, whatever lies between (the reference) */
    double frame_rate; /* nominal, of the source; 0: not known, frames are counted instead */
    int frame_skip;    /* without timestamps: frames from one update to the next */

    bool started;
    int64_t last_pts_us;
    uint64_t last_sequence;
};

/* The frame that is inferred next: the step for sp_tracker_update. With timestamps this is the
 * time since the last one. A step within 5 % of a whole number is taken for that number: time
 * stamps are rounded (to milliseconds in Matroska), and a step of just 1 is the reference's.
 * Time that does not move on is replaced by the count of frames. */
double sp_timestep_next(struct sp_timestep *step, uint64_t sequence, int64_t pts_us);

/* A frame after the last inferred one: the time for sp_tracker_predict. */
double sp_timestep_ahead(const struct sp_timestep *step, uint64_t sequence, int64_t pts_us);
