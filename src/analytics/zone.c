/* Visits, occupancy, crowding and loitering. */
#include "analytics/internal.h"

#include <math.h>

/* How long several cameras need to agree on who is there. */
static const int64_t SETTLE_US = 5000000;

/* Another subject of the same person whose visit to the zone is open, in any camera. */
static struct zone_state *find_other(struct sp_counting *a, int group, uint32_t person,
                                     const struct zone_state *self)
{
    for (int k = 0; person && k <= a->options.camera_count; k++) {
        struct scope *scope = a->scopes[k];
        for (int z = 0; scope && z < scope->config->zone_count; z++)
            for (int i = 0; scope->zone_group[z] == group && i < scope->count; i++) {
                struct subject *subject = &scope->subjects[i];
                struct zone_state *state = &subject->zone[z];
                if (state != self && state->side > 0 && subject->person == person && !state->shadow)
                    return state;
            }
    }
    return NULL;
}

/* Of the shadows of a person. */
static struct zone_state *find_shadow(struct sp_counting *a, int group, uint32_t person,
                                      const struct zone_state *self)
{
    for (int k = 0; person && k <= a->options.camera_count; k++) {
        struct scope *scope = a->scopes[k];
        for (int z = 0; scope && z < scope->config->zone_count; z++)
            for (int i = 0; scope->zone_group[z] == group && i < scope->count; i++) {
                struct subject *subject = &scope->subjects[i];
                struct zone_state *state = &subject->zone[z];
                if (state != self && state->side > 0 && subject->person == person && state->shadow)
                    return state;
            }
    }
    return NULL;
}

static struct sp_counting_event event_of(const struct sp_counting *a, const struct scope *scope,
                                         const struct subject *subject, int group,
                                         const struct zone_state *state)
{
    return (struct sp_counting_event){
        .name = a->zone_group[group].name,
        .camera = scope->camera < 0 ? NULL : a->names[scope->camera],
        .track = scope->camera < 0 ? 0 : subject->track,
        .person = subject->person,
        .at = state->at,
        .confidence = state->confidence,
    };
}

static void announce(struct sp_counting *a, struct scope *scope, struct subject *subject, int index)
{
    struct zone_state *state = &subject->zone[index];
    int group = scope->zone_group[index];
    struct zone_group *g = &a->zone_group[group];
    struct zone_state *other = g->scopes > 1 ? find_other(a, group, subject->person, state) : NULL;
    if (other) {
        if (other->announced || other->start_us <= state->start_us) {
            state->shadow = true;
            return;
        }
        other->shadow = true;
    }
    state->announced = true;
    g->visits++;
    struct sp_counting_event event = event_of(a, scope, subject, group, state);
    event.kind = SP_EVENT_ZONE_ENTERED;
    event.time_us = state->start_us;
    sp_counting_emit(a, &event);
    if (state->from_edge)
        sp_occupancy_enter(&g->occupancy, state->confidence);
}

static void loiter(struct sp_counting *a, struct scope *scope, struct subject *subject, int index)
{
    struct zone_state *state = &subject->zone[index];
    int group = scope->zone_group[index];
    struct zone_group *g = &a->zone_group[group];
    double dwell_s = (double)(subject->seen_us - state->start_us) / 1e6;
    if (!state->announced || state->shadow || state->loitered || !(g->loitering_s > 0) ||
        dwell_s < g->loitering_s)
        return;
    state->loitered = true;
    g->loiterings++;
    struct sp_counting_event event = event_of(a, scope, subject, group, state);
    event.kind = SP_EVENT_ZONE_LOITERING;
    event.time_us = state->start_us + (int64_t)llround(g->loitering_s * 1e6);
    event.at = sp_subject_at(subject, scope, scope->config->zones[index].anchor);
    event.dwell_s = g->loitering_s;
    sp_counting_emit(a, &event);
}

/* over_edge: else the track ended inside. */
static void leave(struct sp_counting *a, struct scope *scope, struct subject *subject, int index,
                  int64_t time_us, struct sp_planar at, double confidence, bool over_edge)
{
    struct zone_state *state = &subject->zone[index];
    int group = scope->zone_group[index];
    struct zone_group *g = &a->zone_group[group];
    if (!state->announced && !state->shadow)
        announce(a, scope, subject, index);
    if (state->shadow)
        return;
    struct zone_state *shadow =
        g->scopes > 1 ? find_shadow(a, group, subject->person, state) : NULL;
    if (shadow) { /* another camera still sees the person inside: it continues the visit */
        shadow->shadow = false;
        shadow->announced = true;
        shadow->start_us = state->start_us;
        shadow->loitered = state->loitered;
        return;
    }
    struct sp_counting_event event = event_of(a, scope, subject, group, state);
    event.kind = SP_EVENT_ZONE_LEFT;
    event.time_us = time_us;
    event.at = at;
    event.confidence = confidence;
    event.dwell_s = (double)(time_us - state->start_us) / 1e6;
    if (event.dwell_s < 0)
        event.dwell_s = 0;
    sp_histogram_add(&g->dwell, (int64_t)llround(event.dwell_s * 1e6));
    sp_counting_emit(a, &event);
    if (over_edge)
        sp_occupancy_leave(&g->occupancy, confidence);
}

static bool is_far(const struct extent *extent, struct sp_planar p, double far2)
{
    double dx = p.x < extent->low.x ? extent->low.x - p.x : p.x - extent->high.x;
    double dy = p.y < extent->low.y ? extent->low.y - p.y : p.y - extent->high.y;
    return (dx > 0 ? dx * dx : 0) + (dy > 0 ? dy * dy : 0) >= far2;
}

/* The frame's border is inside it. */
static double inside_frame(double value, double side)
{
    double edge = 1e-6 * side;
    return value < edge ? edge : (value > side - edge ? side - edge : value);
}

void sp_counting_zone_step(struct sp_counting *a, struct scope *scope, struct subject *subject,
                           int index, const struct step *way, const int64_t time_us[2])
{
    const struct sp_zone_config *zone = &scope->config->zones[index];
    struct zone_state *state = &subject->zone[index];
    struct zone_group *g = &a->zone_group[scope->zone_group[index]];
    struct sp_planar nearest, p = way->to;
    if (scope->camera >= 0)
        p = (struct sp_planar){inside_frame(p.x, scope->width_px),
                               inside_frame(p.y, scope->height_px)};
    if (state->side < 0 && !state->inside && is_far(&scope->extent[index], p, way->far2)) {
        state->deviations = (float)-FAR;
        return;
    }
    bool inside = sp_polygon_contains(scope->corner[index], zone->count, p);
    double distance =
        sp_polygon_nearest(scope->corner[index], scope->open[index], zone->count, p, &nearest);
    double nx = 0.6, ny = 0.8, z = FAR;
    if (isfinite(distance)) {
        if (distance > 0) {
            nx = (p.x - nearest.x) / distance;
            ny = (p.y - nearest.y) / distance;
        }
        z = distance / sp_subject_deviation(subject, scope->camera < 0, zone->anchor, nx, ny);
    }
    int side = inside ? 1 : -1;
    if (state->inside != inside) {
        state->crossed_us = time_us[1];
        state->at = p;
    }
    state->inside = inside;
    if (side != state->side && z >= (state->side ? SURE : LIKELY)) {
        double confidence = sp_counting_normal(z);
        bool first = state->side == 0;
        int64_t when_us = first || !state->crossed_us ? time_us[1] : state->crossed_us;
        struct sp_planar at = first || !state->crossed_us ? p : state->at;
        if (side < 0 && !first)
            leave(a, scope, subject, index, when_us, at, confidence, true);
        *state = (struct zone_state){.side = (int8_t)side,
                                     .inside = inside,
                                     .from_edge = !first,
                                     .start_us = when_us,
                                     .at = at,
                                     .confidence = confidence};
    }
    state->deviations = (float)(inside ? z : -z);
    if (state->side > 0 && !state->announced && !state->shadow &&
        time_us[1] - state->start_us >= (g->scopes > 1 ? HOLD_US : 0))
        announce(a, scope, subject, index);
    if (g->loitering_s > 0 && state->side > 0)
        loiter(a, scope, subject, index);
}

void sp_counting_zone_end(struct sp_counting *a, struct scope *scope, struct subject *subject,
                          int index)
{
    struct zone_state *state = &subject->zone[index];
    if (state->side > 0)
        leave(a, scope, subject, index, subject->seen_us,
              sp_subject_at(subject, scope, scope->config->zones[index].anchor), state->confidence,
              false);
}

static double chance_inside(const struct zone_state *state)
{
    double deviations = (double)state->deviations;
    return fabs(deviations) >= FAR ? deviations > 0 : sp_counting_normal(deviations);
}

/* People inside, and those of them who are seen at the moment. */
static void count_inside(struct sp_counting *a, int64_t time_us)
{
    for (int g = 0; g < a->zone_groups; g++) {
        struct zone_group *group = &a->zone_group[g];
        group->inside = group->seen = 0;
        group->near = group->near_variance = 0;
    }
    for (int k = 0; k <= a->options.camera_count; k++) {
        const struct scope *scope = a->scopes[k];
        for (int z = 0; scope && z < scope->config->zone_count; z++) {
            struct zone_group *g = &a->zone_group[scope->zone_group[z]];
            if (!g->began && scope->frame > 0) {
                g->began = true;
                g->began_us = time_us;
            }
            for (int i = 0; i < scope->count; i++) {
                const struct subject *subject = &scope->subjects[i];
                const struct zone_state *state = &subject->zone[z];
                bool inside = state->side > 0 && !state->shadow;
                g->inside += inside;
                bool seen = time_us - subject->seen_us < 1000000 && !state->shadow;
                g->seen += inside && seen;
                if (seen && state->side != 0) {
                    double chance = chance_inside(state);
                    g->near += chance - inside;
                    g->near_variance += chance * (1 - chance);
                }
            }
        }
    }
}

void sp_counting_zone_second(struct sp_counting *a, int64_t time_us)
{
    count_inside(a, time_us);
    for (int i = 0; i < a->zone_groups; i++) {
        struct zone_group *g = &a->zone_group[i];
        /* With several cameras a person has several ids at first. */
        bool settles = g->on_map || g->scopes > 1;
        if (!g->began || (settles && time_us - g->began_us < SETTLE_US))
            continue;
        if (!g->started)
            sp_occupancy_start(&g->occupancy, g->seen);
        g->started = true;
        sp_occupancy_observe(&g->occupancy, g->seen);
        struct sp_occupancy_estimate now =
            sp_occupancy_estimate(&g->occupancy, g->near, g->near_variance);
        if (now.now != g->told.now) {
            g->told = now;
            struct sp_counting_event event = {.kind = SP_EVENT_ZONE_OCCUPANCY,
                                              .time_us = time_us,
                                              .name = g->name,
                                              .confidence = 0.9,
                                              .people = now.now,
                                              .low = now.low,
                                              .high = now.high};
            sp_counting_emit(a, &event);
        }
        bool crowded = g->crowded > 0 && g->seen >= g->crowded;
        if (crowded && !g->is_crowded) {
            g->crowdings++;
            struct sp_counting_event event = {.kind = SP_EVENT_ZONE_CROWDED,
                                              .time_us = time_us,
                                              .name = g->name,
                                              .confidence = 1,
                                              .people = g->seen};
            sp_counting_emit(a, &event);
        }
        g->is_crowded = crowded;
    }
}
