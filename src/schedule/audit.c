#include "schedule/audit.h"

#include <math.h>

static const double SHARE_MAX = 0.01, SHARE_CALM = 0.003;
static const uint64_t SIGHTINGS_MIN = 300, SIGHTINGS_MAX = 6000;
static const int64_t CALM_US = 3600000000;

static void restart(struct sp_audit *audit, int64_t pts_us)
{
    audit->recent_sightings = audit->recent_missed = 0;
    audit->changed_us = pts_us;
}

void sp_audit_begin(struct sp_audit *audit, int64_t pts_us)
{
    *audit = (struct sp_audit){0};
    restart(audit, pts_us);
}

/* The mean of a Poisson distribution that gives at most `count` in 5 % of cases: exact for small
 * counts; else the approximation of E. B. Wilson and M. M. Hilferty, "The Distribution of
 * Chi-Square", PNAS 1931. */
static double poisson_limit(uint64_t count)
{
    static const double exact[] = {3.00, 4.74, 6.30, 7.75, 9.15};
    if (count < sizeof exact / sizeof *exact)
        return exact[count];
    double n = (double)count + 1;
    return n * pow(1 - 1 / (9 * n) + 1.645 / (3 * sqrt(n)), 3);
}

double sp_audit_bound(uint64_t missed, uint64_t sightings)
{
    return sightings ? fmin(1, poisson_limit(missed) / (double)sightings) : 1;
}

static int must_tighten(const struct sp_audit *a)
{
    if (a->recent_sightings < SIGHTINGS_MIN)
        return (double)a->recent_missed > SHARE_MAX * (double)SIGHTINGS_MIN;
    return sp_audit_bound(a->recent_missed, a->recent_sightings) > SHARE_MAX;
}

void sp_audit_add(struct sp_audit *audit, int sightings, int missed, int64_t pts_us)
{
    struct sp_audit *a = audit;
    a->audits++;
    a->sightings += (uint64_t)sightings;
    a->missed += (uint64_t)missed;
    a->recent_sightings += (uint64_t)sightings;
    a->recent_missed += (uint64_t)missed;
    if (a->recent_sightings > SIGHTINGS_MAX) { /* so that what changes counts within days */
        a->recent_sightings /= 2;
        a->recent_missed /= 2;
    }
    if (must_tighten(a)) {
        a->level += a->level < SP_AUDIT_LEVELS;
        restart(a, pts_us);
    } else if (a->level > 0 && pts_us - a->changed_us >= CALM_US &&
               a->recent_sightings >= SIGHTINGS_MIN &&
               (double)a->recent_missed < SHARE_CALM * (double)a->recent_sightings) {
        a->level--;
        restart(a, pts_us);
    }
}
