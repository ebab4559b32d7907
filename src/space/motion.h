/* A person's motion on the map: a Kalman filter with constant velocity and real time steps.
 *
 * State (x, y, vx, vy) in metres and seconds; continuous white-noise acceleration (Y. Bar-Shalom,
 * X. Li, T. Kirubarajan, "Estimation with Applications to Tracking and Navigation", 2001, section
 * 6.2.2). Unlike in a image a measurement's noise is an ellipse, long along the line of sight, so
 * the axes are coupled and the whole covariance is kept. Plain values; any thread. */
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

void sp_motion_predict(struct sp_motion *motion, double dt_s); /* dt_s <= 0: nothing */
/* For someone whose velocity changes by another density (m^2/s^3) than walkers' on the whole. */
void sp_motion_predict_as(struct sp_motion *motion, double dt_s, double density);

/* Takes in a measurement; returns its squared Mahalanobis distance from what was predicted (two
 * degrees of freedom). */
double sp_motion_update(struct sp_motion *motion, const struct sp_spot *measured);

/* The position `dt_s` later, with its covariance; does not change the motion. Cheap. */
struct sp_spot sp_motion_at(const struct sp_motion *motion, double dt_s);

/* d' (a + b)^-1 d and the determinant of a + b. */
double sp_spot_distance2(const struct sp_spot *a, const struct sp_spot *b, double *determinant);
