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

static void normalize(struct sp_occupancy *o)
{
    double sum = 0;
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++)
            sum += o->p[s][n];
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++)
            o->p[s][n] = sum > 0 ? o->p[s][n] / sum : 1;
}

void sp_occupancy_start(struct sp_occupancy *o, int seen)
{
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++)
            o->p[s][n] = n < seen ? 0.1 * pow(0.2, seen - n) : pow(0.6, n - seen);
    normalize(o);
}

/* One less, the same, and one more, with these probabilities. */
static void shift(struct sp_occupancy *o, double less, double more)
{
    double same = 1 - less - more;
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++) {
        double *p = o->p[s], before = 0;
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++) {
            double here = p[n], after = n < SP_OCCUPANCY_MAX ? p[n + 1] : 0;
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
    shift(o, MISSED_A_SECOND, MISSED_A_SECOND);
    for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
        for (int n = 0; n <= SP_OCCUPANCY_MAX; n++)
            if (o->p[s][n] > 1e-12)
                o->p[s][n] *= factor[s][n];
    normalize(o);
}

/* The share of a normal distribution between two whole numbers' middles. */
static double between(double low, double high)
{
    return 0.5 * (erf(high * M_SQRT1_2) - erf(low * M_SQRT1_2));
}

/* p[n]: of n people, with those near the boundary. */
static void add_near(const struct sp_occupancy *o, double near, double variance,
                     double p[SP_OCCUPANCY_MAX + 1])
{
    double sigma = sqrt(variance + 1e-4);
    int reach = (int)ceil(fabs(near) + 3 * sigma);
    memset(p, 0, (SP_OCCUPANCY_MAX + 1) * sizeof *p);
    for (int n = 0; n <= SP_OCCUPANCY_MAX; n++) {
        double here = 0;
        for (int s = 0; s < SP_OCCUPANCY_SHARES; s++)
            here += o->p[s][n];
        for (int d = -reach; d <= reach && here > 1e-9; d++) {
            int to = n + d < 0 ? 0 : (n + d > SP_OCCUPANCY_MAX ? SP_OCCUPANCY_MAX : n + d);
            p[to] += here * between((d - 0.5 - near) / sigma, (d + 0.5 - near) / sigma);
        }
    }
}

struct sp_occupancy_estimate sp_occupancy_estimate(const struct sp_occupancy *o, double near,
                                                   double near_variance)
{
    struct sp_occupancy_estimate estimate = {-1, -1, -1};
    double p[SP_OCCUPANCY_MAX + 1], sum = 0;
    add_near(o, near, near_variance, p);
    for (int n = 0; n <= SP_OCCUPANCY_MAX; n++) {
        sum += p[n];
        if (estimate.low < 0 && sum > 0.05)
            estimate.low = n;
        if (estimate.now < 0 && sum >= 0.5)
            estimate.now = n;
        if (estimate.high < 0 && sum >= 0.95)
            estimate.high = n;
    }
    if (estimate.now < 0)
        estimate.now = estimate.low < 0 ? 0 : estimate.low;
    if (estimate.low < 0)
        estimate.low = 0;
    if (estimate.high < 0)
        estimate.high = SP_OCCUPANCY_MAX;
    return estimate;
}
