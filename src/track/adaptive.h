/* TRACKER=spoton: a motion-only tracker in real time, calibrated per camera.
 *
 * Data flow: detections in two confidence bands -> prediction in seconds -> after long steps the
 * common motion of all boxes is added -> confirmed tracks take high-confidence boxes, after long
 * steps in a margin (C-BIoU, Yang et al., WACV 2023) -> tentative tracks -> low-confidence boxes
 * (ByteTrack, Zhang et al., ECCV 2022) -> lost tracks are joined again by foot point (UCMCTrack, Yi
 * et al., AAAI 2024), those lost for long only where they are predicted -> births where no seen
 * track is (TrackTrack, Shim et al., CVPR 2025) -> output: detection and filter blended;
 * predictions where track/coasting.h allows them, with `detection` 0. The similarity is IoU times
 * the ratio of heights (Hybrid-SORT, Yang et al., AAAI 2024) and a Mahalanobis bonus (BoostTrack,
 * Stanojevic and Todorovic, MVA 2024). A track has an id from its confirmation on: enough boxes
 * where the last ones predict them, and not behind another person, so that most false positives use
 * none.
 *
 * Bounds: SP_TRACKS_MAX tracks; a new one without room replaces the one unseen for longest.
 * Deterministic; nothing is allocated after open. Tracks and detections of different classes are
 * never matched. */
#pragma once

#include "track/tracker.h"

extern const struct sp_tracker_type sp_adaptive_type;

/* Each part can be changed for measurements (tests/bench/bench_variants.c). */
struct sp_adaptive_params {
    double low, high, start; /* confidence */
    /* What confirms a track: the sum over its boxes of confidence, times IoU with the prediction,
     * less this share of what a confirmed track covers of the box. */
    double evidence, evidence_covered;
    double limit_confirmed, limit_tentative, limit_tentative_long, limit_low, limit_again;
    double mahalanobis; /* weight of the bonus */
    double long_step_s;
    double margin;  /* at long steps, in standard deviations */
    double decay_s; /* of the velocity of a lost track */
    double keep_lost_s, keep_again_s, keep_tentative_s;
    /* A lost track takes low-confidence boxes for low_lost_s, for low_right_s where at least
     * low_share of those tracks were right. */
    double low_lost_s, low_right_s, low_share;
    double birth_iou;
    double rejoin_heights; /* 0: never */
    double blend;          /* the detection's share of the box returned */
    double coast_share;    /* above 1: never */
};

void sp_adaptive_params_default(struct sp_adaptive_params *own,
                                const struct sp_tracker_params *params);
int sp_adaptive_open(void **out, const struct sp_adaptive_params *params, struct sp_error *err);
