#include "track/bounding_box.h"

void sp_box_close(struct sp_box *box)
{
    box->area_px2 = (box->x2_px - box->x1_px + 1) * (box->y2_px - box->y1_px + 1);
}

struct sp_box sp_box_expand(const struct sp_box *box, double margin)
{
    double x_px = margin * (box->x2_px - box->x1_px);
    double y_px = margin * (box->y2_px - box->y1_px);
    struct sp_box expanded = {
        .x1_px = box->x1_px - x_px,
        .y1_px = box->y1_px - y_px,
        .x2_px = box->x2_px + x_px,
        .y2_px = box->y2_px + y_px,
    };
    sp_box_close(&expanded);
    return expanded;
}

double sp_box_iou(const struct sp_box *a, const struct sp_box *b)
{
    double left = a->x1_px > b->x1_px ? a->x1_px : b->x1_px;
    double right = a->x2_px < b->x2_px ? a->x2_px : b->x2_px;
    double width = right - left + 1;
    if (!(width > 0))
        return 0;
    double top = a->y1_px > b->y1_px ? a->y1_px : b->y1_px;
    double bottom = a->y2_px < b->y2_px ? a->y2_px : b->y2_px;
    double height = bottom - top + 1;
    if (!(height > 0))
        return 0;
    return width * height / (a->area_px2 + b->area_px2 - width * height);
}
