/* Which boxes of a set may overlap another box.
 *
 * Of all pairs of a crowded frame few overlap; the others need no IoU. The set is sorted by the
 * left edge, so that a search visits the boxes beside the other one only. The struct contains all
 * its memory; one thread at a time. */
#pragma once

#include "detection.h"
#include "track/bounding_box.h"

struct sp_nearby {
    int count;
    double width_max_px;
    struct sp_nearby_item {
        double x1_px, x2_px, y1_px, y2_px;
        int index;
    } item[SP_DETECTIONS_MAX]; /* by x1_px */
    int found[SP_DETECTIONS_MAX];
};

/* At most SP_DETECTIONS_MAX boxes. */
void sp_nearby_set(struct sp_nearby *nearby, const struct sp_box *boxes, int count);

/* Writes to nearby->found, ascending, the indices of all boxes not farther than `reach_px` from
 * `box` on both axes (and of no others that are more than a pixel farther); returns their count. */
int sp_nearby_find(struct sp_nearby *nearby, const struct sp_box *box, double reach_px);
