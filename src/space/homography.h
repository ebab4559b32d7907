/* The homography between a camera's image and the map, for points on the floor.
 *
 * A homography H takes a point (u, v) of the image to (x, y, w) = H (u, v, 1), on the map at
 * (x/w, y/w). All points in front of the horizon have w of one sign; sp_homography_fit and
 * sp_homography_set make it positive. Plain values; any thread.
 *
 * The fit: hypotheses from four points each (M. Fischler and R. Bolles, "Random Sample Consensus",
 * CACM 1981), all of them where there are few points; each by the normalised direct linear
 * transformation, and the best one refined by Levenberg-Marquardt on the transfer error in the
 * image (R. Hartley and A. Zisserman, "Multiple View Geometry", 2nd ed., sections 4.1, 4.4, 4.5,
 * 4.8), as that is where the points were marked. */
#pragma once

#include "base/error.h"

#include <stdbool.h>

struct sp_homography {
    double m[9]; /* [3][3] image to map */
    double back[9];
};

struct sp_point {
    double x, y;
};

enum { SP_FIT_POINTS_MIN = 4, SP_FIT_POINTS_MAX = 64 };

struct sp_fit_options {
    double image_tolerance_px; /* an inlier is nearer than this in the image, or ... */
    double map_tolerance;      /* ... nearer than this on the map; 0 of both: the defaults */
    bool y_up;                 /* the map's y axis points up, not down as in an image */
};

struct sp_fit {
    struct sp_homography homography;
    int inliers;
    bool inlier[SP_FIT_POINTS_MAX];
    double image_error_px[SP_FIT_POINTS_MAX]; /* of each point, outliers included */
    double map_error[SP_FIT_POINTS_MAX];
    double rms_image_px, rms_map; /* of the inliers */
};

/* Deterministic. SP_ERR_INVALID with the reason: fewer than four points; collinear; no common
 * plane; points behind the horizon; mirrored. *fit is valid after success only. */
int sp_homography_fit(struct sp_fit *fit, const struct sp_point *image, const struct sp_point *map,
                      int count, const struct sp_fit_options *options, struct sp_error *err);

/* Uses a given matrix; `image` is a point in front of the horizon (the middle of the image's lower
 * edge). SP_ERR_INVALID: not finite, or singular. */
int sp_homography_set(struct sp_homography *homography, const double m[9], struct sp_point image,
                      struct sp_error *err);

/* False: at or behind the horizon; *map is not set. */
bool sp_homography_to_map(const struct sp_homography *homography, struct sp_point image,
                          struct sp_point *map);
bool sp_homography_to_image(const struct sp_homography *homography, struct sp_point map,
                            struct sp_point *image);

/* d(map)/d(image) at a point: [xx xy; yx yy] (sections 5.2.4 and A6), to project a box's noise.
 * False: at or behind the horizon. */
bool sp_homography_jacobian(const struct sp_homography *homography, struct sp_point image,
                            double jacobian[4]);

/* Whether a right turn in the image is a left turn on the map. */
bool sp_homography_is_mirrored(const struct sp_homography *homography, struct sp_point image);
