/* ByteTrack: tracks from detections, one tracker a camera.
 *
 * Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV
 * 2022, section 3 (algorithm 1); behaviour as in the authors' Python code. Fed in order of frames
 * from one thread at a time. All memory is taken in open: update and predict allocate nothing, and
 * nothing grows.
 *
 * Steps of other lengths. With dt_frames = 1 in every call the results are the reference's. Time is
 * counted in frames, so after other steps the prediction, its noise and the time that a lost track
 * is kept follow the real time. After a step dt > 1 the tracker also makes up for what it has not
 * seen (docs/TRACKING.md has the figures that each of these is kept for):
 *  - tracks that were seen once are predicted as well: their first match then sets a velocity;
 *  - the boxes of such tracks, and those for the next point, are compared with a margin that grows
 *    with dt, after F. Yang et al., "Hard to Track Objects with Irregular Motions and Similar
 *    Appearances? Make It Easier by Buffering the Matching Space" (C-BIoU), WACV 2023, section 3.2;
 *  - a first, loose association shows how far all boxes lie from their predictions; what they have
 *    in common (track/shift.h) is taken for the camera's motion and added to all predictions;
 *  - boxes of low confidences may bring lost tracks back too. A frame apart such boxes keep a half
 *    hidden person tracked; one missed look at every third frame would lose them at once. They may
 *    lie somewhat farther off.
 * None of it acts at dt <= 1.
 *
 * Bounds. Alive are at most SP_TRACKS_MAX tracks. Tracks that are not lost hold a detection of the
 * last update each, so there are never more than SP_DETECTIONS_MAX of them; when a new track finds
 * no room the one that has been lost for longest goes. Of more than SP_DETECTIONS_MAX detections
 * those with the highest confidences count.
 *
 * Classes. Tracks and detections of different classes never meet. */
#pragma once

#include "base/error.h"
#include "detection.h"
#include "track.h"

#include <stddef.h>

/* After a longer step nothing can be told apart any more: all tracks are dropped. */
enum { SP_TRACKER_GAP_MAX_FRAMES = 300 };

struct sp_tracker_params {
    double high_thresh;              /* confidence above it: first association (0.5) */
    double low_thresh;               /* confidence above it: second association (0.1) */
    double new_track_thresh;         /* confidence from which a track starts (0.6) */
    double match_thresh;             /* cost limit of the first association (0.8) */
    double second_match_thresh;      /* 0.5 */
    double unconfirmed_match_thresh; /* 0.7 */
    double duplicate_iou;            /* tracks that overlap more are one (0.85) */
    double buffer_frames;            /* a lost track is kept that long (30) */
};

void sp_tracker_params_default(struct sp_tracker_params *params);

struct sp_tracker;

/* SP_ERR_NO_MEMORY; SP_ERR_INVALID when a parameter is not a finite number >= 0. */
int sp_tracker_open(struct sp_tracker **out, const struct sp_tracker_params *params,
                    struct sp_error *err);
void sp_tracker_close(struct sp_tracker *tracker); /* NULL is fine */

/* The detections of the next frame. `dt_frames` is the time since the last update in nominal frame
 * periods: 1 gives the reference exactly; 3 after FRAME_SKIP=3; the first call's is ignored, and
 * one that is negative or no number counts as 1. Boxes that are not finite, not higher than 0 (a
 * millionth of a pixel) or farther out than a thousand million pixels are left out. Writes the
 * active tracks to tracks[SP_TRACKS_MAX] and returns their count. */
size_t sp_tracker_update(struct sp_tracker *tracker, const struct sp_detection *detections,
                         size_t detection_count, double dt_frames,
                         struct sp_track tracks[SP_TRACKS_MAX]);

/* Where the active tracks will be `dt_frames` after the last update; changes nothing. */
size_t sp_tracker_predict(const struct sp_tracker *tracker, double dt_frames,
                          struct sp_track tracks[SP_TRACKS_MAX]);
