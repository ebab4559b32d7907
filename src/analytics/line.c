/* Crossings: decided for each track, then once for each person. */
#include "analytics/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Crossings of one line and direction in several cameras are one: of one person within this time;
 * of people whose global id is not known; and of different global ids, of which one may be wrong.
 */
static const int64_t SAME_PERSON_US = 5000000, SAME_TIME_US = 1500000, OTHER_PERSON_US = 1000000;

static void add_crossing(struct sp_counting *a, const struct scope *scope,
                         const struct subject *subject, int index, int direction, double after)
{
    const struct line_state *state = &subject->line[index];
    struct crossing c = {
        .group = scope->line_group[index],
        .direction = direction,
        .time_us = state->time_us,
        .camera = subject->camera,
        .on_map = scope->camera < 0,
        .cameras = 1ULL << (subject->camera % 64),
        .track = subject->track,
        .person = subject->person,
        .at = state->at,
        .confidence = sp_counting_normal(state->before) * sp_counting_normal(after),
    };
    const struct line_group *group = &a->line_group[c.group];
    c.due_us = a->now_us + (group->scopes > 1 || group->on_map ? HOLD_US : 0);
    if (a->crossings == CROSSINGS_MAX) {
        sp_counting_release_crossings(a, true);
        memmove(a->crossing, a->crossing + 1, (size_t)--a->crossings * sizeof *a->crossing);
    }
    a->crossing[a->crossings++] = c;
}

void sp_counting_line_step(struct sp_counting *a, struct scope *scope, struct subject *subject,
                           int index, const struct step *way, const int64_t time_us[2])
{
    struct line_state *state = &subject->line[index];
    const struct sp_planar *line = scope->line[index], *normal = &scope->normal[index];
    double share,
        distance = (way->to.x - line[0].x) * normal->x + (way->to.y - line[0].y) * normal->y;
    /* Far away on the decided side, and has been before. */
    if (state->before >= FAR && distance * state->side > 0 && distance * distance >= way->far2) {
        state->net = 0;
        return;
    }
    int crossed = sp_planar_crossing(line[0], line[1], way->from, way->to, &share);
    if (crossed) {
        state->net = (int8_t)(state->net + crossed);
        state->time_us = time_us[0] + (int64_t)llround(share * (double)(time_us[1] - time_us[0]));
        state->at = (struct sp_planar){way->from.x + share * (way->to.x - way->from.x),
                                       way->from.y + share * (way->to.y - way->from.y)};
    }
    double z =
        distance / sp_subject_deviation(subject, scope->camera < 0,
                                        scope->config->lines[index].anchor, normal->x, normal->y);
    int side = z < 0 ? -1 : 1;
    if (state->side == 0) {
        state->net = 0;
        if (fabs(z) >= LIKELY) {
            state->side = (int8_t)side;
            state->before = fabs(z);
        }
    } else if (side == state->side) {
        state->before = fmax(state->before, fabs(z));
        if (fabs(z) >= SURE)
            state->net = 0;
    } else if (fabs(z) >= SURE) {
        if (state->net * side > 0)
            add_crossing(a, scope, subject, index, side, fabs(z));
        *state = (struct line_state){.side = (int8_t)side, .before = fabs(z)};
    }
}

/* A track that ends beyond the line has crossed it, if that is likely. */
void sp_counting_line_end(struct sp_counting *a, struct scope *scope, struct subject *subject,
                          int index)
{
    const struct line_state *state = &subject->line[index];
    const struct sp_planar *line = scope->line[index], *normal = &scope->normal[index];
    enum sp_anchor anchor = scope->config->lines[index].anchor;
    double sigma = sp_subject_deviation(subject, scope->camera < 0, anchor, normal->x, normal->y);
    struct sp_planar at = sp_subject_at(subject, scope, anchor);
    double z = ((at.x - line[0].x) * normal->x + (at.y - line[0].y) * normal->y) / sigma;
    int side = z < 0 ? -1 : 1;
    if (state->side != 0 && side != state->side && fabs(z) >= LIKELY && state->net * side > 0)
        add_crossing(a, scope, subject, index, side, fabs(z));
}

static int64_t apart_us(const struct crossing *a, const struct crossing *b)
{
    return llabs(a->time_us - b->time_us);
}

/* Whether both are of one line, and of different cameras unless on the map. */
static bool may_be_same(const struct crossing *a, const struct crossing *b)
{
    return a->group == b->group && a->direction == b->direction &&
           (a->on_map || !(a->cameras & b->cameras));
}

/* The decided crossing that it is: of the same person; else, of a camera that has not reported that
 * one, at about the same time. Each camera reports a crossing once, so two people who cross
 * together remain two. */
static struct crossing *find_same(struct sp_counting *a, const struct crossing *c)
{
    struct crossing *best = NULL;
    for (int i = 0; i < a->crossings; i++) {
        struct crossing *other = &a->crossing[i];
        if (other == c || !other->decided || !may_be_same(other, c))
            continue;
        if (c->person && other->person == c->person && apart_us(other, c) <= SAME_PERSON_US)
            return other;
        bool both = c->person && other->person;
        if (c->on_map || apart_us(other, c) > (both ? OTHER_PERSON_US : SAME_TIME_US))
            continue;
        if (!best || apart_us(other, c) < apart_us(best, c))
            best = other;
    }
    return best;
}

static void decide(struct sp_counting *a, struct crossing *c)
{
    struct line_group *group = &a->line_group[c->group];
    c->person = sp_counting_person(a, c->camera, c->track, c->person);
    struct crossing *same = find_same(a, c);
    c->decided = true;
    if (same) {
        same->cameras |= c->cameras;
        c->group = -1; /* not found again */
        return;
    }
    group->count[c->direction < 0]++;
    struct sp_counting_event event = {
        .kind = SP_EVENT_LINE_CROSSED,
        .time_us = c->time_us,
        .name = group->name,
        .direction = c->direction > 0 ? group->in : group->out,
        .inward = c->direction > 0,
        .camera = c->on_map ? NULL : a->names[c->camera],
        .track = c->on_map ? 0 : c->track,
        .person = c->person,
        .at = c->at,
        .confidence = c->confidence,
    };
    sp_counting_emit(a, &event);
}

void sp_counting_release_crossings(struct sp_counting *a, bool all)
{
    int kept = 0;
    for (int i = 0; i < a->crossings; i++)
        if (!a->crossing[i].decided && (all || a->crossing[i].due_us <= a->now_us))
            decide(a, &a->crossing[i]);
    for (int i = 0; i < a->crossings; i++) {
        const struct crossing *c = &a->crossing[i];
        bool needed = !c->decided || (c->group >= 0 && a->now_us - c->due_us <= SAME_PERSON_US);
        if (needed)
            a->crossing[kept++] = *c;
    }
    a->crossings = kept;
}
