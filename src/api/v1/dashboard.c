/* GET /api/v1/analytics/...: statistics for the analytics page. */
#include "api/v1/analytics.h"

#include "api/reply.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const int64_t HOUR_US = INT64_C(3600000000);

enum {
    WINDOW_HOURS = 24,
    WINDOW_HOURS_MAX = 87600,
    UPTIME_DAYS = 7,
    UPTIME_DAYS_MAX = 3650,
    HOURLY_MAX = 14 * 24, /* charts of longer windows have one point per day */
};

struct view {
    const struct sp_analytics *analytics;
    bool shown[SP_HISTORIES];
    int64_t first, last; /* hours */
    int days;
};

static double percent(uint64_t part, uint64_t whole)
{
    return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}

static double confidence_of(const struct sp_hour *sum)
{
    return sum->boxes > 0 ? (double)sum->confidence_milli / 10 / (double)sum->boxes : 0;
}

/* Sums over the selected cameras. */
static struct sp_hour sum_cameras(const struct view *view, int64_t first, int64_t last)
{
    struct sp_hour sum = {0};
    for (int i = 0; i < SP_HISTORIES; i++)
        if (view->shown[i])
            sp_analytics_add(view->analytics, i, first, last, &sum);
    return sum;
}

static struct sp_hour sum_system(const struct view *view, int64_t first, int64_t last)
{
    struct sp_hour sum = {0};
    sp_analytics_add(view->analytics, -1, first, last, &sum);
    return sum;
}

static void put_summary(struct sp_json *json, const struct view *view)
{
    struct sp_hour now = sum_cameras(view, view->first, view->last);
    struct sp_hour system = sum_system(view, view->first, view->last);
    int64_t before = view->first - (view->last - view->first) - 1;
    struct sp_hour earlier = sum_system(view, before, view->first - 1);
    double uptime = percent(system.up_ms, system.on_ms);
    int cameras = 0;
    for (int i = 0; i < SP_HISTORIES; i++)
        cameras += view->shown[i];
    sp_json_key(json, "summary");
    sp_json_begin_object(json);
    sp_json_member_int(json, "total_detections", (int64_t)now.boxes);
    sp_json_member_number(json, "average_confidence_percent", confidence_of(&now), 2);
    sp_json_member_number(json, "system_uptime_percent", uptime, 2);
    /* A window that begins before the start has no predecessor to compare with. */
    sp_json_member_number(json, "uptime_delta_percent",
                          earlier.on_ms > 0 ? uptime - percent(earlier.up_ms, earlier.on_ms) : 0,
                          2);
    sp_json_member_int(json, "total_cameras", cameras);
    sp_json_end_object(json);
}

static void put_cameras(struct sp_json *json, const struct view *view)
{
    sp_json_key(json, "cameras");
    sp_json_begin_array(json);
    for (int i = 0; i < SP_HISTORIES; i++) {
        struct sp_hour sum = {0};
        if (!view->shown[i])
            continue;
        sp_analytics_add(view->analytics, i, view->first, view->last, &sum);
        sp_json_begin_object(json);
        sp_json_member_string(json, "camera_id", sp_analytics_name(view->analytics, i));
        sp_json_member_int(json, "detections", (int64_t)sum.boxes);
        sp_json_member_int(json, "unique_entities", (int64_t)sum.tracks);
        sp_json_member_number(json, "average_confidence_percent", confidence_of(&sum), 2);
        sp_json_member_number(json, "uptime_percent", percent(sum.up_ms, sum.on_ms), 2);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

/* Buckets begin at full hours or days of UTC, from the start of the server. The page pairs
 * detections and confidence by index. */
static void put_buckets(struct sp_json *json, const struct view *view, bool confidence)
{
    int64_t step = view->last - view->first > HOURLY_MAX ? 24 : 1;
    int64_t first = sp_analytics_first_hour(view->analytics);
    if (first < view->first)
        first = view->first;
    sp_json_begin_array(json);
    for (int64_t at = first - first % step; at <= view->last; at += step) {
        struct sp_hour sum = sum_cameras(view, at < first ? first : at, at + step - 1);
        sp_json_begin_object(json);
        sp_json_member_time(json, "timestamp", at * HOUR_US);
        if (confidence)
            sp_json_member_number(json, "confidence_percent", confidence_of(&sum), 2);
        else
            sp_json_member_int(json, "detections", (int64_t)sum.boxes);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_uptime(struct sp_json *json, const struct view *view)
{
    int64_t today = view->last / 24, first = sp_analytics_first_hour(view->analytics) / 24;
    if (first < today - view->days + 1)
        first = today - view->days + 1;
    sp_json_begin_array(json);
    for (int64_t day = first; day <= today; day++) {
        struct sp_hour sum = sum_system(view, day * 24, day * 24 + 23);
        char date[SP_TIME_BYTES];
        sp_time_format(day * 24 * HOUR_US, date);
        date[10] = '\0';
        sp_json_begin_object(json);
        sp_json_member_string(json, "date", date);
        sp_json_member_number(json, "uptime_percent", percent(sum.up_ms, sum.on_ms), 2);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

/* Selects the cameras. False: refused. Without an environment: all cameras. A built-in environment
 * without cameras is empty, because the page requests it anyway. */
static bool choose_cameras(struct sp_call *call, struct view *view)
{
    char name[SP_CAMERA_NAME_BYTES];
    const struct sp_environment *environment = NULL;
    bool named =
        sp_request_query(call->request, "environment_id", name, sizeof name) && name[0] != '\0';
    if (named) {
        environment = sp_environment_find(call->api, name);
        if (!environment && !sp_environment_is_known(name)) {
            sp_call_refuse(call, 404, "environment %s: not found", name);
            return false;
        }
    }
    for (int i = 0; i < SP_HISTORIES; i++) {
        const char *camera = sp_analytics_name(view->analytics, i);
        view->shown[i] =
            camera[0] && (!named || (environment && sp_environment_has(environment, camera)));
    }
    return true;
}

void sp_analytics_dashboard(struct sp_call *call)
{
    struct view view = {.analytics = call->api->v1->analytics};
    struct sp_invalid invalid = {call, 0};
    struct sp_json *json = call->json;
    int hours = sp_invalid_query_int(&invalid, "window_hours", 1, WINDOW_HOURS_MAX, WINDOW_HOURS);
    view.days = sp_invalid_query_int(&invalid, "uptime_days", 1, UPTIME_DAYS_MAX, UPTIME_DAYS);
    if (sp_invalid_end(&invalid))
        return;
    sp_analytics_collect(call->api);
    if (!choose_cameras(call, &view))
        return;
    view.last = sp_analytics_last_hour(view.analytics);
    view.first = view.last - hours; /* the first hour of the window counts in full */
    sp_data_begin(json);
    sp_json_member_time(json, "generated_at", sp_clock_wall_us());
    put_summary(json, &view);
    put_cameras(json, &view);
    sp_json_key(json, "charts");
    sp_json_begin_object(json);
    sp_json_key(json, "detections_per_bucket");
    put_buckets(json, &view, false);
    sp_json_key(json, "average_confidence_trend");
    put_buckets(json, &view, true);
    sp_json_key(json, "uptime_trend");
    put_uptime(json, &view);
    sp_json_end_object(json);
    sp_data_end(json);
}

void sp_analytics_statistics(struct sp_call *call)
{
    int64_t uptime_s = (sp_clock_us() - call->api->started_us) / 1000000;
    int capacity = sp_pipeline_camera_capacity(call->api->pipeline);
    uint64_t frames = 0;
    char text[48];
    for (int i = 0; i < capacity; i++) {
        struct sp_hub_totals totals;
        sp_hub_count(call->api->hub, i, &totals);
        frames += totals.frames;
    }
    snprintf(text, sizeof text, "%lld:%02d:%02d", (long long)(uptime_s / 3600),
             (int)(uptime_s / 60 % 60), (int)(uptime_s % 60));
    sp_data_begin(call->json);
    sp_json_member_string(call->json, "system_uptime", text);
    sp_json_member_int(call->json, "uptime", uptime_s);
    sp_json_member_int(call->json, "total_processed", (int64_t)frames);
    sp_json_member_time(call->json, "last_updated", sp_clock_wall_us());
    sp_data_end(call->json);
}
