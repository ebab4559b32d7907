/* The detections of one frame for the tracker: usable ones, sorted into confidence bands.
 *
 * The struct contains all its memory. Values only; one thread at a time. */
#pragma once

#include "detection.h"
#include "track/bounding_box.h"
#include "track/kalman.h"

#include <stddef.h>

struct sp_candidate {
    struct sp_box box;
    double width_px, height_px;
    double confidence;
    int class_id;
    int detection; /* index */
};

struct sp_candidate_list {
    int count;
    struct sp_candidate item[SP_DETECTIONS_MAX];
};

struct sp_candidates {
    struct sp_candidate_list high, low;
    int best[SP_DETECTIONS_MAX]; /* scratch */
};

/* Fills both bands: confidence > high_confidence, and low_confidence < confidence <
 * high_confidence. The bands are open at both ends, as in the reference: a confidence equal to a
 * threshold is in none. Ignores boxes that are not finite, too far away, or of no height; of more
 * than SP_DETECTIONS_MAX the highest confidences are kept. The order is kept. */
void sp_candidates_take(struct sp_candidates *candidates, const struct sp_detection *detections,
                        size_t count, double high_confidence, double low_confidence);

/* Keeps the detections for which row_of_column is negative. */
void sp_candidates_drop_matched(struct sp_candidate_list *list, const int *row_of_column);

/* As a measurement for the filter: cx, cy, w/h, h. */
void sp_candidate_measure(const struct sp_candidate *candidate, double measured[SP_KALMAN_AXES]);
