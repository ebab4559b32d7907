#include "space/motion.h"

#include <math.h>
#include <string.h>

/* People start, stop and turn: after one second the velocity is known to about 0.6 m/s. */
static const double ACCELERATION_DENSITY = 0.35; /* m^2/s^3 */
static const double SPEED_DEVIATION = 1.0;       /* m/s, before anything is known */

void sp_motion_init(struct sp_motion *motion, const struct sp_spot *measured)
{
    memset(motion, 0, sizeof *motion);
    motion->x[0] = measured->x;
    motion->x[1] = measured->y;
    motion->p[0][0] = measured->xx;
    motion->p[0][1] = motion->p[1][0] = measured->xy;
    motion->p[1][1] = measured->yy;
    motion->p[2][2] = motion->p[3][3] = SPEED_DEVIATION * SPEED_DEVIATION;
}

void sp_motion_predict(struct sp_motion *motion, double dt)
{
    sp_motion_predict_as(motion, dt, ACCELERATION_DENSITY);
}

void sp_motion_predict_as(struct sp_motion *motion, double dt, double density)
{
    if (!(dt > 0))
        return;
    double(*p)[4] = motion->p;
    motion->x[0] += dt * motion->x[2];
    motion->x[1] += dt * motion->x[3];
    /* F P F': rows, then columns. */
    for (int c = 0; c < 4; c++) {
        p[0][c] += dt * p[2][c];
        p[1][c] += dt * p[3][c];
    }
    for (int r = 0; r < 4; r++) {
        p[r][0] += dt * p[r][2];
        p[r][1] += dt * p[r][3];
    }
    for (int a = 0; a < 2; a++) {
        p[a][a] += density * dt * dt * dt / 3;
        p[a][a + 2] += density * dt * dt / 2;
        p[a + 2][a] += density * dt * dt / 2;
        p[a + 2][a + 2] += density * dt;
    }
}

double sp_motion_update(struct sp_motion *motion, const struct sp_spot *measured)
{
    double(*p)[4] = motion->p;
    double sxx = p[0][0] + measured->xx, sxy = p[0][1] + measured->xy;
    double syy = p[1][1] + measured->yy;
    double determinant = sxx * syy - sxy * sxy;
    double dx = measured->x - motion->x[0], dy = measured->y - motion->x[1];
    double ux = (syy * dx - sxy * dy) / determinant, uy = (sxx * dy - sxy * dx) / determinant;
    double gain[4][2], kept[4][4];
    for (int r = 0; r < 4; r++) {
        gain[r][0] = (p[r][0] * syy - p[r][1] * sxy) / determinant;
        gain[r][1] = (p[r][1] * sxx - p[r][0] * sxy) / determinant;
        motion->x[r] += p[r][0] * ux + p[r][1] * uy;
    }
    memcpy(kept, p, sizeof kept);
    for (int r = 0; r < 4; r++)
        for (int c = r; c < 4; c++)
            p[r][c] = p[c][r] = kept[r][c] - gain[r][0] * kept[0][c] - gain[r][1] * kept[1][c];
    return dx * ux + dy * uy;
}

struct sp_spot sp_motion_at(const struct sp_motion *m, double dt)
{
    if (!(dt > 0))
        return (struct sp_spot){m->x[0], m->x[1], m->p[0][0], m->p[0][1], m->p[1][1]};
    double noise = ACCELERATION_DENSITY * dt * dt * dt / 3;
    return (struct sp_spot){
        .x = m->x[0] + dt * m->x[2],
        .y = m->x[1] + dt * m->x[3],
        .xx = m->p[0][0] + 2 * dt * m->p[0][2] + dt * dt * m->p[2][2] + noise,
        .xy = m->p[0][1] + dt * (m->p[0][3] + m->p[1][2]) + dt * dt * m->p[2][3],
        .yy = m->p[1][1] + 2 * dt * m->p[1][3] + dt * dt * m->p[3][3] + noise,
    };
}

double sp_spot_distance2(const struct sp_spot *a, const struct sp_spot *b, double *determinant)
{
    double xx = a->xx + b->xx, xy = a->xy + b->xy, yy = a->yy + b->yy;
    double dx = a->x - b->x, dy = a->y - b->y;
    *determinant = fmax(xx * yy - xy * xy, 1e-12);
    return (yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / *determinant;
}
