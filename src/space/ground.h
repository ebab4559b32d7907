/* A box's foot point on the map, with its uncertainty.
 *
 * The foot point is the middle of the box's lower edge. Its noise in the image, proportional to the
 * box's size, is projected by the Jacobian of the homography, so that distant people get an ellipse
 * that is long along the viewing direction. Feet that are cut off by the image's edge or hidden by
 * another person get a large covariance. Plain values; any thread. */
#pragma once

#include "space/homography.h"
#include "space/motion.h"
#include "track.h"

#include <stddef.h>

struct sp_ground {
    struct sp_homography homography; /* from images of this size to map units */
    double width_px, height_px;      /* that size */
    double units_per_m;
    double floor_m; /* lower bound of the standard deviation: the calibration's own error */
};

struct sp_foot {
    bool valid; /* false: at or behind the horizon, or too far away */
    bool sure;  /* the feet are in the image and not hidden */
    struct sp_spot spot;
};

/* The foot points of a frame's tracks. width_px, height_px: of the frame. `noise`: factor on the
 * boxes' variance, 1 by default. */
void sp_ground_feet(const struct sp_ground *ground, const struct sp_track *tracks, size_t count,
                    int width_px, int height_px, double noise, struct sp_foot *feet);

/* The floor area that the camera sees, up to `reach_m` from the middle of the lower edge, in map
 * units. Returns the number of corners, at most SP_VIEW_CORNERS; 0: none. */
enum { SP_VIEW_CORNERS = 64 };
int sp_ground_view(const struct sp_ground *ground, double reach_m,
                   struct sp_point corners[SP_VIEW_CORNERS]);
