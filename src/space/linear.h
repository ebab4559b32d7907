/* Small linear algebra for homographies. Plain values, row-major; no allocation. */
#pragma once

#include <stdbool.h>

void sp_multiply3(const double a[9], const double b[9], double out[9]);

/* False: singular. */
bool sp_invert3(const double m[9], double out[9]);

/* Solves a x = b into b by Gaussian elimination with pivoting; overwrites a[n][n]. n <= 64. False:
 * singular. */
bool sp_solve(double *a, double *b, int n);

/* The unit vector of the smallest eigenvalue of a symmetric matrix, by Jacobi's rotations;
 * overwrites a[9][9]. */
void sp_smallest_eigenvector9(double *a, double out[9]);
