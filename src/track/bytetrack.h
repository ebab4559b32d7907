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

#include "track/tracker.h"

/* SP_ERR_NO_MEMORY. */
extern const struct sp_tracker_type sp_bytetrack_type;
