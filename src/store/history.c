#include "store/history.h"

#include "base/stats.h"
#include "publish/message.h"
#include "store/count_table.h"
#include "store/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MINUTE_US = 60000000, DAY_US = INT64_C(86400000000);

enum { VALUES_MAX = 12 };

/* A statement whose conditions depend on the query. */
struct statement {
    char sql[1024];
    struct sp_sql_value value[VALUES_MAX];
    int values;
};

static void add_text(struct statement *s, const char *text)
{
    size_t used = strlen(s->sql);
    snprintf(s->sql + used, sizeof s->sql - used, "%s", text);
}

/* `condition` ends where the parameter follows. */
static void add(struct statement *s, const char *condition, struct sp_sql_value value)
{
    char text[128];
    s->value[s->values++] = value;
    snprintf(text, sizeof text, "%s$%d", condition, s->values);
    add_text(s, text);
}

struct reading {
    const struct sp_history_query *query;
    struct sp_json *json;
    struct sp_error *err;
    int result, count;
    bool more;
    int64_t last_us, last_serial;
    struct sp_count_table *table;
    struct sp_histogram *dwell;
};

static int run(struct sp_store *store, const struct statement *s, sp_sql_row *row,
               struct reading *reading)
{
    int result = store->database->api->run(store->database, s->sql, s->value, s->values, row,
                                           reading, NULL, reading->err);
    if (result == SP_OK && reading->result == SP_OK && sp_history_is_over(reading->query))
        return sp_fail(reading->err, SP_ERR_TIMEOUT,
                       "history: takes too long; choose less time between from and to");
    return result < 0 ? result : reading->result;
}

static bool goes_on(const struct reading *reading)
{
    return reading->result == SP_OK && !sp_history_is_over(reading->query);
}

/* ---- counts ---- */

static bool take_minutes(void *user, const struct sp_sql_value *v, int count)
{
    struct reading *r = user;
    if (count < 7)
        return false;
    bool line = strcmp(sp_sql_string(&v[1]), "line") == 0;
    const struct sp_count_addition addition = {.name = sp_sql_string(&v[2]),
                                               .direction = line ? sp_sql_string(&v[3]) : NULL,
                                               .time_us = v[0].number * MINUTE_US,
                                               .count = v[4].number,
                                               .dwell_us = v[5].number,
                                               .people_max = (int)v[6].number};
    r->result = sp_count_table_add(r->table, &addition, r->err);
    return goes_on(r);
}

static int counts(struct sp_store *store, struct reading *r)
{
    const struct sp_history_query *q = r->query;
    struct statement s = {.sql = "SELECT minute,kind,name,direction,count,dwell_us,people_max FROM "
                                 "spoton_minutes WHERE"};
    int result = sp_count_table_open(&r->table, q->from_us, q->to_us, q->bucket_us, r->err);
    if (result < 0)
        return result;
    add(&s, " minute>=", sp_sql_int(q->from_us / MINUTE_US));
    add(&s, " AND minute<", sp_sql_int((q->to_us + MINUTE_US - 1) / MINUTE_US));
    if (q->line[0] || q->zone[0]) {
        add(&s, " AND kind=", sp_sql_text(q->line[0] ? "line" : "zone"));
        add(&s, " AND name=", sp_sql_text(q->line[0] ? q->line : q->zone));
    }
    add_text(&s, " ORDER BY minute,kind,name,direction");
    result = run(store, &s, take_minutes, r);
    if (result == SP_OK) {
        sp_json_begin_object(r->json);
        sp_count_table_json(r->table, q->to_us, r->json);
        sp_json_end_object(r->json);
    }
    sp_count_table_close(r->table);
    return result;
}

/* ---- events ---- */

static bool take_event(void *user, const struct sp_sql_value *v, int count)
{
    struct reading *r = user;
    if (count < 7 || r->count == r->query->limit) {
        r->more = count >= 7;
        return false;
    }
    r->count++;
    r->last_us = v[0].number;
    r->last_serial = v[1].number;
    sp_json_begin_object(r->json);
    sp_json_member_string(r->json, "id", sp_sql_string(&v[2]));
    sp_json_member_string(r->json, "kind", sp_sql_string(&v[3]));
    sp_json_member_string(r->json, "camera", sp_sql_string(&v[4]));
    sp_history_put_time(r->json, "time", v[0].number);
    sp_json_key(r->json, "payload");
    sp_json_raw(r->json, sp_sql_string(&v[5]));
    r->json->need_comma = true;
    sp_json_key(r->json, "snapshot");
    if (v[6].kind == SP_SQL_INT)
        sp_json_int(r->json, v[6].number);
    else
        sp_json_null(r->json);
    sp_json_end_object(r->json);
    return goes_on(r);
}

static int events(struct sp_store *store, struct reading *r)
{
    const struct sp_history_query *q = r->query;
    struct statement s = {
        .sql = "SELECT time_us,serial,id,kind,camera,payload,(SELECT i.number FROM "
               "spoton_event_images m JOIN spoton_images i ON i.number=m.number WHERE "
               "m.event=spoton_events.id) FROM spoton_events WHERE"};
    add(&s, " time_us>=", sp_sql_int(q->from_us));
    add(&s, " AND time_us<", sp_sql_int(q->to_us));
    add(&s, " AND day>=", sp_sql_int(q->from_us / DAY_US)); /* selects partitions */
    add(&s, " AND day<=", sp_sql_int(q->to_us / DAY_US));
    if (q->before_us) {
        add(&s, " AND (time_us<", sp_sql_int(q->before_us));
        add(&s, " OR (time_us=", sp_sql_int(q->before_us));
        add(&s, " AND serial<", sp_sql_int(q->before_serial));
        add_text(&s, "))");
    }
    if (q->event_kind[0])
        add(&s, " AND kind=", sp_sql_text(q->event_kind));
    if (q->camera[0])
        add(&s, " AND camera=", sp_sql_text(q->camera));
    if (q->line[0] || q->zone[0])
        add(&s, " AND name=", sp_sql_text(q->line[0] ? q->line : q->zone));
    if (q->line[0] || q->zone[0])
        add_text(&s, q->line[0] ? " AND kind='line.crossed'" : " AND kind LIKE 'zone.%'");
    if (q->person)
        add(&s, " AND person=", sp_sql_int(q->person));
    add(&s, " ORDER BY time_us DESC,serial DESC LIMIT ", sp_sql_int(q->limit + 1));
    sp_json_begin_object(r->json);
    sp_json_key(r->json, "events");
    sp_json_begin_array(r->json);
    int result = run(store, &s, take_event, r);
    char next[64];
    snprintf(next, sizeof next, "%lld-%lld", (long long)r->last_us, (long long)r->last_serial);
    sp_json_end_array(r->json);
    sp_json_member_string(r->json, "next", r->more ? next : NULL);
    sp_json_end_object(r->json);
    return result;
}

/* ---- visits ---- */

static bool take_dwell(void *user, const struct sp_sql_value *v, int count)
{
    struct reading *r = user;
    if (count > 0)
        sp_histogram_add(r->dwell, v[0].number);
    return goes_on(r);
}

static bool take_visit(void *user, const struct sp_sql_value *v, int count)
{
    struct reading *r = user;
    char person[SP_PERSON_BYTES];
    if (count < 5)
        return false;
    sp_json_begin_object(r->json);
    sp_history_put_time(r->json, "left", v[0].number);
    sp_json_member_number(r->json, "dwell_s", (double)v[1].number / 1e6, 3);
    sp_json_member_string(r->json, "camera", sp_sql_string(&v[2]));
    sp_json_key(r->json, "track");
    if (v[3].kind == SP_SQL_INT)
        sp_json_int(r->json, v[3].number);
    else
        sp_json_null(r->json);
    sp_json_member_string(r->json, "person",
                          v[4].kind == SP_SQL_INT ? sp_person_name((uint32_t)v[4].number, person)
                                                  : NULL);
    sp_json_end_object(r->json);
    return goes_on(r);
}

static void where_visits(struct statement *s, const struct sp_history_query *q)
{
    add(s, " FROM spoton_events WHERE kind='zone.left' AND name=", sp_sql_text(q->zone));
    add(s, " AND time_us>=", sp_sql_int(q->from_us));
    add(s, " AND time_us<", sp_sql_int(q->to_us));
    add(s, " AND day>=", sp_sql_int(q->from_us / DAY_US));
    add(s, " AND day<=", sp_sql_int(q->to_us / DAY_US));
}

static void put_dwell(struct sp_json *json, const struct sp_histogram *dwell)
{
    static const struct {
        const char *name;
        double share;
    } parts[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}};
    static const int64_t limits_s[] = {5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600};
    enum { LIMITS = sizeof limits_s / sizeof limits_s[0] };
    int64_t limits_us[LIMITS];
    uint64_t below[LIMITS], before = 0;
    for (int i = 0; i < LIMITS; i++)
        limits_us[i] = limits_s[i] * 1000000;
    uint64_t total = sp_histogram_below(dwell, limits_us, LIMITS, below);
    sp_json_member_int(json, "count", (int64_t)total);
    sp_json_key(json, "dwell_s");
    sp_json_begin_object(json);
    for (int i = 0; i < 3; i++)
        sp_json_member_number(json, parts[i].name,
                              sp_histogram_percentile(dwell, parts[i].share) / 1e6, 2);
    sp_json_member_number(json, "mean", sp_histogram_mean_us(dwell) / 1e6, 2);
    sp_json_member_number(json, "max", (double)dwell->max_us / 1e6, 2);
    sp_json_end_object(json);
    sp_json_key(json, "histogram");
    sp_json_begin_array(json);
    for (int i = 0; i <= LIMITS; i++) {
        uint64_t upto = i < LIMITS ? below[i] : total;
        sp_json_begin_object(json);
        sp_json_member_int(json, "from_s", i ? limits_s[i - 1] : 0);
        sp_json_key(json, "to_s");
        if (i < LIMITS)
            sp_json_int(json, limits_s[i]);
        else
            sp_json_null(json);
        sp_json_member_int(json, "visits", (int64_t)(upto - before));
        sp_json_end_object(json);
        before = upto;
    }
    sp_json_end_array(json);
}

static int visits(struct sp_store *store, struct reading *r)
{
    struct statement all = {.sql = "SELECT coalesce(dwell_us,0)"};
    struct statement newest = {.sql = "SELECT time_us,coalesce(dwell_us,0),camera,track,person"};
    where_visits(&all, r->query);
    where_visits(&newest, r->query);
    add(&newest, " ORDER BY time_us DESC,serial DESC LIMIT ", sp_sql_int(r->query->limit));
    r->dwell = calloc(1, sizeof *r->dwell);
    if (!r->dwell)
        return sp_fail(r->err, SP_ERR_NO_MEMORY, "history: out of memory");
    int result = run(store, &all, take_dwell, r);
    if (result == SP_OK) {
        sp_json_begin_object(r->json);
        sp_json_member_string(r->json, "zone", r->query->zone);
        put_dwell(r->json, r->dwell);
        sp_json_key(r->json, "visits");
        sp_json_begin_array(r->json);
        result = run(store, &newest, take_visit, r);
        sp_json_end_array(r->json);
        sp_json_end_object(r->json);
    }
    free(r->dwell);
    return result;
}

/* ---- people ---- */

struct person {
    uint32_t person;
    int64_t first_us, last_us;
};

static bool take_person(void *user, const struct sp_sql_value *v, int count)
{
    struct reading *r = user;
    char name[SP_PERSON_BYTES];
    if (count < 4)
        return false;
    bool other = r->count == 0 || r->last_serial != v[0].number;
    if (other && r->count > 0) {
        sp_json_end_array(r->json);
        sp_json_end_object(r->json);
    }
    if (other) {
        r->count++;
        r->last_serial = v[0].number;
        sp_json_begin_object(r->json);
        sp_json_member_string(r->json, "person", sp_person_name((uint32_t)v[0].number, name));
        sp_history_put_time(r->json, "first", v[2].number);
        sp_history_put_time(r->json, "last", v[3].number);
        sp_json_key(r->json, "cameras");
        sp_json_begin_array(r->json);
    }
    sp_json_string(r->json, sp_sql_string(&v[1]));
    return goes_on(r);
}

static int people(struct sp_store *store, struct reading *r)
{
    const struct sp_history_query *q = r->query;
    struct statement s = {
        .sql = "SELECT p.person,t.camera,p.first_us,p.last_us FROM (SELECT person,"
               "min(first_us) AS first_us,max(last_us) AS last_us FROM spoton_tracks WHERE "
               "person>0"};
    add(&s, " AND last_us>=", sp_sql_int(q->from_us));
    add(&s, " AND first_us<", sp_sql_int(q->to_us));
    add(&s, " GROUP BY person ORDER BY 3 DESC,1 LIMIT ", sp_sql_int(q->limit));
    add(&s,
        ") p JOIN spoton_tracks t ON t.person=p.person AND t.last_us>=", sp_sql_int(q->from_us));
    add(&s, " AND t.first_us<", sp_sql_int(q->to_us));
    add_text(&s, " GROUP BY p.person,t.camera,p.first_us,p.last_us"
                 " ORDER BY p.last_us DESC,p.person,t.camera");
    sp_json_begin_object(r->json);
    sp_json_key(r->json, "people");
    sp_json_begin_array(r->json);
    int result = run(store, &s, take_person, r);
    if (r->count > 0) {
        sp_json_end_array(r->json);
        sp_json_end_object(r->json);
    }
    sp_json_end_array(r->json);
    sp_json_end_object(r->json);
    return result;
}

/* ---- cameras ---- */

/* The first block's time; the last one is that of the newest track, or the day's begin. */
static bool take_last(void *user, const struct sp_sql_value *v, int count)
{
    int64_t *last_us = user;
    if (count > 0 && v[0].kind == SP_SQL_INT && v[0].number > *last_us)
        *last_us = v[0].number;
    return false;
}

static int put_camera(struct sp_store *store, struct sp_block_reader *reader,
                      const struct sp_segment *first, const struct sp_segment *last,
                      struct reading *r)
{
    struct sp_block_header header;
    const uint8_t *block;
    size_t bytes;
    sp_block_reader_start(reader, first->camera, first->day);
    int result = sp_block_reader_next(reader, 0, &header, &block, &bytes, r->err);
    if (result <= 0)
        return result;
    int64_t first_us = header.first_us;
    int64_t last_us = last->day > first->day ? last->day * DAY_US : header.last_us;
    const struct sp_sql_value camera = sp_sql_text(first->camera);
    result = store->database->api->run(store->database,
                                       "SELECT max(last_us) FROM spoton_tracks WHERE camera=$1",
                                       &camera, 1, take_last, &last_us, NULL, r->err);
    sp_json_begin_object(r->json);
    sp_json_member_string(r->json, "name", first->camera);
    sp_history_put_time(r->json, "first", first_us);
    sp_history_put_time(r->json, "last", last_us);
    sp_json_end_object(r->json);
    return result;
}

/* Adds "cameras" to the open object. */
static int cameras(struct sp_store *store, struct reading *r)
{
    struct sp_segment_list list = {0};
    struct sp_block_reader *reader = NULL;
    int result = store->segments->api->list(store->segments, &list, r->err);
    if (result == SP_OK)
        result = sp_block_reader_open(&reader, store->segments, r->err);
    sp_json_key(r->json, "cameras");
    sp_json_begin_array(r->json);
    for (size_t i = 0; i < list.count && result >= 0;) {
        size_t begin = i;
        while (i < list.count && strcmp(list.item[i].camera, list.item[begin].camera) == 0)
            i++;
        result = put_camera(store, reader, &list.item[begin], &list.item[i - 1], r);
    }
    sp_json_end_array(r->json);
    sp_block_reader_close(reader);
    sp_segment_list_release(&list);
    return result < 0 ? result : SP_OK;
}

int sp_history_answer(struct sp_store *store, const struct sp_history_query *query,
                      struct sp_history_reply *reply, struct sp_error *err)
{
    struct reading r = {.query = query, .json = reply->json, .err = err};
    switch (query->kind) {
    case SP_HISTORY_COUNTS:
        return counts(store, &r);
    case SP_HISTORY_EVENTS:
        return events(store, &r);
    case SP_HISTORY_VISITS:
        return visits(store, &r);
    case SP_HISTORY_PEOPLE:
        return people(store, &r);
    case SP_HISTORY_TRACKS:
        return sp_history_paths(store, query, reply->json, err);
    case SP_HISTORY_HEATMAP:
        return sp_history_heatmap(store, query, reply, err);
    case SP_HISTORY_EVALUATE:
        return sp_history_evaluate(store, query, reply->json, err);
    case SP_HISTORY_CAMERAS:
        return cameras(store, &r);
    case SP_HISTORY_SNAPSHOT:
        return sp_store_image_read(store, query->number, &reply->image, &reply->image_bytes, err);
    }
    return SP_ERR_INVALID;
}
