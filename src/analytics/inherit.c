/* A change of lines and zones at run time: what the new ones keep of the old ones. */
#include "analytics/internal.h"

#include <string.h>

static int find_line(const struct sp_scope_config *config, const char *name)
{
    for (int i = 0; i < config->line_count; i++)
        if (strcmp(config->lines[i].name, name) == 0)
            return i;
    return -1;
}

static int find_zone(const struct sp_scope_config *config, const char *name)
{
    for (int i = 0; i < config->zone_count; i++)
        if (strcmp(config->zones[i].name, name) == 0)
            return i;
    return -1;
}

/* The scope in `a` of the same camera. */
static struct scope *find_scope(const struct sp_counting *a, const struct sp_counting *from,
                                int index)
{
    if (index == from->options.camera_count)
        return a->scopes[a->options.camera_count];
    for (int k = 0; k < a->options.camera_count; k++)
        if (strcmp(a->names[k], from->names[index]) == 0)
            return a->scopes[k];
    return NULL;
}

static bool is_same_line(const struct sp_line_config *a, const struct sp_line_config *b)
{
    bool same = a->anchor == b->anchor && a->unit == b->unit;
    for (int i = 0; i < 2; i++)
        same = same && a->points[i].x == b->points[i].x && a->points[i].y == b->points[i].y;
    return same;
}

static void copy_subject(const struct scope *to, struct subject *subject, const struct scope *from,
                         const struct subject *old)
{
    *subject = *old;
    memset(subject->line, 0, sizeof subject->line);
    memset(subject->zone, 0, sizeof subject->zone);
    subject->camera = to->camera < 0 ? old->camera : to->camera;
    for (int i = 0; i < to->config->line_count; i++) {
        int k = find_line(from->config, to->config->lines[i].name);
        if (k >= 0 && is_same_line(&to->config->lines[i], &from->config->lines[k]))
            subject->line[i] = old->line[k];
    }
    for (int i = 0; i < to->config->zone_count; i++) {
        int k = find_zone(from->config, to->config->zones[i].name);
        if (k >= 0)
            subject->zone[i] = old->zone[k];
    }
}

/* Completes what has no place any more: visits to zones that were removed, or the whole scope. */
static void end_removed(struct sp_counting *from, struct scope *old, const struct scope *scope)
{
    for (int s = 0; s < old->count; s++) {
        struct subject *subject = &old->subjects[s];
        for (int i = 0; i < old->config->line_count; i++)
            if (!scope || find_line(scope->config, old->config->lines[i].name) < 0)
                sp_counting_line_end(from, old, subject, i);
        for (int i = 0; i < old->config->zone_count; i++)
            if (!scope || find_zone(scope->config, old->config->zones[i].name) < 0)
                sp_counting_zone_end(from, old, subject, i);
    }
}

static void inherit_scope(struct sp_counting *a, struct sp_counting *from, int index)
{
    struct scope *old = from->scopes[index], *scope = find_scope(a, from, index);
    if (!old)
        return;
    end_removed(from, old, scope);
    if (!scope)
        return;
    scope->frame = old->frame;
    scope->time_us = old->time_us;
    scope->count = old->count;
    memcpy(scope->ids, old->ids, sizeof scope->ids);
    for (int s = 0; s < old->count; s++)
        copy_subject(scope, &scope->subjects[s], old, &old->subjects[s]);
    if (scope->camera >= 0 && old->frame > 0)
        sp_counting_set_size(scope, old->width_px, old->height_px);
}

static bool is_named(const char *name, const char *wanted)
{
    return name && wanted && strcmp(name, wanted) == 0;
}

static int find_line_group(const struct sp_counting *a, const char *name)
{
    for (int i = 0; i < a->line_groups; i++)
        if (is_named(a->line_group[i].name, name))
            return i;
    return -1;
}

static void inherit_groups(struct sp_counting *a, const struct sp_counting *from)
{
    for (int i = 0; i < a->line_groups; i++) {
        int k = find_line_group(from, a->line_group[i].name);
        if (k >= 0)
            memcpy(a->line_group[i].count, from->line_group[k].count,
                   sizeof from->line_group->count);
    }
    for (int i = 0; i < a->zone_groups; i++)
        for (int k = 0; k < from->zone_groups; k++) {
            struct zone_group *g = &a->zone_group[i];
            const struct zone_group *old = &from->zone_group[k];
            if (!is_named(g->name, old->name))
                continue;
            struct zone_group kept = *g;
            *g = *old;
            g->name = kept.name;
            g->scopes = kept.scopes;
            g->on_map = kept.on_map;
            g->crowded = kept.crowded;
            g->loitering_s = kept.loitering_s;
        }
}

/* Crossings that wait for global ids. */
static void inherit_crossings(struct sp_counting *a, struct sp_counting *from)
{
    for (int i = 0; i < from->crossings; i++) {
        struct crossing c = from->crossing[i];
        int group = c.group >= 0 ? find_line_group(a, from->line_group[c.group].name) : -1;
        if (group < 0)
            continue;
        c.group = group;
        a->crossing[a->crossings++] = c;
    }
}

static void inherit_identities(struct sp_counting *a, const struct sp_counting *from)
{
    for (int i = 0; i < a->options.camera_count; i++)
        for (int k = 0; k < from->options.camera_count; k++)
            if (a->identities[i] && from->identities[k] && strcmp(a->names[i], from->names[k]) == 0)
                memcpy(a->identities[i], from->identities[k],
                       IDENTITIES * sizeof *a->identities[i]);
}

/* Crossings whose line or camera is gone are decided at once. */
static void decide_removed(struct sp_counting *a, struct sp_counting *from)
{
    for (int i = 0; i < from->crossings; i++) {
        const struct crossing *c = &from->crossing[i];
        if (c->group < 0 || c->decided)
            continue;
        bool known = c->camera < a->options.camera_count &&
                     strcmp(a->names[c->camera], from->names[c->camera]) == 0;
        if (!known || find_line_group(a, from->line_group[c->group].name) < 0) {
            sp_counting_release_crossings(from, true);
            return;
        }
    }
}

void sp_counting_inherit(struct sp_counting *a, struct sp_counting *from)
{
    for (int k = 0; k <= from->options.camera_count; k++)
        inherit_scope(a, from, k);
    decide_removed(a, from);
    inherit_groups(a, from);
    inherit_crossings(a, from);
    inherit_identities(a, from);
    a->now_us = from->now_us;
    a->second_us = from->second_us;
    a->started = from->started;
    a->last_event = from->last_event;
}
