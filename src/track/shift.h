/* How far all boxes moved together, from how far each one lies from where it was expected.
 *
 * A camera that pans or shakes moves every box by about the same amount. The median of the
 * residuals is that amount; it is trusted by how clearly it stands out of their spread, and not
 * at all where scatter alone gives as much, as that of a still camera's boxes does. */
#pragma once

enum { SP_SHIFT_SAMPLES_MIN = 3 };

/* The common part of count >= SP_SHIFT_SAMPLES_MIN residuals. Sorts `residuals` and overwrites
 * them. Allocates nothing. */
double sp_shift_estimate(double *residuals, int count);
