/* Where a box stands: its foot point on the map, and how sure that is.
 *
 * The foot point is the middle of the box's lower edge. Its noise in the image, a part of the
 * box's size, goes through the Jacobian of the homography, so that people far away get an ellipse
 * that is long along the line of sight. Feet that the image's edge cuts off or that another
 * person hides count for little. Plain values; any thread. */
#pragma once

#include "space/homography.h"
#include "space/motion.h"
#include "track.h"

#include <stddef.h>

struct sp_ground {
    struct sp_homography homography; /* of images of the size it was calibrated in, to map units */
    double width_px, height_px;      /* that size */
    double units_per_m;
    double floor_m; /* deviation that stays however good the boxes: of the calibration itself */
};

struct sp_foot {
    bool valid; /* else it stands at or behind the horizon, or too far away to tell anything */
    bool sure;  /* the feet are in the image and not hidden */
    struct sp_spot spot;
};

/* The feet of a frame's tracks. width_px, height_px: of the frame. `noise`: a factor on the
 * variance of boxes, 1 unless more is known. */
void sp_ground_feet(const struct sp_ground *ground, const struct sp_track *tracks, size_t count,
                    int width_px, int height_px, double noise, struct sp_foot *feet);

/* What the camera sees of the floor, up to `reach_m` from the lower edge's middle, in map units.
 * Returns the number of corners, at most SP_VIEW_CORNERS; 0: nothing of it. */
enum { SP_VIEW_CORNERS = 64 };
int sp_ground_view(const struct sp_ground *ground, double reach_m,
                   struct sp_point corners[SP_VIEW_CORNERS]);
