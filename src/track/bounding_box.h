/* Boxes as the tracker compares them. Plain values. */
#pragma once

struct sp_box {
    double x1_px, y1_px, x2_px, y2_px;
    double area_px2; /* by the rule of sp_box_iou */
};

/* Fills in the area. */
void sp_box_close(struct sp_box *box);

/* The box with `margin` of its width and height added on every side. */
struct sp_box sp_box_expand(const struct sp_box *box, double margin);

/* Intersection over union as the reference computes it: in whole pixels, where a box from x1 to x2
 * covers x2 - x1 + 1. Boxes of zero width have an area too, and boxes 1 px apart touch. */
double sp_box_iou(const struct sp_box *a, const struct sp_box *b);
