#include "api/camera_lookup.h"

#include "api/reply.h"

#include <stdlib.h>
#include <string.h>

int sp_api_find_camera(struct sp_api *api, const char *name, struct sp_camera_report *report)
{
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    for (int i = 0; i < capacity; i++) {
        sp_pipeline_camera(api->pipeline, i, report);
        if (report->used && strcmp(report->name, name) == 0)
            return i;
    }
    return -1;
}

void sp_json_ledger(struct sp_json *json, const struct sp_ledger_counts *ledger)
{
    sp_json_begin_object(json);
    sp_json_member_int(json, "received", (int64_t)ledger->received);
    for (int i = 0; i < SP_OUTCOME_COUNT; i++)
        sp_json_member_int(json, sp_outcome_name((enum sp_outcome)i), (int64_t)ledger->settled[i]);
    sp_json_member_int(json, "in_flight", (int64_t)ledger->in_flight);
    sp_json_end_object(json);
}

void sp_json_camera(struct sp_json *json, const struct sp_camera_report *report,
                    const struct sp_camera_setting *setting)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", report->name);
    sp_json_member_string(json, "url", report->url);
    sp_json_member_string(json, "state", sp_camera_state_name(report->state));
    sp_json_member_string(json, "reason", report->error.code != SP_OK ? report->error.text : NULL);
    sp_json_member_int(json, "width", report->info.width_px);
    sp_json_member_int(json, "height", report->info.height_px);
    sp_json_member_string(json, "codec", report->info.codec[0] ? report->info.codec : NULL);
    sp_json_key(json, "camera_fps");
    sp_json_number(json, report->camera_fps, 2);
    sp_json_key(json, "inferred_fps");
    sp_json_number(json, report->inferred_fps, 2);
    sp_json_key(json, "latency_ms");
    sp_json_begin_object(json);
    sp_json_key(json, "p50");
    sp_json_number(json, report->latency_p50_us / 1000, 2);
    sp_json_key(json, "p95");
    sp_json_number(json, report->latency_p95_us / 1000, 2);
    sp_json_end_object(json);
    sp_json_member_int(json, "tracks", report->active_tracks);
    sp_json_member_int(json, "reconnects", (int64_t)report->reconnects);
    sp_json_key(json, "last_frame_age_ms");
    if (report->last_frame_age_us < 0)
        sp_json_null(json);
    else
        sp_json_int(json, report->last_frame_age_us / 1000);
    sp_json_key(json, "ledger");
    sp_json_ledger(json, &report->ledger);
    sp_json_key(json, "inference");
    sp_policy_write(json, report->by_need ? &report->policy : NULL);
    if (setting) {
        sp_json_key(json, "settings");
        sp_camera_setting_write_json(json, setting);
    }
    sp_json_end_object(json);
}

struct sp_stream_options sp_api_stream_options(const struct sp_api *api)
{
    return (struct sp_stream_options){
        .width_px = api->settings.stream_max_width_px,
        .scale = api->settings.stream_resize_factor,
        .quality = api->settings.jpeg_quality,
    };
}

/* Reads a number of the query; a missing one leaves `value` unchanged. False: refused. */
static bool query_number(struct sp_call *call, const char *key, int low, int high, int *value)
{
    char text[32], *end;
    if (!sp_request_query(call->request, key, text, sizeof text))
        return true;
    long number = strtol(text, &end, 10);
    if (text[0] == '\0' || *end != '\0' || number < low || number > high || text[0] == ' ' ||
        text[0] == '+') {
        sp_call_refuse(call, 400, "%s: out of range; use a number from %d to %d", key, low, high);
        return false;
    }
    *value = (int)number;
    return true;
}

bool sp_call_stream_options(struct sp_call *call, struct sp_stream_options *options)
{
    *options = sp_api_stream_options(call->api);
    int width = options->width_px, annotated = 0;
    if (!query_number(call, "width", 16, 8192, &width) ||
        !query_number(call, "quality", 1, 100, &options->quality) ||
        !query_number(call, "annotated", 0, 1, &annotated))
        return false;
    if (width < options->width_px)
        options->width_px = width;
    options->annotated = annotated == 1;
    return true;
}
