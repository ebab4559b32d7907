#include "track/adaptive_filter.h"

#include <math.h>
#include <string.h>

/* In heights h: h/sqrt(s), h/s/sqrt(s), h/s and h for cx, cy, w, h. */
static const double WALK[] = {0.10, 0.10, 0.04, 0.08};
static const double VELOCITY_WALK[] = {0.80, 0.80, 0.05, 0.10};
static const double VELOCITY_START[] = {1.20, 1.20, 0.10, 0.20};
static const double POSITION_SD = 0.08;
static const double MEASURED_SD[] = {0.08 * 0.6, 0.08, 0.05 * 0.6, 0.05};
static const double SIZE_MIN_PX = 2;

static double square(double x)
{
    return x * x;
}

double sp_adaptive_position_sd(void)
{
    return POSITION_SD;
}

void sp_adaptive_measurement(double height_px, double variance[SP_ADAPTIVE_AXES])
{
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++)
        variance[k] = square(MEASURED_SD[k] * height_px);
}

void sp_adaptive_filter_init(struct sp_adaptive_filter *filter, const double box[SP_ADAPTIVE_AXES])
{
    memcpy(filter->x, box, sizeof filter->x);
    sp_adaptive_measurement(box[SP_ADAPTIVE_H], filter->pp);
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++) {
        filter->v[k] = filter->pv[k] = 0;
        filter->vv[k] = square(VELOCITY_START[k] * box[SP_ADAPTIVE_H]);
    }
}

void sp_adaptive_filter_predict(struct sp_adaptive_filter *filter, double dt_s, double decay_s)
{
    double height = fmax(filter->x[SP_ADAPTIVE_H], 1);
    if (isfinite(decay_s)) {
        double kept = exp(-dt_s / decay_s);
        filter->v[SP_ADAPTIVE_CX] *= kept;
        filter->v[SP_ADAPTIVE_CY] *= kept;
        filter->v[SP_ADAPTIVE_W] = filter->v[SP_ADAPTIVE_H] = 0;
    }
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++) {
        double q = square(WALK[k] * height), qv = square(VELOCITY_WALK[k] * height);
        filter->x[k] += filter->v[k] * dt_s;
        filter->pp[k] += 2 * dt_s * filter->pv[k] + dt_s * dt_s * filter->vv[k] + q * dt_s +
                         qv * dt_s * dt_s * dt_s / 3;
        filter->pv[k] += dt_s * filter->vv[k] + qv * dt_s * dt_s / 2;
        filter->vv[k] += qv * dt_s;
    }
    filter->x[SP_ADAPTIVE_W] = fmax(filter->x[SP_ADAPTIVE_W], SIZE_MIN_PX);
    filter->x[SP_ADAPTIVE_H] = fmax(filter->x[SP_ADAPTIVE_H], SIZE_MIN_PX);
}

double sp_adaptive_filter_residual(const struct sp_adaptive_filter *filter,
                                   const double box[SP_ADAPTIVE_AXES], double residual_s,
                                   double since_s)
{
    static const double kept = 0.6, since_min_s = 0.03;
    double off_px = fmax(fabs(box[SP_ADAPTIVE_CX] - filter->x[SP_ADAPTIVE_CX]),
                         fabs(box[SP_ADAPTIVE_CY] - filter->x[SP_ADAPTIVE_CY]));
    double heights_s = off_px / fmax(box[SP_ADAPTIVE_H], 1) / fmax(since_s, since_min_s);
    return kept * residual_s + (1 - kept) * heights_s;
}

void sp_adaptive_filter_update(struct sp_adaptive_filter *filter,
                               const double box[SP_ADAPTIVE_AXES])
{
    double noise[SP_ADAPTIVE_AXES];
    sp_adaptive_measurement(filter->x[SP_ADAPTIVE_H], noise);
    for (int k = 0; k < SP_ADAPTIVE_AXES; k++) {
        double variance = filter->pp[k] + noise[k];
        double gain = filter->pp[k] / variance, velocity_gain = filter->pv[k] / variance;
        double innovation = box[k] - filter->x[k];
        filter->x[k] += gain * innovation;
        filter->v[k] += velocity_gain * innovation;
        filter->vv[k] -= velocity_gain * filter->pv[k];
        filter->pv[k] *= 1 - gain;
        filter->pp[k] *= 1 - gain;
    }
}
