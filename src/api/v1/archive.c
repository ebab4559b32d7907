/* What API v1 keeps in the history store, if there is one: statistics per hour, and feedback.
 *
 * Data flow: at the start rows of the store -> statistics and feedback in memory, which answer the
 * requests; then every ten seconds the totals of this hour and the one before, and each feedback
 * record -> recorder. A store that cannot be read at the start is reported in the log. */
#include "api/v1/analytics.h"
#include "api/v1/feedback.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/recorder.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t WRITE_US = 10000000;

static bool take_hour(void *user, const struct sp_sql_value *v, int count)
{
    struct sp_hour *hour =
        count == 7 ? sp_analytics_recall(user, sp_sql_string(&v[1]), v[0].number) : NULL;
    if (hour)
        *hour = (struct sp_hour){.boxes = (uint64_t)v[2].number,
                                 .tracks = (uint64_t)v[3].number,
                                 .confidence_milli = (uint64_t)v[4].number,
                                 .on_ms = (uint64_t)v[5].number,
                                 .up_ms = (uint64_t)v[6].number};
    return count == 7;
}

static bool take_record(void *user, const struct sp_sql_value *v, int count)
{
    json_t *record = count > 0 ? json_loads(sp_sql_string(&v[0]), 0, NULL) : NULL;
    if (sp_feedback_is_record(record))
        return sp_feedback_add(user, record, NULL) == SP_OK;
    json_decref(record);
    return true;
}

void sp_archive_read(struct sp_api *api, const char *location)
{
    struct sp_store *store = NULL;
    struct sp_error err = {0};
    int64_t first = sp_clock_wall_us() / INT64_C(3600000000) - SP_HOURS + 1;
    const struct sp_sql_value limit = sp_sql_int(first);
    int result = sp_store_open(&store, location, false, &err);
    if (result == SP_OK)
        result = store->database->api->run(
            store->database,
            "SELECT hour,camera,boxes,tracks,confidence_milli,on_ms,up_ms FROM spoton_hours"
            " WHERE hour>=$1 ORDER BY hour",
            &limit, 1, take_hour, api->v1->analytics, NULL, &err);
    if (result == SP_OK)
        result = store->database->api->run(
            store->database,
            "SELECT record FROM (SELECT serial,record FROM spoton_feedback ORDER BY serial DESC"
            " LIMIT 1000) newest ORDER BY serial",
            NULL, 0, take_record, api->v1->feedback, NULL, &err);
    sp_store_close(store);
    if (result < 0)
        sp_log(SP_LOG_WARNING, "API v1: earlier statistics and feedback are not read: %s",
               err.text);
}

static void write_hour(struct sp_api *api, int history, int64_t hour)
{
    const struct sp_analytics *analytics = api->v1->analytics;
    struct sp_hour sum = {0};
    struct sp_recorded_hour row = {.hour = hour};
    if (history >= 0)
        snprintf(row.camera, sizeof row.camera, "%s", sp_analytics_name(analytics, history));
    if (history >= 0 && !row.camera[0])
        return;
    sp_analytics_add(analytics, history, hour, hour, &sum);
    row.boxes = sum.boxes;
    row.tracks = sum.tracks;
    row.confidence_milli = sum.confidence_milli;
    row.on_ms = sum.on_ms;
    row.up_ms = sum.up_ms;
    if (sum.on_ms > 0 || sum.boxes > 0)
        sp_recorder_hour(api->recorder, &row);
}

void sp_archive_tick(struct sp_api *api)
{
    int64_t now_us = sp_clock_us(), last = sp_analytics_last_hour(api->v1->analytics);
    if (!api->recorder || now_us - api->v1->archived_us < WRITE_US)
        return;
    api->v1->archived_us = now_us;
    for (int i = -1; i < SP_HISTORIES; i++)
        for (int64_t hour = last - 1; hour <= last; hour++)
            write_hour(api, i, hour);
}

void sp_archive_feedback(struct sp_api *api, const json_t *record)
{
    char *text = api->recorder ? json_dumps(record, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    if (text)
        sp_recorder_feedback(api->recorder, sp_clock_wall_us(), text);
    free(text);
}
