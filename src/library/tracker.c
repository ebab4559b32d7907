#include "track/tracker.h"
#include "library/internal.h"
#include "track/timestep.h"

#include <math.h>
#include <stdlib.h>

struct spoton_tracker {
    struct sp_tracker *tracker;
    struct sp_timestep step;
    uint64_t sequence;
    int64_t last_us, period_us;
    bool forget;
    struct sp_detection *detections; /* [capacity] */
    size_t capacity;
    struct sp_track tracks[SP_TRACKS_MAX];
};

_Static_assert((int)SPOTON_TRACKS_MAX == (int)SP_TRACKS_MAX, "the bounds of both are equal");
_Static_assert((int)SPOTON_DETECTIONS_MAX == (int)SP_DETECTIONS_MAX,
               "the bounds of both are equal");

static int open_tracker(struct spoton_tracker *t, const struct spoton_tracker_options *options,
                        struct sp_error *err)
{
    double rate = options->frame_rate;
    if (!(rate >= 0 && rate <= 1000))
        return sp_fail(err, SP_ERR_INVALID,
                       "tracker: frame_rate is %g; it must be 0 (unknown) to 1000", rate);
    struct sp_settings *settings = malloc(sizeof *settings);
    if (!settings)
        return sp_fail(err, SP_ERR_NO_MEMORY, "tracker: out of memory");
    if (options->settings)
        *settings = options->settings->values;
    else
        sp_settings_default(settings);
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    params.high_thresh = settings->track_high_thresh;
    params.low_thresh = settings->track_low_thresh;
    params.new_track_thresh = settings->track_new_thresh;
    params.match_thresh = settings->track_match_thresh;
    params.buffer_frames = settings->track_buffer_frames;
    t->step = (struct sp_timestep){.timestamps = settings->track_dt != SP_TRACK_DT_FRAMES,
                                   .frame_rate = rate,
                                   .frame_skip = 1};
    t->period_us = (int64_t)(1e6 / (rate > 0 ? rate : SP_FRAME_RATE_DEFAULT));
    int result = sp_settings_check(settings, err);
    if (result == SP_OK)
        result = sp_tracker_choose(&params, settings->tracker, err);
    if (result == SP_OK)
        result = sp_tracker_open(&t->tracker, &params, err);
    if (result == SP_OK)
        sp_tracker_set_frame_rate(t->tracker, rate);
    free(settings);
    return result;
}

int spoton_tracker_open(struct spoton_tracker **out, const struct spoton_tracker_options *options,
                        struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_tracker_options copy;
    int result = sp_library_copy(&copy, sizeof copy, options, "tracker options", &why);
    if (result < 0)
        return sp_library_return(err, result, &why);
    struct spoton_tracker *t = calloc(1, sizeof *t);
    result = t ? open_tracker(t, &copy, &why)
               : sp_fail(&why, SP_ERR_NO_MEMORY, "tracker: out of memory");
    if (result < 0) {
        spoton_tracker_close(t);
        return sp_library_return(err, result, &why);
    }
    *out = t;
    return SPOTON_OK;
}

void spoton_tracker_close(struct spoton_tracker *tracker)
{
    if (!tracker)
        return;
    sp_tracker_close(tracker->tracker);
    free(tracker->detections);
    free(tracker);
}

static int copy_detections(struct spoton_tracker *t, const struct spoton_detection *from,
                           size_t count, struct sp_error *err)
{
    if (count > t->capacity) {
        struct sp_detection *grown = realloc(t->detections, count * sizeof *grown);
        if (!grown)
            return sp_fail(err, SP_ERR_NO_MEMORY, "tracker: out of memory");
        t->detections = grown;
        t->capacity = count;
    }
    for (size_t i = 0; i < count; i++) {
        const struct spoton_detection *d = &from[i];
        if (!isfinite(d->x1) || !isfinite(d->y1) || !isfinite(d->x2) || !isfinite(d->y2) ||
            !isfinite(d->confidence))
            return sp_fail(err, SP_ERR_INVALID,
                           "tracker: detection %zu has a value that is not a finite number", i);
        t->detections[i] = (struct sp_detection){.x1_px = d->x1,
                                                 .y1_px = d->y1,
                                                 .x2_px = d->x2,
                                                 .y2_px = d->y2,
                                                 .confidence = d->confidence,
                                                 .class_id = d->class_id};
    }
    return SP_OK;
}

static int accept(struct spoton_tracker *t, const struct spoton_detection *detections,
                  size_t detection_count, int64_t time_us, struct sp_error *err)
{
    if (t->step.started && time_us <= t->last_us)
        return sp_fail(err, SP_ERR_INVALID,
                       "tracker: time %lld us is not after the previous frame's, %lld us; "
                       "give frames in order",
                       (long long)time_us, (long long)t->last_us);
    return copy_detections(t, detections, detection_count, err);
}

int spoton_tracker_update(struct spoton_tracker *tracker, const struct spoton_detection *detections,
                          size_t detection_count, int64_t time_us, struct spoton_track *tracks,
                          size_t capacity, size_t *count, struct spoton_error *err)
{
    struct spoton_tracker *t = tracker;
    struct sp_error why = {0};
    if (time_us == SPOTON_NO_TIME)
        time_us = t->step.started ? t->last_us + t->period_us : 0;
    int result = accept(t, detections, detection_count, time_us, &why);
    if (result < 0)
        return sp_library_return(err, result, &why);
    double dt_frames = sp_timestep_next(&t->step, t->sequence++, time_us);
    t->last_us = time_us;
    if (t->forget)
        dt_frames = INFINITY; /* drops all tracks */
    t->forget = false;
    size_t found =
        sp_tracker_update(t->tracker, t->detections, detection_count, dt_frames, t->tracks);
    *count = found < capacity ? found : capacity;
    for (size_t i = 0; i < *count; i++)
        tracks[i] = sp_library_track(&t->tracks[i], NULL, NULL);
    return SPOTON_OK;
}

void spoton_tracker_reset(struct spoton_tracker *tracker)
{
    tracker->forget = true;
}
