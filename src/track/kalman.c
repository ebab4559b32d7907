#include "track/kalman.h"

#include <math.h>

/* Standard deviations relative to the height (absolute for the aspect). */
static const double POSITION_SD = 1.0 / 20;
static const double VELOCITY_SD = 1.0 / 160;

static double square(double x)
{
    return x * x;
}

/* The same deviation for cx, cy and h, another for the aspect. */
static void fill_variance(double variance[SP_KALMAN_AXES], double sd, double aspect_sd)
{
    variance[SP_KALMAN_CX] = square(sd);
    variance[SP_KALMAN_CY] = square(sd);
    variance[SP_KALMAN_ASPECT] = square(aspect_sd);
    variance[SP_KALMAN_HEIGHT] = square(sd);
}

void sp_kalman_init(struct sp_kalman *kalman, const double measured[SP_KALMAN_AXES])
{
    double height = measured[SP_KALMAN_HEIGHT];
    for (int i = 0; i < SP_KALMAN_AXES; i++) {
        kalman->position[i] = measured[i];
        kalman->velocity[i] = 0;
        kalman->pv[i] = 0;
    }
    fill_variance(kalman->pp, 2 * POSITION_SD * height, 1e-2);
    fill_variance(kalman->vv, 10 * VELOCITY_SD * height, 1e-5);
}

void sp_kalman_predict(struct sp_kalman *kalman, double dt_frames)
{
    double height = kalman->position[SP_KALMAN_HEIGHT];
    double position_noise[SP_KALMAN_AXES], velocity_noise[SP_KALMAN_AXES];
    fill_variance(position_noise, POSITION_SD * height, 1e-2);
    fill_variance(velocity_noise, VELOCITY_SD * height, 1e-5);

    /* n steps of noise in the velocity reach the velocity n times, the cross term 0+1+..+(n-1)
     * times and the position 0+1+4+..+(n-1)^2 times: 1, 0 and 0 for the single step. */
    double n = dt_frames;
    double into_cross = n * (n - 1) / 2;
    double into_position = n * (n - 1) * (2 * n - 1) / 6;
    for (int i = 0; i < SP_KALMAN_AXES; i++) {
        kalman->position[i] += n * kalman->velocity[i];
        kalman->pp[i] += n * (2 * kalman->pv[i] + n * kalman->vv[i]) + n * position_noise[i] +
                         into_position * velocity_noise[i];
        kalman->pv[i] += n * kalman->vv[i] + into_cross * velocity_noise[i];
        kalman->vv[i] += n * velocity_noise[i];
    }
}

double sp_kalman_residual(const struct sp_kalman *kalman, const double measured[SP_KALMAN_AXES],
                          double residual, double frames)
{
    static const double kept = 0.6;
    double off_px = fmax(fabs(measured[SP_KALMAN_CX] - kalman->position[SP_KALMAN_CX]),
                         fabs(measured[SP_KALMAN_CY] - kalman->position[SP_KALMAN_CY]));
    double heights = off_px / fmax(measured[SP_KALMAN_HEIGHT], 1);
    return kept * residual + (1 - kept) * heights / fmax(frames, 1);
}

void sp_kalman_update(struct sp_kalman *kalman, const double measured[SP_KALMAN_AXES])
{
    double noise[SP_KALMAN_AXES];
    fill_variance(noise, POSITION_SD * kalman->position[SP_KALMAN_HEIGHT], 1e-1);
    for (int i = 0; i < SP_KALMAN_AXES; i++) {
        double innovation_variance = kalman->pp[i] + noise[i];
        double position_gain = kalman->pp[i] / innovation_variance;
        double velocity_gain = kalman->pv[i] / innovation_variance;
        double innovation = measured[i] - kalman->position[i];
        kalman->position[i] += position_gain * innovation;
        kalman->velocity[i] += velocity_gain * innovation;
        kalman->vv[i] -= velocity_gain * kalman->pv[i];
        kalman->pv[i] -= velocity_gain * kalman->pp[i];
        kalman->pp[i] -= position_gain * kalman->pp[i];
    }
}
