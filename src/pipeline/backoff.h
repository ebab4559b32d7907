/* How long to wait before the next try to connect: twice as long after each failure, up to a limit,
 * and by chance a part of that, so that cameras that went together do not all come back at once.
 * One thread at a time. */
#pragma once

#include <stdint.h>

struct sp_backoff {
    int64_t first_us, limit_us;
    uint64_t dice; /* the chance; any number but 0 starts it */
    int tries;     /* since the last success */
};

/* Between half of it and all of it. */
int64_t sp_backoff_next(struct sp_backoff *backoff);

/* The connection held. */
void sp_backoff_succeed(struct sp_backoff *backoff);
