#include "analytics/axis.h"

void sp_axis_start(struct sp_axis *axis, double measured, double variance, double speed_variance)
{
    *axis = (struct sp_axis){.x = measured, .pp = variance, .vv = speed_variance};
}

void sp_axis_predict(struct sp_axis *axis, double dt_s, double density)
{
    if (!(dt_s > 0))
        return;
    axis->x += axis->v * dt_s;
    axis->pp += dt_s * (2 * axis->pv + dt_s * axis->vv) + density * dt_s * dt_s * dt_s / 3;
    axis->pv += dt_s * axis->vv + density * dt_s * dt_s / 2;
    axis->vv += density * dt_s;
}

void sp_axis_update(struct sp_axis *axis, double measured, double variance)
{
    double s = axis->pp + variance, gain = axis->pp / s, speed_gain = axis->pv / s;
    double residual = measured - axis->x;
    axis->x += gain * residual;
    axis->v += speed_gain * residual;
    axis->vv -= speed_gain * axis->pv;
    axis->pv *= 1 - gain;
    axis->pp *= 1 - gain;
}
