#include "base/stats.h"

/* Values below 64 have a bucket each; above, 32 buckets for each power of two. */
static unsigned bucket_of(uint64_t value)
{
    if (value < 64)
        return (unsigned)value;
    unsigned exponent = 63U - (unsigned)__builtin_clzll(value); /* >= 6 */
    unsigned step = (unsigned)(value >> (exponent - 5)) & 31U;
    unsigned index = 64 + (exponent - 6) * 32 + step;
    return index < SP_HISTOGRAM_BUCKETS ? index : SP_HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static double value_of(unsigned index)
{
    if (index < 64)
        return index;
    unsigned exponent = (index - 64) / 32 + 6;
    unsigned step = (index - 64) % 32;
    double width = (double)(1ULL << (exponent - 5));
    return (32.0 + step + 0.5) * width;
}

void sp_histogram_add(struct sp_histogram *histogram, int64_t duration_us)
{
    uint64_t value = duration_us > 0 ? (uint64_t)duration_us : 0;
    atomic_fetch_add_explicit(&histogram->bucket[bucket_of(value)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum_us, value, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&histogram->max_us, memory_order_relaxed);
    while (value > seen && !atomic_compare_exchange_weak(&histogram->max_us, &seen, value))
        continue;
}

double sp_histogram_percentile(const struct sp_histogram *histogram, double share)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < SP_HISTOGRAM_BUCKETS; i++)
        total += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
    if (total == 0)
        return 0.0;
    double wanted = share * (double)total;
    uint64_t below = 0;
    for (unsigned i = 0; i < SP_HISTOGRAM_BUCKETS; i++) {
        below += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
        if (below > 0 && (double)below >= wanted)
            return value_of(i);
    }
    return value_of(SP_HISTOGRAM_BUCKETS - 1);
}

double sp_histogram_mean_us(const struct sp_histogram *histogram)
{
    uint64_t count = atomic_load_explicit(&histogram->count, memory_order_relaxed);
    uint64_t sum = atomic_load_explicit(&histogram->sum_us, memory_order_relaxed);
    return count ? (double)sum / (double)count : 0.0;
}

void sp_histogram_clear(struct sp_histogram *histogram)
{
    for (unsigned i = 0; i < SP_HISTOGRAM_BUCKETS; i++)
        atomic_store_explicit(&histogram->bucket[i], 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->count, 0, memory_order_relaxed);
    atomic_store_explicit(&histogram->sum_us, 0, memory_order_relaxed);
    atomic_store(&histogram->max_us, 0);
}

void sp_histogram_merge(struct sp_histogram *to, const struct sp_histogram *from)
{
    /* sp_histogram_add updates `bucket` before `count`: with a count of 0 at most a few are missed.
     */
    if (atomic_load_explicit(&from->count, memory_order_relaxed) == 0)
        return;
    for (unsigned i = 0; i < SP_HISTOGRAM_BUCKETS; i++) {
        uint64_t more = atomic_load_explicit(&from->bucket[i], memory_order_relaxed);
        if (more > 0)
            atomic_fetch_add_explicit(&to->bucket[i], more, memory_order_relaxed);
    }
    atomic_fetch_add(&to->count, atomic_load(&from->count));
    atomic_fetch_add(&to->sum_us, atomic_load(&from->sum_us));
    if (atomic_load(&from->max_us) > atomic_load(&to->max_us))
        atomic_store(&to->max_us, atomic_load(&from->max_us));
}

uint64_t sp_histogram_below(const struct sp_histogram *histogram, const int64_t *limit_us,
                            int count, uint64_t *below)
{
    uint64_t total = 0;
    int at = 0;
    for (unsigned i = 0; i < SP_HISTOGRAM_BUCKETS; i++) {
        while (at < count && i > bucket_of((uint64_t)limit_us[at]))
            below[at++] = total;
        total += atomic_load_explicit(&histogram->bucket[i], memory_order_relaxed);
    }
    while (at < count)
        below[at++] = total;
    return total;
}
