#include "track/shift.h"

#include <assert.h>
#include <math.h>

/* The C library's qsort allocates for larger arrays. */
static void shell_sort(double *values, int count)
{
    for (int gap = count / 2; gap > 0; gap = gap == 2 ? 1 : gap * 5 / 11) {
        for (int i = gap; i < count; i++) {
            double value = values[i];
            int at = i;
            for (; at >= gap && values[at - gap] > value; at -= gap)
                values[at] = values[at - gap];
            values[at] = value;
        }
    }
}

double sp_shift_median(double *values, int count)
{
    shell_sort(values, count);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

double sp_shift_estimate(double *residuals, int count)
{
    assert(count >= SP_SHIFT_SAMPLES_MIN);
    double shift = sp_shift_median(residuals, count);
    for (int i = 0; i < count; i++)
        residuals[i] = fabs(residuals[i] - shift);
    /* The standard deviation of normal residuals from their median distance, and that of a median
     * of them: 1.4826 and sqrt(pi / 2). */
    double variance_of_median =
        M_PI / 2 * pow(1.4826 * sp_shift_median(residuals, count), 2) / count;
    double power = shift * shift;
    /* Nothing within the range of scatter: 1.4 deviations, more where the spread itself is
     * estimated from few boxes only. */
    double scatter = 2 * (1 + 6.0 / count) * variance_of_median;
    return power > scatter ? shift * (1 - scatter / power) : 0;
}
