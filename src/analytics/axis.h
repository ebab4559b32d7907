/* One coordinate of a point that moves: a Kalman filter with constant velocity and real time steps,
 * after Y. Bar-Shalom, X. Li, T. Kirubarajan, "Estimation with Applications to Tracking and
 * Navigation", 2001, section 6.2.2. Plain values; any thread. */
#pragma once

struct sp_axis {
    double x, v;
    double pp, pv, vv; /* covariance */
};

void sp_axis_start(struct sp_axis *axis, double measured, double variance, double speed_variance);
/* `density` of the acceleration's noise (units^2/s^3). dt_s <= 0: no prediction. */
void sp_axis_predict(struct sp_axis *axis, double dt_s, double density);
void sp_axis_update(struct sp_axis *axis, double measured, double variance);
