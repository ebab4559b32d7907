/* Lines and polygons in a plane. Values only; any thread.
 *
 * In an image, and on a map whose y axis points down, the right-hand side of the line from a to b,
 * looking from a to b, is where (b - a) x (p - a) > 0: right of (0,0)->(1,0) is y > 0. */
#pragma once

#include <stdbool.h>

struct sp_planar {
    double x, y;
};

/* Distance of p from the infinite line through a and b (which differ): positive to the right. */
double sp_planar_side(struct sp_planar a, struct sp_planar b, struct sp_planar p);

/* Whether the path from p to q crosses the segment from a to b: 1 from left to right, -1 from right
 * to left, 0 not. Points on the line count as right, so consecutive paths count a crossing once.
 * *share: the part of the path before the crossing. */
int sp_planar_crossing(struct sp_planar a, struct sp_planar b, struct sp_planar p,
                       struct sp_planar q, double *share);

bool sp_polygon_contains(const struct sp_planar *corners, int count, struct sp_planar p);

/* The nearest point on the edges that are not `open` (edge i is from corner i to the next; NULL:
 * none is open). Returns the distance; infinity if all are open. */
double sp_polygon_nearest(const struct sp_planar *corners, const bool *open, int count,
                          struct sp_planar p, struct sp_planar *nearest);

double sp_polygon_area(const struct sp_planar *corners, int count); /* not negative */

/* Whether two edges that are no neighbours meet, or two neighbours overlap; their numbers. */
bool sp_polygon_crosses_itself(const struct sp_planar *corners, int count, int *first, int *second);
