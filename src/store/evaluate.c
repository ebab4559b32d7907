/* POST /api/v2/history/evaluate: lines and zones that are not configured, over stored tracks. */
#include "base/clock.h"
#include "base/yaml.h"
#include "store/count_table.h"
#include "store/counting.h"
#include "store/history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Visits that begin before the time are measured in full; decisions after it are waited for. */
static const int64_t BEFORE_US = 600000000, AFTER_US = 10000000;

struct evaluation {
    const struct sp_history_query *query;
    int64_t from_us, to_us, bucket_us;
    struct sp_counting_config config;
    struct sp_count_table *table;
    struct sp_error *err;
    int result;
};

static int read_time(const struct sp_yaml_node *root, const char *key, int64_t *out,
                     struct sp_error *err)
{
    const struct sp_yaml_node *node = sp_yaml_get(root, key);
    const char *text;
    if (!node)
        return SP_OK;
    int result = sp_yaml_text(node, &text, err);
    if (result == SP_OK && !sp_history_read_time(text, out))
        result = sp_yaml_fail(node, err, "%s: not a time; write 2026-11-30T12:00:00Z or 2026-11-30",
                              key);
    return result;
}

static int read_bucket(const struct sp_yaml_node *root, int64_t *out, struct sp_error *err)
{
    static const struct {
        const char *name;
        int64_t us;
    } buckets[] = {{"minute", 60000000}, {"hour", 3600000000}, {"day", INT64_C(86400000000)}};
    const struct sp_yaml_node *node = sp_yaml_get(root, "bucket");
    const char *text;
    if (!node)
        return SP_OK;
    int result = sp_yaml_text(node, &text, err);
    for (int i = 0; i < 3 && result == SP_OK; i++)
        if (strcmp(text, buckets[i].name) == 0) {
            *out = buckets[i].us;
            return SP_OK;
        }
    return result < 0 ? result
                      : sp_yaml_fail(node, err, "bucket: unknown; use minute, hour or day");
}

static int read_body(struct evaluation *e, const struct sp_yaml_node *root, struct sp_error *err)
{
    static const char *const known[] = {"from", "to", "bucket", "cameras", "map", NULL};
    int result = sp_yaml_expect(root, SP_YAML_MAP, err);
    if (result == SP_OK)
        result = sp_yaml_check_keys(root, known, err);
    if (result == SP_OK)
        result = read_time(root, "from", &e->from_us, err);
    if (result == SP_OK)
        result = read_time(root, "to", &e->to_us, err);
    if (result == SP_OK)
        result = read_bucket(root, &e->bucket_us, err);
    if (result == SP_OK)
        result = sp_counting_config_read(&e->config, root, err);
    if (result == SP_OK && e->from_us >= e->to_us)
        result = sp_fail(err, SP_ERR_INVALID, "from: not before to; exchange them");
    if (result == SP_OK && sp_counting_config_is_empty(&e->config))
        result = sp_fail(err, SP_ERR_INVALID,
                         "cameras, map: no lines and no zones; add some to a camera or to map");
    if (result == SP_OK && sp_counting_config_has_map(&e->config) && e->query->units_per_m <= 0)
        result = sp_fail(err, SP_ERR_INVALID,
                         "map: no camera is calibrated; calibrate one, see docs/SPACE.md");
    return result;
}

static void take_event(void *user, const struct sp_counting_event *event)
{
    struct evaluation *e = user;
    struct sp_count_addition addition = {.name = event->name, .time_us = event->time_us};
    if (event->kind == SP_EVENT_LINE_CROSSED) {
        addition.direction = event->direction;
        addition.count = 1;
    } else if (event->kind == SP_EVENT_ZONE_LEFT) {
        addition.count = 1;
        addition.dwell_us = llrint(event->dwell_s * 1e6);
    } else if (event->kind == SP_EVENT_ZONE_OCCUPANCY) {
        addition.people_max = event->people;
    } else {
        return;
    }
    if (e->result == SP_OK)
        e->result = sp_count_table_add(e->table, &addition, e->err);
}

static bool is_stopped(void *user, int64_t time_us)
{
    const struct evaluation *e = user;
    (void)time_us;
    return e->result < 0 || sp_history_is_over(e->query);
}

static int evaluate(struct sp_store *store, struct evaluation *e, struct sp_json *json)
{
    int64_t reached_us;
    const struct sp_stored_counting counting = {
        .config = &e->config,
        .units_per_m = e->query->units_per_m,
        .y_up = e->query->y_up,
        .from_us = e->from_us > BEFORE_US ? e->from_us - BEFORE_US : 0,
        .to_us = e->to_us + AFTER_US,
        .event = take_event,
        .stopped = is_stopped,
        .user = e,
    };
    int result = sp_count_table_open(&e->table, e->from_us, e->to_us, e->bucket_us, e->err);
    if (result == SP_OK)
        result = sp_stored_counting_run(store, &counting, &reached_us, e->err);
    if (result == SP_OK)
        result = e->result;
    if (result == SP_OK) {
        bool complete = reached_us >= e->to_us;
        sp_json_begin_object(json);
        sp_count_table_json(e->table, complete ? e->to_us : reached_us, json);
        sp_json_member_bool(json, "complete", complete);
        sp_json_end_object(json);
    }
    sp_count_table_close(e->table);
    return result;
}

int sp_history_evaluate(struct sp_store *store, const struct sp_history_query *query,
                        struct sp_json *json, struct sp_error *err)
{
    struct sp_yaml *yaml;
    struct evaluation *e = calloc(1, sizeof *e);
    if (!e)
        return sp_fail(err, SP_ERR_NO_MEMORY, "history: out of memory");
    e->query = query;
    e->from_us = query->from_us;
    e->to_us = query->to_us;
    e->bucket_us = query->bucket_us;
    e->err = err;
    /* JSON is YAML. */
    int result = sp_yaml_read_text(&yaml, query->body, query->body_bytes, "body", err);
    if (result == SP_OK) {
        result = read_body(e, sp_yaml_root(yaml), err);
        sp_yaml_close(yaml);
    }
    if (result == SP_OK)
        result = evaluate(store, e, json);
    free(e);
    return result;
}
