/* Evaluates tracks against ground truth.
 *
 * MOTA and ID switches: Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking
 * Performance: The CLEAR MOT Metrics", 2008. IDF1: Ristani et al., "Performance Measures and a Data
 * Set for Multi-Target, Multi-Camera Tracking", 2016. HOTA: Luiten et al., "HOTA: A Higher Order
 * Metric for Evaluating Multi-Object Tracking", 2021. A box is a true positive from IoU 0.5 on;
 * HOTA is the mean over IoU 0.05, 0.10, ... 0.95.
 *
 * A person keeps its previous track while both overlap. The two common tools differ in what
 * "previous" means: at any time (the paper, py-motmetrics), or in the frame before only
 * (TrackEval). Both counts are reported. Pure, except for temporary memory. */
#pragma once

#include "eval/mot_file.h"

#include <stdint.h>

enum { SP_TRACKS_ALPHAS = 19 }; /* IoUs of HOTA */

struct sp_clear {
    uint64_t matches, false_positives, misses, switches;
    double mota; /* NAN without ground truth, like all ratios of 0 */
};

struct sp_tracks_result {
    uint64_t ground_truth, tracked; /* boxes */
    int ground_truth_ids, tracked_ids;
    struct sp_clear clear;           /* as py-motmetrics */
    struct sp_clear clear_trackeval; /* as TrackEval */
    uint64_t id_true;                /* boxes with the correct identity */
    double idf1, id_precision, id_recall;
    double hota, detection_accuracy, association_accuracy; /* means over the IoUs */
    /* For each IoU: true positives, and the sum of their association accuracies. */
    double hota_true[SP_TRACKS_ALPHAS], hota_association[SP_TRACKS_ALPHAS];
};

/* SP_ERR_NO_MEMORY. */
int sp_tracks_compare(const struct sp_mot_rows *ground_truth, const struct sp_mot_rows *tracks,
                      struct sp_tracks_result *result, struct sp_error *err);
