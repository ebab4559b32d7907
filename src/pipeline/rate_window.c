#include "pipeline/rate_window.h"

static const int64_t BUCKET_US = 500000;
static const int64_t HALF_US = 10000000;

static void advance(struct sp_rate *rate, int64_t now_us)
{
    int64_t bucket = (now_us - rate->began_us) / BUCKET_US;
    if (bucket - rate->bucket > SP_RATE_BUCKETS)
        rate->bucket = bucket - SP_RATE_BUCKETS;
    while (rate->bucket < bucket)
        rate->count[++rate->bucket % SP_RATE_BUCKETS] = 0;
}

void sp_rate_add(struct sp_rate *rate, int64_t now_us)
{
    if (rate->began_us == 0)
        rate->began_us = now_us;
    advance(rate, now_us);
    rate->count[rate->bucket % SP_RATE_BUCKETS]++;
}

double sp_rate_read(struct sp_rate *rate, int64_t now_us)
{
    if (rate->began_us == 0 || now_us <= rate->began_us)
        return 0;
    advance(rate, now_us);
    uint64_t sum = 0;
    for (int i = 0; i < SP_RATE_BUCKETS; i++)
        sum += rate->count[i];
    int64_t span_us = now_us - rate->began_us;
    int64_t window_us = (SP_RATE_BUCKETS - 1) * BUCKET_US + span_us % BUCKET_US;
    if (span_us > window_us)
        span_us = window_us;
    return (double)sum * 1e6 / (double)span_us;
}

void sp_rate_window_clear(struct sp_rate_window *window)
{
    sp_histogram_clear(&window->half[0]);
    sp_histogram_clear(&window->half[1]);
    window->since_us = 0;
}

void sp_rate_window_add(struct sp_rate_window *window, int64_t duration_us, int64_t now_us)
{
    int filling = atomic_load(&window->filling);
    if (window->since_us == 0)
        window->since_us = now_us;
    if (now_us - window->since_us >= HALF_US) {
        filling = 1 - filling;
        sp_histogram_clear(&window->half[filling]);
        atomic_store(&window->filling, filling);
        window->since_us = now_us;
    }
    sp_histogram_add(&window->half[filling], duration_us);
}

void sp_rate_window_read(const struct sp_rate_window *window, struct sp_histogram *to)
{
    sp_histogram_merge(to, &window->half[0]);
    sp_histogram_merge(to, &window->half[1]);
}
