/* Corrects ID switches of single-camera trackers, at each frame.
 *
 * Where two people pass each other, trackers switch their IDs, often in several cameras at once. On
 * the map the two stay apart: the person's own filter continues, and after a switch the boxes are
 * nearer to the other person's filter. For each track and each person near it the log odds of the
 * track being that person instead of its current one are kept (a hidden Markov model of two
 * states): each box adds how much better it fits, and each step takes away certainty, by how likely
 * trackers are to switch IDs at that distance. Above CHANGE the track is reassigned. The same log
 * odds help to decide which person's filter a box updates: share.c. */
#include "space/internal.h"

#include <math.h>

static const double STEP_MAX = 4, STEP_SCALE_S = 0.08, STEP_WEIGHT = 1.5;
static const double OWN = 9, CHANGE = 1, CHANGE_ALONE = 3, ODDS_MAX = 9; /* log likelihoods */
static const int64_t FRESH_US = 700000, HIDDEN_US = 1000000;
static const double LIMIT = 100;
/* Chance per frame that a tracker switches the IDs of two boxes whose middles are d box sizes
 * apart: ID_SWITCH e^(-ID_SWITCH_FALL d), measured by bench_world with noise=10 (0.085 to 0.0002).
 * A person without a track in this camera may be hidden behind anyone. */
static const double ID_SWITCH = 0.12, ID_SWITCH_FALL = 4.7, ID_SWITCH_HIDDEN = 0.002;
static const double ID_SWITCH_WORTH = 0.001; /* the least chance for which a belief is begun */

/* The number of other cameras that saw this person within FRESH_US. */
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

static struct belief *begin_belief(struct tracklet *t, int identity, uint32_t number)
{
    struct belief *position = &t->belief[0];
    for (int i = 1; i < BELIEFS_MAX && position->number != 0; i++)
        if (t->belief[i].number == 0 || t->belief[i].odds < position->odds)
            position = &t->belief[i];
    *position = (struct belief){identity, number, SP_BELIEF_MIN, SP_BELIEF_MIN};
    return position;
}

static double id_switch_chance(const struct sp_space *s, const struct tracklet *t, int identity)
{
    const struct identity *who = &s->identities[identity];
    double nearest = INFINITY;
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *o = &s->tracklets[who->member[m]];
        if (o->camera != t->camera || t->seen_raw_us - o->seen_raw_us > HIDDEN_US)
            continue;
        double dx = (t->box.x - o->box.x) / (0.5 * (t->box.width + o->box.width));
        double dy = (t->box.y - o->box.y) / (0.5 * (t->box.height + o->box.height));
        nearest = fmin(nearest, dx * dx + dy * dy);
    }
    return nearest == INFINITY ? ID_SWITCH_HIDDEN
                               : ID_SWITCH * exp(-ID_SWITCH_FALL * sqrt(nearest));
}

/* Updates the belief that the track is `present`. True: it suffices for a reassignment. */
static bool weigh(struct sp_space *s, struct tracklet *t, const struct present *present,
                  const struct sp_spot *foot, double own_log, int own_votes)
{
    int identity = present->identity;
    const struct identity *who = &s->identities[identity];
    double determinant, step = -STEP_MAX;
    double distance2 = sp_spot_distance2(foot, &present->expected, &determinant);
    struct belief *belief = sp_tracklet_belief(t, identity, who->number);
    bool fits = distance2 <= SP_OUTLIER2;
    if (!belief && !fits)
        return false;
    double chance = id_switch_chance(s, t, identity);
    if (fits)
        step = fmin(fmax(-0.5 * (distance2 + log(determinant)) - own_log, -STEP_MAX), STEP_MAX);
    if (!belief && !(step > 0 || chance > ID_SWITCH_WORTH))
        return false;
    if (!belief)
        belief = begin_belief(t, identity, who->number);
    double odds = exp(belief->odds);
    belief->prior = log((odds + chance) / (1 + odds * chance));
    /* The identity that fewer cameras support is the one that is wrong. */
    int votes = step > 0 ? votes_elsewhere(s, who, t->camera) : 0;
    if (votes == 0 || votes < own_votes)
        step = -STEP_MAX;
    double weight = STEP_WEIGHT * fmin(t->step_s / STEP_SCALE_S, 1);
    belief->odds = fmin(fmax(belief->prior + weight * step, SP_BELIEF_MIN), ODDS_MAX);
    return belief->odds > CHANGE;
}

static bool weigh_all(struct sp_space *s, struct tracklet *t, const struct sp_spot *foot)
{
    const struct present *own = sp_present_find(s, t->identity);
    if (!own)
        return false;
    double determinant, own2 = sp_spot_distance2(foot, &own->expected, &determinant);
    double own_log = -0.5 * (own2 + log(determinant));
    int own_votes = votes_elsewhere(s, &s->identities[t->identity], t->camera);
    bool reassigned = false;
    for (int i = 0; i < s->present_count; i++) {
        const struct present *other = &s->present[i];
        if (other != own && sp_present_is_near(other, foot))
            reassigned = weigh(s, t, other, foot, own_log, own_votes) || reassigned;
    }
    return reassigned;
}

/* ---- reassignments ---- */

static void add_targets(struct sp_space *s, struct tracklet **tracks, int count, int row,
                        int *column, int *columns)
{
    struct tracklet *t = tracks[row];
    sp_assign_add(s->assign, row, sp_column_of(s, column, columns, t->identity), LIMIT - OWN);
    for (int k = 0; k < BELIEFS_MAX; k++) {
        const struct belief *b = &t->belief[k];
        if (b->number == 0 || s->identities[b->identity].number != b->number ||
            b->identity == t->identity)
            continue;
        double log_odds = OWN + b->odds - CHANGE;
        /* No track of this camera has that identity, so no second track supports the change. */
        bool held = false;
        for (int other = 0; other < count && !held; other++)
            held = tracks[other]->identity == b->identity;
        log_odds -= held ? 0 : CHANGE_ALONE;
        if (held || !sp_identity_conflicts(s, b->identity, t))
            sp_assign_add(s->assign, row, sp_column_of(s, column, columns, b->identity),
                          LIMIT - log_odds);
    }
}

static void note_reassigned(struct sp_space *s, struct tracklet *t, int to)
{
    const struct belief *b = sp_tracklet_belief(t, to, s->identities[to].number);
    struct sp_space_event *event = sp_space_note(s, SP_SPACE_REASSIGNED, to, t);
    event->other = s->identities[t->identity].number;
    event->log_odds = b ? b->odds : 0;
    event->votes = s->identities[to].live_count;
    event->distance_m =
        hypot(t->motion.x[0] - s->identities[to].spot.x, t->motion.x[1] - s->identities[to].spot.y);
    s->identities[to].why = *event;
}

static void reassign(struct sp_space *s, struct tracklet *t, int from, int to)
{
    const struct belief *belief = sp_tracklet_belief(t, to, s->identities[to].number);
    double odds = fmax(belief ? belief->odds : 0, 2);
    sp_identity_add(s, to, t);
    /* The track's own filter followed the other person. */
    t->motion.x[2] = s->identities[to].motion.x[2];
    t->motion.x[3] = s->identities[to].motion.x[3];
    t->restart = true;
    t->evidence_count = 0;
    t->former = 0;
    for (int k = 0; k < BELIEFS_MAX; k++)
        t->belief[k] = (struct belief){0};
    t->belief[0] = (struct belief){from, s->identities[from].number, -odds, -odds};
}

static void reassign_tracks(struct sp_space *s, struct tracklet **tracks, int count)
{
    int column[SP_SPACE_PEOPLE_MAX], columns = 0, target[SP_TRACKS_MAX], from[SP_TRACKS_MAX];
    const int *column_of_row, *row_of_column;
    sp_columns_clear(s);
    sp_assign_begin(s->assign, count, SP_SPACE_PEOPLE_MAX, LIMIT);
    for (int row = 0; row < count; row++)
        add_targets(s, tracks, count, row, column, &columns);
    sp_assign_solve(s->assign, &column_of_row, &row_of_column);
    for (int row = 0; row < count; row++) {
        from[row] = tracks[row]->identity;
        target[row] = column_of_row[row] < 0 ? NONE : column[column_of_row[row]];
        if (target[row] != NONE && target[row] != from[row])
            note_reassigned(s, tracks[row], target[row]);
    }
    for (int row = 0; row < count; row++) {
        int holder = s->column_of_identity[from[row]];
        /* Without a target: its identity went to another track; it is associated anew. */
        if (target[row] == NONE ? holder >= 0 && row_of_column[holder] >= 0
                                : target[row] != from[row])
            sp_identity_remove(s, tracks[row]);
    }
    for (int row = 0; row < count; row++)
        if (target[row] != NONE && tracks[row]->identity == NONE)
            reassign(s, tracks[row], from[row], target[row]);
}

void sp_space_follow(struct sp_space *s, int camera, int64_t time_us, struct tracklet **of_track,
                     size_t count)
{
    struct tracklet *held[SP_TRACKS_MAX];
    int held_count = 0;
    int64_t at_us = common_us(s, camera, time_us);
    bool reassigned = false;
    sp_space_present(s, at_us, of_track, count);
    for (size_t i = 0; i < count; i++) {
        struct tracklet *t = of_track[i];
        if (!t || t->identity == NONE || !t->placed)
            continue;
        held[held_count++] = t;
        if (s->feet[i].valid)
            reassigned = weigh_all(s, t, &s->feet[i].spot) || reassigned;
    }
    if (reassigned)
        reassign_tracks(s, held, held_count);
    sp_space_share(s, at_us, of_track, count);
}
