/* Boxes as the adaptive tracker's filter has them: cx, cy, w, h. Plain values. */
#pragma once

#include "track/adaptive_filter.h"
#include "track/candidates.h"

void sp_adaptive_box_of(const struct sp_candidate *candidate, double box[SP_ADAPTIVE_AXES]);

/* Corners, without the area. */
struct sp_box sp_adaptive_box_corners(const double box[SP_ADAPTIVE_AXES]);

/* IoU of two boxes that grow by `grow` (x, y) on every side. */
double sp_adaptive_box_overlap(const double *a, const double *b, const double grow[2]);
double sp_adaptive_box_iou(const double *a, const double *b);

/* The share of `box` that `cover` covers. */
double sp_adaptive_box_cover(const double *cover, const double *box);
