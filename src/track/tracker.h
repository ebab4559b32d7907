/* Trackers: detections of one camera's frames in, tracks out.
 *
 * Each tracker implements struct sp_tracker_type; TRACKER selects it by name. bytetrack.h: the
 * authors' algorithm; adaptive.h: spoton's own. One thread at a time for each tracker. */
#pragma once

#include "base/error.h"
#include "detection.h"
#include "track.h"
#include "track/explain.h"

#include <stdbool.h>
#include <stddef.h>

struct sp_frame;
struct spoton_tracker_api;

/* After a longer step, association is meaningless: all tracks are dropped. */
enum { SP_TRACKER_GAP_MAX_FRAMES = 300 };

struct sp_tracker_params {
    enum sp_tracker_name tracker;
    double high_thresh;              /* confidence above it: first association (0.5) */
    double low_thresh;               /* confidence above it: second association (0.1) */
    double new_track_thresh;         /* confidence from which a track starts (0.6) */
    double match_thresh;             /* cost limit of the first association (0.8) */
    double second_match_thresh;      /* 0.5 */
    double unconfirmed_match_thresh; /* 0.7 */
    double duplicate_iou;            /* tracks that overlap more are the same object (0.85) */
    double buffer_frames;            /* how long a lost track is kept (30) */

    const struct spoton_tracker_api *plugin; /* instead of `tracker`; NULL: none */
    const char *options;                     /* of the plugin, during open; or NULL */
    bool has_frames;                         /* sp_tracker_set_frame is called before each update */
};

void sp_tracker_params_default(struct sp_tracker_params *params);

/* Sets the tracker of the setting TRACKER: "bytetrack" (also if empty), "spoton", or a plugin's
 * name or path with its options ("NAME?key=value"), which point into `name`. The errors of
 * sp_tracker_plugin_load. */
int sp_tracker_choose(struct sp_tracker_params *params, const char *name, struct sp_error *err);

/* What a tracker implements. The version is incremented by every change. Memory is allocated in
 * open only; update() and predict() write at most SP_TRACKS_MAX tracks and return their count. */
enum { SP_TRACKER_VERSION = 3 };

struct sp_tracker_time {
    double frames, seconds;
};

struct sp_tracker_input {
    const struct sp_detection *detections;
    size_t detection_count;
    double dt_frames, dt_s;       /* since the last update */
    uint64_t sequence;            /* of the frame */
    const struct sp_frame *frame; /* NULL: the tracker does not require it */
};

struct sp_tracker_type {
    int version;
    const char *name;
    bool coasts; /* may return tracks without a detection from update() */
    int (*open)(void **out, const struct sp_tracker_params *params, struct sp_error *err);
    void (*close)(void *tracker);
    size_t (*update)(void *tracker, const struct sp_tracker_input *in, struct sp_track *tracks);
    size_t (*predict)(const void *tracker, const struct sp_tracker_time *ahead,
                      struct sp_track *tracks);
    /* The boxes of the tracks that the last update returned for the first time, from before it; at
     * most SP_TRACK_EARLIER_MAX. NULL: a track is returned from its first box on. */
    size_t (*earlier)(const void *tracker, bool between, struct sp_track_earlier *rows);
    /* Calls fn with each event of update(); NULL: it cannot explain. */
    void (*explain)(void *tracker, sp_track_explain_fn *fn, void *user);
    /* All objects, unconfirmed and lost ones included; at most SP_TRACKS_MAX. NULL: not reported.
     */
    size_t (*states)(const void *tracker, double frame_rate, struct sp_track_state *states);
};

struct sp_tracker;

/* SP_ERR_NO_MEMORY; SP_ERR_INVALID when a parameter is not a finite number >= 0. */
int sp_tracker_open(struct sp_tracker **out, const struct sp_tracker_params *params,
                    struct sp_error *err);
void sp_tracker_close(struct sp_tracker *tracker); /* NULL is fine */

/* The nominal frame rate, for trackers that count in seconds. 0 or less: 30 (the default). */
void sp_tracker_set_frame_rate(struct sp_tracker *tracker, double frame_rate);

/* Whether the pixels are read. Then the frame of the next update must be set, whose planes are on
 * the host and which outlives the update. */
bool sp_tracker_needs_frame(const struct sp_tracker *tracker);
void sp_tracker_set_frame(struct sp_tracker *tracker, const struct sp_frame *frame);

/* The detections of the next frame. `dt_frames` is the time since the last update in nominal frame
 * periods: 1 gives exactly the reference; 3 after FRAME_SKIP=3; the first call's is ignored, and a
 * negative or NaN value counts as 1. Boxes that are not finite, not higher than 0 (a millionth of a
 * pixel) or more than a thousand million pixels away are ignored. Writes the active tracks to
 * tracks[SP_TRACKS_MAX] and returns their count. */
size_t sp_tracker_update(struct sp_tracker *tracker, const struct sp_detection *detections,
                         size_t detection_count, double dt_frames,
                         struct sp_track tracks[SP_TRACKS_MAX]);

/* Whether the tracker reports states; plugins do not. */
bool sp_tracker_has_states(const struct sp_tracker *tracker);

/* All objects that the tracker follows, as of the last update; at most SP_TRACKS_MAX. */
size_t sp_tracker_states(const struct sp_tracker *tracker,
                         struct sp_track_state states[SP_TRACKS_MAX]);

/* Predicts the active tracks `dt_frames` after the last update; changes nothing. */
size_t sp_tracker_predict(const struct sp_tracker *tracker, double dt_frames,
                          struct sp_track tracks[SP_TRACKS_MAX]);

/* The number of the next update's frame, for sp_tracker_earlier. By default one more than before.
 */
void sp_tracker_set_sequence(struct sp_tracker *tracker, uint64_t sequence);

/* The boxes from before the last update of the tracks that it returned for the first time, by track
 * and rising frame, for outputs that may add to earlier frames. between: also in the frames between
 * updates, interpolated. Returns their count. */
size_t sp_tracker_earlier(const struct sp_tracker *tracker, bool between,
                          struct sp_track_earlier rows[SP_TRACK_EARLIER_MAX]);

/* fn is called with each event of update(). SP_ERR_INVALID: this tracker cannot explain. */
int sp_tracker_explain(struct sp_tracker *tracker, sp_track_explain_fn *fn, void *user,
                       struct sp_error *err);
