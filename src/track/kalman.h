/* The motion model: a Kalman filter with constant velocity over (cx, cy, a = w/h, h).
 *
 * As in ByteTrack (Zhang et al., ECCV 2022, section 4.1, after Wojke et al., "Simple Online and
 * Realtime Tracking with a Deep Association Metric", ICIP 2017), in double precision. Start
 * covariance, process and measurement noise are diagonal and the motion couples a coordinate only
 * with its own velocity, so the 8x8 covariance always consists of four 2x2 blocks: they are stored
 * and computed as such, which gives the same numbers as the 8x8 algebra at a fraction of its cost.
 */
#pragma once

enum { SP_KALMAN_CX, SP_KALMAN_CY, SP_KALMAN_ASPECT, SP_KALMAN_HEIGHT, SP_KALMAN_AXES };

struct sp_kalman {
    double position[SP_KALMAN_AXES]; /* px; the aspect has no unit */
    double velocity[SP_KALMAN_AXES]; /* per nominal frame period */
    /* Covariance of each axis: [pp pv; pv vv]. */
    double pp[SP_KALMAN_AXES], pv[SP_KALMAN_AXES], vv[SP_KALMAN_AXES];
};

/* A state at `measured` (cx, cy, a, h), h > 0, at rest but free to move. */
void sp_kalman_init(struct sp_kalman *kalman, const double measured[SP_KALMAN_AXES]);

/* Predicts the state `dt_frames` >= 0 nominal frame periods ahead. 1 is the reference's step. A
 * whole number of periods gives the result of that many single steps with the same height; in
 * between the same polynomials in dt are used. The noise scales with the height before the step. */
void sp_kalman_predict(struct sp_kalman *kalman, double dt_frames);

/* How far measured positions are from predictions, in heights per frame period: the moving average
 * after this one, before the update with it, `frames` after the last one. */
double sp_kalman_residual(const struct sp_kalman *kalman, const double measured[SP_KALMAN_AXES],
                          double residual, double frames);

/* Applies a measurement (cx, cy, a, h). */
void sp_kalman_update(struct sp_kalman *kalman, const double measured[SP_KALMAN_AXES]);
