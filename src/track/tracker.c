#include "track/tracker.h"

#include "track/adaptive.h"
#include "track/bytetrack.h"
#include "track/plugin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double FRAME_RATE_DEFAULT = 30;

struct sp_tracker {
    const struct sp_tracker_type *type;
    void *state;
    double frame_rate;
    uint64_t sequence; /* of the next update */
    bool needs_frame;
    const struct sp_frame *frame; /* of the next update */
};

void sp_tracker_params_default(struct sp_tracker_params *params)
{
    *params = (struct sp_tracker_params){
        .high_thresh = 0.5,
        .low_thresh = 0.1,
        .new_track_thresh = 0.6,
        .match_thresh = 0.8,
        .second_match_thresh = 0.5,
        .unconfirmed_match_thresh = 0.7,
        .duplicate_iou = 0.85,
        .buffer_frames = 30,
    };
}

int sp_tracker_choose(struct sp_tracker_params *params, const char *name, struct sp_error *err)
{
    const char *question = strchr(name, '?');
    size_t length = question ? (size_t)(question - name) : strlen(name);
    char plugin[4096];
    params->plugin = NULL;
    params->options = question ? question + 1 : NULL;
    params->tracker =
        strcmp(name, sp_adaptive_type.name) == 0 ? SP_TRACKER_SPOTON : SP_TRACKER_BYTETRACK;
    if (name[0] == '\0' || params->tracker == SP_TRACKER_SPOTON ||
        strcmp(name, sp_bytetrack_type.name) == 0)
        return SP_OK;
    snprintf(plugin, sizeof plugin, "%.*s", (int)length, name);
    return sp_tracker_plugin_load(&params->plugin, plugin, err);
}

static int check_params(const struct sp_tracker_params *p, struct sp_error *err)
{
    const struct {
        const char *name;
        double value;
    } checked[] = {
        {"high_thresh", p->high_thresh},
        {"low_thresh", p->low_thresh},
        {"new_track_thresh", p->new_track_thresh},
        {"match_thresh", p->match_thresh},
        {"second_match_thresh", p->second_match_thresh},
        {"unconfirmed_match_thresh", p->unconfirmed_match_thresh},
        {"duplicate_iou", p->duplicate_iou},
        {"buffer_frames", p->buffer_frames},
    };
    for (size_t i = 0; i < sizeof checked / sizeof *checked; i++)
        if (!isfinite(checked[i].value) || checked[i].value < 0)
            return sp_fail(err, SP_ERR_INVALID, "tracker: %s is %g; it must be 0 or more",
                           checked[i].name, checked[i].value);
    return SP_OK;
}

int sp_tracker_open(struct sp_tracker **out, const struct sp_tracker_params *params,
                    struct sp_error *err)
{
    int rc = check_params(params, err);
    if (rc)
        return rc;
    struct sp_tracker *t = calloc(1, sizeof *t);
    if (!t)
        return sp_fail(err, SP_ERR_NO_MEMORY, "tracker: out of memory");
    t->type = params->tracker == SP_TRACKER_SPOTON ? &sp_adaptive_type : &sp_bytetrack_type;
    if (params->plugin) {
        t->type = &sp_plugin_tracker_type;
        t->needs_frame = (params->plugin->needs & SPOTON_TRACKER_NEEDS_FRAME) != 0;
    }
    t->frame_rate = FRAME_RATE_DEFAULT;
    rc = t->type->open(&t->state, params, err);
    if (rc) {
        free(t);
        return rc;
    }
    *out = t;
    return SP_OK;
}

void sp_tracker_close(struct sp_tracker *tracker)
{
    if (!tracker)
        return;
    tracker->type->close(tracker->state);
    free(tracker);
}

void sp_tracker_set_frame_rate(struct sp_tracker *tracker, double frame_rate)
{
    tracker->frame_rate = frame_rate > 0 ? frame_rate : FRAME_RATE_DEFAULT;
}

bool sp_tracker_needs_frame(const struct sp_tracker *tracker)
{
    return tracker->needs_frame;
}

void sp_tracker_set_frame(struct sp_tracker *tracker, const struct sp_frame *frame)
{
    tracker->frame = frame;
}

size_t sp_tracker_update(struct sp_tracker *tracker, const struct sp_detection *detections,
                         size_t detection_count, double dt_frames,
                         struct sp_track tracks[SP_TRACKS_MAX])
{
    const struct sp_tracker_input in = {
        .detections = detections,
        .detection_count = detection_count,
        .dt_frames = dt_frames,
        .dt_s = dt_frames / tracker->frame_rate,
        .sequence = tracker->sequence++,
        .frame = tracker->frame,
    };
    return tracker->type->update(tracker->state, &in, tracks);
}

size_t sp_tracker_predict(const struct sp_tracker *tracker, double dt_frames,
                          struct sp_track tracks[SP_TRACKS_MAX])
{
    const struct sp_tracker_time ahead = {dt_frames, dt_frames / tracker->frame_rate};
    return tracker->type->predict(tracker->state, &ahead, tracks);
}

void sp_tracker_set_sequence(struct sp_tracker *tracker, uint64_t sequence)
{
    tracker->sequence = sequence;
}

size_t sp_tracker_earlier(const struct sp_tracker *tracker, bool between,
                          struct sp_track_earlier rows[SP_TRACK_EARLIER_MAX])
{
    return tracker->type->earlier ? tracker->type->earlier(tracker->state, between, rows) : 0;
}

int sp_tracker_explain(struct sp_tracker *tracker, sp_track_explain_fn *fn, void *user,
                       struct sp_error *err)
{
    if (!tracker->type->explain)
        return sp_fail(err, SP_ERR_INVALID, "TRACKER=%s: cannot explain; set TRACKER=spoton",
                       tracker->type->name);
    tracker->type->explain(tracker->state, fn, user);
    return SP_OK;
}

bool sp_tracker_has_states(const struct sp_tracker *tracker)
{
    return tracker->type->states != NULL;
}

size_t sp_tracker_states(const struct sp_tracker *tracker,
                         struct sp_track_state states[SP_TRACKS_MAX])
{
    return sp_tracker_has_states(tracker)
               ? tracker->type->states(tracker->state, tracker->frame_rate, states)
               : 0;
}
