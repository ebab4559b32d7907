#include "track/adaptive_box.h"

#include <math.h>

void sp_adaptive_box_of(const struct sp_candidate *candidate, double box[SP_ADAPTIVE_AXES])
{
    box[SP_ADAPTIVE_CX] = candidate->box.x1_px + candidate->width_px / 2;
    box[SP_ADAPTIVE_CY] = candidate->box.y1_px + candidate->height_px / 2;
    box[SP_ADAPTIVE_W] = candidate->width_px;
    box[SP_ADAPTIVE_H] = candidate->height_px;
}

struct sp_box sp_adaptive_box_corners(const double box[SP_ADAPTIVE_AXES])
{
    return (struct sp_box){
        .x1_px = box[SP_ADAPTIVE_CX] - box[SP_ADAPTIVE_W] / 2,
        .y1_px = box[SP_ADAPTIVE_CY] - box[SP_ADAPTIVE_H] / 2,
        .x2_px = box[SP_ADAPTIVE_CX] + box[SP_ADAPTIVE_W] / 2,
        .y2_px = box[SP_ADAPTIVE_CY] + box[SP_ADAPTIVE_H] / 2,
    };
}

/* The intersection, or 0. */
static double common(const double *a, const double *b, const double grow[2])
{
    double both = 1;
    for (int k = 0; k < 2; k++) {
        double size_a = a[2 + k] + 2 * grow[k], size_b = b[2 + k] + 2 * grow[k];
        double low_a = a[k] - size_a / 2, low_b = b[k] - size_b / 2;
        double high_a = a[k] + size_a / 2, high_b = b[k] + size_b / 2;
        double low = low_a > low_b ? low_a : low_b, high = high_a < high_b ? high_a : high_b;
        if (!(high > low))
            return 0;
        both *= high - low;
    }
    return both;
}

double sp_adaptive_box_overlap(const double *a, const double *b, const double grow[2])
{
    double both = common(a, b, grow), area_a = 1, area_b = 1;
    if (!(both > 0))
        return 0;
    for (int k = 0; k < 2; k++) {
        area_a *= a[2 + k] + 2 * grow[k];
        area_b *= b[2 + k] + 2 * grow[k];
    }
    return both / fmax(area_a + area_b - both, 1e-9);
}

static const double NONE[2] = {0, 0};

double sp_adaptive_box_iou(const double *a, const double *b)
{
    return sp_adaptive_box_overlap(a, b, NONE);
}

double sp_adaptive_box_cover(const double *cover, const double *box)
{
    return common(cover, box, NONE) / fmax(box[SP_ADAPTIVE_W] * box[SP_ADAPTIVE_H], 1e-9);
}
