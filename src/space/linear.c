#include "space/linear.h"

#include <math.h>

enum { SWEEPS = 60 };

void sp_multiply3(const double a[9], const double b[9], double out[9])
{
    for (int row = 0; row < 3; row++)
        for (int column = 0; column < 3; column++)
            out[3 * row + column] = a[3 * row] * b[column] + a[3 * row + 1] * b[3 + column] +
                                    a[3 * row + 2] * b[6 + column];
}

bool sp_invert3(const double m[9], double out[9])
{
    const double cofactor[9] = {
        m[4] * m[8] - m[5] * m[7], m[2] * m[7] - m[1] * m[8], m[1] * m[5] - m[2] * m[4],
        m[5] * m[6] - m[3] * m[8], m[0] * m[8] - m[2] * m[6], m[2] * m[3] - m[0] * m[5],
        m[3] * m[7] - m[4] * m[6], m[1] * m[6] - m[0] * m[7], m[0] * m[4] - m[1] * m[3],
    };
    double determinant = m[0] * cofactor[0] + m[1] * cofactor[3] + m[2] * cofactor[6];
    if (!isnormal(determinant))
        return false;
    for (int i = 0; i < 9; i++)
        out[i] = cofactor[i] / determinant;
    return true;
}

bool sp_solve(double *a, double *b, int n)
{
    for (int column = 0; column < n; column++) {
        int pivot = column;
        for (int row = column + 1; row < n; row++)
            if (fabs(a[n * row + column]) > fabs(a[n * pivot + column]))
                pivot = row;
        if (!isnormal(a[n * pivot + column]))
            return false;
        for (int k = 0; k < n && pivot != column; k++) {
            double kept = a[n * pivot + k];
            a[n * pivot + k] = a[n * column + k];
            a[n * column + k] = kept;
        }
        double kept = b[pivot];
        b[pivot] = b[column];
        b[column] = kept;
        for (int row = column + 1; row < n; row++) {
            double factor = a[n * row + column] / a[n * column + column];
            for (int k = column; k < n; k++)
                a[n * row + k] -= factor * a[n * column + k];
            b[row] -= factor * b[column];
        }
    }
    for (int row = n - 1; row >= 0; row--) {
        for (int k = row + 1; k < n; k++)
            b[row] -= a[n * row + k] * b[k];
        b[row] /= a[n * row + row];
    }
    return true;
}

static void rotate(double *a, double *vectors, int p, int q)
{
    double theta = (a[9 * q + q] - a[9 * p + p]) / (2 * a[9 * p + q]);
    double t = (theta < 0 ? -1 : 1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < 9; k++) {
        double kp = a[9 * k + p], kq = a[9 * k + q];
        a[9 * k + p] = c * kp - s * kq;
        a[9 * k + q] = s * kp + c * kq;
    }
    for (int k = 0; k < 9; k++) {
        double pk = a[9 * p + k], qk = a[9 * q + k];
        a[9 * p + k] = c * pk - s * qk;
        a[9 * q + k] = s * pk + c * qk;
        double vp = vectors[9 * k + p], vq = vectors[9 * k + q];
        vectors[9 * k + p] = c * vp - s * vq;
        vectors[9 * k + q] = s * vp + c * vq;
    }
}

void sp_smallest_eigenvector9(double *a, double out[9])
{
    double vectors[81] = {0};
    int smallest = 0;
    for (int i = 0; i < 9; i++)
        vectors[10 * i] = 1;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, on = 0;
        for (int p = 0; p < 9; p++) {
            on += fabs(a[10 * p]);
            for (int q = p + 1; q < 9; q++)
                off += fabs(a[9 * p + q]);
        }
        if (off <= 1e-15 * on)
            break;
        for (int p = 0; p < 9; p++)
            for (int q = p + 1; q < 9; q++)
                if (fabs(a[9 * p + q]) > 1e-300)
                    rotate(a, vectors, p, q);
    }
    for (int i = 1; i < 9; i++)
        if (a[10 * i] < a[10 * smallest])
            smallest = i;
    for (int i = 0; i < 9; i++)
        out[i] = vectors[9 * i + smallest];
}
