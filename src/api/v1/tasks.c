/* Tasks: a viewer's session on an environment. */
#include "api/v1/internal.h"

#include "api/reply.h"
#include "base/clock.h"

#include <string.h>
#include <strings.h>

static const int64_t GRACE_US = 15000000, IDLE_US = 12000000;

static bool is_over(const struct sp_task *task)
{
    return task->status[0] != '\0';
}

/* PROCESSING once any of its cameras has delivered a frame. */
const char *sp_task_status(struct sp_api *api, const struct sp_task *task)
{
    struct sp_members members;
    const struct sp_environment *environment = sp_environment_find(api, task->environment);
    if (is_over(task) || !environment)
        return is_over(task) ? task->status : "FAILED";
    sp_environment_members(api, environment, &members);
    for (int i = 0; i < members.count; i++)
        if (members.report[i].frames_done > 0)
            return "PROCESSING";
    return "INITIALIZING";
}

void sp_task_update(struct sp_api *api, struct sp_task *task)
{
    struct sp_members members;
    int paused = 0;
    sp_environment_members(api, sp_environment_find(api, task->environment), &members);
    for (int i = 0; i < members.count; i++)
        paused += members.report[i].paused;
    bool all = members.count > 0 && paused == members.count;
    if (all != task->paused)
        task->transition_wall_us = sp_clock_wall_us();
    task->paused = all;
}

static bool is_in_another_paused_task(struct sp_api *api, const struct sp_task *ended,
                                      const char *camera)
{
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        const struct sp_task *task = &api->v1->tasks[i];
        if (task != ended && task->id[0] && task->paused && sp_task_is_active(api, task) &&
            sp_environment_has(sp_environment_find(api, task->environment), camera))
            return true;
    }
    return false;
}

/* Resumes cameras that an ended task had paused, since no client is left to do it. */
static void resume_cameras(struct sp_api *api, const struct sp_task *task)
{
    struct sp_members members;
    sp_environment_members(api, sp_environment_find(api, task->environment), &members);
    for (int i = 0; task->paused && i < members.count; i++)
        if (!is_in_another_paused_task(api, task, members.report[i].name))
            sp_pipeline_pause_camera(api->pipeline, members.camera[i], false, NULL);
}

static void end_task(struct sp_api *api, struct sp_task *task, const char *status,
                     const char *details)
{
    if (is_over(task))
        return;
    sp_task_update(api, task);
    resume_cameras(api, task);
    task->paused = false;
    task->transition_wall_us = sp_clock_wall_us();
    snprintf(task->status, sizeof task->status, "%s", status);
    snprintf(task->details, sizeof task->details, "%s", details);
    sp_task_disconnect(api, task);
}

void sp_tasks_tick(struct sp_api *api)
{
    int64_t now_us = sp_clock_us();
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        struct sp_task *task = &api->v1->tasks[i];
        if (!task->id[0] || is_over(task))
            continue;
        sp_task_update(api, task);
        if (task->clients > 0)
            continue; /* also when paused: without a client it cannot be resumed */
        int64_t allowed_us = task->left_us > task->created_us ? IDLE_US : GRACE_US;
        if (now_us - task->left_us > allowed_us)
            end_task(api, task, "STOPPED", "no client is connected");
    }
}

/* A free entry, or that of the task that ended first. */
static struct sp_task *take_entry(struct sp_api *api)
{
    struct sp_task *oldest = NULL;
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        struct sp_task *task = &api->v1->tasks[i];
        if (!task->id[0])
            return task;
        if (is_over(task) && (!oldest || task->created_us < oldest->created_us))
            oldest = task;
    }
    return oldest;
}

void sp_tasks_environments(struct sp_call *call)
{
    struct sp_api *api = call->api;
    sp_data_begin(call->json);
    sp_json_key(call->json, "environments");
    sp_json_begin_array(call->json);
    for (int i = 0; i < api->v1->environment_count; i++) {
        const struct sp_environment *environment = &api->v1->environments[i];
        struct sp_members members;
        sp_environment_members(api, environment, &members);
        sp_json_begin_object(call->json);
        sp_json_member_string(call->json, "environment_id", environment->name);
        sp_json_key(call->json, "cameras");
        sp_json_begin_array(call->json);
        for (int k = 0; k < environment->camera_count; k++)
            sp_json_string(call->json, environment->camera[k]);
        for (int k = 0; environment->all && k < members.count; k++)
            sp_json_string(call->json, members.report[k].name);
        sp_json_end_array(call->json);
        sp_json_end_object(call->json);
    }
    sp_json_end_array(call->json);
    sp_data_end(call->json);
}

static void put_task(struct sp_call *call, const struct sp_task *task)
{
    const char *status = sp_task_status(call->api, task);
    bool processing = strcmp(status, "PROCESSING") == 0;
    sp_json_member_string(call->json, "task_id", task->id);
    sp_json_member_string(call->json, "status", status);
    sp_json_key(call->json, "progress");
    sp_json_number(call->json, processing ? 0.5 : (is_over(task) ? 1.0 : 0.1), 2);
    sp_json_member_string(call->json, "current_step",
                          processing ? "tracking" : (is_over(task) ? "ended" : "connecting"));
    sp_json_member_string(call->json, "details", task->details[0] ? task->details : NULL);
}

static void put_task_and_environment(struct sp_call *call, const struct sp_task *task)
{
    put_task(call, task);
    sp_json_member_string(call->json, "environment_id", task->environment);
    sp_json_member_time(call->json, "created_at", task->created_wall_us);
    sp_json_member_time(call->json, "updated_at", task->transition_wall_us);
}

void sp_tasks_list(struct sp_call *call)
{
    int count = 0;
    sp_data_begin(call->json);
    sp_json_key(call->json, "tasks");
    sp_json_begin_array(call->json);
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        const struct sp_task *task = &call->api->v1->tasks[i];
        if (!task->id[0])
            continue;
        count++;
        sp_json_begin_object(call->json);
        put_task_and_environment(call, task);
        sp_json_end_object(call->json);
    }
    sp_json_end_array(call->json);
    sp_json_member_int(call->json, "total_count", count);
    sp_data_end(call->json);
}

/* Copies the environment named in the body to out. False: refused. */
static bool read_start(struct sp_call *call, char out[SP_CAMERA_NAME_BYTES])
{
    struct sp_invalid invalid = {call, 0};
    json_t *body = sp_invalid_body(&invalid);
    const json_t *name = json_object_get(body, "environment_id");
    const json_t *tracking = json_object_get(body, "enable_tracking");
    const char *text = json_string_value(name);
    if (body && !name)
        sp_invalid_add(&invalid, "body", "environment_id", "missing", "Field required");
    else if (body && !text)
        sp_invalid_add(&invalid, "body", "environment_id", "string_type",
                       "Input should be a valid string");
    else if (text && text[0] == '\0')
        sp_invalid_add(&invalid, "body", "environment_id", "string_too_short",
                       "String should have at least 1 character");
    else if (text && strlen(text) >= SP_CAMERA_NAME_BYTES)
        sp_invalid_add(&invalid, "body", "environment_id", "string_too_long",
                       "String should have at most %d characters", SP_CAMERA_NAME_BYTES - 1);
    if (tracking && !json_is_boolean(tracking) && !json_is_null(tracking))
        sp_invalid_add(&invalid, "body", "enable_tracking", "bool_type",
                       "Input should be a valid boolean");
    bool good = !sp_invalid_end(&invalid);
    if (good)
        snprintf(out, SP_CAMERA_NAME_BYTES, "%s", text);
    json_decref(body);
    return good;
}

void sp_tasks_start(struct sp_call *call)
{
    struct sp_api *api = call->api;
    char name[SP_CAMERA_NAME_BYTES];
    if (!read_start(call, name))
        return;
    /* Tasks of other environments continue. */
    for (int i = 0; i < SP_TASKS_MAX; i++)
        if (api->v1->tasks[i].id[0] && strcmp(api->v1->tasks[i].environment, name) == 0)
            end_task(api, &api->v1->tasks[i], "STOPPED",
                     "another task of this environment was started");
    struct sp_task *task =
        take_entry(api); /* at most one is active per environment, so an entry is free */
    *task = (struct sp_task){.created_us = sp_clock_us(), .created_wall_us = sp_clock_wall_us()};
    task->left_us = task->created_us;
    task->transition_wall_us = task->created_wall_us;
    sp_uuid_make(task->id);
    snprintf(task->environment, sizeof task->environment, "%s", name);
    if (!sp_environment_find(api, name))
        end_task(api, task, "FAILED", "environment not found");

    char url[160];
    call->reply->status = 202;
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "task_id", task->id);
    sp_json_member_string(call->json, "message", "the task was started");
    snprintf(url, sizeof url, "/api/v1/detection-processing-tasks/%s/status", task->id);
    sp_json_member_string(call->json, "status_url", url);
    snprintf(url, sizeof url, "/ws/tracking/%s", task->id);
    sp_json_member_string(call->json, "websocket_url", url);
    sp_json_end_object(call->json);
}

/* NULL: refused. */
static struct sp_task *find_task(struct sp_call *call)
{
    if (!sp_call_has_task_id(call))
        return NULL;
    struct sp_task *task = sp_task_find(call->api, call->name);
    if (!task)
        sp_call_refuse(call, 404, "task %s: not found; start one", call->name);
    return task;
}

void sp_tasks_get(struct sp_call *call)
{
    const struct sp_task *task = find_task(call);
    if (!task)
        return;
    sp_data_begin(call->json);
    put_task_and_environment(call, task);
    sp_data_end(call->json);
}

void sp_tasks_status(struct sp_call *call)
{
    const struct sp_task *task = find_task(call);
    if (!task)
        return;
    sp_json_begin_object(call->json);
    put_task(call, task);
    sp_json_end_object(call->json);
}

void sp_tasks_stop(struct sp_call *call)
{
    struct sp_task *task = find_task(call);
    if (!task)
        return;
    if (is_over(task)) {
        sp_call_refuse(call, 404, "task %s: has ended already", task->id);
        return;
    }
    end_task(call->api, task, "STOPPED", "stopped by the front end");
    sp_data_begin(call->json);
    sp_json_member_string(call->json, "task_id", task->id);
    sp_json_member_string(call->json, "message", "the task was stopped");
    sp_json_member_time(call->json, "stopped_at", task->transition_wall_us);
    sp_data_end(call->json);
}

void sp_tasks_cleanup(struct sp_call *call)
{
    struct sp_api *api = call->api;
    sp_data_begin(call->json);
    sp_json_member_string(call->json, "environment_id", call->name);
    sp_json_member_string(call->json, "message", "its tasks were stopped");
    sp_json_key(call->json, "stopped_tasks");
    sp_json_begin_array(call->json);
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        struct sp_task *task = &api->v1->tasks[i];
        if (!task->id[0] || is_over(task) || strcmp(task->environment, call->name) != 0)
            continue;
        end_task(api, task, "STOPPED", "stopped by the front end");
        sp_json_string(call->json, task->id);
    }
    sp_json_end_array(call->json);
    sp_data_end(call->json);
}
