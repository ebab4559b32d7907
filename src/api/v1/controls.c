/* Playback of a task: state, pause, resume, seek. */
#include "api/v1/internal.h"

#include "base/clock.h"

#include <jansson.h>
#include <string.h>

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
    bool active = task && sp_task_is_active(call->api, task);
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

void sp_controls_status(struct sp_call *call)
{
    put_playback(call, NULL);
}

static struct sp_task *find_active(struct sp_call *call)
{
    struct sp_task *task = sp_task_find(call->api, call->name);
    if (sp_task_is_active(call->api, task))
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

void sp_controls_pause(struct sp_call *call)
{
    set_paused(call, true);
}

void sp_controls_resume(struct sp_call *call)
{
    set_paused(call, false);
}

void sp_controls_seek(struct sp_call *call)
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
