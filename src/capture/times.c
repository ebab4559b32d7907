#include "capture/times.h"

#include <math.h>
#include <stdlib.h>

/* A live stream's packets arrive in bursts; its clock may be ahead of arrival by this much. */
static const int64_t BURST_US = 1000000;
/* Larger than any gap in a file; sums of steps stay within 64 bits. */
static const int64_t STEP_MAX_US = 366LL * 86400 * 1000000;
static const double NEAR_NOMINAL = 0.08, NEAR_USUAL = 0.05; /* relative to the rate */
enum { RATE_STEPS_MIN = 3 };

void sp_times_restart(struct sp_times *t, int64_t last_us)
{
    t->started = false;
    t->shift_us = 0;
    t->last_us = t->good_us = t->before_us = last_us;
    t->odd = 0;
}

static int64_t max_of(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* Whether the elapsed time allows a step of `step_us` of the stream's clock. */
static bool is_step(const struct sp_times *t, int64_t step_us, int64_t elapsed_us)
{
    return step_us > 0 && step_us <= STEP_MAX_US &&
           (!t->live || step_us <= elapsed_us + BURST_US + 2 * t->period_us);
}

/* For a frame without a usable timestamp: a single one is placed one step later; if the clock
 * stands still or is missing, the arrival time is used. */
static int64_t step_of(const struct sp_times *t, bool known, int64_t now_us)
{
    if (!t->live || (known && t->odd == 0))
        return t->period_us;
    return max_of(now_us - t->last_at_us, t->period_us / 4 + 1);
}

static int64_t give(struct sp_times *t, int64_t time_us, int64_t now_us)
{
    t->last_us = max_of(time_us, t->last_us + 1);
    t->last_at_us = now_us;
    return t->last_us;
}

static int64_t take_good(struct sp_times *t, int64_t time_us, int64_t now_us)
{
    t->before_us = t->good_us;
    t->good_us = time_us;
    t->good_at_us = now_us;
    t->odd = 0;
    return give(t, time_us, now_us);
}

static int64_t take_odd(struct sp_times *t, int64_t stream_us, int64_t now_us)
{
    int64_t time_us = t->last_us + step_of(t, stream_us != INT64_MIN, now_us);
    t->odd_us = stream_us;
    t->odd++;
    return give(t, time_us, now_us);
}

int64_t sp_times_next(struct sp_times *t, int64_t stream_us, int64_t now_us)
{
    bool known = stream_us != INT64_MIN;
    if (!t->started) {
        t->started = true;
        return take_good(t, known ? stream_us : t->last_us + 1, now_us);
    }
    if (!known)
        return take_odd(t, stream_us, now_us);
    int64_t time_us = stream_us + t->shift_us;
    if (is_step(t, time_us - t->good_us, now_us - t->good_at_us)) {
        if (t->odd > 1 && time_us <= t->last_us) { /* the clock stood still and now runs again */
            int64_t next_us = t->last_us + step_of(t, true, now_us);
            t->shift_us += next_us - time_us;
            time_us = next_us;
        }
        return take_good(t, time_us, now_us);
    }
    if (time_us > t->before_us && time_us < t->good_us) {
        /* The previous frame was ahead of its time. */
        t->good_us = t->before_us;
        return take_good(t, time_us, now_us);
    }
    if (t->odd > 0 && t->odd_us != INT64_MIN &&
        is_step(t, stream_us - t->odd_us, now_us - t->last_at_us)) {
        time_us = t->last_us + stream_us - t->odd_us; /* the clock was set */
        t->shift_us = time_us - stream_us;
        return take_good(t, time_us, now_us);
    }
    return take_odd(t, stream_us, now_us);
}

static int compare(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double snap(double rate, double nominal)
{
    static const double usual[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 12.5, 15, 20, 25, 30, 50, 60};
    double best = rate, nearest = NEAR_USUAL;
    if (nominal > 0 && fabs(rate / nominal - 1) <= NEAR_NOMINAL)
        return nominal;
    for (unsigned i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (fabs(rate / usual[i] - 1) < nearest) {
            nearest = fabs(rate / usual[i] - 1);
            best = usual[i];
        }
    return best;
}

double sp_times_rate(int64_t *stream_us, int count, double nominal)
{
    int64_t *step_us = count > RATE_STEPS_MIN ? malloc((size_t)count * sizeof *step_us) : NULL;
    if (!step_us)
        return 0;
    int steps = 0, usual = 0;
    qsort(stream_us, (size_t)count, sizeof *stream_us, compare);
    for (int i = 1; i < count; i++)
        if (stream_us[i] > stream_us[i - 1])
            step_us[steps++] = stream_us[i] - stream_us[i - 1];
    double rate = 0, sum_us = 0;
    if (steps >= RATE_STEPS_MIN) {
        qsort(step_us, (size_t)steps, sizeof *step_us, compare);
        int64_t median_us = step_us[steps / 2];
        for (int i = 0; i < steps && step_us[i] <= median_us + median_us / 2; i++, usual++)
            sum_us += (double)step_us[i];
        rate = snap(usual * 1e6 / sum_us, nominal);
    }
    free(step_us);
    return rate;
}
