#include "track/nearby.h"

#include <stdint.h>

enum { WORDS = (SP_DETECTIONS_MAX + 63) / 64 };

/* More than rounding, at the largest coordinates. */
static const double SLACK_PX = 1e-3;

void sp_nearby_set(struct sp_nearby *nearby, const struct sp_box *boxes, int count)
{
    nearby->count = count;
    nearby->width_max_px = 0;
    for (int i = 0; i < count; i++) {
        const struct sp_box *b = &boxes[i];
        nearby->item[i].x1_px = b->x1_px;
        nearby->item[i].x2_px = b->x2_px;
        nearby->item[i].y1_px = b->y1_px;
        nearby->item[i].y2_px = b->y2_px;
        nearby->item[i].index = i;
        if (b->x2_px - b->x1_px > nearby->width_max_px)
            nearby->width_max_px = b->x2_px - b->x1_px;
    }
    /* The C library's qsort allocates for larger arrays. */
    for (int gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (int i = gap; i < count; i++) {
            struct sp_nearby_item item = nearby->item[i];
            int at = i;
            for (; at >= gap && nearby->item[at - gap].x1_px > item.x1_px; at -= gap)
                nearby->item[at] = nearby->item[at - gap];
            nearby->item[at] = item;
        }
    }
}

/* The first whose left edge is not left of x_px. */
static int first_from(const struct sp_nearby *nearby, double x_px)
{
    int low = 0, high = nearby->count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (nearby->item[middle].x1_px < x_px)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int sp_nearby_find(struct sp_nearby *nearby, const struct sp_box *box, double reach_px)
{
    double reach = reach_px + SLACK_PX, right_px = box->x2_px + reach, left_px = box->x1_px - reach;
    double top_px = box->y1_px - reach, bottom_px = box->y2_px + reach;
    uint64_t bits[WORDS] = {0};
    for (int i = first_from(nearby, left_px - nearby->width_max_px); i < nearby->count; i++) {
        if (nearby->item[i].x1_px > right_px)
            break;
        /* Without branches, which are hardly predictable here. */
        uint64_t near = (nearby->item[i].x2_px >= left_px) & (nearby->item[i].y1_px <= bottom_px) &
                        (nearby->item[i].y2_px >= top_px);
        bits[nearby->item[i].index / 64] |= near << (nearby->item[i].index % 64);
    }
    int count = 0;
    for (int word = 0; word < WORDS; word++)
        for (uint64_t rest = bits[word]; rest; rest &= rest - 1)
            nearby->found[count++] = 64 * word + __builtin_ctzll(rest);
    return count;
}
