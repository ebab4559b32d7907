/* Histogram of durations: fixed memory, lock-free, percentiles within 1.6 %.
 *
 * Buckets are logarithmic with 32 steps per octave (the layout of HdrHistogram, G. Tene), from 1 us
 * to over an hour. Any thread may add while another reads; a reader may see an update that is only
 * partly applied. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum { SP_HISTOGRAM_BUCKETS = 32 * 29 };

struct sp_histogram {
    _Atomic uint64_t bucket[SP_HISTOGRAM_BUCKETS];
    _Atomic uint64_t count;
    _Atomic uint64_t sum_us;
    _Atomic uint64_t max_us;
};

/* Zeroed memory is an empty histogram. Negative durations count as 0. */
void sp_histogram_add(struct sp_histogram *histogram, int64_t duration_us);

/* The percentile `share` (0..1) in us; 0 when empty. */
double sp_histogram_percentile(const struct sp_histogram *histogram, double share);

/* Empties the histogram. Concurrent calls may see it partly cleared. */
void sp_histogram_clear(struct sp_histogram *histogram);

/* below[i]: number of durations up to limit_us[i] (ascending), within the width of a bucket.
 * Returns the total number. */
uint64_t sp_histogram_below(const struct sp_histogram *histogram, const int64_t *limit_us,
                            int count, uint64_t *below);

/* Adds the counts of `from` to `to`. */
void sp_histogram_merge(struct sp_histogram *to, const struct sp_histogram *from);

/* 0 when empty. */
double sp_histogram_mean_us(const struct sp_histogram *histogram);
