#include "pipeline/backoff.h"

int64_t sp_backoff_next(struct sp_backoff *backoff)
{
    int64_t delay_us = backoff->first_us;
    for (int i = 0; i < backoff->tries && delay_us < backoff->limit_us; i++)
        delay_us *= 2;
    if (delay_us > backoff->limit_us)
        delay_us = backoff->limit_us;
    else
        backoff->tries++;
    /* xorshift64 (G. Marsaglia, "Xorshift RNGs", 2003) */
    backoff->random ^= backoff->random << 13;
    backoff->random ^= backoff->random >> 7;
    backoff->random ^= backoff->random << 17;
    return delay_us / 2 + (int64_t)(backoff->random % (uint64_t)(delay_us / 2 + 1));
}

void sp_backoff_succeed(struct sp_backoff *backoff)
{
    backoff->tries = 0;
}
