#include "analytics/analytics.h"

#include "analytics/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- open ---- */

static bool is_named(const char *name, const char *wanted)
{
    return name && strcmp(name, wanted) == 0;
}

static int line_group(struct sp_counting *a, const struct sp_line_config *line, bool on_map)
{
    int i = 0;
    while (i < a->line_groups && !is_named(a->line_group[i].name, line->name))
        i++;
    struct line_group *g = &a->line_group[i];
    if (i == a->line_groups) {
        if (i == GROUPS_MAX)
            return -1;
        a->line_groups++;
        *g = (struct line_group){
            .name = line->name, .in = line->in, .out = line->out, .on_map = on_map};
    }
    g->scopes++;
    return i;
}

static int zone_group(struct sp_counting *a, const struct sp_zone_config *zone, bool on_map)
{
    int i = 0;
    while (i < a->zone_groups && !is_named(a->zone_group[i].name, zone->name))
        i++;
    struct zone_group *g = &a->zone_group[i];
    if (i == a->zone_groups) {
        if (i == GROUPS_MAX)
            return -1;
        a->zone_groups++;
        g->name = zone->name;
        g->on_map = on_map;
        sp_occupancy_start(&g->occupancy, 0);
    }
    if (zone->crowded)
        g->crowded = zone->crowded;
    if (zone->loitering_s > 0)
        g->loitering_s = zone->loitering_s;
    g->scopes++;
    return i;
}

static int open_scope(struct sp_counting *a, int index, const struct sp_scope_config *config,
                      struct sp_error *err)
{
    struct scope *scope = calloc(1, sizeof *scope);
    a->scopes[index] = scope;
    if (scope)
        scope->subjects = calloc(SUBJECTS_MAX, sizeof *scope->subjects);
    if (!scope || !scope->subjects)
        return sp_fail(err, SP_ERR_NO_MEMORY, "analytics: out of memory");
    bool on_map = index == a->options.camera_count;
    scope->config = config;
    scope->camera = on_map ? -1 : index;
    for (int i = 0; i < config->line_count; i++)
        scope->line_group[i] = line_group(a, &config->lines[i], on_map);
    for (int i = 0; i < config->zone_count; i++)
        scope->zone_group[i] = zone_group(a, &config->zones[i], on_map);
    for (int i = 0; i < config->line_count; i++)
        if (scope->line_group[i] < 0)
            return sp_fail(err, SP_ERR_INVALID, "lines: more than %d names; remove some",
                           GROUPS_MAX);
    for (int i = 0; i < config->zone_count; i++)
        if (scope->zone_group[i] < 0)
            return sp_fail(err, SP_ERR_INVALID, "zones: more than %d names; remove some",
                           GROUPS_MAX);
    if (on_map)
        sp_counting_set_map(scope, a->options.y_up ? -1 : 1);
    return SP_OK;
}

static bool needs_identities(const struct sp_counting *a)
{
    for (int i = 0; i < a->line_groups; i++)
        if (a->line_group[i].on_map || a->line_group[i].scopes > 1)
            return true;
    return false;
}

static int open_all(struct sp_counting *a, struct sp_error *err)
{
    int cameras = a->options.camera_count, rc = SP_OK;
    for (int i = 0; rc == SP_OK && i < a->config.camera_count; i++)
        for (int k = 0; rc == SP_OK && k < cameras; k++)
            if (strcmp(a->names[k], a->config.cameras[i].name) == 0 && !a->scopes[k])
                rc = open_scope(a, k, &a->config.cameras[i], err);
    if (rc == SP_OK && sp_counting_config_has_map(&a->config) && a->options.units_per_m > 0)
        rc = open_scope(a, cameras, &a->config.map, err);
    for (int k = 0; rc == SP_OK && needs_identities(a) && k < cameras; k++) {
        a->identities[k] = calloc(IDENTITIES, sizeof *a->identities[k]);
        if (!a->identities[k])
            rc = sp_fail(err, SP_ERR_NO_MEMORY, "analytics: out of memory");
    }
    return rc;
}

int sp_counting_open(struct sp_counting **out, const struct sp_counting_options *options,
                     struct sp_error *err)
{
    struct sp_counting *a = calloc(1, sizeof *a);
    if (!a)
        return sp_fail(err, SP_ERR_NO_MEMORY, "analytics: out of memory");
    size_t cameras = (size_t)options->camera_count;
    a->options = *options;
    a->config = *options->config;
    a->names = calloc(cameras + 1, sizeof *a->names);
    a->scopes = calloc(cameras + 1, sizeof(struct scope *));
    a->identities = calloc(cameras + 1, sizeof(struct identity *));
    a->zone_group = calloc(GROUPS_MAX, sizeof *a->zone_group);
    if (!a->names || !a->scopes || !a->identities || !a->zone_group) {
        sp_counting_close(a);
        return sp_fail(err, SP_ERR_NO_MEMORY, "analytics: out of memory");
    }
    for (size_t i = 0; i < cameras; i++)
        snprintf(a->names[i], sizeof a->names[i], "%s", options->cameras[i]);
    int rc = open_all(a, err);
    if (rc < 0) {
        sp_counting_close(a);
        return rc;
    }
    *out = a;
    return SP_OK;
}

void sp_counting_close(struct sp_counting *a)
{
    if (!a)
        return;
    for (int k = 0; a->scopes && k <= a->options.camera_count; k++) {
        if (a->scopes[k])
            free(a->scopes[k]->subjects);
        free(a->scopes[k]);
    }
    for (int k = 0; a->identities && k < a->options.camera_count; k++)
        free(a->identities[k]);
    free(a->names);
    free(a->scopes);
    free(a->identities);
    free(a->zone_group);
    free(a);
}

/* ---- subjects ---- */

static void end_subject(struct sp_counting *a, struct scope *scope, int at)
{
    struct subject *subject = &scope->subjects[at];
    for (int i = 0; i < scope->config->line_count; i++)
        sp_counting_line_end(a, scope, subject, i);
    for (int i = 0; i < scope->config->zone_count; i++)
        sp_counting_zone_end(a, scope, subject, i);
    scope->count--;
    if (at < scope->count) {
        scope->subjects[at] = scope->subjects[scope->count];
        scope->ids[at] = scope->ids[scope->count];
    }
}

static void end_all(struct sp_counting *a, struct scope *scope)
{
    while (scope->count > 0)
        end_subject(a, scope, 0);
}

static int find(const struct scope *scope, uint32_t id)
{
    for (int i = 0; i < scope->count; i++)
        if (scope->ids[i] == id)
            return i;
    return -1;
}

/* Lines and zones by the new position; `from` are the anchors before. */
static void step(struct sp_counting *a, struct scope *scope, struct subject *subject,
                 const struct sp_planar from[2], int64_t from_us, int64_t to_us)
{
    const struct sp_scope_config *config = scope->config;
    const int64_t time_us[2] = {from_us, to_us};
    struct step way[2];
    for (int k = 0; k < 2; k++) {
        enum sp_anchor anchor = (enum sp_anchor)k;
        way[k].from = from[k];
        way[k].to = sp_subject_at(subject, scope, anchor);
        way[k].far2 = FAR * FAR * sp_subject_variance_max(subject, scope->camera < 0, anchor);
    }
    for (int i = 0; i < config->line_count; i++)
        sp_counting_line_step(a, scope, subject, i, &way[config->lines[i].anchor], time_us);
    for (int i = 0; i < config->zone_count; i++)
        sp_counting_zone_step(a, scope, subject, i, &way[config->zones[i].anchor], time_us);
}

static void update(struct sp_counting *a, struct scope *scope, struct subject *subject,
                   const struct sp_track *track, const struct sp_planar *map, double hidden,
                   int64_t time_us)
{
    struct sp_planar from[2] = {sp_subject_at(subject, scope, SP_ANCHOR_FOOT),
                                sp_subject_at(subject, scope, SP_ANCHOR_CENTRE)};
    int64_t from_us = subject->seen_us;
    sp_subject_step(subject, (double)(time_us - from_us) / 1e6, track, map, hidden,
                    scope->height_px);
    subject->seen_us = time_us > from_us ? time_us : from_us;
    subject->updated = scope->frame;
    step(a, scope, subject, from, from_us, subject->seen_us);
}

static struct subject *add(struct sp_counting *a, struct scope *scope, uint32_t id)
{
    if (scope->count == SUBJECTS_MAX) { /* the one not seen for longest */
        int oldest = 0;
        for (int i = 1; i < scope->count; i++)
            if (scope->subjects[i].seen_us < scope->subjects[oldest].seen_us)
                oldest = i;
        end_subject(a, scope, oldest);
    }
    struct subject *subject = &scope->subjects[scope->count];
    memset(subject, 0, sizeof *subject);
    subject->id = scope->ids[scope->count++] = id;
    return subject;
}

static void begin(struct sp_counting *a, struct scope *scope, uint32_t id,
                  const struct sp_track *track, int camera, uint32_t person,
                  const struct sp_planar *map, double hidden, int64_t time_us)
{
    struct subject *subject = add(a, scope, id);
    subject->track = track->id;
    subject->camera = camera;
    subject->person = person;
    sp_subject_start(subject, track, map, hidden, scope->height_px);
    subject->seen_us = time_us;
    subject->updated = scope->frame;
    struct sp_planar from[2] = {sp_subject_at(subject, scope, SP_ANCHOR_FOOT),
                                sp_subject_at(subject, scope, SP_ANCHOR_CENTRE)};
    step(a, scope, subject, from, time_us, time_us);
}

/* A track that ended where this one begins, as after an ID switch: -1: none. */
static int find_ended(const struct scope *scope, const struct sp_track *track, uint32_t person,
                      int64_t time_us)
{
    int best = -1;
    double least = INFINITY;
    for (int i = 0; i < scope->count; i++) {
        const struct subject *subject = &scope->subjects[i];
        if (subject->updated == scope->frame)
            continue;
        double distance =
            sp_subject_distance(subject, (double)(time_us - subject->seen_us) / 1e6, track);
        if (person && subject->person && person != subject->person)
            continue;
        if (distance < least) {
            least = distance;
            best = i;
        }
    }
    return best;
}

static void drop_ended(struct sp_counting *a, struct scope *scope, int64_t gap_us)
{
    for (int i = scope->count - 1; i >= 0; i--)
        if (scope->time_us - scope->subjects[i].seen_us > gap_us)
            end_subject(a, scope, i);
}

/* ---- frames ---- */

/* The part of the lower quarter of a box that boxes nearer to the camera cover. */
static double hidden_part(const struct sp_counting_frame *frame, size_t index)
{
    const struct sp_track *box = &frame->tracks[index];
    double top = box->y2_px - 0.25 * (box->y2_px - box->y1_px), worst = 0;
    double area = (box->x2_px - box->x1_px) * (box->y2_px - top);
    for (size_t i = 0; i < frame->count && area > 0; i++) {
        const struct sp_track *other = &frame->tracks[i];
        if (other->y2_px <= box->y2_px || other->y1_px >= box->y2_px ||
            other->x1_px >= box->x2_px || other->x2_px <= box->x1_px)
            continue;
        double width = fmin(box->x2_px, other->x2_px) - fmax(box->x1_px, other->x1_px);
        double height = box->y2_px - fmax(top, other->y1_px);
        worst = fmax(worst, width * height / area);
    }
    return fmin(worst, 1);
}

static bool is_usable(const struct sp_track *t)
{
    return isfinite(t->x1_px) && isfinite(t->x2_px) && isfinite(t->y1_px) && isfinite(t->y2_px) &&
           t->y2_px > t->y1_px && t->x2_px >= t->x1_px;
}

static uint32_t person_of(const struct sp_counting_frame *frame, size_t i)
{
    return frame->positions ? frame->positions[i].person : 0;
}

static void image_frame(struct sp_counting *a, struct scope *scope,
                        const struct sp_counting_frame *frame)
{
    bool other_size = scope->width_px != frame->width_px || scope->height_px != frame->height_px;
    if (scope->frame > 0 && (other_size || frame->time_us < scope->time_us))
        end_all(a, scope);
    if (other_size)
        sp_counting_set_size(scope, frame->width_px, frame->height_px);
    scope->time_us = frame->time_us;
    scope->frame++;
    drop_ended(a, scope, GAP_US);
    /* Known tracks first, so that a new one is linked only to a track that is not seen. */
    for (size_t i = 0; i < frame->count; i++) {
        const struct sp_track *track = &frame->tracks[i];
        int at = find(scope, track->id);
        if (at < 0 || !is_usable(track))
            continue;
        if (person_of(frame, i))
            scope->subjects[at].person = person_of(frame, i);
        update(a, scope, &scope->subjects[at], track, NULL, hidden_part(frame, i), frame->time_us);
    }
    for (size_t i = 0; i < frame->count; i++) {
        const struct sp_track *track = &frame->tracks[i];
        if (!is_usable(track) || find(scope, track->id) >= 0)
            continue;
        uint32_t person = person_of(frame, i);
        int ended = find_ended(scope, track, person, frame->time_us);
        if (ended < 0) {
            begin(a, scope, track->id, track, frame->camera, person, NULL, hidden_part(frame, i),
                  frame->time_us);
            continue;
        }
        struct subject *subject = &scope->subjects[ended];
        subject->id = subject->track = scope->ids[ended] = track->id;
        subject->person = person ? person : subject->person;
        update(a, scope, subject, track, NULL, hidden_part(frame, i), frame->time_us);
    }
}

static void map_frame(struct sp_counting *a, struct scope *scope,
                      const struct sp_counting_frame *frame)
{
    double unit = 1 / a->options.units_per_m, flip = a->options.y_up ? -1 : 1;
    if (frame->time_us > scope->time_us || scope->frame == 0)
        scope->time_us = frame->time_us;
    scope->frame++;
    drop_ended(a, scope, PERSON_GAP_US);
    for (size_t i = 0; frame->positions && i < frame->count; i++) {
        const struct sp_world_position *position = &frame->positions[i];
        const struct sp_track *track = &frame->tracks[i];
        if (!position->on_map || !position->person || !isfinite(position->x + position->y))
            continue;
        struct sp_planar map = {position->x * unit, flip * position->y * unit};
        int at = find(scope, position->person);
        if (at < 0) {
            begin(a, scope, position->person, track, frame->camera, position->person, &map, 0,
                  frame->time_us);
            continue;
        }
        scope->subjects[at].track = track->id;
        scope->subjects[at].camera = frame->camera;
        update(a, scope, &scope->subjects[at], track, &map, 0, frame->time_us);
    }
}

static void note_identities(struct sp_counting *a, const struct sp_counting_frame *frame)
{
    struct identity *known = a->identities[frame->camera];
    for (size_t i = 0; known && i < frame->count; i++)
        known[frame->tracks[i].id % IDENTITIES] =
            (struct identity){frame->tracks[i].id, person_of(frame, i)};
}

/* Whole seconds of the frames' clock, so that they do not depend on when counting began. */
static void seconds(struct sp_counting *a)
{
    if (!a->started || a->now_us - a->second_us > 3600LL * 1000000) {
        a->second_us = a->now_us - a->now_us % 1000000;
        a->started = true;
    }
    while (a->now_us - a->second_us >= 1000000) {
        a->second_us += 1000000;
        sp_counting_zone_second(a, a->second_us);
    }
}

/* To the steps that the store keeps. */
static double rounded(double value, double steps)
{
    return rint(value * steps) / steps;
}

static struct sp_counting_frame round_frame(struct sp_counting *a,
                                            const struct sp_counting_frame *frame)
{
    struct sp_counting_frame out = *frame;
    if (out.count > SP_TRACKS_MAX)
        out.count = SP_TRACKS_MAX;
    for (size_t i = 0; i < out.count; i++) {
        struct sp_track *t = &a->tracks[i];
        *t = frame->tracks[i];
        t->x1_px = rounded(t->x1_px, BOX_STEPS);
        t->y1_px = rounded(t->y1_px, BOX_STEPS);
        t->x2_px = rounded(t->x2_px, BOX_STEPS);
        t->y2_px = rounded(t->y2_px, BOX_STEPS);
        if (!frame->positions)
            continue;
        a->positions[i] = frame->positions[i];
        a->positions[i].x = rounded(a->positions[i].x, MAP_STEPS);
        a->positions[i].y = rounded(a->positions[i].y, MAP_STEPS);
    }
    out.tracks = a->tracks;
    out.positions = frame->positions ? a->positions : NULL;
    return out;
}

static void count_frame(struct sp_counting *a, const struct sp_counting_frame *frame);

void sp_counting_frame(struct sp_counting *a, const struct sp_counting_frame *frame)
{
    if (!frame->inferred || frame->width_px <= 0 || frame->height_px <= 0)
        return;
    if (frame->rounded && frame->count <= SP_TRACKS_MAX) {
        count_frame(a, frame);
        return;
    }
    const struct sp_counting_frame stored = round_frame(a, frame);
    count_frame(a, &stored);
}

static void count_frame(struct sp_counting *a, const struct sp_counting_frame *frame)
{
    if (!a->started || frame->time_us > a->now_us)
        a->now_us = frame->time_us;
    note_identities(a, frame);
    struct scope *image = a->scopes[frame->camera], *map = a->scopes[a->options.camera_count];
    if (image)
        image_frame(a, image, frame);
    if (map)
        map_frame(a, map, frame);
    seconds(a);
    if (a->crossings > 0)
        sp_counting_release_crossings(a, false);
}

void sp_counting_end_camera(struct sp_counting *a, int camera)
{
    if (a->scopes[camera])
        end_all(a, a->scopes[camera]);
}

void sp_counting_finish(struct sp_counting *a)
{
    for (int k = 0; k <= a->options.camera_count; k++)
        if (a->scopes[k])
            end_all(a, a->scopes[k]);
    sp_counting_release_crossings(a, true);
}

void sp_counting_restart(struct sp_counting *a)
{
    sp_counting_finish(a);
    for (int k = 0; k <= a->options.camera_count; k++)
        if (a->scopes[k]) {
            a->scopes[k]->frame = 0;
            a->scopes[k]->time_us = 0;
        }
    for (int k = 0; k < a->options.camera_count; k++)
        if (a->identities[k])
            memset(a->identities[k], 0, IDENTITIES * sizeof *a->identities[k]);
    for (int i = 0; i < a->zone_groups; i++) {
        struct zone_group *g = &a->zone_group[i];
        g->inside = g->seen = 0;
        g->is_crowded = g->began = g->started = false;
        g->told = (struct sp_occupancy_estimate){0};
        sp_occupancy_start(&g->occupancy, 0);
    }
    a->now_us = a->second_us = 0;
    a->started = false;
}

/* ---- counts ---- */

bool sp_counting_line(const struct sp_counting *a, int index, struct sp_line_count *line)
{
    if (index < 0 || index >= a->line_groups)
        return false;
    const struct line_group *g = &a->line_group[index];
    *line = (struct sp_line_count){g->name, g->in, g->out, g->on_map, g->count[0], g->count[1]};
    return true;
}

bool sp_counting_zone(const struct sp_counting *a, int index, struct sp_zone_count *zone)
{
    if (index < 0 || index >= a->zone_groups)
        return false;
    const struct zone_group *g = &a->zone_group[index];
    *zone = (struct sp_zone_count){.name = g->name,
                                   .on_map = g->on_map,
                                   .visits = g->visits,
                                   .inside = g->inside,
                                   .seen = g->seen,
                                   .crowded_from = g->crowded,
                                   .is_crowded = g->is_crowded,
                                   .dwell = &g->dwell};
    if (g->started)
        zone->occupancy = sp_occupancy_estimate(&g->occupancy, g->near, g->near_variance);
    return true;
}
