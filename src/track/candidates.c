#include "track/candidates.h"

#include <math.h>
#include <stdbool.h>

static const double BOX_REACH_PX = 1e9;
static const double BOX_HEIGHT_MIN_PX = 1e-6;

struct bands {
    double high_confidence, low_confidence;
};

static bool is_usable(const struct sp_detection *d)
{
    /* Each comparison is false for NaN. */
    return fabs(d->x1_px) <= BOX_REACH_PX && fabs(d->y1_px) <= BOX_REACH_PX &&
           fabs(d->x2_px) <= BOX_REACH_PX && fabs(d->y2_px) <= BOX_REACH_PX &&
           d->y2_px - d->y1_px >= BOX_HEIGHT_MIN_PX;
}

/* Assigns one detection to its confidence band. The bands are open at both ends, as in the
 * reference: a confidence equal to high_thresh or low_thresh is in none. */
static void take_one(struct sp_candidates *t, const struct sp_detection *all, int index,
                     struct bands bands)
{
    const struct sp_detection *d = &all[index];
    struct sp_candidate_list *into;
    if (d->confidence > bands.high_confidence)
        into = &t->high;
    else if (d->confidence > bands.low_confidence && d->confidence < bands.high_confidence)
        into = &t->low;
    else
        return;
    struct sp_candidate *c = &into->item[into->count++];
    c->width_px = d->x2_px - d->x1_px;
    c->height_px = d->y2_px - d->y1_px;
    /* The reference converts to width and height, and so rounds the far corner. */
    c->box.x1_px = d->x1_px;
    c->box.y1_px = d->y1_px;
    c->box.x2_px = d->x1_px + c->width_px;
    c->box.y2_px = d->y1_px + c->height_px;
    sp_box_close(&c->box);
    c->confidence = d->confidence;
    c->class_id = d->class_id;
    c->detection = index;
}

/* The SP_DETECTIONS_MAX usable detections with the highest confidences, earlier ones first on ties,
 * as rising indices in best[]. Only for frames with too many. */
static int choose_best(int *best, const struct sp_detection *d, size_t count, double low_confidence)
{
    int kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_usable(&d[i]) || !(d[i].confidence > low_confidence))
            continue;
        if (kept == SP_DETECTIONS_MAX && !(d[i].confidence > d[best[kept - 1]].confidence))
            continue;
        int at = kept < SP_DETECTIONS_MAX ? kept++ : kept - 1;
        for (; at > 0 && d[i].confidence > d[best[at - 1]].confidence; at--)
            best[at] = best[at - 1];
        best[at] = (int)i;
    }
    for (int i = 1; i < kept; i++) {
        int index = best[i], at = i;
        for (; at > 0 && best[at - 1] > index; at--)
            best[at] = best[at - 1];
        best[at] = index;
    }
    return kept;
}

void sp_candidates_take(struct sp_candidates *candidates, const struct sp_detection *detections,
                        size_t count, double high_confidence, double low_confidence)
{
    const struct bands bands = {high_confidence, low_confidence};
    candidates->high.count = 0;
    candidates->low.count = 0;
    if (count > SP_DETECTIONS_MAX) {
        int kept =
            choose_best(candidates->best, detections, count, fmin(low_confidence, high_confidence));
        for (int i = 0; i < kept; i++)
            take_one(candidates, detections, candidates->best[i], bands);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (is_usable(&detections[i]))
            take_one(candidates, detections, (int)i, bands);
}

void sp_candidates_drop_matched(struct sp_candidate_list *list, const int *row_of_column)
{
    int kept = 0;
    for (int i = 0; i < list->count; i++)
        if (row_of_column[i] < 0)
            list->item[kept++] = list->item[i];
    list->count = kept;
}

void sp_candidate_measure(const struct sp_candidate *candidate, double measured[SP_KALMAN_AXES])
{
    measured[SP_KALMAN_CX] = candidate->box.x1_px + candidate->width_px / 2;
    measured[SP_KALMAN_CY] = candidate->box.y1_px + candidate->height_px / 2;
    measured[SP_KALMAN_ASPECT] = candidate->width_px / candidate->height_px;
    measured[SP_KALMAN_HEIGHT] = candidate->height_px;
}
