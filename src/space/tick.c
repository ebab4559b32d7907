/* Once a tick: each person's position, and the evidence of each track for each person near it. */
#include "space/internal.h"

#include <math.h>

static const int64_t LIVE_US = 600000, LOST_US = 2500000, EVIDENCE_LAST_US = 2000000;
static const double GATE_M = 5, NEAR_M = 3, DENSITY_MIN = 0.03;
static const double EVIDENCE_TAU_S = 2.1, RATIO_LOW = -5, RATIO_HIGH = 4, TIME_MAX_S = 10;
static const int64_t TRAIL_STEP_US = 200000;
/* Systematic distance between two cameras' boxes of one person, however good both are. */
static const double BODY_M = 0.12;

struct sum {
    double xx, xy, yy, x, y;
};

static bool invert(double xx, double xy, double yy, double out[3])
{
    double determinant = xx * yy - xy * xy;
    if (!(determinant > 1e-12))
        return false;
    out[0] = yy / determinant;
    out[1] = -xy / determinant;
    out[2] = xx / determinant;
    return true;
}

static void refresh_tracklet(struct sp_space *s, struct tracklet *t)
{
    int64_t seen_us = common_us(s, t->camera, t->seen_raw_us);
    int64_t at_us = common_us(s, t->camera, t->motion_raw_us);
    t->live = t->placed && s->ticked_us - seen_us <= LIVE_US;
    if (!t->live)
        return;
    t->spot = sp_motion_at(&t->motion, (double)(s->ticked_us - at_us) / 1e6);
    double body = BODY_M * BODY_M, wide = s->agreement;
    t->spot.xx = t->spot.xx * wide + body;
    t->spot.xy *= wide;
    t->spot.yy = t->spot.yy * wide + body;
    t->live = invert(t->spot.xx, t->spot.xy, t->spot.yy, t->weight);
}

static void add_information(struct identity *who, const struct tracklet *t)
{
    for (int k = 0; k < 3; k++)
        who->sum[k] += t->weight[k];
    who->sum_x += t->weight[0] * t->spot.x + t->weight[1] * t->spot.y;
    who->sum_y += t->weight[1] * t->spot.x + t->weight[2] * t->spot.y;
    who->live_count++;
}

static void refresh_identity(struct sp_space *s, struct identity *who)
{
    double vx = 0, vy = 0, weights = 0, inverse[3];
    who->live_count = 0;
    who->sum[0] = who->sum[1] = who->sum[2] = who->sum_x = who->sum_y = 0;
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *t = &s->tracklets[who->member[m]];
        if (!t->live)
            continue;
        add_information(who, t);
        double weight = 1 / (t->motion.p[2][2] + t->motion.p[3][3] + 1e-3);
        vx += weight * t->motion.x[2];
        vy += weight * t->motion.x[3];
        weights += weight;
    }
    if (who->live_count == 0 || !invert(who->sum[0], who->sum[1], who->sum[2], inverse))
        return;
    who->spot = (struct sp_spot){
        .x = inverse[0] * who->sum_x + inverse[1] * who->sum_y,
        .y = inverse[1] * who->sum_x + inverse[2] * who->sum_y,
        .xx = inverse[0],
        .xy = inverse[1],
        .yy = inverse[2],
    };
    who->vx = vx / weights;
    who->vy = vy / weights;
    who->seen_us = s->ticked_us;
    if (who->follows) {
        double ahead_s = (double)(s->ticked_us - who->motion_us) / 1e6;
        who->smoothed = sp_motion_at(&who->motion, ahead_s);
        who->smoothed.xx += BODY_M * BODY_M;
        who->smoothed.yy += BODY_M * BODY_M;
    }
    if (who->live_count > who->cameras_max)
        who->cameras_max = who->live_count;
}

static void drop_lost(struct sp_space *s)
{
    for (int c = 0; c < s->options.cameras; c++) {
        struct camera *camera = &s->cameras[c];
        int kept = 0;
        for (int i = 0; i < camera->tracklet_count; i++) {
            int index = camera->tracklet[i];
            struct tracklet *t = &s->tracklets[index];
            if (s->ticked_us - common_us(s, c, t->seen_raw_us) > LOST_US)
                sp_tracklet_drop(s, index);
            else
                camera->tracklet[kept++] = index;
        }
        camera->tracklet_count = kept;
    }
}

static void forget_old_evidence(struct sp_space *s, struct tracklet *t)
{
    int kept = 0;
    for (int i = 0; i < t->evidence_count; i++) {
        const struct evidence *e = &t->evidence[i];
        if (s->ticked_us - e->at_us <= EVIDENCE_LAST_US &&
            s->identities[e->identity].number == e->number)
            t->evidence[kept++] = *e;
    }
    t->evidence_count = kept;
}

static struct evidence *begin_evidence(struct sp_space *s, struct tracklet *t, int identity)
{
    int position = t->evidence_count;
    if (position == EVIDENCE_MAX) {
        position = 0;
        for (int i = 1; i < EVIDENCE_MAX; i++)
            if (t->evidence[i].identity != t->identity &&
                (t->evidence[position].identity == t->identity ||
                 t->evidence[i].mean < t->evidence[position].mean))
                position = i;
    } else {
        t->evidence_count++;
    }
    t->evidence[position] = (struct evidence){
        .identity = identity, .number = s->identities[identity].number, .at_us = s->ticked_us};
    return &t->evidence[position];
}

/* The estimate from all members but those of this track's camera. False: there are none. */
static bool others_of(const struct sp_space *s, const struct identity *who,
                      const struct tracklet *t, struct sp_spot *spot, int *votes)
{
    struct sum sum = {who->sum[0], who->sum[1], who->sum[2], who->sum_x, who->sum_y};
    *votes = who->live_count;
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *own = &s->tracklets[who->member[m]];
        if (!own->live || own->camera != t->camera)
            continue;
        sum.xx -= own->weight[0];
        sum.xy -= own->weight[1];
        sum.yy -= own->weight[2];
        sum.x -= own->weight[0] * own->spot.x + own->weight[1] * own->spot.y;
        sum.y -= own->weight[1] * own->spot.x + own->weight[2] * own->spot.y;
        --*votes;
    }
    double inverse[3];
    if (*votes >= 2 && who->follows) { /* one track has little weight in the person's filter */
        *spot = who->smoothed;
        return true;
    }
    if (*votes <= 0 || !invert(sum.xx, sum.xy, sum.yy, inverse))
        return false;
    *spot = (struct sp_spot){
        .x = inverse[0] * sum.x + inverse[1] * sum.y,
        .y = inverse[1] * sum.x + inverse[2] * sum.y,
        .xx = inverse[0],
        .xy = inverse[1],
        .yy = inverse[2],
    };
    return true;
}

/* Log likelihood ratio of one comparison: one person against two, at a density of `density` people
 * per square metre. */
static double compare_positions(const struct tracklet *t, const struct sp_spot *others,
                                double density, double *distance2)
{
    double determinant;
    *distance2 = sp_spot_distance2(&t->spot, others, &determinant);
    double ratio = -0.5 * *distance2 - log(2 * M_PI * sqrt(determinant) * density);
    return fmin(fmax(ratio, RATIO_LOW), RATIO_HIGH);
}

static void compare(struct sp_space *s, struct tracklet *t, int identity, double density,
                    double dt_s)
{
    const struct identity *who = &s->identities[identity];
    struct evidence *e = sp_space_evidence(s, t, identity);
    struct sp_spot others;
    double distance2;
    int votes;
    if (!others_of(s, who, t, &others, &votes))
        return;
    double ratio = compare_positions(t, &others, density, &distance2);
    if (!e && ratio < -2 && t->identity != identity)
        return;
    if (!e) {
        e = begin_evidence(s, t, identity);
        e->mean = ratio;
    } else {
        /* The plain mean of the first comparisons, an exponential mean later. */
        double part = fmax(1 - exp(-dt_s / EVIDENCE_TAU_S), dt_s / (e->time_s + dt_s));
        e->mean += part * (ratio - e->mean);
        e->time_s = fmin(e->time_s + dt_s, TIME_MAX_S);
    }
    e->at_us = s->ticked_us;
    e->distance2 = distance2;
    e->distance_m = hypot(t->spot.x - others.x, t->spot.y - others.y);
    e->votes = votes;
    /* Members of long standing show by how much the cameras really disagree. */
    if (t->identity == identity && t->sure && e->time_s > 2)
        s->agreement *= 1 + 0.002 * (fmin(distance2, 9) / 2 - 1);
}

static void gather(struct sp_space *s, struct tracklet *t, double dt_s)
{
    int near[SP_SPACE_PEOPLE_MAX], count = 0, neighbours = 0;
    for (int i = 0; i < s->identity_high; i++) {
        const struct identity *who = &s->identities[i];
        double dx = who->spot.x - t->spot.x, dy = who->spot.y - t->spot.y;
        double distance2 = dx * dx + dy * dy;
        if (who->number == 0 || who->live_count == 0)
            continue;
        neighbours += distance2 < NEAR_M * NEAR_M;
        if (i == t->identity || distance2 < GATE_M * GATE_M)
            near[count++] = i;
    }
    double density = fmax(neighbours / (M_PI * NEAR_M * NEAR_M), DENSITY_MIN);
    for (int i = 0; i < count; i++)
        compare(s, t, near[i], density, dt_s);
}

/* Learns clock offsets from a walking person's pairs of tracks. */
static void learn_offsets(struct sp_space *s, const struct identity *who)
{
    static const double SPEED_MIN = 0.3, WEIGHT_MAX = 1 / (0.1 * 0.1);
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *a = &s->tracklets[who->member[m]];
        for (int n = m + 1; n < who->member_count && a->live && a->sure; n++) {
            const struct tracklet *b = &s->tracklets[who->member[n]];
            bool held =
                s->ticked_us - a->merged_us > 1000000 && s->ticked_us - b->merged_us > 1000000;
            if (!b->live || !b->sure || !held || a->camera == b->camera)
                continue;
            double vx = 0.5 * (a->motion.x[2] + b->motion.x[2]);
            double vy = 0.5 * (a->motion.x[3] + b->motion.x[3]);
            double variance = a->spot.xx + a->spot.yy + b->spot.xx + b->spot.yy;
            if (vx * vx + vy * vy > SPEED_MIN * SPEED_MIN)
                sp_offsets_add(s->offsets, a->camera, b->camera, vx, vy, a->spot.x - b->spot.x,
                               a->spot.y - b->spot.y, fmin(1 / variance, WEIGHT_MAX));
        }
    }
}

static void extend_trail(struct sp_space *s, struct identity *who)
{
    const struct sp_trail_point *last =
        &who->trail[(who->trail_next + SP_SPACE_TRAIL_MAX - 1) % SP_SPACE_TRAIL_MAX];
    if (who->live_count == 0 ||
        (who->trail_count > 0 && s->ticked_us - last->time_us < TRAIL_STEP_US))
        return;
    who->trail[who->trail_next] = (struct sp_trail_point){who->spot.x, who->spot.y, s->ticked_us};
    who->trail_next = (who->trail_next + 1) % SP_SPACE_TRAIL_MAX;
    if (who->trail_count < SP_SPACE_TRAIL_MAX)
        who->trail_count++;
}

static void forget_people(struct sp_space *s)
{
    for (int i = 0; i < s->identity_high; i++) {
        struct identity *who = &s->identities[i];
        if (who->number == 0 || who->member_count > 0 ||
            s->ticked_us - who->seen_us <= s->options.remember_us)
            continue;
        sp_space_note(s, SP_SPACE_EXPIRED, i, NULL)->time_s =
            (double)(s->ticked_us - who->seen_us) / 1e6;
        sp_identity_free(s, i);
    }
}

static void each_second(struct sp_space *s)
{
    double elapsed_s = (double)(s->ticked_us - s->solved_us) / 1e6;
    if (elapsed_s < 1)
        return;
    s->solved_us = s->ticked_us;
    sp_offsets_solve(s->offsets, fmin(elapsed_s, 60));
    sp_gallery_expire(s, 0);
    sp_gallery_learn(s);
    s->agreement = fmin(fmax(s->agreement, 0.5), 6);
}

void sp_space_tick(struct sp_space *s)
{
    double dt_s = fmin((double)(s->now_us - s->ticked_us) / 1e6, 0.5);
    s->ticked_us = s->now_us;
    drop_lost(s);
    forget_people(s);
    for (int c = 0; c < s->options.cameras; c++)
        for (int i = 0; i < s->cameras[c].tracklet_count; i++)
            refresh_tracklet(s, &s->tracklets[s->cameras[c].tracklet[i]]);
    for (int i = 0; i < s->identity_high; i++)
        if (s->identities[i].number)
            refresh_identity(s, &s->identities[i]);
    for (int c = 0; c < s->options.cameras; c++)
        for (int i = 0; i < s->cameras[c].tracklet_count; i++) {
            struct tracklet *t = &s->tracklets[s->cameras[c].tracklet[i]];
            forget_old_evidence(s, t);
            if (t->live)
                gather(s, t, dt_s);
        }
    sp_space_decide(s);
    for (int i = 0; i < s->identity_high; i++)
        if (s->identities[i].number) {
            refresh_identity(s, &s->identities[i]);
            extend_trail(s, &s->identities[i]);
            learn_offsets(s, &s->identities[i]);
        }
    each_second(s);
}
