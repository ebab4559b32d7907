/* Clocks. Durations are int64_t microseconds and carry the suffix _us. */
#pragma once

#include <stdint.h>

/* Monotonic; for durations and deadlines, never for display. */
int64_t sp_clock_us(void);

/* Wall clock since the Unix epoch; for display only: it can jump. */
int64_t sp_clock_wall_us(void);
