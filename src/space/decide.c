/* Cross-camera association, once a tick: splits, the assignment of each camera's tracks, returns,
 * new identities, and merges. Each needs evidence over some time, and can be reverted. */
#include "space/internal.h"

#include <math.h>

static const double ASSIGN_LOG_ODDS = 3, ASSIGN_S = 0.25, AMBIGUOUS_S = 0.4, CLEAR_BY = 1.5;
static const double STAY_ALONE = 9, STAY = 4.8; /* log odds added for a track's current identity */
static const double SPLIT_MEAN = -1.2, SPLIT_S = 0.7, MERGE_LOG_ODDS = 4, MERGE_S = 0.4;
static const double LOG_ODDS_MAX = 12, SAMPLE_S = 0.25;
static const double CREATE_S = 0.6, CREATE_AMBIGUOUS_S = 2.4, EMBEDDING_WAIT_S = 1.0;
static const double RECENT_S = 8;
static const double RETURN_LOG_ODDS = -1.5, RETURN_CLEAR_BY = 1.1;
static const double SPEED_MAX = 3, SPREAD_M = 0.3, SPREAD_M_S = 0.5, SPREAD_MAX_M = 14;
static const double DENSITY_AWAY = 0.02;
static const int64_t FORMER_US = 6000000;
enum { CREATE_HITS = 3, ROWS_MAX = SP_TRACKS_MAX };

struct verdict {
    double log_odds, similarity, distance_m, deviations, time_s;
    int votes;
};

static double appearance(struct sp_space *s, const struct tracklet *t, int identity,
                         double *similarity)
{
    *similarity = sp_gallery_similarity(s, t, identity);
    return *similarity < -1 ? 0 : sp_appearance_log_odds(&s->appearance, *similarity);
}

static struct verdict judge(struct sp_space *s, const struct tracklet *t, const struct evidence *e)
{
    struct verdict v = {.distance_m = e->distance_m,
                        .deviations = sqrt(e->distance2),
                        .time_s = e->time_s,
                        .votes = e->votes};
    double where = e->mean * fmin(e->time_s + 0.1, 3) / SAMPLE_S;
    v.log_odds = fmin(fmax(where, -LOG_ODDS_MAX), LOG_ODDS_MAX) +
                 appearance(s, t, e->identity, &v.similarity);
    return v;
}

static void explain(struct sp_space *s, struct sp_space_event *event, const struct verdict *v,
                    int identity)
{
    event->distance_m = v->distance_m;
    event->deviations = v->deviations;
    event->time_s = v->time_s;
    event->similarity = v->similarity;
    event->log_odds = v->log_odds;
    event->votes = v->votes;
    s->identities[identity].why = *event;
}

static double seconds_since(const struct sp_space *s, int64_t then_us)
{
    return (double)(s->ticked_us - then_us) / 1e6;
}

static int find_number(const struct sp_space *s, uint32_t number)
{
    for (int i = 0; i < s->identity_high; i++)
        if (s->identities[i].number == number)
            return i;
    return NONE;
}

/* ---- out of view ---- */

/* Compares a new track with a person out of view: position, time and appearance. */
static bool judge_return(struct sp_space *s, const struct tracklet *t, int identity,
                         struct verdict *v)
{
    const struct identity *who = &s->identities[identity];
    double gap_s = (double)(t->created_us - who->seen_us) / 1e6;
    if (gap_s < 0)
        gap_s = 0;
    double dx = t->spot.x - who->spot.x, dy = t->spot.y - who->spot.y;
    v->distance_m = hypot(dx, dy);
    if (v->distance_m > 1.5 + SPEED_MAX * (gap_s + seconds_since(s, t->created_us)))
        return false;
    /* Constant velocity for 1.5 s, then any walking direction. */
    double ahead_s = fmin(gap_s, 1.5), spread = SPREAD_M + SPREAD_M_S * gap_s;
    spread = fmin(spread, SPREAD_MAX_M);
    struct sp_spot expected = {.x = who->spot.x + ahead_s * who->vx,
                               .y = who->spot.y + ahead_s * who->vy,
                               .xx = who->spot.xx + spread * spread,
                               .xy = who->spot.xy,
                               .yy = who->spot.yy + spread * spread};
    double determinant, distance2 = sp_spot_distance2(&t->spot, &expected, &determinant);
    v->deviations = sqrt(distance2);
    v->time_s = gap_s;
    v->votes = 1;
    v->log_odds = -0.5 * distance2 - log(2 * M_PI * sqrt(determinant) * DENSITY_AWAY) +
                  appearance(s, t, identity, &v->similarity);
    return v->log_odds > -LOG_ODDS_MAX;
}

static bool is_away(const struct sp_space *s, int identity)
{
    const struct identity *who = &s->identities[identity];
    return who->number != 0 && who->live_count == 0;
}

struct choice {
    int identity;
    struct verdict verdict;
    double second;           /* log odds of the next best */
    bool embedding_may_help; /* an embedding may decide between them */
};

static struct choice best_return(struct sp_space *s, const struct tracklet *t)
{
    struct choice best = {.identity = NONE, .second = -INFINITY};
    best.verdict.log_odds = -INFINITY;
    for (int i = 0; i < s->identity_high; i++) {
        struct verdict v;
        if (!is_away(s, i) || i == t->identity || sp_identity_conflicts(s, i, t) ||
            !judge_return(s, t, i, &v))
            continue;
        best.embedding_may_help = best.embedding_may_help ||
                                  (v.similarity < -1 && v.log_odds > -SP_APPEARANCE_LOG_ODDS_MAX);
        if (v.log_odds > best.verdict.log_odds) {
            best.second = best.verdict.log_odds;
            best.identity = i;
            best.verdict = v;
        } else if (v.log_odds > best.second) {
            best.second = v.log_odds;
        }
    }
    return best;
}

/* ---- merges ---- */

static void merge_into(struct sp_space *s, int from, int to, enum sp_space_event_kind kind,
                       const struct verdict *v, const struct tracklet *t)
{
    struct identity *source = &s->identities[from];
    struct sp_space_event *event = sp_space_note(s, kind, to, t);
    event->other = source->number;
    explain(s, event, v, to);
    sp_gallery_merge(s, from, to);
    while (source->member_count > 0) {
        struct tracklet *member = &s->tracklets[source->member[source->member_count - 1]];
        sp_identity_remove(s, member);
        sp_identity_add(s, to, member);
        member->former = source->number;
        member->former_until_us = s->ticked_us + FORMER_US;
    }
    if (source->created_us < s->identities[to].created_us)
        s->identities[to].created_us = source->created_us;
    sp_identity_free(s, from);
}

static bool may_be_one(const struct sp_space *s, int a, int b)
{
    const struct identity *who = &s->identities[a];
    for (int m = 0; m < who->member_count; m++)
        if (sp_identity_conflicts(s, b, &s->tracklets[who->member[m]]))
            return false;
    who = &s->identities[b];
    for (int m = 0; m < who->member_count; m++)
        if (sp_identity_conflicts(s, a, &s->tracklets[who->member[m]]))
            return false;
    return true;
}

/* Combined evidence that `a` is `b`: each member of `a` must agree. */
static bool judge_merge(struct sp_space *s, int a, int b, struct verdict *out)
{
    const struct identity *who = &s->identities[a];
    double sum = 0;
    int count = 0;
    for (int m = 0; m < who->member_count; m++) {
        struct tracklet *t = &s->tracklets[who->member[m]];
        struct evidence *e = t->live ? sp_space_evidence(s, t, b) : NULL;
        if (!t->live)
            continue;
        if (!e || e->mean <= 0 || e->time_s < MERGE_S)
            return false;
        struct verdict v = judge(s, t, e);
        /* Another person is as near: require more time. */
        for (int k = 0; k < t->evidence_count; k++) {
            const struct evidence *o = &t->evidence[k];
            if (o->identity != b && o->identity != a && o->mean > e->mean - CLEAR_BY &&
                e->time_s < 2 * AMBIGUOUS_S && !may_be_one(s, b, o->identity))
                return false;
        }
        sum += v.log_odds;
        if (count++ == 0 || v.distance_m > out->distance_m)
            *out = v;
    }
    out->log_odds = count ? sum / count : 0;
    return count > 0 && out->log_odds > MERGE_LOG_ODDS;
}

static void merge_people(struct sp_space *s)
{
    for (int a = 0; a < s->identity_high; a++) {
        const struct identity *who = &s->identities[a];
        const struct tracklet *first = NULL;
        struct verdict best = {.log_odds = -INFINITY}, v;
        int with = NONE;
        if (who->number == 0 || who->live_count == 0)
            continue;
        for (int m = 0; m < who->member_count && !first; m++)
            if (s->tracklets[who->member[m]].live)
                first = &s->tracklets[who->member[m]];
        for (int k = 0; first && k < first->evidence_count; k++) {
            int b = first->evidence[k].identity;
            if (b == a || s->identities[b].number != first->evidence[k].number ||
                s->identities[b].live_count == 0 || !may_be_one(s, a, b) ||
                !judge_merge(s, a, b, &v))
                continue;
            if (v.log_odds > best.log_odds) {
                best = v;
                with = b;
            }
        }
        if (with == NONE)
            continue;
        bool older = s->identities[with].number < who->number;
        merge_into(s, older ? a : with, older ? with : a, SP_SPACE_MERGED, &best, first);
    }
}

/* ---- splits ---- */

static void split_off(struct sp_space *s, struct tracklet *t, const struct verdict *v)
{
    int identity = t->identity;
    struct sp_space_event *event = sp_space_note(s, SP_SPACE_SPLIT, identity, t);
    bool own_back =
        t->former && t->former_until_us > s->ticked_us && find_number(s, t->former) == NONE;
    explain(s, event, v, identity);
    sp_identity_remove(s, t);
    uint32_t former = t->former;
    t->former = 0;
    int back = own_back ? sp_identity_new(s, former) : NONE;
    if (back == NONE)
        return;
    struct sp_space_event *reverted = sp_space_note(s, SP_SPACE_REVERTED, back, t);
    reverted->other = s->identities[identity].number;
    explain(s, reverted, v, back);
    sp_identity_add(s, back, t);
}

static void split_people(struct sp_space *s)
{
    for (int i = 0; i < s->identity_high; i++) {
        const struct identity *who = &s->identities[i];
        struct tracklet *worst = NULL;
        const struct evidence *why = NULL;
        if (who->number == 0 || who->live_count < 2)
            continue;
        for (int m = 0; m < who->member_count; m++) {
            struct tracklet *t = &s->tracklets[who->member[m]];
            const struct evidence *e = t->live ? sp_space_evidence(s, t, i) : NULL;
            if (!e || e->at_us != s->ticked_us || e->mean > SPLIT_MEAN || e->time_s < SPLIT_S)
                continue;
            /* Of two members that disagree the newer one is split off. */
            if (!worst ||
                (who->live_count == 2 ? t->merged_us > worst->merged_us : e->mean < why->mean)) {
                worst = t;
                why = e;
            }
        }
        if (!worst)
            continue;
        struct verdict v = judge(s, worst, why);
        split_off(s, worst, &v);
    }
}

/* ---- one camera's tracks ---- */

/* Whether the evidence for a visible person suffices to act. */
static bool is_ready(const struct sp_space *s, const struct tracklet *t, const struct evidence *e,
                     const struct verdict *v)
{
    if (v->log_odds < ASSIGN_LOG_ODDS || e->time_s < ASSIGN_S || e->mean <= 0)
        return false;
    for (int i = 0; i < t->evidence_count; i++) {
        const struct evidence *other = &t->evidence[i];
        if (other != e && other->identity != t->identity && other->mean > e->mean - CLEAR_BY &&
            e->time_s < AMBIGUOUS_S && !may_be_one(s, e->identity, other->identity))
            return false;
    }
    return true;
}

static int others_of_own(const struct sp_space *s, const struct tracklet *t)
{
    const struct identity *who = &s->identities[t->identity];
    int count = 0;
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *other = &s->tracklets[who->member[m]];
        count += other->live && other->camera != t->camera;
    }
    return count;
}

static bool is_lost_one_in_the_way(const struct sp_space *s, int identity, const struct tracklet *t)
{
    const struct identity *who = &s->identities[identity];
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *other = &s->tracklets[who->member[m]];
        if (other != t && other->camera == t->camera && !other->live &&
            common_us(s, t->camera, other->seen_raw_us) >= t->created_us)
            return true;
    }
    return false;
}

struct table {
    int rows, columns;
    struct tracklet *row[ROWS_MAX];
    int column[SP_SPACE_PEOPLE_MAX];
};

static const double LIMIT = 100; /* cost = LIMIT - log odds: only log odds above 0 are assigned */

static void add_row(struct sp_space *s, struct table *table, int row, struct tracklet *t)
{
    double own = 0;
    int votes = 0;
    if (t->identity != NONE) {
        const struct evidence *e = sp_space_evidence(s, t, t->identity);
        votes = others_of_own(s, t);
        bool alone = votes == 0;
        own = alone || !e ? STAY_ALONE : judge(s, t, e).log_odds + STAY;
        if (own > 0)
            sp_assign_add(s->assign, row,
                          sp_column_of(s, table->column, &table->columns, t->identity),
                          LIMIT - own);
        if (alone)
            return; /* if this is another person too, both identities are merged */
    }
    for (int i = 0; i < t->evidence_count; i++) {
        const struct evidence *e = &t->evidence[i];
        if (e->identity == t->identity || e->at_us != s->ticked_us ||
            s->identities[e->identity].number != e->number || e->votes < votes)
            continue;
        struct verdict v = judge(s, t, e);
        if (is_ready(s, t, e, &v) && !is_lost_one_in_the_way(s, e->identity, t))
            sp_assign_add(s->assign, row,
                          sp_column_of(s, table->column, &table->columns, e->identity),
                          LIMIT - v.log_odds);
    }
}

/* True when no track of this camera has evidence for another identity. */
static bool is_settled(const struct sp_space *s, const struct camera *camera)
{
    for (int i = 0; i < camera->tracklet_count; i++) {
        const struct tracklet *t = &s->tracklets[camera->tracklet[i]];
        for (int k = 0; k < t->evidence_count && t->live; k++)
            if (t->evidence[k].identity != t->identity && t->evidence[k].mean > 0 &&
                t->evidence[k].at_us == s->ticked_us)
                return false;
    }
    return true;
}

static void assign_track(struct sp_space *s, struct tracklet *t, int identity)
{
    struct verdict v = judge(s, t, sp_space_evidence(s, t, identity));
    int before = t->identity;
    struct sp_space_event *event =
        sp_space_note(s, before == NONE ? SP_SPACE_MERGED : SP_SPACE_REASSIGNED, identity, t);
    event->other = before == NONE ? 0 : s->identities[before].number;
    explain(s, event, &v, identity);
    sp_identity_remove(s, t);
    t->former = 0;
    sp_identity_add(s, identity, t);
}

static void assign_camera(struct sp_space *s, struct camera *camera)
{
    struct table table = {0};
    const int *column_of_row, *row_of_column;
    if (is_settled(s, camera))
        return;
    for (int i = 0; i < camera->tracklet_count; i++) {
        struct tracklet *t = &s->tracklets[camera->tracklet[i]];
        if (t->live)
            table.row[table.rows++] = t;
    }
    sp_columns_clear(s);
    /* Columns are numbered as rows name them, so their count is known only afterwards. */
    sp_assign_begin(s->assign, table.rows, SP_SPACE_PEOPLE_MAX, LIMIT);
    for (int row = 0; row < table.rows; row++)
        add_row(s, &table, row, table.row[row]);
    sp_assign_solve(s->assign, &column_of_row, &row_of_column);
    /* Removals before additions, so that no identity has two tracks of one camera in between. */
    for (int row = 0; row < table.rows; row++) {
        struct tracklet *t = table.row[row];
        int column = column_of_row[row];
        int target = column < 0 ? NONE : table.column[column];
        if (t->identity == NONE || target == t->identity)
            continue;
        int holder = s->column_of_identity[t->identity];
        bool taken = holder >= 0 && row_of_column[holder] >= 0;
        if (target == NONE && taken) {
            struct verdict v = judge(s, t,
                                     sp_space_evidence(s, t, t->identity)
                                         ? sp_space_evidence(s, t, t->identity)
                                         : &(struct evidence){.identity = t->identity});
            split_off(s, t, &v);
        }
    }
    for (int row = 0; row < table.rows; row++) {
        struct tracklet *t = table.row[row];
        int target = column_of_row[row] < 0 ? NONE : table.column[column_of_row[row]];
        if (target != NONE && target != t->identity)
            assign_track(s, t, target);
    }
}

/* ---- tracks without an identity ---- */

/* Whether a visible person may be this track, also one that another track of this camera has: the
 * tracker may have switched the two IDs. */
static bool may_be_visible_person(const struct sp_space *s, const struct tracklet *t)
{
    for (int i = 0; i < t->evidence_count; i++)
        if (t->evidence[i].at_us == s->ticked_us && t->evidence[i].mean > -0.5)
            return true;
    return false;
}

static void create_person(struct sp_space *s, struct tracklet *t)
{
    int identity = sp_identity_new(s, 0);
    if (identity == NONE)
        return;
    struct sp_space_event *event = sp_space_note(s, SP_SPACE_CREATED, identity, t);
    event->time_s = seconds_since(s, t->created_us);
    event->votes = 1;
    s->identities[identity].why = *event;
    sp_identity_add(s, identity, t);
    /* Later tracks of this tick compare with it. */
    s->identities[identity].live_count = 1;
    s->identities[identity].spot = t->spot;
}

static bool is_clear_return(const struct choice *c)
{
    return c->identity != NONE && c->verdict.log_odds > RETURN_LOG_ODDS &&
           c->verdict.log_odds > c->second + RETURN_CLEAR_BY;
}

static void settle_new(struct sp_space *s, struct tracklet *t)
{
    double age_s = seconds_since(s, t->alone_us);
    if (t->hits < CREATE_HITS || age_s < CREATE_S ||
        (may_be_visible_person(s, t) && age_s < CREATE_AMBIGUOUS_S))
        return;
    struct choice choice = best_return(s, t);
    if (s->tracklet_vectors && choice.embedding_may_help && age_s < EMBEDDING_WAIT_S)
        return;
    if (!is_clear_return(&choice)) {
        create_person(s, t);
        return;
    }
    struct sp_space_event *event = sp_space_note(s, SP_SPACE_RETURNED, choice.identity, t);
    explain(s, event, &choice.verdict, choice.identity);
    sp_identity_add(s, choice.identity, t);
    s->identities[choice.identity].live_count = 1;
    s->identities[choice.identity].spot = t->spot;
}

/* A recent identity that turns out to be a returning person once a late embedding arrives. */
static void settle_recent(struct sp_space *s, int identity)
{
    const struct identity *who = &s->identities[identity];
    struct tracklet *t = NULL;
    if (who->number == 0 || who->live_count == 0 || seconds_since(s, who->created_us) > RECENT_S)
        return;
    for (int m = 0; m < who->member_count; m++) {
        struct tracklet *member = &s->tracklets[who->member[m]];
        if (member->live && member->embeddings > 0 && (!t || member->embeddings > t->embeddings))
            t = member;
    }
    struct choice choice = {.identity = NONE};
    if (t)
        choice = best_return(s, t);
    if (choice.identity == NONE || choice.verdict.similarity < -1 || !is_clear_return(&choice) ||
        s->identities[choice.identity].number > who->number ||
        !may_be_one(s, identity, choice.identity))
        return;
    merge_into(s, identity, choice.identity, SP_SPACE_RETURNED, &choice.verdict, t);
    s->identities[choice.identity].live_count = 1;
}

void sp_space_decide(struct sp_space *s)
{
    split_people(s);
    for (int c = 0; c < s->options.cameras; c++)
        if (s->cameras[c].tracklet_count > 0)
            assign_camera(s, &s->cameras[c]);
    for (int c = 0; c < s->options.cameras; c++)
        for (int i = 0; i < s->cameras[c].tracklet_count; i++) {
            struct tracklet *t = &s->tracklets[s->cameras[c].tracklet[i]];
            if (t->live && t->identity == NONE)
                settle_new(s, t);
        }
    merge_people(s);
    for (int i = 0; i < s->identity_high && s->tracklet_vectors; i++)
        settle_recent(s, i);
}
