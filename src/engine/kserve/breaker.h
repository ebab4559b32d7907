/* The health of one server, with a circuit breaker. Pure: the caller passes the time and holds the
 * lock.
 *
 * checking -> ready: all checks passed. ready -> failed: the connection broke, or several requests
 * in a row failed; -> busy: the server asked to wait; -> slow: the round trip exceeds the budget.
 * failed -> checking: after a back-off that doubles. busy, slow -> ready: after a time. */
#pragma once

#include "spoton/engine.h"

#include <stdbool.h>

struct kserve_breaker {
    enum spoton_server_state state;
    int failures; /* in a row */
    int64_t until_us, back_off_us, ok_us;
    int64_t budget_us;                  /* 0: none */
    double round_trip_us, deviation_us; /* smoothed as in RFC 6298; 0: none yet */
};

void kserve_breaker_ok(struct kserve_breaker *breaker, int64_t now_us, int64_t round_trip_us);
/* broken: the connection; a single one suffices. */
void kserve_breaker_fail(struct kserve_breaker *breaker, int64_t now_us, bool broken);
void kserve_breaker_busy(struct kserve_breaker *breaker, int64_t now_us, int64_t retry_after_s);
/* The checks passed or not. refused: the model does not fit. */
void kserve_breaker_checked(struct kserve_breaker *breaker, int64_t now_us, bool passed,
                            bool refused);

/* Whether it may get a request now. Ends busy and slow when their time is over. */
bool kserve_breaker_usable(struct kserve_breaker *breaker, int64_t now_us);
/* Whether a check is due, and the time of the next one. */
bool kserve_breaker_check_due(const struct kserve_breaker *breaker, int64_t now_us,
                              int64_t *next_us);
/* What the next round trip will hardly exceed. */
int64_t kserve_breaker_round_trip_high_us(const struct kserve_breaker *breaker);
