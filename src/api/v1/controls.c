/* Playback of a task: state, pause, resume, seek. Each applies to all cameras of the task or, when
 * one camera refuses, to none. */
#include "api/v1/internal.h"

#include "api/reply.h"
#include "base/clock.h"

#include <string.h>

struct playback {
    int64_t last_index, total_frames; /* of the shortest video; -1: unknown */
};

/* True for files, whose frames are numbered; -1 frames: the count is unknown. */
static bool is_file(const struct sp_camera_report *report)
{
    return !report->info.live && report->info.frame_rate > 0;
}

static struct playback find_playback(const struct sp_members *members)
{
    struct playback playback = {-1, -1};
    for (int i = 0; i < members->count; i++) {
        const struct sp_camera_report *report = &members->report[i];
        int64_t frames = report->info.frames_total;
        bool shortest = frames > 0 && (playback.total_frames < 0 || frames < playback.total_frames);
        if (report->file_position >= 0 && (shortest || playback.last_index < 0))
            playback.last_index = report->file_position;
        if (shortest)
            playback.total_frames = frames;
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

/* `sought` is the requested position, which the cameras reach later; -1: none. */
static void put_playback(struct sp_call *call, int64_t sought)
{
    struct sp_task *task = sp_task_find(call->api, call->name);
    struct playback playback = {-1, -1};
    const char *state = "stopped";
    if (task && sp_task_is_active(call->api, task)) {
        struct sp_members members;
        sp_environment_members(call->api, sp_environment_find(call->api, task->environment),
                               &members);
        playback = find_playback(&members);
        sp_task_update(call->api, task);
        state = task->paused ? "paused" : "playing";
    }
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "task_id", call->name);
    sp_json_member_string(call->json, "state", state);
    sp_json_member_time(call->json, "last_transition_at",
                        task ? task->transition_wall_us : sp_clock_wall_us());
    put_index(call->json, "last_frame_index", sought >= 0 ? sought : playback.last_index);
    sp_json_member_string(call->json, "last_error", NULL);
    put_index(call->json, "total_frames", playback.total_frames);
    sp_json_end_object(call->json);
}

void sp_controls_status(struct sp_call *call)
{
    if (sp_call_has_task_id(call))
        put_playback(call, -1);
}

/* The task and its cameras; NULL: refused. */
static struct sp_task *find_active(struct sp_call *call, struct sp_members *members)
{
    if (!sp_call_has_task_id(call))
        return NULL;
    struct sp_task *task = sp_task_find(call->api, call->name);
    if (!task || !sp_task_is_active(call->api, task)) {
        sp_call_refuse(call, 404, "task %s: not active; start another one", call->name);
        return NULL;
    }
    sp_environment_members(call->api, sp_environment_find(call->api, task->environment), members);
    if (members->count == 0) {
        sp_call_refuse(call, 409, "environment %s: no cameras; add one", task->environment);
        return NULL;
    }
    for (int i = 0; i < members->count; i++)
        if (members->report[i].ended) {
            sp_call_refuse(call, 409, "camera %s: has ended; remove it, or add it again",
                           members->report[i].name);
            return NULL;
        }
    return task;
}

static void set_paused(struct sp_call *call, bool paused)
{
    struct sp_members members;
    struct sp_task *task = find_active(call, &members);
    struct sp_pipeline *pipeline = call->api->pipeline;
    struct sp_error err = {0};
    if (!task)
        return;
    int result = SP_OK, done = 0;
    for (; done < members.count && result == SP_OK; done++)
        result = sp_pipeline_pause_camera(pipeline, members.camera[done], paused, &err);
    if (result < 0) {
        for (int i = 0; i < done - 1; i++)
            sp_pipeline_pause_camera(pipeline, members.camera[i], members.report[i].paused, NULL);
        sp_call_refuse(call, 409, "%s", err.text);
        return;
    }
    task->left_us = sp_clock_us();
    put_playback(call, -1);
}

void sp_controls_pause(struct sp_call *call)
{
    set_paused(call, true);
}

void sp_controls_resume(struct sp_call *call)
{
    set_paused(call, false);
}

/* The frame_index of the body; -1: refused. */
static int64_t read_index(struct sp_call *call)
{
    struct sp_invalid invalid = {call, 0};
    json_t *body = sp_invalid_body(&invalid);
    const json_t *value = json_object_get(body, "frame_index");
    if (body && !value)
        sp_invalid_add(&invalid, "body", "frame_index", "missing", "Field required");
    else if (body && !json_is_integer(value))
        sp_invalid_add(&invalid, "body", "frame_index", "int_type",
                       "Input should be a valid integer");
    else if (value && json_integer_value(value) < 0)
        sp_invalid_add(&invalid, "body", "frame_index", "greater_than_equal",
                       "Input should be greater than or equal to 0");
    int64_t index = sp_invalid_end(&invalid) ? -1 : json_integer_value(value);
    json_decref(body);
    return index;
}

/* Checks that every video of the task has this frame. False: refused. */
static bool can_seek(struct sp_call *call, const struct sp_members *members, int64_t index)
{
    int files = 0;
    for (int i = 0; i < members->count; i++) {
        const struct sp_camera_report *report = &members->report[i];
        if (report->info.codec[0] == '\0') {
            sp_call_refuse(call, 409, "camera %s: not open yet; try again", report->name);
            return false;
        }
        files += is_file(report);
    }
    if (files == 0) {
        sp_call_refuse(call, 409, "no camera of this task is a file; only files can seek");
        return false;
    }
    struct playback playback = find_playback(members);
    if (playback.total_frames < 0 || index < playback.total_frames)
        return true;
    sp_call_refuse(call, 400, "frame_index %lld: past the end; the shortest video has %lld frames",
                   (long long)index, (long long)playback.total_frames);
    return false;
}

/* Live cameras cannot seek and continue. */
static int move_camera(struct sp_pipeline *pipeline, const struct sp_members *members, int at,
                       int64_t index, struct sp_error *err)
{
    if (is_file(&members->report[at]))
        return sp_pipeline_seek_camera(pipeline, members->camera[at], index, err);
    return sp_pipeline_pause_camera(pipeline, members->camera[at], false, err);
}

static void move_back(struct sp_pipeline *pipeline, const struct sp_members *members, int count)
{
    for (int i = 0; i < count; i++) {
        const struct sp_camera_report *report = &members->report[i];
        if (is_file(report) && report->file_position >= 0)
            sp_pipeline_seek_camera(pipeline, members->camera[i], report->file_position, NULL);
        sp_pipeline_pause_camera(pipeline, members->camera[i], report->paused, NULL);
    }
}

void sp_controls_seek(struct sp_call *call)
{
    struct sp_members members;
    struct sp_error err = {0};
    if (!sp_call_has_task_id(call))
        return;
    int64_t index = read_index(call);
    if (index < 0)
        return;
    struct sp_task *task = find_active(call, &members);
    if (!task || !can_seek(call, &members, index))
        return;
    int result = SP_OK, done = 0;
    for (; done < members.count && result == SP_OK; done++)
        result = move_camera(call->api->pipeline, &members, done, index, &err);
    if (result < 0) {
        move_back(call->api->pipeline, &members, done - 1);
        sp_call_refuse(call, 409, "%s", err.text);
        return;
    }
    task->transition_wall_us = sp_clock_wall_us();
    put_playback(call, index);
}
