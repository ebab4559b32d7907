/* ByteTrack: tracks from detections, one tracker a camera.
 *
 * Y. Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV
 * 2022; behaviour as in the authors' Python code. Fed in order of frames from one thread at a time.
 * All memory is taken in open: update and predict allocate nothing, and nothing grows. */
#pragma once

#include "base/error.h"
#include "detection.h"
#include "track.h"

#include <stddef.h>

struct sp_tracker_params {
    double high_thresh;              /* score above it: first association (0.5) */
    double low_thresh;               /* score above it: second association (0.1) */
    double new_track_thresh;         /* score from which a track starts (0.6) */
    double match_thresh;             /* cost limit of the first association (0.8) */
    double second_match_thresh;      /* 0.5 */
    double unconfirmed_match_thresh; /* 0.7 */
    double duplicate_iou;            /* tracks that overlap more are one (0.85) */
    double buffer_frames;            /* a lost track is kept that long (30) */
};

void sp_tracker_params_default(struct sp_tracker_params *params);

struct sp_tracker;

int sp_tracker_open(struct sp_tracker **out, const struct sp_tracker_params *params,
                    struct sp_error *err);
void sp_tracker_close(struct sp_tracker *tracker); /* NULL is fine */

/* The detections of the next frame. `dt_frames` is the time since the last update in nominal frame
 * periods: 1 gives the reference exactly; 3 after FRAME_SKIP=3; the first call's is ignored. Boxes
 * that are not finite or not higher than 0 are left out. Writes the active tracks to
 * tracks[SP_TRACKS_MAX] and returns their count. */
size_t sp_tracker_update(struct sp_tracker *tracker, const struct sp_detection *detections,
                         size_t detection_count, double dt_frames,
                         struct sp_track tracks[SP_TRACKS_MAX]);

/* Where the active tracks will be `dt_frames` after the last update; changes nothing. */
size_t sp_tracker_predict(const struct sp_tracker *tracker, double dt_frames,
                          struct sp_track tracks[SP_TRACKS_MAX]);
