/* Events, counts, lines and zones as JSON. */
#include "base/json.h"

#include "analytics/internal.h"

#include <stdio.h>

static const char *const NAMES[] = {
#define X(id, name) name,
    SP_COUNTING_EVENTS(X)
#undef X
};

static void add_subject(struct sp_json *json, const struct sp_counting_event *event)
{
    char text[16];
    if (event->camera)
        sp_json_member_string(json, "camera", event->camera);
    if (event->track)
        sp_json_member_int(json, "track", event->track);
    if (event->person) {
        snprintf(text, sizeof text, "P%u", event->person);
        sp_json_member_string(json, "person", text);
    }
    sp_json_key(json, event->camera ? "at_px" : "at_m");
    sp_json_begin_array(json);
    sp_json_number(json, event->at.x, event->camera ? 1 : 2);
    sp_json_number(json, event->at.y, event->camera ? 1 : 2);
    sp_json_end_array(json);
}

const char *sp_counting_event_name(enum sp_counting_event_kind kind)
{
    return NAMES[kind];
}

void sp_counting_event_json(struct sp_json *json, const struct sp_counting_event *event)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "event", NAMES[event->kind]);
    sp_json_member_int(json, "id", (int64_t)event->id);
    sp_json_member_int(json, "time_us", event->time_us);
    sp_counting_event_members_json(json, event);
    sp_json_end_object(json);
}

void sp_counting_event_members_json(struct sp_json *json, const struct sp_counting_event *event)
{
    bool line = event->kind == SP_EVENT_LINE_CROSSED;
    bool of_zone = event->kind == SP_EVENT_ZONE_OCCUPANCY || event->kind == SP_EVENT_ZONE_CROWDED;
    sp_json_member_string(json, line ? "line" : "zone", event->name);
    if (line)
        sp_json_member_string(json, "direction", event->direction);
    if (!of_zone)
        add_subject(json, event);
    if (event->kind == SP_EVENT_ZONE_LEFT || event->kind == SP_EVENT_ZONE_LOITERING)
        sp_json_member_number(json, "dwell_s", event->dwell_s, 3);
    if (of_zone)
        sp_json_member_int(json, "people", event->people);
    if (event->kind == SP_EVENT_ZONE_OCCUPANCY) {
        sp_json_member_int(json, "low", event->low);
        sp_json_member_int(json, "high", event->high);
    }
    sp_json_member_number(json, "confidence", event->confidence, 4);
}

static void add_zone(struct sp_json *json, const struct zone_group *g)
{
    struct sp_occupancy_estimate occupancy = {0};
    if (g->started)
        occupancy = sp_occupancy_estimate(&g->occupancy, g->near, g->near_variance);
    sp_json_member_int(json, "visits", (int64_t)g->visits);
    sp_json_key(json, "dwell_s");
    sp_json_begin_object(json);
    static const struct {
        const char *name;
        double share;
    } parts[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}};
    for (int i = 0; i < 3; i++)
        sp_json_member_number(json, parts[i].name,
                              sp_histogram_percentile(&g->dwell, parts[i].share) / 1e6, 2);
    sp_json_member_number(json, "mean", sp_histogram_mean_us(&g->dwell) / 1e6, 2);
    sp_json_member_number(json, "max", (double)g->dwell.max_us / 1e6, 2);
    sp_json_end_object(json);
    sp_json_key(json, "occupancy");
    sp_json_begin_object(json);
    sp_json_member_int(json, "people", occupancy.now);
    sp_json_member_int(json, "low", occupancy.low);
    sp_json_member_int(json, "high", occupancy.high);
    sp_json_end_object(json);
    if (g->crowded > 0)
        sp_json_member_int(json, "crowded", (int64_t)g->crowdings);
    if (g->loitering_s > 0)
        sp_json_member_int(json, "loitering", (int64_t)g->loiterings);
}

void sp_counting_counts_json(struct sp_json *json, const struct sp_counting *a)
{
    sp_json_begin_object(json);
    sp_json_key(json, "lines");
    sp_json_begin_object(json);
    for (int i = 0; i < a->line_groups; i++) {
        const struct line_group *g = &a->line_group[i];
        sp_json_key(json, g->name);
        sp_json_begin_object(json);
        sp_json_member_int(json, g->in, (int64_t)g->count[0]);
        sp_json_member_int(json, g->out, (int64_t)g->count[1]);
        sp_json_end_object(json);
    }
    sp_json_end_object(json);
    sp_json_key(json, "zones");
    sp_json_begin_object(json);
    for (int i = 0; i < a->zone_groups; i++) {
        sp_json_key(json, a->zone_group[i].name);
        sp_json_begin_object(json);
        add_zone(json, &a->zone_group[i]);
        sp_json_end_object(json);
    }
    sp_json_end_object(json);
    sp_json_end_object(json);
}

/* ---- lines and zones ---- */

static void add_points(struct sp_json *json, const char *key, const struct sp_planar *points,
                       int count)
{
    sp_json_key(json, key);
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_array(json);
        sp_json_double(json, points[i].x);
        sp_json_double(json, points[i].y);
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
}

static void add_unit_and_anchor(struct sp_json *json, enum sp_unit unit, enum sp_anchor anchor)
{
    static const char *const units[] = {
        [SP_UNIT_FRACTION] = "fraction", [SP_UNIT_PIXEL] = "px", [SP_UNIT_METRE] = "m"};
    sp_json_member_string(json, "unit", units[unit]);
    sp_json_member_string(json, "anchor", anchor == SP_ANCHOR_FOOT ? "foot" : "centre");
}

static void add_line(struct sp_json *json, const struct sp_line_config *line)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", line->name);
    add_points(json, "points", line->points, 2);
    add_unit_and_anchor(json, line->unit, line->anchor);
    sp_json_member_string(json, "in", line->in);
    sp_json_member_string(json, "out", line->out);
    sp_json_end_object(json);
}

static void add_zone_config(struct sp_json *json, const struct sp_zone_config *zone)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", zone->name);
    add_points(json, "polygon", zone->corners, zone->count);
    add_unit_and_anchor(json, zone->unit, zone->anchor);
    if (zone->crowded > 0)
        sp_json_member_int(json, "crowded", zone->crowded);
    if (zone->loitering_s > 0) {
        sp_json_key(json, "loitering_s");
        sp_json_double(json, zone->loitering_s);
    }
    sp_json_end_object(json);
}

void sp_counting_scope_members_json(struct sp_json *json, const struct sp_scope_config *scope)
{
    sp_json_key(json, "lines");
    sp_json_begin_array(json);
    for (int i = 0; i < scope->line_count; i++)
        add_line(json, &scope->lines[i]);
    sp_json_end_array(json);
    sp_json_key(json, "zones");
    sp_json_begin_array(json);
    for (int i = 0; i < scope->zone_count; i++)
        add_zone_config(json, &scope->zones[i]);
    sp_json_end_array(json);
}
