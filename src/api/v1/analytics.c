/* Statistics of the cameras per hour, since the start of the server or of the store (archive.c).
 *
 * Data flow: once a second the hub's counts and the cameras' states -> the increase since the last
 * collection -> the camera's bucket of this hour. A ring holds SP_HOURS buckets, a year and a day,
 * allocated at the start (the kernel commits only written pages). Histories are kept by camera
 * name, so a removed camera keeps its statistics and continues them when it is added again. */
#include "api/v1/analytics.h"

#include "api/health.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const int64_t HOUR_US = INT64_C(3600000000);
/* Collections are a second apart; a longer gap means that the machine was suspended. */
static const int64_t LOOK_US_MAX = 5000000;

struct history {
    char name[SP_CAMERA_NAME_BYTES]; /* empty: free */
    int64_t seen_us;                 /* sp_clock_us() */
    struct sp_hour hour[SP_HOURS];
};

struct sp_analytics {
    int64_t hour, first_hour; /* since the epoch: the newest, and the first */
    int64_t collected_us;
    struct sp_hub_totals seen[SP_CAMERAS_MAX]; /* at the last collection */
    char owner[SP_CAMERAS_MAX][SP_CAMERA_NAME_BYTES];
    struct sp_hour system[SP_HOURS];
    struct history history[SP_HISTORIES];
};

int sp_analytics_open(struct sp_analytics **out, struct sp_error *err)
{
    struct sp_analytics *analytics = calloc(1, sizeof *analytics);
    if (!analytics)
        return sp_fail(err, SP_ERR_NO_MEMORY, "analytics: out of memory");
    analytics->hour = analytics->first_hour = sp_clock_wall_us() / HOUR_US;
    analytics->collected_us = sp_clock_us();
    *out = analytics;
    return SP_OK;
}

void sp_analytics_close(struct sp_analytics *analytics)
{
    free(analytics);
}

/* Clears the buckets of hours that began. After the clock was set back, counts go to the newest. */
static void turn_to(struct sp_analytics *analytics, int64_t hour)
{
    if (hour - analytics->hour >
        SP_HOURS) /* the clock was set forward: the hours between are empty */
        analytics->hour = hour - SP_HOURS;
    while (analytics->hour < hour) {
        size_t at = (size_t)(++analytics->hour % SP_HOURS);
        analytics->system[at] = (struct sp_hour){0};
        for (int i = 0; i < SP_HISTORIES; i++)
            if (analytics->history[i].name[0])
                analytics->history[i].hour[at] = (struct sp_hour){0};
    }
    if (analytics->hour - analytics->first_hour >= SP_HOURS)
        analytics->first_hour = analytics->hour - SP_HOURS + 1;
}

/* For a new camera a free history, or that of the least recently seen camera. */
static struct history *history_of(struct sp_analytics *analytics, const char *name)
{
    struct history *oldest = NULL;
    for (int i = 0; i < SP_HISTORIES; i++) {
        struct history *history = &analytics->history[i];
        if (strcmp(history->name, name) == 0)
            return history;
        if (!oldest ||
            (oldest->name[0] && (!history->name[0] || history->seen_us < oldest->seen_us)))
            oldest = history;
    }
    if (oldest->name[0])
        memset(oldest, 0, sizeof *oldest);
    snprintf(oldest->name, sizeof oldest->name, "%s", name);
    return oldest;
}

static void add_counts(struct sp_hour *hour, const struct sp_hub_totals *from,
                       const struct sp_hub_totals *to)
{
    hour->boxes += (uint32_t)(to->boxes - from->boxes);
    hour->tracks += (uint32_t)(to->tracks - from->tracks);
    hour->confidence_milli += to->confidence_milli - from->confidence_milli;
}

void sp_analytics_collect(struct sp_api *api)
{
    struct sp_analytics *analytics = api->v1->analytics;
    char reasons[3][300];
    int64_t now_us = sp_clock_us(), spent_us = now_us - analytics->collected_us;
    uint32_t spent_ms = (uint32_t)((spent_us < LOOK_US_MAX ? spent_us : LOOK_US_MAX) / 1000);
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    turn_to(analytics, sp_clock_wall_us() / HOUR_US);
    size_t at = (size_t)(analytics->hour % SP_HOURS);
    analytics->collected_us += (int64_t)spent_us / 1000 * 1000; /* the remainder counts next time */
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        struct sp_hub_totals totals;
        sp_pipeline_camera(api->pipeline, i, &report);
        sp_hub_count(api->hub, i, &totals);
        /* Counts from before a camera was removed belong to that camera. */
        const char *owner = analytics->owner[i][0] ? analytics->owner[i] : report.name;
        if (owner[0])
            add_counts(&history_of(analytics, owner)->hour[at], &analytics->seen[i], &totals);
        analytics->seen[i] = totals;
        memcpy(analytics->owner[i], report.name, sizeof report.name);
        if (!report.used || report.state == SP_CAMERA_PAUSED || report.state == SP_CAMERA_ENDED)
            continue;
        struct history *history = history_of(analytics, report.name);
        history->seen_us = now_us;
        history->hour[at].on_ms += spent_ms;
        if (report.state == SP_CAMERA_LIVE || report.state == SP_CAMERA_FROZEN ||
            report.state == SP_CAMERA_BLACK)
            history->hour[at].up_ms += spent_ms;
    }
    analytics->system[at].on_ms += spent_ms;
    if (sp_health_reasons(api, reasons) == 0)
        analytics->system[at].up_ms += spent_ms;
}

struct sp_hour *sp_analytics_recall(struct sp_analytics *analytics, const char *camera,
                                    int64_t hour)
{
    if (hour > analytics->hour || analytics->hour - hour >= SP_HOURS)
        return NULL;
    if (hour < analytics->first_hour)
        analytics->first_hour = hour;
    size_t at = (size_t)(hour % SP_HOURS);
    return camera[0] ? &history_of(analytics, camera)->hour[at] : &analytics->system[at];
}

int64_t sp_analytics_first_hour(const struct sp_analytics *analytics)
{
    return analytics->first_hour;
}

int64_t sp_analytics_last_hour(const struct sp_analytics *analytics)
{
    return analytics->hour;
}

const char *sp_analytics_name(const struct sp_analytics *analytics, int history)
{
    return analytics->history[history].name;
}

void sp_analytics_add(const struct sp_analytics *analytics, int history, int64_t first,
                      int64_t last, struct sp_hour *to)
{
    const struct sp_hour *hours =
        history < 0 ? analytics->system : analytics->history[history].hour;
    if (first < analytics->first_hour)
        first = analytics->first_hour;
    if (last > analytics->hour)
        last = analytics->hour;
    for (int64_t i = first; i <= last; i++) {
        const struct sp_hour *hour = &hours[i % SP_HOURS];
        to->boxes += hour->boxes;
        to->tracks += hour->tracks;
        to->confidence_milli += hour->confidence_milli;
        to->on_ms += hour->on_ms;
        to->up_ms += hour->up_ms;
    }
}
