/* Matching of boxes by IoU, and the agreement of two lists of detections.
 *
 * Data flow: an image's boxes and the ones to compare them with -> pairs -> sums over images ->
 * recall and precision. Pure functions over the caller's memory; no allocation. */
#pragma once

#include "detection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Intersection over union; 0 for boxes that only touch or are empty. */
double sp_detection_iou(const struct sp_detection *a, const struct sp_detection *b);

/* A ground truth label. */
struct sp_box_label {
    struct sp_detection box; /* its confidence is ignored */
    bool doubtful;           /* ignored in the evaluation: see below */
};

enum sp_box_verdict {
    SP_BOX_WRONG,
    SP_BOX_RIGHT,
    SP_BOX_IGNORED, /* overlaps a doubtful label only */
};

/* Greedy matching by falling confidence, as in PASCAL VOC and COCO: each box is matched to the free
 * label of its class with the largest IoU, if `iou` or more. An unmatched box that overlaps a
 * doubtful label as much is ignored; a doubtful label may match any number of boxes. boxes: by
 * falling confidence. verdicts[box_count]. taken[label_count]: scratch; afterwards true for matched
 * labels. Returns the number of true positives. */
size_t sp_boxes_match(const struct sp_detection *boxes, size_t box_count,
                      const struct sp_box_label *labels, size_t label_count, double iou,
                      enum sp_box_verdict *verdicts, bool *taken);

/* Agreement of two engines on the same frames; zeroed memory is an empty sum. */
struct sp_agreement {
    uint64_t frames;
    uint64_t reference, reference_found; /* reference boxes, and those that the other list has */
    uint64_t tested, tested_found;       /* the reverse */
};

/* Adds one image. Both lists by falling confidence, at most SP_DETECTIONS_MAX of each are used.
 * Boxes with `confidence` or more are searched for among those down to confidence - margin of the
 * other list, so that a tiny change of confidence across the threshold is no disagreement. The
 * lists must therefore include the boxes down to confidence - margin; margin 0 is the strict
 * comparison.
 */
void sp_agreement_add(struct sp_agreement *sum, const struct sp_detection *reference,
                      size_t reference_count, const struct sp_detection *tested,
                      size_t tested_count, double iou, double confidence, double margin);

/* Recall and precision; 1 for empty lists. */
double sp_agreement_recall(const struct sp_agreement *sum);    /* of the reference's boxes */
double sp_agreement_precision(const struct sp_agreement *sum); /* of the tested boxes */
