/* Which boxes of one list are those of another: matching by IoU, and how far two lists agree.
 *
 * Data flow: a image's boxes and the ones to compare them with -> pairs -> sums over images ->
 * recall and precision. Pure functions over the caller's memory; no allocation. */
#pragma once

#include "detection.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Intersection over union; 0 for boxes that only touch or are empty. */
double sp_detection_iou(const struct sp_detection *a, const struct sp_detection *b);

/* What a box is compared with. */
struct sp_box_label {
    struct sp_detection box; /* its confidence is not read */
    bool doubtful;           /* neither wanted nor wrong: see below */
};

enum sp_box_verdict {
    SP_BOX_WRONG,
    SP_BOX_RIGHT,
    SP_BOX_IGNORED, /* lies on a doubtful label only */
};

/* Greedy by falling confidence, as PASCAL VOC and COCO do it: each box takes, of its class, the
 * free label that it overlaps most, if by `iou` or more. A box that finds none and overlaps a
 * doubtful label as much is ignored; doubtful labels are never used up. boxes: by falling
 * confidence. verdicts[box_count]. taken[label_count]: scratch; afterwards true for the labels that
 * were found. Returns the number of right ones. */
size_t sp_boxes_match(const struct sp_detection *boxes, size_t box_count,
                      const struct sp_box_label *labels, size_t label_count, double iou,
                      enum sp_box_verdict *verdicts, bool *taken);

/* How far the boxes of two engines agree on the same frames; zeroed memory is an empty sum. */
struct sp_agreement {
    uint64_t frames;
    uint64_t reference, reference_found; /* boxes of the one, and how many the other has too */
    uint64_t tested, tested_found;       /* and the other way round */
};

/* Adds one image. Both lists by falling confidence, at most SP_DETECTIONS_MAX each count. Boxes
 * with a confidence of `confidence` or more are asked for; each may be found among those down to
 * confidence - margin of the other list, so that a confidence that moves by a hair over the
 * threshold is no disagreement. The lists must therefore hold the boxes down to confidence -
 * margin; margin 0 is the strict comparison. */
void sp_agreement_add(struct sp_agreement *sum, const struct sp_detection *reference,
                      size_t reference_count, const struct sp_detection *tested,
                      size_t tested_count, double iou, double confidence, double margin);

/* Shares that were found; 1 where there was nothing to find. */
double sp_agreement_recall(const struct sp_agreement *sum);    /* of the reference's boxes */
double sp_agreement_precision(const struct sp_agreement *sum); /* of the tested boxes */
