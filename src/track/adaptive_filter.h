/* The motion model of the adaptive tracker: four independent filters over (cx, cy, w, h), each with
 * a value, a velocity and a 2x2 covariance. Noise is in box heights and root seconds, so it is the
 * same at every frame rate. Plain values. */
#pragma once

enum { SP_ADAPTIVE_CX, SP_ADAPTIVE_CY, SP_ADAPTIVE_W, SP_ADAPTIVE_H, SP_ADAPTIVE_AXES };

struct sp_adaptive_filter {
    double x[SP_ADAPTIVE_AXES]; /* px */
    double v[SP_ADAPTIVE_AXES]; /* px/s */
    /* Covariance of each axis: [pp pv; pv vv]. */
    double pp[SP_ADAPTIVE_AXES], pv[SP_ADAPTIVE_AXES], vv[SP_ADAPTIVE_AXES];
};

void sp_adaptive_filter_init(struct sp_adaptive_filter *filter, const double box[SP_ADAPTIVE_AXES]);

/* decay_s: time in which the velocity decays to 1/e; the size is constant then. INFINITY: the
 * object was seen just now, so position and size go on as before. */
void sp_adaptive_filter_predict(struct sp_adaptive_filter *filter, double dt_s, double decay_s);

/* How far measured boxes are from predictions, in heights per second: the moving average after this
 * box, before the update with it, since_s after the last one. */
double sp_adaptive_filter_residual(const struct sp_adaptive_filter *filter,
                                   const double box[SP_ADAPTIVE_AXES], double residual_s,
                                   double since_s);

void sp_adaptive_filter_update(struct sp_adaptive_filter *filter,
                               const double box[SP_ADAPTIVE_AXES]);

/* Standard deviation of a measured position, in heights. */
double sp_adaptive_position_sd(void);

/* Variances of a measured box of this height. */
void sp_adaptive_measurement(double height_px, double variance[SP_ADAPTIVE_AXES]);
