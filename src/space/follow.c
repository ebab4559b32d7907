/* Each picture: every person's own filter, fed by all cameras, and tracks that went over to someone
 * else.
 *
 * Where two people pass, trackers in pictures exchange their numbers, often in several cameras at
 * once. On the map the two stay apart: the person's filter goes on, and the pictures' boxes are
 * nearer to the other's. So a track's number only says whose it was; a running sum of how much
 * better its boxes fit someone else (a CUSUM test: E. Page, "Continuous Inspection Schemes",
 * Biometrika 1954) takes it over within a few pictures. Boxes that do not fit their person are left
 * out of the filter, so that they do not take it with them. */
#include "space/internal.h"

#include <math.h>

static const double GATE_M = 2.5, PULL_STEP = 4, PULL_MAX = 22, PULL_SCALE_S = 0.08;
static const double OWN = 9, CHANGE = 4, CHANGE_ALONE = 3; /* log likelihoods */
static const double OUTLIER2 = 16, CORRELATION_S = 0.13;
static const int64_t OUTLIER_US = 500000, FRESH_US = 700000;
static const double LIMIT = 100;

/* At a time around the filter's; boxes come out of order by as much as cameras lag. */
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

static void begin_person(struct identity *who, const struct tracklet *t, int64_t at_us)
{
    who->motion = t->motion;
    who->motion_us = at_us;
    who->fits_us = at_us;
    who->follows = true;
}

/* In how many other cameras somebody has been seen lately. */
static int votes_elsewhere(const struct sp_space *s, const struct identity *who, int camera)
{
    int votes = 0;
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *t = &s->tracklets[who->member[m]];
        votes +=
            t->camera != camera && s->now_us - common_us(s, t->camera, t->seen_raw_us) < FRESH_US;
    }
    return votes;
}

static struct pull *pull_of(struct tracklet *t, int identity, uint32_t number, bool make)
{
    struct pull *weakest = &t->pull[0];
    for (int i = 0; i < PULLS_MAX; i++) {
        if (t->pull[i].number == number && t->pull[i].identity == identity)
            return &t->pull[i];
        if (t->pull[i].sum < weakest->sum)
            weakest = &t->pull[i];
    }
    if (!make)
        return NULL;
    *weakest = (struct pull){.identity = identity, .number = number};
    return weakest;
}

/* Adds up for whom this picture's box speaks. True when anything pulls. */
static bool feel_pulls(struct sp_space *s, struct tracklet *t, const struct sp_foot *foot,
                       int64_t at_us)
{
    const struct identity *own = &s->identities[t->identity];
    double determinant, dt_s;
    struct sp_spot spot = person_at(own, at_us, &dt_s);
    double own2 = sp_spot_distance2(&foot->spot, &spot, &determinant);
    double own_log = -0.5 * (own2 + log(determinant));
    double weight = fmin(t->step_s / PULL_SCALE_S, 1);
    bool pulled = false;
    int own_votes = votes_elsewhere(s, own, t->camera);
    for (int i = 0; i < s->identity_high; i++) {
        const struct identity *who = &s->identities[i];
        if (who->number == 0 || i == t->identity || !who->follows ||
            fabs(who->spot.x - foot->spot.x) > GATE_M || fabs(who->spot.y - foot->spot.y) > GATE_M)
            continue;
        spot = person_at(who, at_us, &dt_s);
        double other2 = sp_spot_distance2(&foot->spot, &spot, &determinant);
        double step = -0.5 * (other2 + log(determinant)) - own_log;
        struct pull *pull = pull_of(t, i, who->number, step > 0);
        if (!pull)
            continue;
        step = fmin(fmax(step, -PULL_STEP), PULL_STEP);
        /* Where fewer cameras stand for the other, it is the other that is wrong. */
        int votes = step > 0 ? votes_elsewhere(s, who, t->camera) : 0;
        if (votes == 0 || votes < own_votes || other2 > OUTLIER2)
            step = -PULL_STEP;
        pull->sum = fmin(fmax(pull->sum + weight * step, 0), PULL_MAX);
        pulled = pulled || pull->sum > CHANGE;
    }
    return pulled;
}

/* ---- exchanges ---- */

static int column_for(struct sp_space *s, int *column, int *columns, int identity)
{
    if (s->column_of_identity[identity] == NONE) {
        s->column_of_identity[identity] = *columns;
        column[(*columns)++] = identity;
    }
    return s->column_of_identity[identity];
}

static void exchange(struct sp_space *s, struct tracklet **tracks, int count)
{
    int column[SP_SPACE_PEOPLE_MAX], columns = 0, target[SP_TRACKS_MAX];
    const int *column_of_row, *row_of_column;
    for (int i = 0; i < s->identity_high; i++)
        s->column_of_identity[i] = NONE;
    sp_assign_begin(s->assign, count, SP_SPACE_PEOPLE_MAX, LIMIT);
    for (int row = 0; row < count; row++) {
        struct tracklet *t = tracks[row];
        sp_assign_add(s->assign, row, column_for(s, column, &columns, t->identity), LIMIT - OWN);
        for (int k = 0; k < PULLS_MAX; k++) {
            const struct pull *pull = &t->pull[k];
            if (pull->number == 0 || s->identities[pull->identity].number != pull->number ||
                pull->identity == t->identity)
                continue;
            double score = OWN + pull->sum - CHANGE;
            /* A place that nobody of this camera has: no second track speaks for the change. */
            bool held = false;
            for (int other = 0; other < count && !held; other++)
                held = tracks[other]->identity == pull->identity;
            score -= held ? 0 : CHANGE_ALONE;
            if (held || !sp_identity_conflicts(s, pull->identity, t))
                sp_assign_add(s->assign, row, column_for(s, column, &columns, pull->identity),
                              LIMIT - score);
        }
    }
    sp_assign_solve(s->assign, &column_of_row, &row_of_column);
    for (int row = 0; row < count; row++)
        target[row] = column_of_row[row] < 0 ? NONE : column[column_of_row[row]];
    for (int row = 0; row < count; row++) {
        struct tracklet *t = tracks[row];
        int from = t->identity, to = target[row];
        if (to == from || to == NONE)
            continue;
        const struct pull *pull = pull_of(t, to, s->identities[to].number, false);
        struct sp_space_event *event = sp_space_note(s, SP_SPACE_MOVED, to, t);
        event->other = s->identities[from].number;
        event->score = pull ? pull->sum : 0;
        event->votes = s->identities[to].live_count;
        event->distance_m = hypot(t->motion.x[0] - s->identities[to].spot.x,
                                  t->motion.x[1] - s->identities[to].spot.y);
        s->identities[to].why = *event;
    }
    for (int row = 0; row < count; row++)
        if (target[row] != NONE && target[row] != tracks[row]->identity)
            sp_identity_remove(s, tracks[row]);
    for (int row = 0; row < count; row++) {
        struct tracklet *t = tracks[row];
        if (target[row] == NONE) {
            /* Its person went to another track; who it is shows itself. */
            if (s->column_of_identity[t->identity] != NONE &&
                row_of_column[s->column_of_identity[t->identity]] >= 0)
                sp_identity_remove(s, t);
            continue;
        }
        if (t->identity != NONE)
            continue;
        sp_identity_add(s, target[row], t);
        /* It was the other's way that its own filter followed. */
        t->motion.x[2] = s->identities[target[row]].motion.x[2];
        t->motion.x[3] = s->identities[target[row]].motion.x[3];
        t->restart = true;
        t->evidence_count = 0;
        t->former = 0;
        for (int k = 0; k < PULLS_MAX; k++)
            t->pull[k] = (struct pull){0};
    }
}

/* ---- the filter of a person ---- */

static void feed(struct sp_space *s, const struct tracklet *t, const struct sp_foot *foot,
                 int64_t at_us)
{
    struct identity *who = &s->identities[t->identity];
    double dt_s, determinant;
    if (!who->follows || at_us - who->motion_us > 5000000) {
        begin_person(who, t, at_us);
        return;
    }
    struct sp_spot expected = person_at(who, at_us, &dt_s), measured = foot->spot;
    /* A tracker's boxes err in the same way for some pictures. */
    double repeats = 1 + 2 * CORRELATION_S / fmax(t->step_s, 0.02);
    if (sp_spot_distance2(&measured, &expected, &determinant) > OUTLIER2) {
        if (at_us - who->fits_us > OUTLIER_US)
            begin_person(who, t, at_us);
        return;
    }
    who->fits_us = at_us > who->fits_us ? at_us : who->fits_us;
    measured.xx *= repeats;
    measured.xy *= repeats;
    measured.yy *= repeats;
    if (dt_s > 0) {
        sp_motion_predict(&who->motion, dt_s);
        who->motion_us = at_us;
    } else { /* late: where it is by now */
        measured.x -= dt_s * who->motion.x[2];
        measured.y -= dt_s * who->motion.x[3];
    }
    sp_motion_update(&who->motion, &measured);
}

void sp_space_follow(struct sp_space *s, int camera, int64_t time_us, struct tracklet **of_track,
                     size_t count)
{
    struct tracklet *held[SP_TRACKS_MAX];
    int held_count = 0;
    int64_t at_us = common_us(s, camera, time_us);
    bool pulled = false;
    for (size_t i = 0; i < count; i++) {
        struct tracklet *t = of_track[i];
        if (!t || t->identity == NONE || !t->placed)
            continue;
        held[held_count++] = t;
        if (s->feet[i].valid && s->identities[t->identity].follows)
            pulled = feel_pulls(s, t, &s->feet[i], at_us) || pulled;
    }
    if (pulled)
        exchange(s, held, held_count);
    for (size_t i = 0; i < count; i++)
        if (of_track[i] && of_track[i]->identity != NONE && of_track[i]->placed && s->feet[i].valid)
            feed(s, of_track[i], &s->feet[i], at_us);
}
