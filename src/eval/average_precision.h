/* Average precision of a detector over labelled images.
 *
 * Data flow: open -> one image after the other -> compute -> close. Precision over recall with
 * 101-point interpolation, at IoU 0.50, 0.55, ... 0.95 (COCO's AP: Lin et al., "Microsoft COCO",
 * 2014, and its evaluation code); labels marked doubtful are ignored.
 *
 * Besides all people, ranges of their height in the image are evaluated: there, labels outside the
 * range are doubtful, and unmatched boxes outside it are ignored, as COCO does for area ranges.
 * One thread. */
#pragma once

#include "base/error.h"
#include "eval/boxes.h"

enum { SP_AP_IOUS = 10, SP_AP_RANGES = 5 };

struct sp_ap_range {
    const char *name;       /* "all", "40-100 px" */
    double low_px, high_px; /* heights h with low <= h < high */
};

extern const struct sp_ap_range sp_ap_ranges[SP_AP_RANGES]; /* the first: all */

struct sp_ap_result {
    uint64_t images, labels, doubtful;
    double ap[SP_AP_IOUS];         /* at each IoU; NAN without labels */
    double ap50, ap50_95;          /* the first, and their mean */
    double precision, recall;      /* at IoU 0.5 and the confidence threshold; NAN if undefined */
    uint64_t right, wrong, missed; /* true positives, false positives, missed; at the same */
};

struct sp_ap;

/* SP_ERR_NO_MEMORY. */
int sp_ap_open(struct sp_ap **out, double confidence_threshold, struct sp_error *err);
void sp_ap_close(struct sp_ap *ap); /* NULL is fine */

/* boxes: by falling confidence. SP_ERR_NO_MEMORY. */
int sp_ap_add(struct sp_ap *ap, const struct sp_detection *boxes, size_t box_count,
              const struct sp_box_label *labels, size_t label_count, struct sp_error *err);

void sp_ap_compute(struct sp_ap *ap, int range, struct sp_ap_result *result);
