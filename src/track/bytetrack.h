/* ByteTrack: tracks from detections, one tracker a camera.
 *
 * Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV
 * 2022, section 3 (algorithm 1); behaves like the authors' Python code. Called in frame order by
 * one thread at a time. All memory is allocated in open: update and predict allocate nothing.
 *
 * Other time steps. With dt_frames = 1 in every call the results are the reference's. Time is
 * counted in frames, so after other steps the prediction, its noise and the time for which a lost
 * track is kept use the real time. After a step dt > 1 the tracker also compensates for what it has
 * not seen (docs/TRACKING.md has the figures for each of these):
 *  - tracks seen only once are predicted as well: their first match then sets a velocity;
 *  - the boxes of such tracks, and those of the next item, are compared with a margin that grows
 *    with dt, after F. Yang et al., "Hard to Track Objects with Irregular Motions and Similar
 *    Appearances? Make It Easier by Buffering the Matching Space" (C-BIoU), WACV 2023, section 3.2;
 *  - a first, loose association measures the distance of all boxes from their predictions; the
 *    common part (track/shift.h) is taken for the camera's motion and added to all predictions;
 *  - low-confidence boxes may also recover lost tracks. At single-frame steps such boxes keep a
 *    partly hidden person tracked; at every third frame one miss would lose it at once. They may
 *    be somewhat farther from the prediction.
 * None of this applies at dt <= 1.
 *
 * Bounds. At most SP_TRACKS_MAX tracks are alive. Each track that is not lost has a detection of
 * the last update, so there are never more than SP_DETECTIONS_MAX of them; a new track without room
 * replaces the one that has been lost for longest. Of more than SP_DETECTIONS_MAX detections those
 * with the highest confidences are used.
 *
 * Classes. Tracks and detections of different classes are never matched. */
#pragma once

#include "base/error.h"
#include "detection.h"
#include "track.h"

#include <stddef.h>

/* After a longer step, association is meaningless: all tracks are dropped. */
enum { SP_TRACKER_GAP_MAX_FRAMES = 300 };

struct sp_tracker_params {
    double high_thresh;              /* confidence above it: first association (0.5) */
    double low_thresh;               /* confidence above it: second association (0.1) */
    double new_track_thresh;         /* confidence from which a track starts (0.6) */
    double match_thresh;             /* cost limit of the first association (0.8) */
    double second_match_thresh;      /* 0.5 */
    double unconfirmed_match_thresh; /* 0.7 */
    double duplicate_iou;            /* tracks that overlap more are the same object (0.85) */
    double buffer_frames;            /* how long a lost track is kept (30) */
};

void sp_tracker_params_default(struct sp_tracker_params *params);

struct sp_tracker;

/* SP_ERR_NO_MEMORY; SP_ERR_INVALID when a parameter is not a finite number >= 0. */
int sp_tracker_open(struct sp_tracker **out, const struct sp_tracker_params *params,
                    struct sp_error *err);
void sp_tracker_close(struct sp_tracker *tracker); /* NULL is fine */

/* The detections of the next frame. `dt_frames` is the time since the last update in nominal frame
 * periods: 1 gives exactly the reference; 3 after FRAME_SKIP=3; the first call's is ignored, and a
 * negative or NaN value counts as 1. Boxes that are not finite, not higher than 0 (a millionth of a
 * pixel) or more than a thousand million pixels away are ignored. Writes the active tracks to
 * tracks[SP_TRACKS_MAX] and returns their count. */
size_t sp_tracker_update(struct sp_tracker *tracker, const struct sp_detection *detections,
                         size_t detection_count, double dt_frames,
                         struct sp_track tracks[SP_TRACKS_MAX]);

/* Predicts the active tracks `dt_frames` after the last update; changes nothing. */
size_t sp_tracker_predict(const struct sp_tracker *tracker, double dt_frames,
                          struct sp_track tracks[SP_TRACKS_MAX]);
