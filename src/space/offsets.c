#include "space/offsets.h"

#include <math.h>
#include <stdlib.h>

static const double FADE_S = 180, PRIOR_S = 0.1, LIMIT_S = 0.5;
/* Samples of one person a tenth of a second apart are strongly correlated. */
static const double SAMPLE_WEIGHT = 0.1;

struct pair {
    double n, vv, vr, v[2], r[2]; /* weighted sums: speed squared, speed times distance, ... */
};

struct sp_offsets {
    int cameras;
    struct pair *pairs; /* [cameras][cameras], a < b */
    double *offset_s;   /* [cameras] */
    int *group;         /* [cameras] scratch */
};

int sp_offsets_open(struct sp_offsets **out, int cameras, struct sp_error *err)
{
    struct sp_offsets *o = calloc(1, sizeof *o);
    if (o) {
        o->cameras = cameras;
        o->pairs = calloc((size_t)cameras * (size_t)cameras, sizeof *o->pairs);
        o->offset_s = calloc((size_t)cameras, sizeof *o->offset_s);
        o->group = calloc((size_t)cameras, sizeof *o->group);
    }
    if (!o || !o->pairs || !o->offset_s || !o->group) {
        sp_offsets_close(o);
        return sp_fail(err, SP_ERR_NO_MEMORY, "clock offsets: out of memory");
    }
    *out = o;
    return SP_OK;
}

void sp_offsets_close(struct sp_offsets *offsets)
{
    if (!offsets)
        return;
    free(offsets->pairs);
    free(offsets->offset_s);
    free(offsets->group);
    free(offsets);
}

static struct pair *pair_of(const struct sp_offsets *o, int a, int b)
{
    return &o->pairs[(a < b ? a : b) * o->cameras + (a < b ? b : a)];
}

void sp_offsets_forget(struct sp_offsets *offsets, int camera)
{
    for (int other = 0; other < offsets->cameras; other++)
        *pair_of(offsets, camera, other) = (struct pair){0};
    offsets->offset_s[camera] = 0;
}

void sp_offsets_add(struct sp_offsets *o, int a, int b, double vx, double vy, double dx, double dy,
                    double weight)
{
    if (a > b) {
        int kept = a;
        a = b;
        b = kept;
        dx = -dx;
        dy = -dy;
    }
    /* In terms of the whole offset, without the present correction. A clock of b that is d ahead
     * reads t + d at time t, so the position requested at t is that of t - d: a is v d ahead. */
    double corrected_s = o->offset_s[b] - o->offset_s[a], w = weight * SAMPLE_WEIGHT;
    dx += vx * corrected_s;
    dy += vy * corrected_s;
    struct pair *p = pair_of(o, a, b);
    p->n += w;
    p->vv += w * (vx * vx + vy * vy);
    p->vr += w * (vx * dx + vy * dy);
    p->v[0] += w * vx;
    p->v[1] += w * vy;
    p->r[0] += w * dx;
    p->r[1] += w * dy;
}

/* The slope's numerator and its weight, with the intercept taken out. */
static double slope(const struct pair *p, double *weight)
{
    *weight = 0;
    if (!(p->n > 0))
        return 0;
    *weight = p->vv - (p->v[0] * p->v[0] + p->v[1] * p->v[1]) / p->n;
    return p->vr - (p->v[0] * p->r[0] + p->v[1] * p->r[1]) / p->n;
}

static void find_groups(struct sp_offsets *o)
{
    for (int c = 0; c < o->cameras; c++)
        o->group[c] = c;
    for (int a = 0; a < o->cameras; a++)
        for (int b = a + 1; b < o->cameras; b++) {
            double weight;
            slope(pair_of(o, a, b), &weight);
            int from = o->group[b], to = o->group[a];
            for (int c = 0; c < o->cameras && weight > 0 && from != to; c++)
                if (o->group[c] == (from > to ? from : to))
                    o->group[c] = from > to ? to : from;
        }
}

void sp_offsets_solve(struct sp_offsets *o, double elapsed_s)
{
    double keep = exp(-elapsed_s / FADE_S);
    for (int i = 0; i < o->cameras * o->cameras; i++) {
        struct pair *p = &o->pairs[i];
        if (p->n <= 0)
            continue;
        p->n *= keep;
        p->vv *= keep;
        p->vr *= keep;
        for (int k = 0; k < 2; k++) {
            p->v[k] *= keep;
            p->r[k] *= keep;
        }
    }
    find_groups(o);
    /* Gauss-Seidel on the normal equations: each camera in turn is set to the weighted mean of its
     * neighbours' estimates; the prior pulls it towards 0. */
    double prior = 1 / (PRIOR_S * PRIOR_S);
    for (int sweep = 0; sweep < 8; sweep++)
        for (int c = 0; c < o->cameras; c++) {
            double sum = 0, total = prior;
            if (o->group[c] == c)
                continue; /* the reference of its group */
            for (int other = 0; other < o->cameras; other++) {
                double weight, top;
                if (other == c || o->group[other] != o->group[c])
                    continue;
                top = slope(pair_of(o, c, other), &weight);
                sum += weight * o->offset_s[other] + (other < c ? top : -top);
                total += weight;
            }
            double next = sum / total;
            o->offset_s[c] = next > LIMIT_S ? LIMIT_S : (next < -LIMIT_S ? -LIMIT_S : next);
        }
    for (int c = 0; c < o->cameras; c++)
        if (o->group[c] == c)
            o->offset_s[c] = 0;
}

int64_t sp_offsets_us(const struct sp_offsets *offsets, int camera)
{
    return (int64_t)llround(offsets->offset_s[camera] * 1e6);
}

bool sp_offsets_pair(const struct sp_offsets *offsets, int a, int b, struct sp_offset_pair *pair)
{
    const struct pair *p = pair_of(offsets, a, b);
    double weight, top = slope(p, &weight);
    if (a == b || !(weight > 0))
        return false;
    weight += 1 / (PRIOR_S * PRIOR_S);
    *pair = (struct sp_offset_pair){
        .offset_s = (a < b ? top : -top) / weight,
        .deviation_s = sqrt(1 / weight),
        .samples = p->n,
    };
    return true;
}
