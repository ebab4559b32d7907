/* The common shift of all boxes, from the residual of each.
 *
 * A camera that pans or shakes moves every box by about the same amount. The median of the
 * residuals is that amount; it is weighted by how clearly it exceeds their spread, and ignored
 * where scatter alone explains it, as with a still camera. */
#pragma once

enum { SP_SHIFT_SAMPLES_MIN = 3 };

/* The common part of count >= SP_SHIFT_SAMPLES_MIN residuals. Sorts and overwrites `residuals`.
 * Allocates nothing. */
double sp_shift_estimate(double *residuals, int count);

/* The median of count >= 1 values. Sorts them. Allocates nothing. */
double sp_shift_median(double *values, int count);
