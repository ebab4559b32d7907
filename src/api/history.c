#include "api/history.h"

#include "api/history_worker.h"
#include "api/reply.h"
#include "base/clock.h"
#include "store/recorder.h"

#include <stdlib.h>
#include <string.h>

static const int64_t DAY_US = INT64_C(86400000000);

/* ---- queries; all return false when the request was refused ---- */

static bool has_store(struct sp_call *call)
{
    if (call->api->history)
        return true;
    sp_call_refuse(call, 404, "no history is stored; set STORE, see docs/HISTORY.md");
    return false;
}

static bool read_time(struct sp_call *call, const char *key, int64_t *out)
{
    char text[64];
    if (!sp_request_query(call->request, key, text, sizeof text) || sp_history_read_time(text, out))
        return true;
    sp_call_refuse(call, 400, "%s: not a time; write 2026-11-30T12:00:00Z or 2026-11-30", key);
    return false;
}

static bool read_range(struct sp_call *call, struct sp_history_query *query)
{
    int64_t from_us = -1;
    query->to_us = sp_clock_wall_us();
    if (!has_store(call) || !read_time(call, "to", &query->to_us) ||
        !read_time(call, "from", &from_us))
        return false;
    query->from_us = from_us >= 0 ? from_us : query->to_us - DAY_US;
    if (query->from_us < 0)
        query->from_us = 0;
    if (query->from_us < query->to_us)
        return true;
    sp_call_refuse(call, 400, "from: not before to; exchange them");
    return false;
}

static bool read_name(struct sp_call *call, const char *key, char out[SP_STORED_NAME_BYTES],
                      bool required)
{
    char text[SP_STORED_NAME_BYTES + 1] = "";
    bool given = sp_request_query(call->request, key, text, sizeof text);
    if (strlen(text) >= SP_STORED_NAME_BYTES || (required && !text[0]) || (given && !text[0])) {
        sp_call_refuse(call, 400, "%s: %s", key,
                       text[0] ? "longer than 63 bytes" : "missing; give a name");
        return false;
    }
    snprintf(out, SP_STORED_NAME_BYTES, "%s", text);
    return true;
}

static bool read_number(struct sp_call *call, const char *key, int low, int high, int *out)
{
    char text[16];
    if (!sp_request_query(call->request, key, text, sizeof text))
        return true;
    size_t length = strlen(text);
    long value = strtol(text, NULL, 10);
    if (length == 0 || length > 9 || strspn(text, "0123456789") != length || value < low ||
        value > high) {
        sp_call_refuse(call, 400, "%s: not a whole number from %d to %d", key, low, high);
        return false;
    }
    *out = (int)value;
    return true;
}

static bool parse_person(const char *text, uint32_t *out)
{
    size_t length = strlen(text);
    if (length < 2 || length > 11 || text[0] != 'P' || text[1] == '0' ||
        strspn(text + 1, "0123456789") != length - 1)
        return false;
    unsigned long long value = strtoull(text + 1, NULL, 10);
    *out = (uint32_t)value;
    return value <= UINT32_MAX;
}

static bool read_person(struct sp_call *call, uint32_t *out)
{
    char text[16];
    if (!sp_request_query(call->request, "person", text, sizeof text) || parse_person(text, out))
        return true;
    sp_call_refuse(call, 400, "person: not a global id; write P1");
    return false;
}

static bool read_bucket(struct sp_call *call, int64_t *out)
{
    char text[16] = "hour";
    sp_request_query(call->request, "bucket", text, sizeof text);
    *out = strcmp(text, "minute") == 0 ? 60000000
           : strcmp(text, "hour") == 0 ? INT64_C(3600000000)
           : strcmp(text, "day") == 0  ? DAY_US
                                       : 0;
    if (*out)
        return true;
    sp_call_refuse(call, 400, "bucket: unknown value; use minute, hour or day");
    return false;
}

/* "time-serial", as in `next`. */
static bool read_before(struct sp_call *call, struct sp_history_query *query)
{
    char text[48], *end;
    if (!sp_request_query(call->request, "before", text, sizeof text))
        return true;
    size_t digits = strspn(text, "0123456789");
    bool good = digits > 0 && digits <= 18 && text[digits] == '-';
    if (good) {
        size_t rest = strspn(text + digits + 1, "0123456789");
        good = rest > 0 && rest <= 18 && text[digits + 1 + rest] == '\0';
        query->before_us = strtoll(text, &end, 10);
        query->before_serial = strtoll(end + 1, NULL, 10);
    }
    if (!good)
        sp_call_refuse(call, 400, "before: not the `next` of a page");
    return good;
}

static void ask(struct sp_call *call, const struct sp_history_query *query, struct sp_json *begun)
{
    if (!sp_history_ask(call->api->history, query, begun, call->request, call->reply))
        sp_call_refuse(call, 503, "too many questions about the history are waiting; try again");
}

/* ---- answers ---- */

void sp_history_state(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_CAMERAS};
    struct sp_recorder_report report;
    struct sp_json json = {0};
    if (!has_store(call))
        return;
    sp_recorder_report(call->api->recorder, &report);
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "state", sp_recorder_state_name(report.state));
    sp_json_member_string(&json, "kind",
                          sp_store_is_url(call->api->settings.store) ? "postgresql" : "directory");
    sp_json_member_string(&json, "error", report.error[0] ? report.error : NULL);
    sp_json_member_int(&json, "bytes", report.store_bytes);
    sp_json_member_int(&json, "frames", (int64_t)report.frames);
    sp_json_member_int(&json, "dropped", (int64_t)report.dropped);
    sp_json_member_int(&json, "retention_days", call->api->settings.store_retention_days);
    sp_json_member_number(&json, "max_gb", call->api->settings.store_max_gb, 3);
    ask(call, &query, &json);
    sp_json_release(&json);
}

void sp_history_counts(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_COUNTS};
    if (read_range(call, &query) && read_bucket(call, &query.bucket_us) &&
        read_name(call, "line", query.line, false) && read_name(call, "zone", query.zone, false))
        ask(call, &query, NULL);
}

void sp_history_post_evaluate(struct sp_call *call)
{
    struct sp_history_query query = {
        .kind = SP_HISTORY_EVALUATE, .to_us = sp_clock_wall_us(), .bucket_us = INT64_C(3600000000)};
    if (!has_store(call))
        return;
    query.from_us = query.to_us - DAY_US;
    struct sp_map *map = sp_pipeline_map(call->api->pipeline);
    if (map)
        sp_map_scale(map, &query.units_per_m, &query.y_up);
    if (call->request->body_bytes == 0) {
        sp_call_refuse(call, 400, "the body is empty; send lines or zones, see docs/HISTORY.md");
        return;
    }
    query.body = (char *)call->request->body;
    query.body_bytes = call->request->body_bytes;
    ask(call, &query, NULL);
}

void sp_history_events(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_EVENTS, .limit = 100};
    char kind[SP_STORED_NAME_BYTES];
    if (!read_range(call, &query) || !read_name(call, "kind", kind, false) ||
        !read_name(call, "camera", query.camera, false) ||
        !read_name(call, "line", query.line, false) ||
        !read_name(call, "zone", query.zone, false) || !read_person(call, &query.person) ||
        !read_number(call, "limit", 1, SP_HISTORY_EVENTS_MAX, &query.limit) ||
        !read_before(call, &query))
        return;
    snprintf(query.event_kind, sizeof query.event_kind, "%.31s", kind);
    ask(call, &query, NULL);
}

void sp_history_get_snapshot(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_SNAPSHOT};
    size_t digits = strspn(call->name, "0123456789");
    if (!has_store(call))
        return;
    if (digits == 0 || digits > 18 || call->name[digits] != '\0') {
        sp_call_refuse(call, 404, "%.20s: no such snapshot; events of the history name theirs",
                       call->name);
        return;
    }
    query.number = strtoll(call->name, NULL, 10);
    ask(call, &query, NULL);
}

void sp_history_visits(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_VISITS, .limit = 100};
    if (read_range(call, &query) && read_name(call, "zone", query.zone, true) &&
        read_number(call, "limit", 1, SP_HISTORY_EVENTS_MAX, &query.limit))
        ask(call, &query, NULL);
}

void sp_history_people(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_PEOPLE, .limit = SP_HISTORY_EVENTS_MAX};
    if (read_range(call, &query))
        ask(call, &query, NULL);
}

void sp_history_tracks(struct sp_call *call)
{
    struct sp_history_query query = {.kind = SP_HISTORY_TRACKS};
    if (!read_range(call, &query))
        return;
    if (parse_person(call->name, &query.person))
        ask(call, &query, NULL);
    else
        sp_call_refuse(call, 404, "%.20s: no such person; global ids are P1, P2, ...", call->name);
}

static void heatmap(struct sp_call *call, bool png)
{
    struct sp_history_query query = {.kind = SP_HISTORY_HEATMAP, .columns = 32, .png = png};
    if (read_range(call, &query) && read_name(call, "camera", query.camera, true) &&
        read_number(call, "columns", 4, SP_HISTORY_COLUMNS_MAX, &query.columns))
        ask(call, &query, NULL);
}

void sp_history_get_heatmap(struct sp_call *call)
{
    heatmap(call, false);
}

void sp_history_get_heatmap_png(struct sp_call *call)
{
    heatmap(call, true);
}
