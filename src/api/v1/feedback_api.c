/* POST and GET of /api/v1/feedback/reidentification. */
#include "api/v1/internal.h"

#include "api/reply.h"
#include "api/v1/feedback.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ID_BYTES = 200, NOTES_BYTES = 4000, METADATA_BYTES = 8000, LIMIT_MAX = 500 };

enum kind { TEXT, INDEX, RATIO, DECISION, TIME, OBJECT };

/* The members that a client sends, in the order of a record. */
static const struct {
    const char *name;
    enum kind kind;
    bool required;
    size_t bytes; /* maximum of a text */
} fields[] = {
    {"global_person_id", TEXT, true, ID_BYTES},
    {"candidate_person_id", TEXT, false, ID_BYTES},
    {"match_id", TEXT, false, ID_BYTES},
    {"decision", DECISION, true, 0},
    {"environment_id", TEXT, true, ID_BYTES},
    {"camera_id", TEXT, true, ID_BYTES},
    {"frame_number", INDEX, false, 0},
    {"session_id", TEXT, false, ID_BYTES},
    {"event_timestamp", TIME, false, 0},
    {"source", TEXT, false, ID_BYTES},
    {"confidence", RATIO, false, 0},
    {"notes", TEXT, false, NOTES_BYTES},
    {"metadata", OBJECT, false, METADATA_BYTES},
};
enum { FIELDS = sizeof fields / sizeof fields[0] };

static void check_text(struct sp_invalid *invalid, int i, const json_t *value)
{
    const char *name = fields[i].name;
    if (!json_is_string(value))
        sp_invalid_add(invalid, "body", name, "string_type", "Input should be a valid string");
    else if (json_string_length(value) > fields[i].bytes)
        sp_invalid_add(invalid, "body", name, "string_too_long",
                       "String should have at most %zu characters", fields[i].bytes);
}

static void check_number(struct sp_invalid *invalid, int i, const json_t *value)
{
    const char *name = fields[i].name;
    bool whole = fields[i].kind == INDEX;
    if (whole && !json_is_integer(value))
        sp_invalid_add(invalid, "body", name, "int_type", "Input should be a valid integer");
    else if (!json_is_number(value))
        sp_invalid_add(invalid, "body", name, "float_type", "Input should be a valid number");
    else if (json_number_value(value) < 0)
        sp_invalid_add(invalid, "body", name, "greater_than_equal",
                       "Input should be greater than or equal to 0");
    else if (!whole && json_number_value(value) > 1)
        sp_invalid_add(invalid, "body", name, "less_than_equal",
                       "Input should be less than or equal to 1");
}

static void check_field(struct sp_invalid *invalid, int i, const json_t *value)
{
    const char *name = fields[i].name;
    int64_t time_us;
    if (!value || json_is_null(value)) {
        if (fields[i].required)
            sp_invalid_add(invalid, "body", name, value ? "string_type" : "missing",
                           value ? "Input should be a valid string" : "Field required");
        return;
    }
    switch (fields[i].kind) {
    case TEXT:
        check_text(invalid, i, value);
        break;
    case INDEX:
    case RATIO:
        check_number(invalid, i, value);
        break;
    case DECISION:
        if (!sp_feedback_is_decision(json_string_value(value)))
            sp_invalid_add(invalid, "body", name, "enum",
                           "Input should be 'thumbs_up' or 'thumbs_down'");
        break;
    case TIME:
        if (!sp_feedback_read_time(json_string_value(value), &time_us))
            sp_invalid_add(invalid, "body", name, "datetime_parsing",
                           "Input should be a valid datetime");
        break;
    case OBJECT:
        if (!json_is_object(value))
            sp_invalid_add(invalid, "body", name, "dict_type",
                           "Input should be a valid dictionary");
        else if (json_dumpb(value, NULL, 0, JSON_COMPACT) > fields[i].bytes)
            sp_invalid_add(invalid, "body", name, "too_long",
                           "Dictionary should have at most %zu bytes of JSON", fields[i].bytes);
        break;
    }
}

/* A record from a checked body; NULL: out of memory. */
static json_t *make_record(const json_t *body)
{
    char id[SP_UUID_BYTES], now[SP_TIME_BYTES];
    json_t *record = json_object();
    sp_uuid_make(id);
    sp_time_format(sp_clock_wall_us(), now);
    bool good = json_object_set_new(record, "feedback_id", json_string(id)) == 0;
    for (int i = 0; i < FIELDS; i++) {
        json_t *value = json_object_get(body, fields[i].name);
        bool given = value && !json_is_null(value);
        if (given)
            value = json_incref(value);
        else if (fields[i].kind == TIME)
            value = json_string(now);
        else
            value = fields[i].kind == OBJECT ? json_object() : json_null();
        good = json_object_set_new(record, fields[i].name, value) == 0 && good;
    }
    good = json_object_set_new(record, "recorded_at", json_string(now)) == 0 && good;
    if (good)
        return record;
    json_decref(record);
    return NULL;
}

/* Writes a member as JSON. */
static void put_value(struct sp_json *json, const char *key, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    if (key)
        sp_json_key(json, key);
    else if (json->need_comma)
        sp_json_raw(json, ",");
    if (text)
        sp_json_raw(json, text);
    else
        sp_json_null(json);
    json->need_comma = true;
    free(text);
}

void sp_feedback_post(struct sp_call *call)
{
    static const char *const answered[] = {"feedback_id", "global_person_id", "candidate_person_id",
                                           "match_id",    "decision",         "recorded_at",
                                           "metadata"};
    struct sp_invalid invalid = {call, 0};
    struct sp_error err = {0};
    json_t *body = sp_invalid_body(&invalid);
    for (int i = 0; body && i < FIELDS; i++)
        check_field(&invalid, i, json_object_get(body, fields[i].name));
    if (sp_invalid_end(&invalid)) {
        json_decref(body);
        return;
    }
    json_t *record = make_record(body);
    json_decref(body);
    if (!record || sp_feedback_add(call->api->v1->feedback, json_incref(record), &err) < 0) {
        json_decref(record);
        sp_call_refuse(call, 503, "%s", err.code != SP_OK ? err.text : "feedback: out of memory");
        return;
    }
    sp_archive_feedback(call->api, record);
    call->reply->status = 201;
    sp_json_begin_object(call->json);
    for (size_t i = 0; i < sizeof answered / sizeof answered[0]; i++)
        put_value(call->json, answered[i], json_object_get(record, answered[i]));
    sp_json_end_object(call->json);
    json_decref(record);
}

/* --- the list --------------------------------------------------------------------------------- */

static const char *const filters[] = {"global_person_id", "candidate_person_id", "match_id",
                                      "camera_id",        "environment_id",      "session_id",
                                      "decision"};
enum { FILTERS = sizeof filters / sizeof filters[0] };

struct query {
    char wanted[FILTERS][ID_BYTES + 1]; /* empty: any */
    int64_t from_us, to_us;
    int limit, offset;
};

static void read_moment(struct sp_invalid *invalid, const char *name, int64_t *wall_us)
{
    char text[64];
    if (sp_request_query(invalid->call->request, name, text, sizeof text) &&
        !sp_feedback_read_time(text, wall_us))
        sp_invalid_add(invalid, "query", name, "datetime_parsing",
                       "Input should be a valid datetime");
}

static bool read_query(struct sp_call *call, struct query *query)
{
    struct sp_invalid invalid = {call, 0};
    *query = (struct query){.to_us = INT64_MAX};
    for (int i = 0; i < FILTERS; i++)
        sp_request_query(call->request, filters[i], query->wanted[i], sizeof query->wanted[i]);
    const char *decision = query->wanted[FILTERS - 1];
    if (decision[0] && !sp_feedback_is_decision(decision))
        sp_invalid_add(&invalid, "query", "decision", "enum",
                       "Input should be 'thumbs_up' or 'thumbs_down'");
    read_moment(&invalid, "start_time", &query->from_us);
    read_moment(&invalid, "end_time", &query->to_us);
    query->limit = sp_invalid_query_int(&invalid, "limit", 1, LIMIT_MAX, 50);
    query->offset = sp_invalid_query_int(&invalid, "offset", 0, INT32_MAX, 0);
    return !sp_invalid_end(&invalid);
}

static bool fits(const json_t *record, const struct query *query)
{
    int64_t time_us = 0;
    for (int i = 0; i < FILTERS; i++) {
        const char *value = json_string_value(json_object_get(record, filters[i]));
        if (query->wanted[i][0] && (!value || strcmp(value, query->wanted[i]) != 0))
            return false;
    }
    sp_feedback_read_time(json_string_value(json_object_get(record, "recorded_at")), &time_us);
    return time_us >= query->from_us && time_us <= query->to_us;
}

void sp_feedback_list(struct sp_call *call)
{
    struct sp_feedback *feedback = call->api->v1->feedback;
    struct query query;
    int total = 0, count = sp_feedback_count(feedback);
    if (!read_query(call, &query))
        return;
    sp_json_begin_object(call->json);
    sp_json_key(call->json, "items");
    sp_json_begin_array(call->json);
    for (int i = 0; i < count; i++) {
        const json_t *record = sp_feedback_get(feedback, i);
        if (!fits(record, &query))
            continue;
        if (total >= query.offset && total - query.offset < query.limit)
            put_value(call->json, NULL, record);
        total++;
    }
    sp_json_end_array(call->json);
    sp_json_member_int(call->json, "total", total);
    sp_json_end_object(call->json);
}
