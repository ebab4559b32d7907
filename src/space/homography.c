#include "space/homography.h"

#include "space/linear.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    EXHAUSTIVE_POINTS = 12, /* 495 quadruples: all are tried */
    RANDOM_FOURS = 1000,
    REFINE_STEPS = 30,
};

static const double IMAGE_TOLERANCE_PX = 8, MAP_TOLERANCE = 5; /* 5 as in SpotOn */
static const double HORIZON = 1e-9;
/* A triangle's area relative to the square of the points' extent; smaller ones are a line. */
static const double AREA_MIN = 2e-3;

static bool apply(const double m[9], struct sp_point p, struct sp_point *out)
{
    double w = m[6] * p.x + m[7] * p.y + m[8];
    if (!(w > HORIZON))
        return false;
    out->x = (m[0] * p.x + m[1] * p.y + m[2]) / w;
    out->y = (m[3] * p.x + m[4] * p.y + m[5]) / w;
    return isfinite(out->x) && isfinite(out->y);
}

bool sp_homography_to_map(const struct sp_homography *homography, struct sp_point image,
                          struct sp_point *map)
{
    return apply(homography->m, image, map);
}

bool sp_homography_to_image(const struct sp_homography *homography, struct sp_point map,
                            struct sp_point *image)
{
    return apply(homography->back, map, image);
}

bool sp_homography_jacobian(const struct sp_homography *homography, struct sp_point p,
                            double jacobian[4])
{
    const double *m = homography->m;
    struct sp_point at;
    if (!apply(m, p, &at))
        return false;
    double w = m[6] * p.x + m[7] * p.y + m[8];
    jacobian[0] = (m[0] - m[6] * at.x) / w;
    jacobian[1] = (m[1] - m[7] * at.x) / w;
    jacobian[2] = (m[3] - m[6] * at.y) / w;
    jacobian[3] = (m[4] - m[7] * at.y) / w;
    return true;
}

static double determinant(const double m[9])
{
    return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) +
           m[2] * (m[3] * m[7] - m[4] * m[6]);
}

/* The Jacobian's determinant is det(H) / w^3: with w > 0 its sign is that of det(H). */
bool sp_homography_is_mirrored(const struct sp_homography *homography, struct sp_point image)
{
    double j[4];
    return sp_homography_jacobian(homography, image, j) && j[0] * j[3] - j[1] * j[2] < 0;
}

static double weight_at(const double m[9], struct sp_point p)
{
    return m[6] * p.x + m[7] * p.y + m[8];
}

/* Computes `back`, scaled so that w is positive at the map's points too. */
static bool close_homography(struct sp_homography *h, struct sp_point image)
{
    double *m = h->m, scale = 0;
    for (int i = 0; i < 9; i++) {
        if (!isfinite(m[i]))
            return false;
        scale = fmax(scale, fabs(m[i]));
    }
    if (!(scale > 0))
        return false;
    double sign = weight_at(m, image) < 0 ? -1 : 1;
    for (int i = 0; i < 9; i++)
        m[i] *= sign / scale;
    if (!(fabs(determinant(m)) > 1e-18) || !sp_invert3(m, h->back))
        return false;
    struct sp_point map;
    if (!apply(m, image, &map))
        return false;
    if (weight_at(h->back, map) < 0)
        for (int i = 0; i < 9; i++)
            h->back[i] = -h->back[i];
    return true;
}

int sp_homography_set(struct sp_homography *homography, const double m[9], struct sp_point image,
                      struct sp_error *err)
{
    struct sp_homography made;
    memcpy(made.m, m, sizeof made.m);
    if (!close_homography(&made, image))
        return sp_fail(err, SP_ERR_INVALID,
                       "the matrix is not a homography: it has values that are not finite, or "
                       "maps the image to a line");
    *homography = made;
    return SP_OK;
}

/* ---- one hypothesis ---- */

/* Moves the points' mean to 0 and their mean distance from it to the square root of 2. */
struct normal {
    double scale, x, y;
};

static struct normal normal_of(const struct sp_point *points, const int *chosen, int count)
{
    struct normal n = {0};
    double distance = 0;
    for (int i = 0; i < count; i++) {
        n.x += points[chosen[i]].x / count;
        n.y += points[chosen[i]].y / count;
    }
    for (int i = 0; i < count; i++)
        distance += hypot(points[chosen[i]].x - n.x, points[chosen[i]].y - n.y) / count;
    n.scale = distance > 0 ? M_SQRT2 / distance : 1;
    return n;
}

/* m = T_map^-1 * m * T_image */
static void denormalise(double m[9], struct normal image, struct normal map)
{
    const double from[9] = {
        image.scale, 0, -image.scale * image.x, 0, image.scale, -image.scale * image.y, 0, 0, 1};
    const double to[9] = {1 / map.scale, 0, map.x, 0, 1 / map.scale, map.y, 0, 0, 1};
    double half[9];
    sp_multiply3(m, from, half);
    sp_multiply3(to, half, m);
}

/* Hartley and Zisserman, algorithm 4.2. */
static bool solve_linear(const struct sp_point *image, const struct sp_point *map,
                         const int *chosen, int count, double m[9])
{
    struct normal from = normal_of(image, chosen, count), to = normal_of(map, chosen, count);
    double normal[81] = {0}, rows[2][9];
    for (int i = 0; i < count; i++) {
        double u = (image[chosen[i]].x - from.x) * from.scale;
        double v = (image[chosen[i]].y - from.y) * from.scale;
        double x = (map[chosen[i]].x - to.x) * to.scale, y = (map[chosen[i]].y - to.y) * to.scale;
        const double first[9] = {-u, -v, -1, 0, 0, 0, x * u, x * v, x};
        const double second[9] = {0, 0, 0, -u, -v, -1, y * u, y * v, y};
        memcpy(rows[0], first, sizeof first);
        memcpy(rows[1], second, sizeof second);
        for (int r = 0; r < 2; r++)
            for (int a = 0; a < 9; a++)
                for (int b = 0; b < 9; b++)
                    normal[9 * a + b] += rows[r][a] * rows[r][b];
    }
    sp_smallest_eigenvector9(normal, m);
    denormalise(m, from, to);
    return true;
}

/* ---- the points ---- */

static double triangle(struct sp_point a, struct sp_point b, struct sp_point c)
{
    return 0.5 * fabs((b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y));
}

static double extent(const struct sp_point *points, int count)
{
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    for (int i = 0; i < count; i++) {
        low_x = fmin(low_x, points[i].x);
        high_x = fmax(high_x, points[i].x);
        low_y = fmin(low_y, points[i].y);
        high_y = fmax(high_y, points[i].y);
    }
    return fmax(high_x - low_x, high_y - low_y);
}

/* The smallest triangle among four points; it must not be degenerate. */
static double area_of_four(const struct sp_point *points, const int four[4])
{
    double smallest = INFINITY;
    for (int out = 0; out < 4; out++) {
        struct sp_point p[3];
        for (int i = 0, n = 0; i < 4; i++)
            if (i != out)
                p[n++] = points[four[i]];
        smallest = fmin(smallest, triangle(p[0], p[1], p[2]));
    }
    return smallest;
}

struct problem {
    const struct sp_point *image, *map;
    int count;
    double image_tolerance_px, map_tolerance;
    double image_area_min, map_area_min;
};

static void measure(const struct problem *p, const struct sp_homography *h, int i, double *image_px,
                    double *map)
{
    struct sp_point at;
    *map = apply(h->m, p->image[i], &at) ? hypot(at.x - p->map[i].x, at.y - p->map[i].y) : INFINITY;
    *image_px = apply(h->back, p->map[i], &at) ? hypot(at.x - p->image[i].x, at.y - p->image[i].y)
                                               : INFINITY;
}

static bool fits(const struct problem *p, double image_px, double map)
{
    return isfinite(map) && isfinite(image_px) &&
           (image_px <= p->image_tolerance_px || map <= p->map_tolerance);
}

/* Counts inliers; the sum of squares breaks ties. */
static int count_inliers(const struct problem *p, const struct sp_homography *h, double *squares)
{
    int inliers = 0;
    *squares = 0;
    for (int i = 0; i < p->count; i++) {
        double image_px, map;
        measure(p, h, i, &image_px, &map);
        if (!fits(p, image_px, map))
            continue;
        inliers++;
        *squares += image_px * image_px;
    }
    return inliers;
}

struct best {
    struct sp_homography homography;
    int inliers, spread; /* spread: quadruples of points that span a plane */
    double squares;
};

static void try_four(const struct problem *p, const int four[4], struct best *best)
{
    struct sp_homography h;
    double squares;
    if (area_of_four(p->image, four) < p->image_area_min ||
        area_of_four(p->map, four) < p->map_area_min)
        return;
    best->spread++;
    if (!solve_linear(p->image, p->map, four, 4, h.m) || !close_homography(&h, p->image[four[0]]))
        return;
    int inliers = count_inliers(p, &h, &squares);
    if (inliers < best->inliers || (inliers == best->inliers && squares >= best->squares))
        return;
    best->homography = h;
    best->inliers = inliers;
    best->squares = squares;
}

static uint32_t roll(uint64_t *dice)
{
    *dice = *dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*dice >> 33);
}

static void try_fours(const struct problem *p, struct best *best)
{
    int n = p->count;
    if (n <= EXHAUSTIVE_POINTS) {
        for (int a = 0; a < n; a++)
            for (int b = a + 1; b < n; b++)
                for (int c = b + 1; c < n; c++)
                    for (int d = c + 1; d < n; d++)
                        try_four(p, (const int[4]){a, b, c, d}, best);
        return;
    }
    uint64_t dice = 12;
    for (int i = 0; i < RANDOM_FOURS; i++) {
        int four[4];
        for (int k = 0; k < 4; k++) {
            bool again;
            do {
                four[k] = (int)(roll(&dice) % (uint32_t)n);
                again = false;
                for (int before = 0; before < k; before++)
                    again = again || four[before] == four[k];
            } while (again);
        }
        try_four(p, four, best);
    }
}

/* ---- refinement ---- */

static double cost_of(const struct problem *p, const int *chosen, int count,
                      const struct sp_homography *h, double *residual)
{
    double cost = 0;
    for (int i = 0; i < count; i++) {
        struct sp_point at;
        if (!apply(h->back, p->map[chosen[i]], &at))
            return INFINITY;
        residual[2 * i] = at.x - p->image[chosen[i]].x;
        residual[2 * i + 1] = at.y - p->image[chosen[i]].y;
        cost += residual[2 * i] * residual[2 * i] + residual[2 * i + 1] * residual[2 * i + 1];
    }
    return cost;
}

/* A step in eight parameters of `back`; its largest one is fixed. */
static bool step(const struct problem *p, const int *chosen, int count,
                 const struct sp_homography *h, const double *residual, double damping,
                 struct sp_homography *out)
{
    double a[64] = {0}, b[8] = {0};
    const double *m = h->back;
    for (int i = 0; i < count; i++) {
        struct sp_point map = p->map[chosen[i]];
        double w = weight_at(m, map), x = (m[0] * map.x + m[1] * map.y + m[2]) / w;
        double y = (m[3] * map.x + m[4] * map.y + m[5]) / w;
        const double row[2][8] = {
            {map.x / w, map.y / w, 1 / w, 0, 0, 0, -x * map.x / w, -x * map.y / w},
            {0, 0, 0, map.x / w, map.y / w, 1 / w, -y * map.x / w, -y * map.y / w},
        };
        for (int r = 0; r < 2; r++)
            for (int j = 0; j < 8; j++) {
                b[j] -= row[r][j] * residual[2 * i + r];
                for (int k = 0; k < 8; k++)
                    a[8 * j + k] += row[r][j] * row[r][k];
            }
    }
    for (int j = 0; j < 8; j++)
        a[9 * j] *= 1 + damping;
    if (!sp_solve(a, b, 8))
        return false;
    *out = *h;
    for (int j = 0; j < 8; j++)
        out->back[j] += b[j];
    return sp_invert3(out->back, out->m);
}

/* Scales `back` so that its last element is 1. A map origin on the camera's horizon would make that
 * element 0, so the caller shifts the map to the mean of its points. */
static void refine(const struct problem *p, const int *chosen, int count, struct sp_homography *h)
{
    double residual[2 * SP_FIT_POINTS_MAX] = {0}, tried[2 * SP_FIT_POINTS_MAX] = {0};
    double damping = 1e-3;
    struct sp_homography next;
    double cost = cost_of(p, chosen, count, h, residual);
    for (int i = 0; i < REFINE_STEPS && cost > 1e-12; i++) {
        if (!step(p, chosen, count, h, residual, damping, &next))
            return;
        bool valid = close_homography(&next, p->image[chosen[0]]);
        double cost_next = valid ? cost_of(p, chosen, count, &next, tried) : INFINITY;
        if (!(cost_next < cost)) {
            damping *= 10;
            continue;
        }
        bool small = cost - cost_next < 1e-10 * cost;
        *h = next;
        cost = cost_next;
        memcpy(residual, tried, sizeof residual);
        damping = fmax(damping / 10, 1e-12);
        if (small)
            return;
    }
}

/* ---- fit ---- */

static int check_points(const struct problem *p, struct sp_error *err)
{
    if (p->count < SP_FIT_POINTS_MIN)
        return sp_fail(err, SP_ERR_INVALID, "%d points: mark at least four", p->count);
    if (p->count > SP_FIT_POINTS_MAX)
        return sp_fail(err, SP_ERR_INVALID, "%d points: mark at most %d", p->count,
                       SP_FIT_POINTS_MAX);
    for (int i = 0; i < p->count; i++)
        if (!isfinite(p->image[i].x) || !isfinite(p->image[i].y) || !isfinite(p->map[i].x) ||
            !isfinite(p->map[i].y))
            return sp_fail(err, SP_ERR_INVALID, "point %d is not finite", i + 1);
    return SP_OK;
}

static int check_best(const struct problem *p, const struct best *best, struct sp_error *err)
{
    if (best->spread == 0)
        return sp_fail(err, SP_ERR_INVALID,
                       "the points lie on a line, or three of every four do; spread them over the "
                       "floor");
    /* Any four points fit some plane; a fifth confirms it. */
    int needed = p->count <= 5 ? p->count : (p->count < 10 ? 5 : (p->count + 1) / 2);
    if (best->inliers < needed)
        return sp_fail(err, SP_ERR_INVALID,
                       "only %d of %d points fit one plane within %g px of the image or %g of "
                       "the map; check their places, their order, and that all are below the "
                       "horizon",
                       best->inliers, p->count, p->image_tolerance_px, p->map_tolerance);
    return SP_OK;
}

static void fill_errors(const struct problem *p, struct sp_fit *fit)
{
    double image_squares = 0, map_squares = 0;
    fit->inliers = 0;
    for (int i = 0; i < p->count; i++) {
        measure(p, &fit->homography, i, &fit->image_error_px[i], &fit->map_error[i]);
        fit->inlier[i] = fits(p, fit->image_error_px[i], fit->map_error[i]);
        if (!fit->inlier[i])
            continue;
        fit->inliers++;
        image_squares += fit->image_error_px[i] * fit->image_error_px[i];
        map_squares += fit->map_error[i] * fit->map_error[i];
    }
    double n = fit->inliers > 0 ? fit->inliers : 1;
    fit->rms_image_px = sqrt(image_squares / n);
    fit->rms_map = sqrt(map_squares / n);
}

/* Undoes the shift of the map by `by`. */
static void shift_map(struct sp_homography *h, struct sp_point by, struct sp_point image)
{
    for (int i = 0; i < 3; i++) {
        h->m[i] += by.x * h->m[6 + i];
        h->m[3 + i] += by.y * h->m[6 + i];
    }
    close_homography(h, image);
}

int sp_homography_fit(struct sp_fit *fit, const struct sp_point *image, const struct sp_point *map,
                      int count, const struct sp_fit_options *options, struct sp_error *err)
{
    struct sp_point shifted[SP_FIT_POINTS_MAX], mean = {0};
    struct problem p = {.image = image, .map = map, .count = count};
    p.image_tolerance_px = options && options->image_tolerance_px > 0 ? options->image_tolerance_px
                                                                      : IMAGE_TOLERANCE_PX;
    p.map_tolerance =
        options && options->map_tolerance > 0 ? options->map_tolerance : MAP_TOLERANCE;
    int result = check_points(&p, err);
    if (result < 0)
        return result;
    for (int i = 0; i < count; i++) {
        mean.x += map[i].x / count;
        mean.y += map[i].y / count;
    }
    for (int i = 0; i < count; i++)
        shifted[i] = (struct sp_point){map[i].x - mean.x, map[i].y - mean.y};
    p.map = shifted;
    p.image_area_min = AREA_MIN * pow(extent(image, count), 2);
    p.map_area_min = AREA_MIN * pow(extent(map, count), 2);
    struct best best = {.squares = INFINITY};
    try_fours(&p, &best);
    result = check_best(&p, &best, err);
    if (result < 0)
        return result;
    int chosen[SP_FIT_POINTS_MAX] = {0}, used = 0;
    for (int i = 0; i < count; i++) {
        double image_px, distance;
        measure(&p, &best.homography, i, &image_px, &distance);
        if (fits(&p, image_px, distance))
            chosen[used++] = i;
    }
    if (used == 0)
        return sp_fail(err, SP_ERR_INVALID, "no point fits the homography");
    struct sp_fit made = {.homography = best.homography};
    refine(&p, chosen, used, &made.homography);
    bool mirrored = sp_homography_is_mirrored(&made.homography, image[chosen[0]]);
    if (mirrored != (options && options->y_up))
        return sp_fail(err, SP_ERR_INVALID,
                       "mirrored: the points run clockwise in the image and counterclockwise on "
                       "the map, or the reverse; check whether two of them are exchanged");
    shift_map(&made.homography, mean, image[chosen[0]]);
    p.map = map;
    fill_errors(&p, &made);
    *fit = made;
    return SP_OK;
}
