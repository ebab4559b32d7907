#include "capture/sim/world.h"

#include <math.h>
#include <string.h>

static const struct {
    double x1, x2;
} rooms[SP_WORLD_ROOMS] = {{0, 20}, {26, 38}, {44, 56}};

static const double PASSAGE_Y = 8, MARGIN_M = 0.6;
static const double GIVE_WAY_M = 1.2, GIVE_WAY_DENSE_M = 0.8,
                    BODY_M = 0.5; /* the least distance of two people's middles */

static const struct {
    double x, y, height, at_x, at_y;
    int room;
} cameras[SP_WORLD_CAMERAS] = {
    {0.2, 0.2, 4.2, 10, 8, 0},  {19.8, 0.2, 4.2, 10, 8, 0},   {19.8, 15.8, 4.2, 10, 8, 0},
    {0.2, 15.8, 4.2, 10, 8, 0}, {26.2, 0.2, 4.0, 32.5, 9, 1}, {55.8, 0.2, 4.0, 49.5, 9, 2},
};
static const double HALF_VIEW = 0.77; /* tangent of half the horizontal angle: 75 degrees */
static const double PERSON_HALF_WIDTH_M = 0.24, PERSON_DEPTH_M = 0.12;

static double chance(struct sp_world *world)
{
    world->dice = world->dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(world->dice >> 11) / 9007199254740992.0;
}

static double between(struct sp_world *world, double low, double high)
{
    return low + (high - low) * chance(world);
}

/* The room of a position, or -1 in a passage. */
static int room_at(double x)
{
    for (int r = 0; r < SP_WORLD_ROOMS; r++)
        if (x >= rooms[r].x1 && x <= rooms[r].x2)
            return r;
    return -1;
}

static void choose_target(struct sp_world *world, struct sp_world_person *p)
{
    if (world->options.roam && chance(world) < 0.35)
        p->room = (int)(chance(world) * SP_WORLD_ROOMS);
    p->to_x = between(world, rooms[p->room].x1 + MARGIN_M, rooms[p->room].x2 - MARGIN_M);
    p->to_y = between(world, MARGIN_M, SP_WORLD_HEIGHT_M - MARGIN_M);
    p->speed = between(world, 0.8, 1.6);
}

static int first_room(const struct sp_world_options *options, int index)
{
    if (options->hall)
        return 0;
    /* In proportion to the rooms' areas: 320, 192 and 192 square metres. */
    return index % 20 < (options->dense ? 12 : 9) ? 0 : 1 + index % 2;
}

static void begin(struct sp_world *world)
{
    world->dice = world->options.seed * 0x9E3779B97F4A7C15ULL + 0x632BE59BD9B4E019ULL;
    world->step = 0;
    for (int i = 0; i < 8; i++)
        chance(world);
    for (int i = 0; i < world->people; i++) {
        struct sp_world_person *p = &world->person[i];
        *p = (struct sp_world_person){.room = first_room(&world->options, i)};
        p->height_m = between(world, 1.55, 1.9);
        choose_target(world, p);
        p->x = p->to_x;
        p->y = p->to_y;
        choose_target(world, p);
    }
}

void sp_world_init(struct sp_world *world, const struct sp_world_options *options)
{
    memset(world, 0, sizeof *world);
    world->options = *options;
    world->people = options->people < SP_WORLD_PEOPLE_MAX ? options->people : SP_WORLD_PEOPLE_MAX;
    begin(world);
}

/* The next waypoint: through the doors, which are all at PASSAGE_Y. */
static void next_place(const struct sp_world_person *p, double *x, double *y)
{
    int here = room_at(p->x);
    *x = p->to_x;
    *y = p->to_y;
    if (here == p->room)
        return;
    bool right = p->to_x > p->x;
    *y = PASSAGE_Y;
    if (here >= 0 && fabs(p->y - PASSAGE_Y) > 0.8) /* to the door first */
        *x = right ? rooms[here].x2 - MARGIN_M : rooms[here].x1 + MARGIN_M;
    else
        *x = p->x + (right ? 3 : -3);
}

static void steer(struct sp_world *world, int index, double dt)
{
    struct sp_world_person *p = &world->person[index];
    double x, y, want_x = 0, want_y = 0;
    double give_way_m = world->options.dense ? GIVE_WAY_DENSE_M : GIVE_WAY_M;
    if (p->stands_s > 0) {
        p->stands_s -= dt;
    } else {
        next_place(p, &x, &y);
        double way = hypot(x - p->x, y - p->y);
        if (way < 0.4 && x == p->to_x) {
            p->stands_s = chance(world) < 0.3 ? between(world, 1, 6) : 0;
            choose_target(world, p);
        } else if (way > 0) {
            want_x = p->speed * (x - p->x) / way;
            want_y = p->speed * (y - p->y) / way;
        }
    }
    for (int i = 0; i < world->people; i++) {
        const struct sp_world_person *o = &world->person[i];
        double dx = p->x - o->x, dy = p->y - o->y, distance = hypot(dx, dy);
        if (i == index || distance > give_way_m)
            continue;
        /* Sideways rather than back: away from the other, turned to the right. */
        double push = 2.0 * (give_way_m - distance) / fmax(distance, 0.05);
        want_x += push * (dx + 0.8 * dy);
        want_y += push * (dy - 0.8 * dx);
    }
    double fast = hypot(want_x, want_y) / 2.0;
    if (fast > 1) {
        want_x /= fast;
        want_y /= fast;
    }
    double turn = dt / 0.35;
    p->vx += turn * (want_x - p->vx);
    p->vy += turn * (want_y - p->vy);
}

/* Bodies do not pass through each other. */
static void part(struct sp_world_person *a, struct sp_world_person *b)
{
    double dx = b->x - a->x, dy = b->y - a->y, distance = hypot(dx, dy);
    if (distance >= BODY_M || distance < 1e-6)
        return;
    double by = 0.5 * (BODY_M - distance) / distance;
    a->x -= by * dx;
    a->y -= by * dy;
    b->x += by * dx;
    b->y += by * dy;
}

static void move(struct sp_world_person *p, double dt)
{
    int here = room_at(p->x);
    double x = p->x + dt * p->vx, y = p->y + dt * p->vy;
    bool in_door = fabs(p->y - PASSAGE_Y) < 1.2;
    if (here >= 0 && !in_door)
        x = fmin(fmax(x, rooms[here].x1 + 0.3), rooms[here].x2 - 0.3);
    if (here < 0)
        y = fmin(fmax(y, PASSAGE_Y - 1), PASSAGE_Y + 1);
    p->x = fmin(fmax(x, 0.3), SP_WORLD_WIDTH_M - 0.3);
    p->y = fmin(fmax(y, 0.3), SP_WORLD_HEIGHT_M - 0.3);
}

void sp_world_go(struct sp_world *world, double time_s)
{
    int64_t step = (int64_t)floor(time_s / SP_WORLD_STEP_S);
    if (step < world->step)
        begin(world);
    for (; world->step < step; world->step++) {
        for (int i = 0; i < world->people; i++)
            steer(world, i, SP_WORLD_STEP_S);
        for (int i = 0; i < world->people; i++)
            move(&world->person[i], SP_WORLD_STEP_S);
        for (int i = 0; i < world->people; i++)
            for (int k = i + 1; k < world->people; k++)
                part(&world->person[i], &world->person[k]);
    }
}

/* ---- cameras ---- */

struct view {
    double right[3], down[3], forward[3]; /* unit vectors in the world; z is up */
    double focal_px, cx, cy;
    double x, y, z;
};

static void view_of(int camera, int width_px, int height_px, struct view *v)
{
    double fx = cameras[camera].at_x - cameras[camera].x;
    double fy = cameras[camera].at_y - cameras[camera].y, fz = -cameras[camera].height;
    double length = sqrt(fx * fx + fy * fy + fz * fz), flat = hypot(fx, fy);
    *v = (struct view){.x = cameras[camera].x, .y = cameras[camera].y, .z = cameras[camera].height};
    v->forward[0] = fx / length;
    v->forward[1] = fy / length;
    v->forward[2] = fz / length;
    /* The map's y axis points down, so that the scene is seen from above as in its plan: with x to
     * the right and y down, a right turn from "forward" is (-y, x). */
    v->right[0] = -fy / flat;
    v->right[1] = fx / flat;
    const double *f = v->forward, *r = v->right;
    v->down[0] = f[2] * r[1];
    v->down[1] = -f[2] * r[0];
    v->down[2] = f[1] * r[0] - f[0] * r[1];
    if (v->down[2] > 0)
        for (int i = 0; i < 3; i++)
            v->down[i] = -v->down[i];
    v->focal_px = 0.5 * width_px / HALF_VIEW;
    v->cx = 0.5 * width_px;
    v->cy = 0.5 * height_px;
}

static bool project(const struct view *v, double x, double y, double z, double *u, double *w,
                    double *depth)
{
    double dx = x - v->x, dy = y - v->y, dz = z - v->z;
    *depth = v->forward[0] * dx + v->forward[1] * dy + v->forward[2] * dz;
    if (*depth < 0.3)
        return false;
    *u = v->cx + v->focal_px * (v->right[0] * dx + v->right[1] * dy) / *depth;
    *w = v->cy + v->focal_px * (v->down[0] * dx + v->down[1] * dy + v->down[2] * dz) / *depth;
    return true;
}

static bool see(const struct view *v, const struct sp_world_person *p,
                struct sp_world_observation *s)
{
    /* The near edge of the feet, where a box ends. */
    double away = hypot(p->x - v->x, p->y - v->y), part = PERSON_DEPTH_M / fmax(away, 0.2);
    double near_x = p->x - part * (p->x - v->x), near_y = p->y - part * (p->y - v->y);
    double u_foot, v_foot, u_head, v_head, depth, head_depth;
    if (!project(v, near_x, near_y, 0, &u_foot, &v_foot, &depth) ||
        !project(v, p->x, p->y, p->height_m, &u_head, &v_head, &head_depth))
        return false;
    double half = v->focal_px * PERSON_HALF_WIDTH_M / depth;
    s->x1_px = fmin(u_foot, u_head) - half;
    s->x2_px = fmax(u_foot, u_head) + half;
    s->y1_px = fmin(v_head, v_foot);
    s->y2_px = fmax(v_head, v_foot);
    s->distance_m = depth;
    return true;
}

/* The part of the box within the frame and not covered by the `nearer` ones, sampled on a grid. */
static double visible_part(const struct sp_world_observation *s,
                           const struct sp_world_observation *nearer, int count, int width_px,
                           int height_px)
{
    enum { GRID = 8 };
    int seen = 0;
    for (int i = 0; i < GRID * GRID; i++) {
        double x = s->x1_px + (i % GRID + 0.5) / GRID * (s->x2_px - s->x1_px);
        int row = i / GRID;
        double y = s->y1_px + (row + 0.5) / GRID * (s->y2_px - s->y1_px);
        bool hidden = x < 0 || y < 0 || x >= width_px || y >= height_px;
        for (int k = 0; k < count && !hidden; k++)
            hidden = x > nearer[k].x1_px && x < nearer[k].x2_px && y > nearer[k].y1_px &&
                     y < nearer[k].y2_px;
        seen += !hidden;
    }
    return seen / (double)(GRID * GRID);
}

int sp_world_see(const struct sp_world *world, int camera, int width_px, int height_px,
                 struct sp_world_observation observations[SP_WORLD_PEOPLE_MAX])
{
    struct view v;
    int count = 0;
    view_of(camera, width_px, height_px, &v);
    for (int i = 0; i < world->people; i++) {
        struct sp_world_observation s = {.person = i};
        if (room_at(world->person[i].x) != cameras[camera].room || !see(&v, &world->person[i], &s))
            continue;
        int at = count++;
        for (; at > 0 && observations[at - 1].distance_m > s.distance_m; at--)
            observations[at] = observations[at - 1];
        observations[at] = s;
    }
    for (int i = 0; i < count; i++)
        observations[i].visible =
            visible_part(&observations[i], observations, i, width_px, height_px);
    return count;
}

void sp_world_floor(int camera, int width_px, int height_px, double m[9])
{
    struct view v;
    view_of(camera, width_px, height_px, &v);
    /* Columns: the images of a unit of x, of y, and of the origin. */
    const double columns[3][3] = {
        {1 / SP_WORLD_UNITS_PER_M, 0, 0}, {0, 1 / SP_WORLD_UNITS_PER_M, 0}, {-v.x, -v.y, -v.z}};
    for (int c = 0; c < 3; c++) {
        const double *d = columns[c];
        double right = v.right[0] * d[0] + v.right[1] * d[1];
        double down = v.down[0] * d[0] + v.down[1] * d[1] + v.down[2] * d[2];
        double depth = v.forward[0] * d[0] + v.forward[1] * d[1] + v.forward[2] * d[2];
        m[c] = v.focal_px * right + v.cx * depth;
        m[3 + c] = v.focal_px * down + v.cy * depth;
        m[6 + c] = depth;
    }
}

void sp_world_marks(int camera, int width_px, int height_px, double map[4][2], double image[4][2])
{
    double m[9];
    double ax = cameras[camera].at_x, ay = cameras[camera].at_y;
    static const double mark[4][2] = {{-3, -1}, {1, -3}, {3, 2}, {-1, 3}};
    sp_world_floor(camera, width_px, height_px, m);
    for (int i = 0; i < 4; i++) {
        double x = (ax + mark[i][0]) * SP_WORLD_UNITS_PER_M;
        double y = (ay + mark[i][1]) * SP_WORLD_UNITS_PER_M;
        double w = m[6] * x + m[7] * y + m[8];
        map[i][0] = x;
        map[i][1] = y;
        image[i][0] = (m[0] * x + m[1] * y + m[2]) / w;
        image[i][1] = (m[3] * x + m[4] * y + m[5]) / w;
    }
}
