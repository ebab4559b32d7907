#include "api/counts.h"

#include "api/camera_lookup.h"
#include "api/cluster.h"
#include "api/reply.h"
#include "base/clock.h"
#include "publish/message.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REAL_DIGITS = 15 }; /* as many as a double has */

static bool read_digits(const char **at, int count, int low, int high, int *out)
{
    *out = 0;
    for (int i = 0; i < count; i++, ++*at) {
        if (!isdigit((unsigned char)**at))
            return false;
        *out = *out * 10 + (**at - '0');
    }
    return *out >= low && *out <= high;
}

static bool skip(const char **at, char wanted)
{
    if (**at != wanted)
        return false;
    ++*at;
    return true;
}

/* RFC 3339 in UTC: 2026-11-30, 2026-11-30T12:00:00Z or ...12:00:00.123Z. */
static bool read_time(const char *text, int64_t *out_us)
{
    struct tm tm = {0};
    int64_t us = 0;
    const char *at = text;
    if (!read_digits(&at, 4, 1970, 9999, &tm.tm_year) || !skip(&at, '-') ||
        !read_digits(&at, 2, 1, 12, &tm.tm_mon) || !skip(&at, '-') ||
        !read_digits(&at, 2, 1, 31, &tm.tm_mday))
        return false;
    if (*at) {
        if ((!skip(&at, 'T') && !skip(&at, 't')) || !read_digits(&at, 2, 0, 23, &tm.tm_hour) ||
            !skip(&at, ':') || !read_digits(&at, 2, 0, 59, &tm.tm_min) || !skip(&at, ':') ||
            !read_digits(&at, 2, 0, 60, &tm.tm_sec))
            return false;
        if (skip(&at, '.')) {
            int64_t unit_us = 100000;
            if (!isdigit((unsigned char)*at))
                return false;
            for (; isdigit((unsigned char)*at); at++, unit_us /= 10)
                us += (*at - '0') * unit_us;
        }
        if ((!skip(&at, 'Z') && !skip(&at, 'z')) || *at)
            return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm found = tm;
    int64_t seconds = timegm(&found);
    *out_us = seconds * 1000000 + us;
    return found.tm_mday == tm.tm_mday; /* else: 31 February */
}

/* The last midnight of the server's time zone. */
static int64_t midnight_us(int64_t now_us)
{
    time_t now = (time_t)(now_us / 1000000);
    struct tm tm;
    localtime_r(&now, &tm);
    tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
    tm.tm_isdst = -1;
    return (int64_t)mktime(&tm) * 1000000;
}

static void put_time(struct sp_json *json, const char *key, int64_t wall_us)
{
    char time[SP_TIME_BYTES];
    sp_time_format(wall_us, time);
    sp_json_member_string(json, key, time);
}

void sp_counts_list(struct sp_call *call)
{
    char text[40];
    int64_t now_us = sp_clock_wall_us(), since_us = midnight_us(now_us);
    if (sp_request_query(call->request, "since", text, sizeof text) &&
        !read_time(text, &since_us)) {
        sp_call_refuse(call, 400,
                       "since: not a time; use RFC 3339 in UTC, such as 2026-11-30T12:00:00Z, or a "
                       "date");
        return;
    }
    sp_json_begin_object(call->json);
    put_time(call->json, "time", now_us);
    put_time(call->json, "started", call->api->started_wall_us);
    put_time(call->json, "since", since_us);
    sp_live_counting_counts_json(call->api->counting, since_us, call->json);
    sp_json_end_object(call->json);
    sp_cluster_joins(call, SP_PEERS_COUNTS);
}

void sp_counts_setup(struct sp_call *call)
{
    sp_json_begin_object(call->json);
    sp_live_counting_setups_json(call->api->counting, call->json);
    sp_json_end_object(call->json);
    sp_cluster_joins(call, SP_PEERS_ANALYTICS);
}

/* camera NULL: the map. */
static void answer_setup(struct sp_call *call, const char *camera)
{
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "camera", camera);
    sp_live_counting_setup_json(call->api->counting, camera, call->json);
    sp_json_end_object(call->json);
}

static bool find_camera(struct sp_call *call, struct sp_camera_report *report)
{
    if (sp_api_find_camera(call->api, call->name, report) >= 0)
        return true;
    if (!sp_cluster_passes(call, call->name))
        sp_call_refuse(call, 404, "camera %s: not found; see /api/v2/cameras", call->name);
    return false;
}

static bool find_map(struct sp_call *call)
{
    if (sp_pipeline_map(call->api->pipeline))
        return true;
    sp_call_refuse(call, 404, "no map; set SPATIAL_MATCH_ENABLED=true");
    return false;
}

void sp_counts_camera(struct sp_call *call)
{
    struct sp_camera_report report;
    if (find_camera(call, &report))
        answer_setup(call, call->name);
}

void sp_counts_map(struct sp_call *call)
{
    if (find_map(call))
        answer_setup(call, NULL);
}

/* "body:1:23: lines[0]: ..." without the place: the text is not the client's own. */
static const char *without_place(const char *text)
{
    static const char file[] = "body:";
    if (strncmp(text, file, sizeof file - 1) != 0)
        return text;
    const char *at = text + sizeof file - 1;
    at += strspn(at, "0123456789:");
    return *at == ' ' ? at + 1 : text;
}

static void refuse(struct sp_call *call, int code, const char *text)
{
    int status = code == SP_ERR_INVALID     ? 422
                 : code == SP_ERR_NOT_FOUND ? 404
                 : code == SP_ERR_NO_MEMORY ? 503
                                            : 500;
    sp_call_refuse(call, status, "%s", without_place(text));
}

/* The body in JSON, without what YAML reads otherwise. NULL: refused. */
static char *read_body(struct sp_call *call)
{
    json_error_t where;
    json_t *body =
        json_loadb(call->request->body, call->request->body_bytes, JSON_REJECT_DUPLICATES, &where);
    char *text = json_is_object(body)
                     ? json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS))
                     : NULL;
    if (!body)
        sp_call_refuse(call, 400, "invalid JSON: %s (line %d)", where.text, where.line);
    else if (!text)
        sp_call_refuse(call, 400,
                       "invalid body; send {\"lines\": [...], \"zones\": [...]} as in "
                       "docs/ANALYTICS.md");
    json_decref(body);
    return text;
}

static void put(struct sp_call *call, const char *camera, const struct sp_camera_report *report)
{
    struct sp_error err = {0};
    bool changed = false;
    char *text = read_body(call);
    if (!text)
        return;
    int result = sp_live_counting_put(
        call->api->counting, camera, report ? report->info.width_px : 0,
        report ? report->info.height_px : 0, text, strlen(text), &changed, &err);
    free(text);
    if (result < 0)
        refuse(call, result, err.text);
    else
        answer_setup(call, camera);
}

void sp_counts_put_camera(struct sp_call *call)
{
    struct sp_camera_report report;
    if (find_camera(call, &report))
        put(call, call->name, &report);
}

void sp_counts_put_map(struct sp_call *call)
{
    if (find_map(call))
        put(call, NULL, NULL);
}

/* Also of a camera that is gone. */
static void remove_edits(struct sp_call *call, const char *camera)
{
    struct sp_error err = {0};
    bool changed = false;
    int result = sp_live_counting_remove(call->api->counting, camera, &changed, &err);
    if (result < 0)
        refuse(call, result, err.text);
    else
        answer_setup(call, camera);
}

void sp_counts_remove_camera(struct sp_call *call)
{
    struct sp_camera_report report;
    if (sp_api_find_camera(call->api, call->name, &report) >= 0 ||
        !sp_cluster_passes(call, call->name))
        remove_edits(call, call->name);
}

void sp_counts_remove_map(struct sp_call *call)
{
    if (find_map(call))
        remove_edits(call, NULL);
}
