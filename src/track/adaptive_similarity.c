#include "track/adaptive_state.h"

#include <math.h>

static const double SLACK_S = 1e-6;
static const double MAHALANOBIS_SCALE = 6;
static const double MARGIN_MAX_HEIGHTS = 0.5;

bool sp_adaptive_is_lost(const struct sp_adaptive *t, const struct sp_adaptive_track *track)
{
    return t->now_s - track->last_s > 1.5 * t->dt_s + SLACK_S;
}

void sp_adaptive_margins(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                         double grow[2])
{
    const struct sp_adaptive_filter *f = &track->filter;
    bool grows = t->long_step && !sp_adaptive_is_lost(t, track);
    for (int k = 0; k < 2; k++)
        grow[k] = grows ? fmin(t->params.margin * sqrt(f->pp[k]),
                               MARGIN_MAX_HEIGHTS * fmax(f->x[SP_ADAPTIVE_H], 1))
                        : 0;
}

double sp_adaptive_similarity(const struct sp_adaptive *t, const struct sp_adaptive_track *track,
                              const double *box, const double grow[2],
                              struct sp_adaptive_terms *terms)
{
    const struct sp_adaptive_filter *f = &track->filter;
    *terms = (struct sp_adaptive_terms){.overlap = sp_adaptive_box_overlap(f->x, box, grow)};
    if (!(terms->overlap > 0))
        return 0;
    terms->height_ratio = fmin(f->x[SP_ADAPTIVE_H], box[SP_ADAPTIVE_H]) /
                          fmax(f->x[SP_ADAPTIVE_H], box[SP_ADAPTIVE_H]);
    double noise[SP_ADAPTIVE_AXES], distance = 0;
    static const double weight[SP_ADAPTIVE_AXES] = {1, 1, 0, 0.5};
    sp_adaptive_measurement(f->x[SP_ADAPTIVE_H], noise);
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++) {
        double d = box[k] - f->x[k];
        distance += weight[k] * d * d / (f->pp[k] + noise[k]);
    }
    terms->bonus = t->params.mahalanobis * (exp(-distance / MAHALANOBIS_SCALE) - 0.5);
    return terms->overlap * terms->height_ratio + terms->bonus;
}
