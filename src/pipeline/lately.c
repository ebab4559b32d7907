#include "pipeline/lately.h"

static const int64_t SLOT_US = 500000;
static const int64_t HALF_US = 10000000;

static void advance(struct sp_rate *rate, int64_t now_us)
{
    int64_t slot = (now_us - rate->began_us) / SLOT_US;
    if (slot - rate->slot > SP_RATE_SLOTS)
        rate->slot = slot - SP_RATE_SLOTS;
    while (rate->slot < slot)
        rate->count[++rate->slot % SP_RATE_SLOTS] = 0;
}

void sp_rate_add(struct sp_rate *rate, int64_t now_us)
{
    if (rate->began_us == 0)
        rate->began_us = now_us;
    advance(rate, now_us);
    rate->count[rate->slot % SP_RATE_SLOTS]++;
}

double sp_rate_read(struct sp_rate *rate, int64_t now_us)
{
    if (rate->began_us == 0 || now_us <= rate->began_us)
        return 0;
    advance(rate, now_us);
    uint64_t sum = 0;
    for (int i = 0; i < SP_RATE_SLOTS; i++)
        sum += rate->count[i];
    int64_t span_us = now_us - rate->began_us;
    int64_t window_us = (SP_RATE_SLOTS - 1) * SLOT_US + span_us % SLOT_US;
    if (span_us > window_us)
        span_us = window_us;
    return (double)sum * 1e6 / (double)span_us;
}

void sp_lately_clear(struct sp_lately *lately)
{
    sp_histogram_clear(&lately->half[0]);
    sp_histogram_clear(&lately->half[1]);
    lately->since_us = 0;
}

void sp_lately_add(struct sp_lately *lately, int64_t duration_us, int64_t now_us)
{
    int filling = atomic_load(&lately->filling);
    if (lately->since_us == 0)
        lately->since_us = now_us;
    if (now_us - lately->since_us >= HALF_US) {
        filling = 1 - filling;
        sp_histogram_clear(&lately->half[filling]);
        atomic_store(&lately->filling, filling);
        lately->since_us = now_us;
    }
    sp_histogram_add(&lately->half[filling], duration_us);
}

void sp_lately_read(const struct sp_lately *lately, struct sp_histogram *to)
{
    sp_histogram_merge(to, &lately->half[0]);
    sp_histogram_merge(to, &lately->half[1]);
}
