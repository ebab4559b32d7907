#include "analytics/internal.h"

#include <math.h>

/* A box's edge: a fixed part, and parts of its height. As in src/space/ground.c. */
static const double NOISE_PX = 1.5, NOISE_PART = 0.02, CUT_PART = 0.25, HIDDEN_PART = 0.12;
static const double EDGE_PX = 3;
static const double MAP_NOISE_M = 0.25;
/* Feet of a person who stands still move about their middle; heights are those of a person. */
static const double SWAY_PART = 0.04, SWAY_M = 0.1;
/* Walking people, in heights and metres: speed, and density of acceleration. */
static const double SPEED_PART = 0.7, DENSITY_PART = 0.17, SPEED_M = 1.2, DENSITY_M = 0.5;
static const double HEIGHT_S = 1;
static const double LINK_DISTANCE2 = 9, LINK_HEIGHT = 1.4;

struct measured {
    double value[AXES], variance[AXES];
};

static double square(double value)
{
    return value * value;
}

static struct measured measure(const struct sp_track *track, const struct sp_planar *map,
                               double hidden, int frame_height_px)
{
    if (map) {
        double v = square(MAP_NOISE_M);
        return (struct measured){{map->x, map->y, map->y}, {v, v, v}};
    }
    double height = track->y2_px - track->y1_px;
    double edge = square(NOISE_PX + NOISE_PART * height), foot = edge;
    foot += square(HIDDEN_PART * hidden * height);
    if (track->y2_px >= frame_height_px - EDGE_PX)
        foot += square(CUT_PART * height);
    return (struct measured){
        {0.5 * (track->x1_px + track->x2_px), track->y2_px, 0.5 * (track->y1_px + track->y2_px)},
        {edge, foot, 0.5 * edge + 0.25 * (foot - edge)}};
}

void sp_subject_start(struct subject *subject, const struct sp_track *track,
                      const struct sp_planar *map, double hidden, int frame_height_px)
{
    struct measured m = measure(track, map, hidden, frame_height_px);
    subject->height = map ? 0 : track->y2_px - track->y1_px;
    double speed = map ? SPEED_M : SPEED_PART * subject->height;
    for (int i = 0; i < AXES; i++)
        sp_axis_start(&subject->axis[i], m.value[i], m.variance[i], square(speed));
}

void sp_subject_step(struct subject *subject, double dt_s, const struct sp_track *track,
                     const struct sp_planar *map, double hidden, int frame_height_px)
{
    struct measured m = measure(track, map, hidden, frame_height_px);
    if (!map && dt_s > 0) {
        double share = dt_s / (HEIGHT_S + dt_s);
        subject->height += share * (track->y2_px - track->y1_px - subject->height);
    }
    double density = map ? DENSITY_M : DENSITY_PART * square(subject->height);
    for (int i = 0; i < AXES; i++) {
        sp_axis_predict(&subject->axis[i], dt_s, density);
        sp_axis_update(&subject->axis[i], m.value[i], m.variance[i]);
    }
}

static double within(double value, double most)
{
    return value < 0 ? 0 : (value > most ? most : value);
}

struct sp_planar sp_subject_at(const struct subject *subject, const struct scope *scope,
                               enum sp_anchor anchor)
{
    double x = subject->axis[AXIS_X].x;
    double y = subject->axis[anchor == SP_ANCHOR_CENTRE ? AXIS_CENTRE : AXIS_FOOT].x;
    if (scope->camera < 0)
        return (struct sp_planar){x, y};
    /* Boxes may extend beyond the frame; lines and zones end there. */
    return (struct sp_planar){within(x, scope->width_px), within(y, scope->height_px)};
}

double sp_subject_deviation(const struct subject *subject, bool on_map, enum sp_anchor anchor,
                            double nx, double ny)
{
    double sway = on_map ? SWAY_M : SWAY_PART * subject->height;
    double y = subject->axis[anchor == SP_ANCHOR_CENTRE ? AXIS_CENTRE : AXIS_FOOT].pp;
    return sqrt(nx * nx * subject->axis[AXIS_X].pp + ny * ny * y + sway * sway);
}

double sp_subject_variance_max(const struct subject *subject, bool on_map, enum sp_anchor anchor)
{
    double sway = on_map ? SWAY_M : SWAY_PART * subject->height;
    double x = subject->axis[AXIS_X].pp;
    double y = subject->axis[anchor == SP_ANCHOR_CENTRE ? AXIS_CENTRE : AXIS_FOOT].pp;
    return (x > y ? x : y) + sway * sway;
}

double sp_subject_distance(const struct subject *subject, double dt_s, const struct sp_track *track)
{
    struct measured m = measure(track, NULL, 0, INT32_MAX);
    double height = track->y2_px - track->y1_px, sum = 0;
    if (!(height > 0) || height > LINK_HEIGHT * subject->height ||
        subject->height > LINK_HEIGHT * height)
        return INFINITY;
    double density = DENSITY_PART * square(subject->height);
    const enum axis_of used[] = {AXIS_X, AXIS_FOOT};
    for (int i = 0; i < 2; i++) {
        struct sp_axis axis = subject->axis[used[i]];
        sp_axis_predict(&axis, dt_s, density);
        sum += square(m.value[used[i]] - axis.x) /
               (axis.pp + m.variance[used[i]] + square(SWAY_PART * subject->height));
    }
    return sum <= LINK_DISTANCE2 ? sum : INFINITY;
}
