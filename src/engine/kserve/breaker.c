#include "breaker.h"

enum { FAILURES_MAX = 2 };

static const int64_t BACK_OFF_US = 250000, BACK_OFF_MAX_US = 8000000, REFUSED_US = 10000000,
                     IDLE_US = 2000000, BUSY_US = 100000, BUSY_MAX_US = 2000000, SLOW_US = 2000000;
static const double GAIN = 1.0 / 8, DEVIATION_GAIN = 1.0 / 4, DEVIATIONS = 2;

int64_t kserve_breaker_round_trip_high_us(const struct kserve_breaker *b)
{
    return (int64_t)(b->round_trip_us + DEVIATIONS * b->deviation_us);
}

void kserve_breaker_ok(struct kserve_breaker *b, int64_t now_us, int64_t round_trip_us)
{
    double value = (double)round_trip_us, off = value - b->round_trip_us;
    b->failures = 0;
    b->back_off_us = 0;
    b->ok_us = now_us;
    if (b->round_trip_us == 0) {
        b->round_trip_us = value;
        b->deviation_us = value / 4;
    } else {
        b->deviation_us += DEVIATION_GAIN * ((off < 0 ? -off : off) - b->deviation_us);
        b->round_trip_us += GAIN * off;
    }
    if (b->budget_us > 0 && b->state == SPOTON_SERVER_READY &&
        kserve_breaker_round_trip_high_us(b) > b->budget_us) {
        b->state = SPOTON_SERVER_SLOW;
        b->until_us = now_us + SLOW_US;
    }
}

static void open_circuit(struct kserve_breaker *b, int64_t now_us)
{
    b->back_off_us = b->back_off_us ? b->back_off_us * 2 : BACK_OFF_US;
    if (b->back_off_us > BACK_OFF_MAX_US)
        b->back_off_us = BACK_OFF_MAX_US;
    b->state = SPOTON_SERVER_FAILED;
    b->until_us = now_us + b->back_off_us;
}

/* Requests that were in flight when the circuit opened do not lengthen the back-off. */
void kserve_breaker_fail(struct kserve_breaker *b, int64_t now_us, bool broken)
{
    bool closed = b->state == SPOTON_SERVER_READY || b->state == SPOTON_SERVER_BUSY ||
                  b->state == SPOTON_SERVER_SLOW;
    b->failures++;
    if (closed && (broken || b->failures >= FAILURES_MAX))
        open_circuit(b, now_us);
}

void kserve_breaker_busy(struct kserve_breaker *b, int64_t now_us, int64_t retry_after_s)
{
    int64_t wait_us = retry_after_s > 0 ? retry_after_s * 1000000 : BUSY_US;
    if (retry_after_s > BUSY_MAX_US / 1000000)
        wait_us = BUSY_MAX_US;
    if (b->state != SPOTON_SERVER_READY && b->state != SPOTON_SERVER_SLOW)
        return;
    b->state = SPOTON_SERVER_BUSY;
    b->until_us = now_us + wait_us;
    b->ok_us = now_us;
}

void kserve_breaker_checked(struct kserve_breaker *b, int64_t now_us, bool passed, bool refused)
{
    if (!passed) {
        open_circuit(b, now_us);
        if (refused) {
            b->state = SPOTON_SERVER_REFUSED;
            b->until_us = now_us + REFUSED_US;
        }
        return;
    }
    b->ok_us = now_us;
    b->failures = 0;
    if (b->state == SPOTON_SERVER_BUSY || b->state == SPOTON_SERVER_SLOW)
        return;
    /* The round trip of a server that failed says nothing about the one that returns. */
    if (b->state != SPOTON_SERVER_READY)
        b->round_trip_us = b->deviation_us = 0;
    b->state = SPOTON_SERVER_READY; /* the back-off ends with the first request that succeeds */
}

bool kserve_breaker_usable(struct kserve_breaker *b, int64_t now_us)
{
    bool waits = b->state == SPOTON_SERVER_BUSY || b->state == SPOTON_SERVER_SLOW;
    if (waits && now_us >= b->until_us) {
        if (b->state == SPOTON_SERVER_SLOW)
            b->round_trip_us = b->deviation_us = 0;
        b->state = SPOTON_SERVER_READY;
    }
    return b->state == SPOTON_SERVER_READY;
}

bool kserve_breaker_check_due(const struct kserve_breaker *b, int64_t now_us, int64_t *next_us)
{
    switch (b->state) {
    case SPOTON_SERVER_CHECKING:
        *next_us = now_us;
        break;
    case SPOTON_SERVER_FAILED:
    case SPOTON_SERVER_REFUSED:
        *next_us = b->until_us;
        break;
    case SPOTON_SERVER_READY:
    case SPOTON_SERVER_BUSY:
    case SPOTON_SERVER_SLOW:
        *next_us = b->ok_us + IDLE_US;
        break;
    }
    return now_us >= *next_us;
}
