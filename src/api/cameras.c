/* /api/v2/cameras. */
#include "api/cameras.h"

#include "api/camera_edits.h"
#include "api/camera_lookup.h"
#include "api/cluster.h"
#include "api/reply.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int find(struct sp_call *call, struct sp_camera_report *report)
{
    int camera = sp_api_find_camera(call->api, call->name, report);
    if (camera >= 0 && sp_cluster_is_elsewhere(call, call->name))
        camera = -1;
    if (camera < 0 && !sp_cluster_passes(call, call->name))
        sp_call_refuse(call, 404, "camera %s: not found; see /api/v2/cameras", call->name);
    return camera;
}

void sp_cameras_list(struct sp_call *call)
{
    int capacity = sp_pipeline_camera_capacity(call->api->pipeline);
    sp_json_begin_object(call->json);
    sp_json_key(call->json, "cameras");
    sp_json_begin_array(call->json);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(call->api->pipeline, i, &report);
        if (report.used)
            sp_json_camera(call->json, &report, NULL);
    }
    sp_json_end_array(call->json);
    sp_json_end_object(call->json);
    sp_cluster_joins(call, SP_PEERS_CAMERAS);
}

static int fill(const struct sp_api *api, const json_t *body, const char *name, const char *url,
                struct sp_camera_setting *setting, struct sp_error *err)
{
    snprintf(setting->name, sizeof setting->name, "%s", name);
    int result = sp_api_check_url(&api->settings, url, setting->url, err);
    if (result == SP_OK)
        result = sp_camera_setting_read_json(setting, body, err);
    return result == SP_OK ? sp_camera_setting_check(setting, &api->settings, err) : result;
}

static bool read_setting(struct sp_call *call, struct sp_camera_setting *setting)
{
    json_error_t where;
    struct sp_error err = {0};
    bool good = false;
    json_t *body =
        json_loadb(call->request->body, call->request->body_bytes, JSON_REJECT_DUPLICATES, &where);
    const char *name = json_string_value(json_object_get(body, "name"));
    const char *url = json_string_value(json_object_get(body, "url"));
    if (!body)
        sp_call_refuse(call, 400, "invalid JSON: %s (line %d)", where.text, where.line);
    else if (!name || !url)
        sp_call_refuse(call, 400,
                       "invalid body; send {\"name\": \"door\", \"url\": \"rtsp://...\"}");
    else if (strlen(name) >= sizeof setting->name)
        sp_call_refuse(call, 400, "name: %zu bytes; use at most %zu", strlen(name),
                       sizeof setting->name - 1);
    else if (fill(call->api, body, name, url, setting, &err) < 0)
        sp_call_refuse(call, 400, "%s", err.text);
    else
        good = true;
    json_decref(body);
    return good;
}

/* MAX_CAMERAS is the measured capacity of this machine. */
static bool has_capacity(struct sp_call *call)
{
    struct sp_camera_report report;
    int used = 0, capacity = sp_pipeline_camera_capacity(call->api->pipeline);
    int most = call->api->settings.max_cameras;
    for (int i = 0; i < capacity; i++) {
        sp_pipeline_camera(call->api->pipeline, i, &report);
        used += report.used;
    }
    if (used < most)
        return true;
    sp_call_refuse(
        call, 409,
        "%d cameras are in use and MAX_CAMERAS is %d: %d too many with this one; remove one, "
        "raise FRAME_SKIP, or measure the capacity with `spoton tune --capacity`",
        used, most, used + 1 - most);
    return false;
}

static void add_later(struct sp_call *call, const struct sp_camera_setting *setting)
{
    struct sp_camera_setting whole = *setting;
    struct sp_error err = {0};
    sp_camera_setting_complete(&whole, &call->api->settings);
    if (sp_settings_check_camera(setting->name, setting->url, "the request", &err) < 0 ||
        sp_pipeline_check_camera(call->api->pipeline, &whole, &err) < 0)
        sp_call_refuse(call, 400, "%s", err.text);
    else
        sp_camera_edits_ask(call, setting);
}

void sp_cameras_add(struct sp_call *call)
{
    struct sp_camera_setting setting = {0};
    struct sp_camera_report report;
    struct sp_error err = {0};
    int index;
    if (!read_setting(call, &setting) || sp_cluster_adds(call, &setting))
        return;
    if (sp_api_find_camera(call->api, setting.name, &report) >= 0) {
        sp_call_refuse(call, 409, "camera %s: exists already; choose another name", setting.name);
        return;
    }
    if (!has_capacity(call))
        return;
    if (call->api->edits) {
        add_later(call, &setting);
        return;
    }
    int result = sp_pipeline_add_camera(call->api->pipeline, &setting, &index, &err);
    if (result < 0) {
        bool wrong = result == SP_ERR_INVALID || result == SP_ERR_UNSUPPORTED;
        sp_call_refuse(call, result == SP_ERR_NO_SPACE ? 409 : (wrong ? 400 : 503), "%s", err.text);
        return;
    }
    sp_pipeline_camera(call->api->pipeline, index, &report);
    /* Lets viewers subscribe before the first frame. */
    sp_hub_begin_camera(call->api->hub, index, setting.name);
    call->reply->status = 201;
    sp_call_header(call, "Location: /api/v2/cameras/%s", setting.name);
    sp_json_camera(call->json, &report, NULL);
}

void sp_cameras_get(struct sp_call *call)
{
    struct sp_camera_report report;
    struct sp_camera_setting setting;
    int camera = find(call, &report);
    if (camera < 0)
        return;
    /* Meanwhile another camera may have taken the index. */
    bool known = sp_pipeline_camera_setting(call->api->pipeline, camera, &setting) &&
                 strcmp(setting.name, report.name) == 0;
    sp_json_camera(call->json, &report, known ? &setting : &(struct sp_camera_setting){0});
}

void sp_cameras_remove(struct sp_call *call)
{
    struct sp_camera_report report;
    struct sp_error err = {0};
    if (sp_cluster_removes(call, call->name))
        return;
    int camera = find(call, &report);
    if (camera < 0)
        return;
    if (call->api->edits) {
        sp_camera_edits_ask(call, NULL);
        return;
    }
    int result = sp_pipeline_remove_camera(call->api->pipeline, camera, &err);
    if (result < 0)
        sp_call_refuse(call, result == SP_ERR_NOT_FOUND ? 404 : 503, "%s", err.text);
    else
        call->reply->status = 204;
}

static void set_paused(struct sp_call *call, bool paused)
{
    struct sp_camera_report report;
    struct sp_error err = {0};
    int camera = find(call, &report);
    if (camera < 0)
        return;
    int result = sp_pipeline_pause_camera(call->api->pipeline, camera, paused, &err);
    if (result < 0) {
        sp_call_refuse(call, result == SP_ERR_NOT_FOUND ? 404 : 409, "%s", err.text);
        return;
    }
    sp_pipeline_camera(call->api->pipeline, camera, &report);
    sp_json_camera(call->json, &report, NULL);
}

void sp_cameras_pause(struct sp_call *call)
{
    set_paused(call, true);
}

void sp_cameras_resume(struct sp_call *call)
{
    set_paused(call, false);
}

static void put_result(struct sp_json *json, const struct sp_result *result,
                       const struct sp_class_names *names)
{
    char time[SP_TIME_BYTES], number[16];
    sp_time_format(result->wall_us, time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "camera", result->name);
    sp_json_member_int(json, "epoch", (int64_t)result->generation);
    sp_json_member_int(json, "sequence", (int64_t)result->sequence);
    sp_json_member_int(json, "pts_us", result->pts_us);
    sp_json_member_string(json, "wall_time", time);
    sp_json_key(json, "inferred");
    sp_json_bool(json, result->inferred);
    sp_json_member_string(json, "reason", result->reason);
    sp_json_member_int(json, "width", result->width_px);
    sp_json_member_int(json, "height", result->height_px);
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *track = &result->tracks[i];
        sp_json_begin_object(json);
        sp_json_member_int(json, "id", track->id);
        sp_json_key(json, "box");
        sp_json_begin_array(json);
        sp_json_number(json, track->x1_px, 2);
        sp_json_number(json, track->y1_px, 2);
        sp_json_number(json, track->x2_px, 2);
        sp_json_number(json, track->y2_px, 2);
        sp_json_end_array(json);
        sp_json_key(json, "confidence");
        sp_json_number(json, track->confidence, 3);
        sp_json_member_string(json, "class", sp_class_name(names, track->class_id, number));
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

void sp_cameras_tracks(struct sp_call *call)
{
    struct sp_camera_report report;
    struct sp_result *result = NULL;
    struct sp_frame *frame = NULL;
    int camera = find(call, &report);
    if (camera < 0)
        return;
    if (!sp_hub_latest(call->api->hub, camera, &result, &frame)) {
        sp_call_refuse(call, 404, "camera %s: no frame yet; check its state", report.name);
        return;
    }
    put_result(call->json, result, call->api->classes);
    sp_result_unref(result);
    sp_frame_unref(frame);
}

static void show(struct sp_call *call, enum sp_reply_kind kind, bool annotated)
{
    struct sp_camera_report report;
    struct sp_stream_options options;
    int camera = find(call, &report);
    if (camera < 0 || !sp_call_stream_options(call, &options))
        return;
    struct sp_result *result = NULL;
    struct sp_frame *frame = NULL;
    bool shown = sp_hub_latest(call->api->hub, camera, &result, &frame);
    sp_result_unref(result);
    sp_frame_unref(frame);
    if (sp_hub_generation(call->api->hub, camera) == 0 || (kind == SP_REPLY_IMAGE && !shown)) {
        sp_call_refuse(call, 404, "camera %s: no frame yet; check its state", report.name);
        return;
    }
    options.camera = camera;
    options.annotated = options.annotated || annotated;
    call->reply->kind = kind;
    call->reply->stream = options;
}

void sp_cameras_frame(struct sp_call *call)
{
    show(call, SP_REPLY_IMAGE, false);
}

void sp_cameras_snapshot(struct sp_call *call)
{
    show(call, SP_REPLY_IMAGE, true);
}

void sp_cameras_stream(struct sp_call *call)
{
    show(call, SP_REPLY_STREAM, false);
}
