#include "track/timestep.h"

#include <math.h>

static double frames_since_last(const struct sp_timestep *step, uint64_t sequence, int64_t pts_us)
{
    double images = sequence > step->last_sequence ? (double)(sequence - step->last_sequence) : 1;
    if (!step->timestamps)
        return images / (step->frame_skip > 1 ? step->frame_skip : 1);
    double frames = ((double)pts_us - (double)step->last_pts_us) * step->frame_rate / 1e6;
    if (!(frames > 0))
        return images;
    double whole = round(frames);
    return fabs(frames - whole) <= 0.05 && whole >= 1 ? whole : frames;
}

double sp_timestep_next(struct sp_timestep *step, uint64_t sequence, int64_t pts_us)
{
    double frames = 1;
    if (step->started && step->timestamps)
        frames = frames_since_last(step, sequence, pts_us);
    step->started = true;
    step->last_sequence = sequence;
    step->last_pts_us = pts_us;
    return frames;
}

double sp_timestep_ahead(const struct sp_timestep *step, uint64_t sequence, int64_t pts_us)
{
    return step->started ? frames_since_last(step, sequence, pts_us) : 0;
}
