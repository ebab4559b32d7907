/* Updates each person's filter from the boxes of all cameras, at each frame.
 *
 * Position decides which person's filter a box updates: each box is compared with the expected
 * positions of all people, and all boxes of the frame are assigned at once. The track's log odds
 * (follow.c) count too, but with a low weight, as trackers err exactly where people are close; a
 * track without an identity has a penalty. A box that fits two people about equally well gets a
 * larger covariance, and one that fits none is ignored, so that it cannot divert a filter. */
#include "space/internal.h"

#include <assert.h>
#include <math.h>

static const double DIFFUSION = 2; /* m^2/s^3: people give way within 0.3 s */
static const double FLOOR = 10;    /* log odds = log likelihood + FLOOR; 0 and below: no claim */
static const double CERTAINTY_PART = 0.3, UNIDENTIFIED = 1, ALONE = 1;
static const double REPEATS = 1.5; /* a detector's errors are correlated over some frames */
static const double DOUBT_MAX = 20;
static const int64_t OUTLIER_US = 500000, FITS_US = 1000000, ANEW_US = 5000000;
static const double LIMIT = 100;
enum { CLAIMS_MAX = 8 };

/* The position at a time near the filter's: frames arrive out of order by the cameras' delays. */
static struct sp_spot person_at(const struct identity *who, int64_t at_us, double *dt_s)
{
    *dt_s = (double)(at_us - who->motion_us) / 1e6;
    if (*dt_s >= 0)
        return sp_motion_at(&who->motion, *dt_s);
    struct sp_spot spot = sp_motion_at(&who->motion, 0);
    spot.x += *dt_s * who->motion.x[2];
    spot.y += *dt_s * who->motion.x[3];
    return spot;
}

void sp_columns_clear(struct sp_space *s)
{
    for (int i = 0; i < s->identity_high; i++)
        s->column_of_identity[i] = NONE;
}

int sp_column_of(struct sp_space *s, int *column, int *columns, int identity)
{
    if (s->column_of_identity[identity] == NONE) {
        s->column_of_identity[identity] = *columns;
        column[(*columns)++] = identity;
    }
    return s->column_of_identity[identity];
}

static void begin_person(struct identity *who, const struct tracklet *t, int64_t at_us)
{
    who->motion = t->motion;
    who->motion_us = at_us;
    who->fits_us = at_us;
    who->follows = true;
}

void sp_space_present(struct sp_space *s, int64_t at_us, struct tracklet **of_track, size_t count)
{
    double dt_s;
    for (size_t i = 0; i < count; i++) {
        const struct tracklet *t = of_track[i];
        if (t && t->placed && s->feet[i].valid && t->identity != NONE &&
            !s->identities[t->identity].follows)
            begin_person(&s->identities[t->identity], t, at_us);
    }
    s->present_count = 0;
    for (int i = 0; i < s->identity_high; i++) {
        const struct identity *who = &s->identities[i];
        bool recent = at_us - who->fits_us <= FITS_US || who->member_count > 0;
        if (who->number != 0 && who->follows && recent)
            s->present[s->present_count++] =
                (struct present){i, who->spot.x, who->spot.y, person_at(who, at_us, &dt_s)};
    }
}

const struct present *sp_present_find(const struct sp_space *s, int identity)
{
    for (int i = 0; i < s->present_count; i++)
        if (s->present[i].identity == identity)
            return &s->present[i];
    return NULL;
}

/* ---- assignment of boxes to people ---- */

struct claim {
    int identity;
    double log_odds;
};

struct claims { /* on one box */
    int row, count;
    int winner; /* identity, or NONE */
    struct claim claim[CLAIMS_MAX];
};

static double log_odds_of(const struct claims *claims, int identity)
{
    for (int i = 0; i < claims->count; i++)
        if (claims->claim[i].identity == identity)
            return claims->claim[i].log_odds;
    return 0;
}

/* Log odds of the box being this person's; 0 and below: no claim. */
static double judge(const struct sp_space *s, struct tracklet *t, const struct present *present,
                    const struct sp_spot *foot)
{
    double determinant, distance2 = sp_spot_distance2(foot, &present->expected, &determinant);
    bool own = present->identity == t->identity;
    if (!own && distance2 > SP_OUTLIER2)
        return 0;
    double log_odds = -0.5 * (distance2 + log(determinant)) + FLOOR;
    if (own)
        return fmax(log_odds, 0.01);
    if (t->identity == NONE)
        return log_odds - UNIDENTIFIED;
    const struct belief *b =
        sp_tracklet_belief(t, present->identity, s->identities[present->identity].number);
    return log_odds + CERTAINTY_PART * (b ? fmin(b->prior, 0) : SP_BELIEF_MIN);
}

static void claim_box(struct sp_space *s, struct tracklet *t, const struct sp_spot *foot,
                      int64_t at_us, struct claims *claims)
{
    for (int i = 0; i < s->present_count && claims->count < CLAIMS_MAX; i++) {
        const struct present *present = &s->present[i];
        if (present->identity != t->identity &&
            (!sp_present_is_near(present, foot) ||
             at_us - s->identities[present->identity].fits_us > FITS_US))
            continue;
        double log_odds = judge(s, t, present, foot);
        if (log_odds > 0)
            claims->claim[claims->count++] = (struct claim){present->identity, log_odds};
    }
}

/* The odds that the winner and another person are the other way round. */
static double doubt_of(const struct claims *all, size_t count, const struct claims *box)
{
    double own = log_odds_of(box, box->winner), doubt = 0;
    for (int k = 0; k < box->count; k++) {
        const struct claim *claim = &box->claim[k];
        double gain = claim->log_odds - own;
        const struct claims *holder = NULL;
        if (claim->identity == box->winner)
            continue;
        for (size_t o = 0; o < count && !holder; o++)
            if (all[o].winner == claim->identity)
                holder = &all[o];
        gain += holder ? log_odds_of(holder, box->winner) - log_odds_of(holder, holder->winner)
                       : -ALONE;
        doubt += exp(gain);
    }
    return doubt;
}

/* ---- a person's filter ---- */

static void feed(struct identity *who, const struct tracklet *t, const struct sp_spot *foot,
                 int64_t at_us, double doubt)
{
    double dt_s, determinant, wider = REPEATS * (1 + doubt);
    if (!who->follows || at_us - who->motion_us > ANEW_US) {
        begin_person(who, t, at_us);
        return;
    }
    struct sp_spot expected = person_at(who, at_us, &dt_s), measured = *foot;
    if (sp_spot_distance2(&measured, &expected, &determinant) > SP_OUTLIER2) {
        if (at_us - who->fits_us > OUTLIER_US)
            begin_person(who, t, at_us);
        return;
    }
    who->fits_us = at_us > who->fits_us ? at_us : who->fits_us;
    measured.xx *= wider;
    measured.xy *= wider;
    measured.yy *= wider;
    if (dt_s > 0) {
        sp_motion_predict_as(&who->motion, dt_s, DIFFUSION);
        who->motion_us = at_us;
    } else { /* late: moved to the filter's time */
        measured.x -= dt_s * who->motion.x[2];
        measured.y -= dt_s * who->motion.x[3];
    }
    sp_motion_update(&who->motion, &measured);
}

void sp_space_share(struct sp_space *s, int64_t at_us, struct tracklet **of_track, size_t count)
{
    struct claims claims[SP_TRACKS_MAX];
    int column[SP_SPACE_PEOPLE_MAX], columns = 0, rows = 0;
    const int *column_of_row, *row_of_column;
    sp_columns_clear(s);
    sp_assign_begin(s->assign, (int)count, SP_SPACE_PEOPLE_MAX, LIMIT);
    for (size_t i = 0; i < count; i++) {
        struct claims *c = &claims[i];
        c->row = c->winner = NONE;
        c->count = 0;
        if (!of_track[i] || !of_track[i]->placed || !s->feet[i].valid)
            continue;
        c->row = rows++;
        claim_box(s, of_track[i], &s->feet[i].spot, at_us, c);
        for (int k = 0; k < c->count; k++)
            sp_assign_add(s->assign, c->row,
                          sp_column_of(s, column, &columns, c->claim[k].identity),
                          LIMIT - c->claim[k].log_odds);
    }
    sp_assign_solve(s->assign, &column_of_row, &row_of_column);
    for (size_t i = 0; i < count; i++)
        if (claims[i].row != NONE && column_of_row[claims[i].row] >= 0)
            claims[i].winner = column[column_of_row[claims[i].row]];
    for (size_t i = 0; i < count; i++) {
        double doubt = claims[i].winner == NONE ? INFINITY : doubt_of(claims, count, &claims[i]);
        if (doubt > DOUBT_MAX)
            continue;
        assert(of_track[i]); /* it has a claim */
        feed(&s->identities[claims[i].winner], of_track[i], &s->feet[i].spot, at_us, doubt);
    }
}
