/* The rule of INFERENCE=need: policy.h. */
#include "schedule/policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t TRACK_US = 300000;      /* a moving track is detected again */
static const int64_t STILL_US = 2000000;     /* one in whose box nothing moves */
static const int64_t YOUNG_US = 100000;      /* one of fewer detections than HITS_YOUNG */
static const int64_t DOUBTFUL_US = 70000;    /* one of low confidence, or that overlaps another */
static const int64_t LOST_US = 200000;       /* a lost one, */
static const int64_t LOST_KEPT_US = 1000000; /* for so long */
static const int64_t BACK_OFF_US = 200000;   /* at most, after motion without a person */
static const int64_t AUDIT_US = 2000000;
static const int64_t INTERVAL_MIN_US = 5000, INTERVAL_MAX_US = 200000; /* between frames */
static const int HITS_YOUNG = 4, CELLS_NEW = 2, FRUITLESS_MAX = 40;
static const double DRIFT_HEIGHTS = 0.12; /* of a prediction, until it is detected again */
static const double CONFIDENT = 0.5, CROSSING_IOU = 0.05, SAME_IOU = 0.3;
static const double GROW_COVERED = 0.2, GROW_STILL = 0.1, GROW_FOUND = 0.15, GROW_ASKING = 0.45;
enum {
    HOT_ONE = 4096, /* a cell that moved once without a person */
    HOT_MAX = 8 * HOT_ONE,
    HOT_SHIFT_MAX = 6,
    HOT_DECAY_US = 86562000, /* half after a minute */
};

struct box {
    double x1, y1, x2, y2; /* px */
    bool asks;
};

struct span {
    int left, top, right, bottom; /* cells, inclusive */
};

struct sp_policy {
    double new_confidence;
    struct sp_gate *gate;
    struct sp_gate_shape shape;
    int blind_columns;
    uint64_t reasons[SP_REASON_COUNT];
    struct sp_audit audit;

    bool begun, inferred; /* in this scene */
    uint32_t epoch;
    int width_px, height_px;
    int64_t pts_us, interval_us; /* of the last frame */
    int64_t inferred_us;         /* pts of the last inference */
    int64_t audit_due_us;
    int fruitless; /* inferences for motion that found no new person, in a row */
    int64_t motion_us;

    struct sp_track_state states[SP_TRACKS_MAX]; /* after the last inference */
    size_t state_count;

    /* Of the last decision. */
    bool auditing, asked_motion, has_means;
    const struct sp_track_state *live[SP_TRACKS_MAX]; /* the states that are not too old */
    struct box boxes[SP_TRACKS_MAX];                  /* predicted */
    size_t box_count;

    /* Per cell, [rows][columns]. */
    uint8_t active[SP_GATE_CELLS_MAX];  /* moves and differs */
    uint8_t covered[SP_GATE_CELLS_MAX]; /* by a predicted box */
    uint8_t moved[SP_GATE_CELLS_MAX];   /* since the last inference */
    uint8_t asking[SP_GATE_CELLS_MAX];  /* motion for which the frame is inferred */
    uint8_t scratch[SP_GATE_CELLS_MAX];
    uint16_t hot[SP_GATE_CELLS_MAX];
    int64_t next_ask_us[SP_GATE_CELLS_MAX];
    int stack[SP_GATE_CELLS_MAX];
};

int sp_policy_open(struct sp_policy **out, double new_confidence, struct sp_error *err)
{
    struct sp_policy *p = calloc(1, sizeof *p);
    if (!p)
        return sp_fail(err, SP_ERR_NO_MEMORY, "scheduling policy: out of memory");
    p->new_confidence = new_confidence;
    int result = sp_gate_open(&p->gate, err);
    if (result < 0) {
        free(p);
        return result;
    }
    *out = p;
    return SP_OK;
}

void sp_policy_close(struct sp_policy *policy)
{
    if (!policy)
        return;
    sp_gate_close(policy->gate);
    free(policy);
}

/* ---- boxes and cells ---- */

static double iou(const struct box *a, const struct box *b)
{
    double width = fmin(a->x2, b->x2) - fmax(a->x1, b->x1);
    double height = fmin(a->y2, b->y2) - fmax(a->y1, b->y1);
    if (!(width > 0) || !(height > 0))
        return 0;
    double both = width * height;
    double area = (a->x2 - a->x1) * (a->y2 - a->y1) + (b->x2 - b->x1) * (b->y2 - b->y1);
    return both / (area - both);
}

static struct box grown(const struct box *box, double heights)
{
    double by = heights * (box->y2 - box->y1);
    return (struct box){box->x1 - by, box->y1 - by, box->x2 + by, box->y2 + by, box->asks};
}

static int cell_of(double px, double cell_px, int cells)
{
    double cell = floor(px / cell_px);
    return cell < 0 ? 0 : cell > cells - 1 ? cells - 1 : (int)cell;
}

/* False: it lies beside the frame. */
static bool span_of(const struct sp_policy *p, const struct box *box, double heights,
                    struct span *span)
{
    struct box b = grown(box, heights);
    double cell_px = p->shape.block_px * SP_GATE_CELL_BLOCKS;
    if (!(b.x2 > 0) || !(b.y2 > 0) || !(b.x1 < p->width_px) || !(b.y1 < p->height_px))
        return false;
    *span = (struct span){
        cell_of(b.x1, cell_px, p->shape.columns), cell_of(b.y1, cell_px, p->shape.rows),
        cell_of(b.x2, cell_px, p->shape.columns), cell_of(b.y2, cell_px, p->shape.rows)};
    return true;
}

static size_t width_of(const struct span *span)
{
    return (size_t)span->right + 1 - (size_t)span->left;
}

static void mark(const struct sp_policy *p, uint8_t *cells, const struct box *box, double heights)
{
    struct span s;
    if (!span_of(p, box, heights, &s))
        return;
    for (int y = s.top; y <= s.bottom; y++)
        memset(cells + (ptrdiff_t)y * p->shape.columns + s.left, 1, width_of(&s));
}

static bool any_marked(const struct sp_policy *p, const uint8_t *cells, const struct box *box,
                       double heights)
{
    struct span s;
    if (!span_of(p, box, heights, &s))
        return false;
    for (int y = s.top; y <= s.bottom; y++)
        if (memchr(cells + (ptrdiff_t)y * p->shape.columns + s.left, 1, width_of(&s)))
            return true;
    return false;
}

static struct box box_of(const struct sp_detection *d)
{
    return (struct box){d->x1_px, d->y1_px, d->x2_px, d->y2_px, false};
}

static int cell_count(const struct sp_policy *p)
{
    return p->shape.columns * p->shape.rows;
}

/* ---- the decision ---- */

static void begin_scene(struct sp_policy *p, const struct sp_policy_frame *frame)
{
    if (p->audit.changed_us == 0)
        p->audit.changed_us = frame->pts_us;
    p->begun = true;
    p->inferred = false;
    p->epoch = frame->epoch;
    p->width_px = frame->width_px;
    p->height_px = frame->height_px;
    p->pts_us = frame->pts_us;
    p->interval_us = INTERVAL_MIN_US;
    p->audit_due_us = frame->pts_us + AUDIT_US;
    p->fruitless = 0;
    p->motion_us = frame->pts_us - BACK_OFF_US;
    p->state_count = p->box_count = 0;
    sp_gate_reset(p->gate, &p->shape);
    memset(p->active, 0, sizeof p->active);
    memset(p->covered, 0, sizeof p->covered);
    memset(p->moved, 0, sizeof p->moved);
    memset(p->hot, 0, sizeof p->hot);
    memset(p->next_ask_us, 0, sizeof p->next_ask_us);
}

/* Where the tracks are in this frame. Lost ones are searched for a second only. */
static void predict(struct sp_policy *p)
{
    p->box_count = 0;
    memset(p->covered, 0, (size_t)cell_count(p));
    for (size_t i = 0; i < p->state_count; i++) {
        const struct sp_track_state *s = &p->states[i];
        double age_s = s->unseen_s + (double)(p->pts_us - p->inferred_us) / 1e6;
        if (s->lost && age_s > (double)LOST_KEPT_US / 1e6)
            continue;
        double x = age_s * s->vx_px_s, y = age_s * s->vy_px_s;
        p->live[p->box_count] = s;
        p->boxes[p->box_count] =
            (struct box){s->x1_px + x, s->y1_px + y, s->x2_px + x, s->y2_px + y, false};
        mark(p, p->covered, &p->boxes[p->box_count], GROW_COVERED);
        p->box_count++;
    }
}

static bool crosses(const struct sp_policy *p, size_t index)
{
    double sum = 0;
    for (size_t i = 0; i < p->box_count; i++)
        sum += i == index ? 0 : iou(&p->boxes[index], &p->boxes[i]);
    return sum > CROSSING_IOU;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* For times of frames that are rounded or vary a little. */
static int64_t slack_us(const struct sp_policy *p)
{
    return p->interval_us / 16;
}

/* After which time a confirmed track has to be detected again. */
static int64_t track_limit_us(const struct sp_policy *p, size_t index)
{
    const struct sp_track_state *s = p->live[index];
    if (!any_marked(p, p->moved, &p->boxes[index], GROW_STILL))
        return STILL_US;
    int64_t limit_us = TRACK_US >> p->audit.level;
    if (s->residual_s > 0)
        limit_us = least(limit_us, (int64_t)fmin(1e6 * DRIFT_HEIGHTS / s->residual_s, 1e9));
    if (s->hits < HITS_YOUNG)
        limit_us = least(limit_us, YOUNG_US);
    if (s->confidence < CONFIDENT || (limit_us > DOUBTFUL_US && crosses(p, index)))
        limit_us = least(limit_us, DOUBTFUL_US);
    return limit_us;
}

/* The first reason that a track has. Marks the boxes of all that have one. */
static enum sp_inference_reason ask_tracks(struct sp_policy *p)
{
    enum sp_inference_reason reason = SP_REASON_NONE;
    int64_t since_us = p->pts_us - p->inferred_us + slack_us(p);
    for (size_t i = 0; i < p->box_count; i++) {
        const struct sp_track_state *s = p->live[i];
        enum sp_inference_reason own = SP_REASON_NONE;
        if (s->lost)
            own = s->confirmed && since_us >= LOST_US &&
                          any_marked(p, p->moved, &p->boxes[i], GROW_COVERED)
                      ? SP_REASON_LOST
                      : own;
        else if (!s->confirmed)
            own = SP_REASON_UNCONFIRMED;
        else if (since_us >= track_limit_us(p, i))
            own = SP_REASON_TRACK;
        p->boxes[i].asks = own != SP_REASON_NONE;
        reason = reason == SP_REASON_NONE ? own : reason;
    }
    return reason;
}

/* The connected cells (8 neighbours) around `first` in p->scratch, which it clears: appended to
 * p->stack. Returns their number. */
static int take_connected(struct sp_policy *p, int first)
{
    int count = 1, columns = p->shape.columns;
    p->stack[0] = first;
    p->scratch[first] = 0;
    for (int done = 0; done < count; done++) {
        int x = p->stack[done] % columns, y = p->stack[done] / columns;
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                int cell = (y + dy) * columns + x + dx;
                if (x + dx < 0 || x + dx >= columns || y + dy < 0 || y + dy >= p->shape.rows ||
                    !p->scratch[cell])
                    continue;
                p->scratch[cell] = 0;
                p->stack[count++] = cell;
            }
    }
    return count;
}

/* Whether something moves outside of all tracks, and is not in its back-off. */
static bool ask_motion(struct sp_policy *p)
{
    int64_t wait_us = p->interval_us + p->interval_us * p->fruitless / 2;
    if (p->pts_us - p->motion_us + slack_us(p) < least(BACK_OFF_US, wait_us))
        return false;
    bool asks = false;
    for (int i = 0; i < cell_count(p); i++)
        p->scratch[i] = p->active[i] && !p->covered[i];
    for (int i = 0; i < cell_count(p); i++) {
        if (!p->scratch[i])
            continue;
        int count = take_connected(p, i);
        bool ready = false;
        for (int k = 0; k < count; k++)
            ready = ready || p->next_ask_us[p->stack[k]] <= p->pts_us + slack_us(p);
        for (int k = 0; k < count && ready && count >= CELLS_NEW; k++)
            p->asking[p->stack[k]] = 1;
        asks = asks || (ready && count >= CELLS_NEW);
    }
    return asks;
}

static void step_gate(struct sp_policy *p, const struct sp_policy_frame *frame, bool *scene)
{
    int64_t dt_us = frame->pts_us - p->pts_us;
    p->interval_us = dt_us < INTERVAL_MIN_US ? INTERVAL_MIN_US : least(dt_us, INTERVAL_MAX_US);
    p->pts_us = frame->pts_us;
    *scene =
        sp_gate_step(p->gate, frame->means, dt_us, SP_GATE_FLOOR >> p->audit.level, p->covered);
    const uint8_t *moves = sp_gate_moves(p->gate), *differs = sp_gate_differs(p->gate);
    for (int i = 0; i < cell_count(p); i++) {
        bool seen = i % p->shape.columns >= p->blind_columns;
        p->active[i] = seen && moves[i] && differs[i];
        p->moved[i] |= seen && moves[i];
        p->hot[i] = (uint16_t)(p->hot[i] - p->hot[i] * least(dt_us, HOT_DECAY_US) / HOT_DECAY_US);
    }
}

/* Shortly after an inference the audit waits for the next one that a track requires, which costs no
 * further frame. Not for one that motion requires: the audit would find what the rule has just
 * found. */
static bool is_audit_due(const struct sp_policy *p, enum sp_inference_reason of_tracks)
{
    int64_t now_us = p->pts_us + slack_us(p), wait_us = TRACK_US >> p->audit.level;
    if (now_us < p->audit_due_us)
        return false;
    return of_tracks != SP_REASON_NONE || now_us - p->audit_due_us >= wait_us ||
           now_us - p->inferred_us >= wait_us;
}

static bool is_new_scene(const struct sp_policy *p, const struct sp_policy_frame *frame)
{
    return !p->begun || frame->epoch != p->epoch || frame->width_px != p->width_px ||
           frame->height_px != p->height_px || frame->pts_us < p->pts_us;
}

static enum sp_inference_reason choose(struct sp_policy *p, const struct sp_policy_frame *frame)
{
    bool scene;
    p->auditing = p->asked_motion = false;
    p->has_means = frame->means && sp_gate_shape(frame->width_px, frame->height_px, &p->shape);
    if (!p->has_means) {
        p->begun = false;
        return SP_REASON_EVERY;
    }
    if (is_new_scene(p, frame))
        begin_scene(p, frame);
    step_gate(p, frame, &scene);
    if (!p->inferred)
        return SP_REASON_START;
    predict(p);
    memset(p->asking, 0, (size_t)cell_count(p));
    enum sp_inference_reason of_tracks = ask_tracks(p);
    p->auditing = is_audit_due(p, of_tracks);
    p->asked_motion = ask_motion(p);
    if (scene)
        return SP_REASON_SCENE;
    if (of_tracks != SP_REASON_NONE)
        return of_tracks;
    if (p->asked_motion)
        return SP_REASON_MOTION;
    if (p->auditing)
        return SP_REASON_AUDIT;
    return p->audit.level == SP_AUDIT_LEVELS ? SP_REASON_EVERY : SP_REASON_NONE;
}

enum sp_inference_reason sp_policy_decide(struct sp_policy *policy,
                                          const struct sp_policy_frame *frame)
{
    enum sp_inference_reason reason = choose(policy, frame);
    policy->reasons[reason]++;
    return reason;
}

/* ---- after inference ---- */

static bool is_known(const struct sp_policy *p, const struct box *found)
{
    double x = (found->x1 + found->x2) / 2, y = (found->y1 + found->y2) / 2;
    for (size_t i = 0; i < p->box_count; i++) {
        if (iou(found, &p->boxes[i]) >= SAME_IOU)
            return true;
        struct box searched = grown(&p->boxes[i], GROW_ASKING);
        if (searched.asks && x >= searched.x1 && x <= searched.x2 && y >= searched.y1 &&
            y <= searched.y2)
            return true;
    }
    return any_marked(p, p->asking, found, 0);
}

static void audit(struct sp_policy *p, const struct sp_policy_result *result)
{
    int sightings = 0, missed = 0;
    for (size_t i = 0; i < result->detection_count; i++) {
        struct box found = box_of(&result->detections[i]);
        if (result->detections[i].confidence < p->new_confidence)
            continue;
        sightings++;
        missed += !is_known(p, &found);
    }
    sp_audit_add(&p->audit, sightings, missed, p->pts_us);
    int64_t period_us = AUDIT_US >> least(p->audit.level, SP_AUDIT_LEVELS - 1);
    while (p->audit_due_us <= p->pts_us + slack_us(p))
        p->audit_due_us += period_us;
}

/* Whether a person was found where no track was. */
static bool found_new_person(const struct sp_policy *p, const struct sp_policy_result *result)
{
    for (size_t i = 0; i < result->detection_count; i++) {
        struct box found = box_of(&result->detections[i]);
        bool tracked = result->detections[i].confidence <= CONFIDENT;
        for (size_t k = 0; k < p->state_count && !tracked; k++) {
            const struct sp_track_state *s = &p->states[k];
            struct box seen = {s->x1_px, s->y1_px, s->x2_px, s->y2_px, false};
            tracked = !s->lost && iou(&found, &seen) >= SAME_IOU;
        }
        if (!tracked)
            return true;
    }
    return false;
}

/* What differs from the background and holds no detection becomes background; what moves there asks
 * less often. */
static void explain(struct sp_policy *p, const struct sp_policy_result *result)
{
    const uint8_t *differs = sp_gate_differs(p->gate);
    memset(p->scratch, 0, (size_t)cell_count(p));
    for (size_t i = 0; i < result->detection_count; i++) {
        struct box found = box_of(&result->detections[i]);
        mark(p, p->scratch, &found, GROW_FOUND);
    }
    for (int i = 0; i < cell_count(p); i++) {
        bool empty = !p->scratch[i];
        if (empty && p->active[i]) {
            int hot = p->hot[i] + HOT_ONE;
            p->hot[i] = (uint16_t)(hot < HOT_MAX ? hot : HOT_MAX);
            int shift = p->hot[i] / HOT_ONE;
            shift = shift < HOT_SHIFT_MAX ? shift : HOT_SHIFT_MAX;
            p->next_ask_us[i] = p->pts_us + least(p->interval_us << shift, BACK_OFF_US);
        }
        p->scratch[i] = empty && differs[i];
    }
    sp_gate_absorb(p->gate, p->scratch);
}

void sp_policy_learn(struct sp_policy *policy, const struct sp_policy_result *result)
{
    struct sp_policy *p = policy;
    if (!p->has_means)
        return;
    if (p->auditing)
        audit(p, result);
    if (p->asked_motion) {
        p->motion_us = p->pts_us;
        p->fruitless += p->fruitless < FRUITLESS_MAX;
        if (found_new_person(p, result))
            p->fruitless = 0;
    }
    explain(p, result);
    memset(p->moved, 0, (size_t)cell_count(p));
    size_t count = result->state_count < SP_TRACKS_MAX ? result->state_count : SP_TRACKS_MAX;
    if (count > 0)
        memcpy(p->states, result->states, count * sizeof p->states[0]);
    p->state_count = count;
    p->inferred_us = p->pts_us;
    p->inferred = true;
}

void sp_policy_read(const struct sp_policy *policy, struct sp_policy_report *report)
{
    memcpy(report->reasons, policy->reasons, sizeof report->reasons);
    report->audit = policy->audit;
}

void sp_policy_blind(struct sp_policy *policy, int columns)
{
    policy->blind_columns = columns;
}
