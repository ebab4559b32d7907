#include "stage.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

const char *sp_stage_name(enum sp_stage stage)
{
    static const char *const names[] = {
#define X(id, name) name,
        SP_STAGES(X)
#undef X
    };
    return names[stage];
}

struct sp_stage_clock sp_stage_begin(void)
{
    return (struct sp_stage_clock){read_us(CLOCK_MONOTONIC), read_us(CLOCK_THREAD_CPUTIME_ID)};
}

int64_t sp_stage_end(struct sp_stage_stats *stats, struct sp_stage_clock begin)
{
    int64_t wall_us = read_us(CLOCK_MONOTONIC) - begin.wall_us;
    int64_t cpu_us = read_us(CLOCK_THREAD_CPUTIME_ID) - begin.cpu_us;
    sp_histogram_add(&stats->wall, wall_us);
    atomic_fetch_add_explicit(&stats->cpu_us, (uint64_t)cpu_us, memory_order_relaxed);
    return wall_us;
}

int64_t sp_process_cpu_us(void)
{
    return read_us(CLOCK_PROCESS_CPUTIME_ID);
}
