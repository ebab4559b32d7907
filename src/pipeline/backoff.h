/* Exponential back-off with jitter before a reconnect: the delay doubles after each failure, up to
 * a limit; the jitter keeps cameras that failed together from reconnecting at the same moment. One
 * thread at a time. */
#pragma once

#include <stdint.h>

struct sp_backoff {
    int64_t first_us, limit_us;
    uint64_t random; /* state of the jitter; seed: any number but 0 */
    int tries;       /* since the last success */
};

/* The next delay, between half of it and all of it. */
int64_t sp_backoff_next(struct sp_backoff *backoff);

/* The connection lasted: the next delay is the first one again. */
void sp_backoff_succeed(struct sp_backoff *backoff);
