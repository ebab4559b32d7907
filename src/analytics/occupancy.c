#include "analytics/occupancy.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

static const double SHARE[SP_OCCUPANCY_SHARES] = {0.4, 0.6, 0.75, 0.87, 0.95, 0.99};
static const double MISSED_BESIDE = 0.01;    /* entries, exits missed for each one seen */
static const double MISSED_A_SECOND = 0.001; /* and without any */
static const double WEIGHT = 0.17;           /* of an observation */
static const double FALSE_SEEN = 0.05;       /* expected number of false positives */
/* Whole numbers seldom have a share of 90 % exactly; with this least one it is 90 % in the mean. */
static const double INTERVAL = 0.9;
/* So small that it decides nothing, and so large that evidence of half a minute outweighs it. */
static const double IMPOSSIBLE = 1e-13;

/* Adds numbers of people that were impossible so far. */
static void widen(struct sp_occupancy *o, int low, int high)
{
    low = low < 0 ? 0 : low;
    high = high > SP_OCCUPANCY_MAX ? SP_OCCUPANCY_MAX : high;
    while (o->low > low) {
        o->low--;
        for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
            o->p[s][o->low] = IMPOSSIBLE;
    }
    while (o->high < high) {
        o->high++;
        for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
            o->p[s][o->high] = IMPOSSIBLE;
    }
}

static bool is_impossible(const struct sp_occupancy *o, int n)
{
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        if (o->p[s][n] > IMPOSSIBLE)
            return false;
    return true;
}

static void normalize(struct sp_occupancy *o)
{
    double sum = 0;
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = o->low; n <= o->high; n++)
            sum += o->p[s][n];
    double factor = 1 / sum;
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = o->low; n <= o->high; n++) {
            double p = o->p[s][n] * factor;
            o->p[s][n] = p > IMPOSSIBLE ? p : IMPOSSIBLE;
        }
    while (o->low < o->high && is_impossible(o, o->low))
        o->low++;
    while (o->high > o->low && is_impossible(o, o->high))
        o->high--;
}

void sp_occupancy_start(struct sp_occupancy *o, int seen)
{
    o->low = 0;
    o->high = SP_OCCUPANCY_MAX;
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++)
            o->p[s][n] = n < seen ? 0.1 * pow(0.2, seen - n) : pow(0.6, n - seen);
    normalize(o);
}

/* One less, the same, and one more, with these probabilities. */
static void shift(struct sp_occupancy *o, double less, double more)
{
    double same = 1 - less - more;
    widen(o, o->low - 1, o->high + 1);
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++) {
        double *p = o->p[s], before = 0;
        for (int n = o->low; n <= o->high; n++) {
            double here = p[n], after = n < o->high ? p[n + 1] : 0;
            double stays = (n == 0 ? less : 0) + (n == SP_OCCUPANCY_MAX ? more : 0);
            p[n] = (same + stays) * here + more * before + less * after;
            before = here;
        }
    }
}

void sp_occupancy_enter(struct sp_occupancy *o, double confidence)
{
    shift(o, 0, confidence);
    shift(o, MISSED_BESIDE, MISSED_BESIDE);
}

void sp_occupancy_leave(struct sp_occupancy *o, double confidence)
{
    shift(o, confidence, 0);
    shift(o, MISSED_BESIDE, MISSED_BESIDE);
}

/* log of "n choose k". */
static double log_choose(int n, int k)
{
    return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
}

static double likelihood(int seen, int people, double share)
{
    double sum = 0, wrong = exp(-FALSE_SEEN);
    for (int extra = 0; extra <= 3 && extra <= seen; extra++) {
        int real = seen - extra;
        if (extra > 0)
            wrong *= FALSE_SEEN / extra;
        if (real <= people)
            sum += wrong * exp(log_choose(people, real) + real * log(share) +
                               (people - real) * log1p(-share));
    }
    return sum;
}

/* The factors of an observation, of which there are few: computed once for each number seen. */
static const double (*factors_of(int seen))[SP_OCCUPANCY_MAX + 1]
{
    static double factor[SP_OCCUPANCY_MAX + 1][SP_OCCUPANCY_SHARES][SP_OCCUPANCY_MAX + 1];
    static atomic_bool known[SP_OCCUPANCY_MAX + 1];
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    if (atomic_load_explicit(&known[seen], memory_order_acquire))
        return (const double(*)[SP_OCCUPANCY_MAX + 1]) factor[seen];
    pthread_mutex_lock(&mutex);
    for (int s = 0; s < SP_OCCUPANCY_SHARES && !atomic_load(&known[seen]); s++)
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++)
            factor[seen][s][n] = pow(likelihood(seen, n, SHARE[s]) + 1e-9, WEIGHT);
    atomic_store_explicit(&known[seen], true, memory_order_release);
    pthread_mutex_unlock(&mutex);
    return (const double(*)[SP_OCCUPANCY_MAX + 1]) factor[seen];
}

void sp_occupancy_observe(struct sp_occupancy *o, int seen)
{
    if (seen > SP_OCCUPANCY_MAX)
        seen = SP_OCCUPANCY_MAX;
    const double(*factor)[SP_OCCUPANCY_MAX + 1] = factors_of(seen);
    widen(o, seen - 1, 2 * seen + 1);
    shift(o, MISSED_A_SECOND, MISSED_A_SECOND);
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = o->low; n <= o->high; n++)
            o->p[s][n] *= factor[s][n];
    normalize(o);
}

/* p[n]: of n people. */
static void add_shares(const struct sp_occupancy *o, double p[SP_OCCUPANCY_MAX + 1])
{
    memset(p, 0, (SP_OCCUPANCY_MAX + 1) * sizeof *p);
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = o->low; n <= o->high; n++)
            p[n] += o->p[s][n];
}

/* The same with those near the boundary. */
static void add_near(const struct sp_occupancy *o, double near, double variance,
                     double p[SP_OCCUPANCY_MAX + 1])
{
    double decided[SP_OCCUPANCY_MAX + 1], sigma = sqrt(variance + 1e-4);
    int reach = (int)ceil(fabs(near) + 3 * sigma);
    add_shares(o, decided);
    memset(p, 0, (SP_OCCUPANCY_MAX + 1) * sizeof *p);
    double below = erf((-reach - 0.5 - near) / sigma * M_SQRT1_2);
    for (int d = -reach; d <= reach; d++) {
        double above = erf((d + 0.5 - near) / sigma * M_SQRT1_2), share = 0.5 * (above - below);
        below = above;
        for (int n = o->low; n <= o->high; n++) {
            int to = n + d < 0 ? 0 : (n + d > SP_OCCUPANCY_MAX ? SP_OCCUPANCY_MAX : n + d);
            p[to] += decided[n] * share;
        }
    }
}

/* The likeliest `count` consecutive numbers: their share, and the first of them. */
static double likeliest(const double p[SP_OCCUPANCY_MAX + 1], int count, int *first)
{
    double sum = 0, best = 0;
    for (int n = 0; n <= SP_OCCUPANCY_MAX; n++) {
        sum += p[n] - (n >= count ? p[n - count] : 0);
        if (n + 1 >= count && sum > best) {
            best = sum;
            *first = n + 1 - count;
        }
    }
    return best;
}

static void find_interval(const double p[SP_OCCUPANCY_MAX + 1], struct sp_occupancy_estimate *e)
{
    double share = 0;
    int count = 0, first = 0;
    while (share < INTERVAL && count <= SP_OCCUPANCY_MAX)
        share = likeliest(p, ++count, &first);
    e->low = first;
    e->high = first + count - 1;
}

struct sp_occupancy_estimate sp_occupancy_estimate(const struct sp_occupancy *o, double near,
                                                   double near_variance)
{
    struct sp_occupancy_estimate estimate = {0};
    double p[SP_OCCUPANCY_MAX + 1], sum = 0;
    if (near == 0 && near_variance == 0)
        add_shares(o, p);
    else
        add_near(o, near, near_variance, p);
    while (estimate.now < SP_OCCUPANCY_MAX && (sum += p[estimate.now]) < 0.5)
        estimate.now++;
    find_interval(p, &estimate);
    return estimate;
}
