/* A person's motion on the map: a Kalman filter with constant velocity and real time steps.
 *
 * State (x, y, vx, vy) in metres and seconds; continuous white-noise acceleration (Y. Bar-Shalom,
 * X. Li, T. Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section
 * 6.2.2). Unlike in an image, a measurement's noise is an ellipse, long along the viewing
 * direction, so the axes are coupled and the full covariance is kept. Plain values; any thread. */
#pragma once

struct sp_motion {
    double x[4];
    double p[4][4];
};

struct sp_spot {
    double x, y;       /* m */
    double xx, xy, yy; /* covariance, m^2 */
};

void sp_motion_init(struct sp_motion *motion, const struct sp_spot *measured);

void sp_motion_predict(struct sp_motion *motion, double dt_s); /* dt_s <= 0: no change */
/* With another acceleration density (m^2/s^3) than the default for walking people. */
void sp_motion_predict_as(struct sp_motion *motion, double dt_s, double density);

/* Applies a measurement; returns its squared Mahalanobis distance from the prediction (two degrees
 * of freedom). */
double sp_motion_update(struct sp_motion *motion, const struct sp_spot *measured);

/* The position `dt_s` later, with its covariance; does not change the filter. Cheap. */
struct sp_spot sp_motion_at(const struct sp_motion *motion, double dt_s);

/* d' (a + b)^-1 d and the determinant of a + b. */
double sp_spot_distance2(const struct sp_spot *a, const struct sp_spot *b, double *determinant);
