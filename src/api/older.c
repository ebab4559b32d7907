/* What viewers of the older interface get: pictures, tracking messages, playback, focus. */
#include "api/internal.h"

#include "base/clock.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Its boxes are in pixels of this picture, whatever the camera's size. */
static const double WIDTH_PX = 1920, HEIGHT_PX = 1080;

enum { FOCUS_BYTES = 128 };

static bool is_active(struct sp_api *api, const struct sp_task *task)
{
    return task && task->status[0] == '\0' && sp_environment_find(api, task->environment);
}

void sp_older_stream(struct sp_call *call)
{
    struct sp_api *api = call->api;
    const struct sp_task *task = sp_task_find(api, call->name);
    struct sp_camera_report report;
    int camera = sp_api_find_camera(api, call->second, &report);
    /* An unknown name is a stream that stays silent: so the front end expects it. */
    call->reply->kind = SP_REPLY_SILENCE;
    if (!is_active(api, task) || camera < 0 || sp_hub_generation(api->hub, camera) == 0 ||
        !sp_environment_has(sp_environment_find(api, task->environment), call->second))
        return;
    call->reply->kind = SP_REPLY_STREAM;
    call->reply->stream = sp_api_stream_options(api);
    call->reply->stream.camera = camera;
}

/* --- playback --------------------------------------------------------------------------------- */

struct playback {
    int64_t last_index, total_frames; /* -1: unknown */
};

static struct playback find_playback(struct sp_api *api, const struct sp_task *task)
{
    struct playback playback = {-1, -1};
    const struct sp_environment *environment = sp_environment_find(api, task->environment);
    int slots = sp_pipeline_camera_slots(api->pipeline);
    for (int i = 0; environment && i < slots; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (!report.used || report.file_position < 0 ||
            !sp_environment_has(environment, report.name))
            continue;
        if (report.file_position > playback.last_index)
            playback.last_index = report.file_position;
        if (report.info.frames_total > playback.total_frames)
            playback.total_frames = report.info.frames_total;
    }
    return playback;
}

static void put_index(struct sp_json *json, const char *key, int64_t value)
{
    sp_json_key(json, key);
    if (value < 0)
        sp_json_null(json);
    else
        sp_json_int(json, value);
}

static void put_playback(struct sp_call *call, const char *error)
{
    const struct sp_task *task = sp_task_find(call->api, call->name);
    bool active = is_active(call->api, task);
    struct playback playback = active ? find_playback(call->api, task) : (struct playback){-1, -1};
    char time[SP_TIME_BYTES];
    sp_time_format(task ? task->transition_wall_us : sp_clock_wall_us(), time);
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "task_id", call->name);
    sp_json_member_string(call->json, "state",
                          active ? (task->paused ? "paused" : "playing") : "stopped");
    sp_json_member_string(call->json, "last_transition_at", time);
    put_index(call->json, "last_frame_index", playback.last_index);
    sp_json_member_string(call->json, "last_error", error);
    put_index(call->json, "total_frames", playback.total_frames);
    sp_json_end_object(call->json);
}

void sp_older_control_status(struct sp_call *call)
{
    put_playback(call, NULL);
}

static struct sp_task *find_active(struct sp_call *call)
{
    struct sp_task *task = sp_task_find(call->api, call->name);
    if (is_active(call->api, task))
        return task;
    sp_call_refuse(call, 404, "the task %s is not active", call->name);
    return NULL;
}

/* Calls one of the pipeline's functions for each camera of the task. */
static void each_camera(struct sp_api *api, const struct sp_task *task, int64_t value,
                        int (*act)(struct sp_pipeline *pipeline, int camera, int64_t value,
                                   struct sp_error *err),
                        struct sp_error *err)
{
    const struct sp_environment *environment = sp_environment_find(api, task->environment);
    int slots = sp_pipeline_camera_slots(api->pipeline);
    for (int i = 0; i < slots; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (report.used && sp_environment_has(environment, report.name))
            act(api->pipeline, i, value, err);
    }
}

static int pause_one(struct sp_pipeline *pipeline, int camera, int64_t paused, struct sp_error *err)
{
    return sp_pipeline_pause_camera(pipeline, camera, paused != 0, err);
}

/* Of cameras that are no files there is nothing to seek in. */
static int seek_one(struct sp_pipeline *pipeline, int camera, int64_t index, struct sp_error *err)
{
    struct sp_error why = {0};
    int result = sp_pipeline_seek_camera(pipeline, camera, index, &why);
    if (result < 0 && result != SP_ERR_UNSUPPORTED && err)
        *err = why;
    return result;
}

static void set_paused(struct sp_call *call, bool paused)
{
    struct sp_task *task = find_active(call);
    struct sp_error err = {0};
    if (!task)
        return;
    each_camera(call->api, task, paused, pause_one, &err);
    if (task->paused != paused)
        task->transition_wall_us = sp_clock_wall_us();
    task->paused = paused;
    task->left_us = sp_clock_us();
    put_playback(call, err.code != SP_OK ? err.text : NULL);
}

void sp_older_pause(struct sp_call *call)
{
    set_paused(call, true);
}

void sp_older_resume(struct sp_call *call)
{
    set_paused(call, false);
}

void sp_older_seek(struct sp_call *call)
{
    json_t *body = json_loadb(call->request->body, call->request->body_bytes, 0, NULL);
    const json_t *index = json_object_get(body, "frame_index");
    int64_t value = json_is_integer(index) ? json_integer_value(index) : -1;
    json_decref(body);
    struct sp_task *task = find_active(call);
    struct sp_error err = {0};
    if (!task)
        return;
    if (value < 0) {
        sp_call_refuse(call, 422, "the body is {\"frame_index\": 120}");
        return;
    }
    struct playback playback = find_playback(call->api, task);
    if (playback.total_frames >= 0 && value >= playback.total_frames) {
        sp_call_refuse(call, 400, "frame_index %lld is past the end: there are %lld frames",
                       (long long)value, (long long)playback.total_frames);
        return;
    }
    each_camera(call->api, task, value, seek_one, &err);
    if (err.code != SP_OK) {
        sp_call_refuse(call, 400, "%s", err.text);
        return;
    }
    task->paused = false;
    task->transition_wall_us = sp_clock_wall_us();
    put_playback(call, NULL);
}

/* --- WebSocket -------------------------------------------------------------------------------- */

bool sp_older_upgrade(struct sp_call *call, struct sp_ws_plan *plan)
{
    static const char tracking[] = "/ws/tracking/", focus[] = "/ws/focus/";
    const char *path = call->request->path;
    bool tracks = strncmp(path, tracking, sizeof tracking - 1) == 0;
    if (!tracks && strncmp(path, focus, sizeof focus - 1) != 0) {
        sp_call_refuse(call, 404, "there is no WebSocket here: /api/v2/ws");
        return false;
    }
    const char *id = path + (tracks ? sizeof tracking : sizeof focus) - 1;
    struct sp_task *task = sp_task_find(call->api, id);
    if (!task) {
        sp_call_refuse(call, 404, "there is no such task");
        return false;
    }
    plan->format = tracks ? SP_WS_SITE : SP_WS_MAIL;
    snprintf(plan->tag, sizeof plan->tag, "%s%s", tracks ? "t:" : "f:", task->id);
    return true;
}

static struct sp_task *task_of(struct sp_api *api, const struct sp_ws_plan *plan)
{
    return plan->tag[0] ? sp_task_find(api, plan->tag + 2) : NULL;
}

void sp_older_opened(void *api, const struct sp_ws_plan *plan)
{
    struct sp_task *task = task_of(api, plan);
    if (task)
        task->clients++;
}

void sp_older_closed(void *api, const struct sp_ws_plan *plan)
{
    struct sp_task *task = task_of(api, plan);
    if (!task || task->clients == 0)
        return;
    task->clients--;
    task->left_us = sp_clock_us();
}

static void put_number(struct sp_json *json, const char *key, double value)
{
    sp_json_key(json, key);
    sp_json_number(json, value, 2);
}

/* Text, or null: the front end takes a number for a crash. */
static void put_person(struct sp_json *json, const struct sp_place *place)
{
    char name[SP_PERSON_BYTES];
    sp_json_member_string(json, "global_id",
                          place->person ? sp_person_name(place->person, name) : NULL);
}

static void put_map_coords(struct sp_json *json, const struct sp_place *place)
{
    sp_json_key(json, "map_coords");
    if (!place->on_map) {
        sp_json_null(json);
        return;
    }
    sp_json_begin_object(json);
    put_number(json, "map_x", place->x);
    put_number(json, "map_y", place->y);
    sp_json_end_object(json);
}

static struct sp_place place_of(const struct sp_update *update, size_t index)
{
    return update->has_places ? update->places[index] : (struct sp_place){0};
}

static bool is_focus(const struct sp_task *task, const struct sp_place *place)
{
    char name[SP_PERSON_BYTES];
    return place->person && strcmp(sp_person_name(place->person, name), task->focus) == 0;
}

static void put_tracks(struct sp_json *json, const struct sp_update *update,
                       const struct sp_task *task)
{
    double x = WIDTH_PX / update->width_px, y = HEIGHT_PX / update->height_px;
    sp_json_key(json, "camera_data");
    sp_json_begin_object(json);
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    for (size_t i = 0; i < update->track_count; i++) {
        const struct sp_track *track = &update->tracks[i];
        const struct sp_place place = place_of(update, i);
        sp_json_begin_object(json);
        sp_json_member_int(json, "track_id", track->id);
        put_person(json, &place);
        sp_json_key(json, "bbox_xyxy");
        sp_json_begin_array(json);
        sp_json_number(json, track->x1_px * x, 2);
        sp_json_number(json, track->y1_px * y, 2);
        sp_json_number(json, track->x2_px * x, 2);
        sp_json_number(json, track->y2_px * y, 2);
        sp_json_end_array(json);
        sp_json_key(json, "confidence");
        sp_json_number(json, track->score, 3);
        put_map_coords(json, &place);
        sp_json_key(json, "is_focused");
        sp_json_bool(json, is_focus(task, &place));
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

static void put_detection(struct sp_json *json, const struct sp_update *update,
                          const struct sp_track *track, const struct sp_place *place)
{
    double x = WIDTH_PX / update->width_px, y = HEIGHT_PX / update->height_px;
    double x1 = track->x1_px * x, x2 = track->x2_px * x;
    double y1 = track->y1_px * y, y2 = track->y2_px * y;
    char text[SP_HUB_NAME_BYTES + 32];
    sp_json_begin_object(json);
    snprintf(text, sizeof text, "track_%03u", track->id);
    sp_json_member_string(json, "detection_id", text);
    sp_json_key(json, "confidence");
    sp_json_number(json, track->score, 3);
    sp_json_key(json, "bbox");
    sp_json_begin_object(json);
    put_number(json, "x1", x1);
    put_number(json, "y1", y1);
    put_number(json, "x2", x2);
    put_number(json, "y2", y2);
    put_number(json, "width", x2 - x1);
    put_number(json, "height", y2 - y1);
    put_number(json, "center_x", (x1 + x2) / 2);
    put_number(json, "center_y", (y1 + y2) / 2);
    sp_json_end_object(json);
    sp_json_member_int(json, "track_id", track->id);
    put_person(json, place);
    snprintf(text, sizeof text, "%s:track:%u", update->name, track->id);
    sp_json_member_string(json, "tracking_key", text);
    sp_json_end_object(json);
}

/* The newest point first: frame_offset counts back from it. */
static void put_trail(struct sp_api *api, struct sp_json *json, const struct sp_update *update,
                      const struct sp_place *place)
{
    struct sp_trail_point points[SP_SPACE_TRAIL_MAX];
    struct sp_space *space = sp_map_space(sp_pipeline_map(api->pipeline));
    int length = api->settings.trail_length;
    int count = length > 0 ? sp_space_trail(space, place->person, points, length) : 0;
    sp_json_key(json, "trail");
    sp_json_begin_array(json);
    for (int i = count - 1; i >= 0; i--) {
        char time[SP_TIME_BYTES];
        sp_time_format(update->wall_us + points[i].time_us - points[count - 1].time_us, time);
        sp_json_begin_object(json);
        put_number(json, "x", points[i].x);
        put_number(json, "y", points[i].y);
        sp_json_member_int(json, "frame_offset", count - 1 - i);
        sp_json_member_string(json, "timestamp", time);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_mapping(struct sp_api *api, struct sp_json *json, const struct sp_update *update)
{
    for (size_t i = 0; i < update->track_count; i++) {
        const struct sp_place place = place_of(update, i);
        char text[32];
        if (!place.on_map)
            continue;
        snprintf(text, sizeof text, "track_%03u", update->tracks[i].id);
        sp_json_begin_object(json);
        sp_json_member_string(json, "detection_id", text);
        put_number(json, "map_x", place.x);
        put_number(json, "map_y", place.y);
        sp_json_key(json, "projection_successful");
        sp_json_bool(json, true);
        put_trail(api, json, update, &place);
        sp_json_end_object(json);
    }
}

static void put_detections(struct sp_api *api, struct sp_json *json, const struct sp_update *update)
{
    sp_json_key(json, "detection_data");
    sp_json_begin_object(json);
    sp_json_key(json, "detections");
    sp_json_begin_array(json);
    for (size_t i = 0; i < update->track_count; i++) {
        const struct sp_place place = place_of(update, i);
        put_detection(json, update, &update->tracks[i], &place);
    }
    sp_json_end_array(json);
    put_number(json, "processing_time_ms",
               (double)(update->published_us - update->received_us) / 1000);
    sp_json_end_object(json);
    /* Nobody on the map: an empty list takes away what a front end still shows. */
    sp_json_key(json, "future_pipeline_data");
    sp_json_begin_object(json);
    sp_json_key(json, "mapping_coordinates");
    sp_json_begin_array(json);
    put_mapping(api, json, update);
    sp_json_end_array(json);
    sp_json_end_object(json);
}

void sp_older_format(void *user, const struct sp_ws_plan *plan, const struct sp_update *update,
                     struct sp_json *json)
{
    struct sp_api *api = user;
    const struct sp_task *task = task_of(api, plan);
    char time[SP_TIME_BYTES];
    if (!is_active(api, task) || task->paused ||
        !sp_environment_has(sp_environment_find(api, task->environment), update->name))
        return;
    sp_time_format(update->wall_us + (update->published_us - update->received_us), time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "type", "tracking_update");
    sp_json_member_string(json, "mode", "detection_streaming");
    sp_json_member_string(json, "task_id", task->id);
    sp_json_member_string(json, "camera_id", update->name);
    sp_json_member_int(json, "global_frame_index", (int64_t)update->sequence);
    sp_json_member_string(json, "timestamp_processed_utc", time);
    put_tracks(json, update, task);
    put_detections(api, json, update);
    sp_json_end_object(json);
}

/* Whom one viewer looks at, all others of the task are told. */
void sp_older_message(void *user, const struct sp_ws_plan *plan, const char *text, size_t bytes)
{
    struct sp_api *api = user;
    if (plan->format != SP_WS_MAIL)
        return; /* "subscribe_tracking": what is asked for comes anyway */
    json_t *message = json_loadb(text, bytes, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    const char *person = json_string_value(json_object_get(message, "person_id"));
    bool set = type && strcmp(type, "set_focus") == 0 && person && strlen(person) < FOCUS_BYTES;
    if (set || (type && strcmp(type, "clear_focus") == 0)) {
        struct sp_task *task = task_of(api, plan);
        if (task)
            snprintf(task->focus, sizeof task->focus, "%s", set ? person : "");
        json_t *details = set ? json_object_get(message, "person_details") : NULL;
        json_t *reply = json_pack("{s:s, s:{s:s?, s:b, s:O?}}", "type", "focus_update", "payload",
                                  "focused_person_id", set ? person : NULL, "is_active", set,
                                  "person_details", details);
        char *line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
        if (line)
            sp_server_mail(api->server, plan->tag, line, strlen(line));
        free(line);
        json_decref(reply);
    }
    json_decref(message);
}
