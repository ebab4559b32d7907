#include "analytics/geometry.h"

#include <math.h>

static double cross(struct sp_planar a, struct sp_planar b, struct sp_planar p)
{
    return (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
}

double sp_planar_side(struct sp_planar a, struct sp_planar b, struct sp_planar p)
{
    double dx = b.x - a.x, dy = b.y - a.y;
    return cross(a, b, p) / sqrt(dx * dx + dy * dy);
}

int sp_planar_crossing(struct sp_planar a, struct sp_planar b, struct sp_planar p,
                       struct sp_planar q, double *share)
{
    double before = cross(a, b, p), after = cross(a, b, q);
    if ((before < 0) == (after < 0))
        return 0;
    double part = before / (before - after);
    struct sp_planar at = {p.x + part * (q.x - p.x), p.y + part * (q.y - p.y)};
    double dx = b.x - a.x, dy = b.y - a.y;
    double along = ((at.x - a.x) * dx + (at.y - a.y) * dy) / (dx * dx + dy * dy);
    if (along < 0 || along > 1)
        return 0;
    *share = part;
    return before < 0 ? 1 : -1;
}

bool sp_polygon_contains(const struct sp_planar *corners, int count, struct sp_planar p)
{
    bool inside = false;
    for (int i = 0, k = count - 1; i < count; k = i++) {
        struct sp_planar a = corners[i], b = corners[k];
        if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x)
            inside = !inside;
    }
    return inside;
}

double sp_polygon_nearest(const struct sp_planar *corners, const bool *open, int count,
                          struct sp_planar p, struct sp_planar *nearest)
{
    double least = INFINITY;
    *nearest = p;
    for (int i = 0; i < count; i++) {
        struct sp_planar a = corners[i], b = corners[i + 1 < count ? i + 1 : 0];
        if (open && open[i])
            continue;
        double dx = b.x - a.x, dy = b.y - a.y;
        double along = ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy);
        along = along < 0 ? 0 : (along > 1 ? 1 : along);
        struct sp_planar at = {a.x + along * dx, a.y + along * dy};
        double square = (p.x - at.x) * (p.x - at.x) + (p.y - at.y) * (p.y - at.y);
        if (square < least) {
            least = square;
            *nearest = at;
        }
    }
    return sqrt(least);
}

double sp_polygon_area(const struct sp_planar *corners, int count)
{
    double twice = 0;
    for (int i = 0, k = count - 1; i < count; k = i++)
        twice += corners[k].x * corners[i].y - corners[i].x * corners[k].y;
    return fabs(twice) / 2;
}

static bool between(double a, double b, double value)
{
    return value >= fmin(a, b) && value <= fmax(a, b);
}

/* p is on the line through a and b: whether it is between them. */
static bool on_segment(struct sp_planar a, struct sp_planar b, struct sp_planar p)
{
    return between(a.x, b.x, p.x) && between(a.y, b.y, p.y);
}

static int sign(double value)
{
    return value > 0 ? 1 : (value < 0 ? -1 : 0);
}

static bool meet(struct sp_planar a, struct sp_planar b, struct sp_planar c, struct sp_planar d)
{
    int abc = sign(cross(a, b, c)), abd = sign(cross(a, b, d));
    int cda = sign(cross(c, d, a)), cdb = sign(cross(c, d, b));
    if (abc != abd && cda != cdb)
        return true;
    return (abc == 0 && on_segment(a, b, c)) || (abd == 0 && on_segment(a, b, d)) ||
           (cda == 0 && on_segment(c, d, a)) || (cdb == 0 && on_segment(c, d, b));
}

bool sp_polygon_crosses_itself(const struct sp_planar *corners, int count, int *first, int *second)
{
    for (int i = 0; i < count; i++)
        for (int k = i + 1; k < count; k++) {
            struct sp_planar a = corners[i], b = corners[(i + 1) % count];
            struct sp_planar c = corners[k], d = corners[(k + 1) % count];
            bool follows = k == i + 1, precedes = (k + 1) % count == i;
            bool wrong;
            if (follows) /* they share b = c: wrong only if d folds back onto the first edge */
                wrong = cross(a, b, d) == 0 &&
                        (b.x - a.x) * (d.x - c.x) + (b.y - a.y) * (d.y - c.y) < 0;
            else if (precedes) /* they share a = d */
                wrong = cross(c, d, b) == 0 &&
                        (d.x - c.x) * (b.x - a.x) + (d.y - c.y) * (b.y - a.y) < 0;
            else
                wrong = meet(a, b, c, d);
            if (wrong) {
                *first = i;
                *second = k;
                return true;
            }
        }
    return false;
}
