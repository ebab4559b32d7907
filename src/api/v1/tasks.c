/* Tasks: a viewer's session on an environment. */
#include "api/v1/internal.h"

#include "base/clock.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static const int64_t GRACE_US = 15000000, IDLE_US = 12000000;

static bool is_over(const struct sp_task *task)
{
    return task->status[0] != '\0';
}

struct sp_task *sp_task_find(struct sp_api *api, const char *id)
{
    for (int i = 0; i < SP_TASKS_MAX; i++)
        if (api->v1->tasks[i].id[0] && strcasecmp(api->v1->tasks[i].id, id) == 0)
            return &api->v1->tasks[i];
    return NULL;
}

bool sp_task_is_active(struct sp_api *api, const struct sp_task *task)
{
    return task && task->status[0] == '\0' && sp_environment_find(api, task->environment);
}

/* PROCESSING from the first picture of any of its cameras on. */
const char *sp_task_status(struct sp_api *api, const struct sp_task *task)
{
    const struct sp_environment *environment = sp_environment_find(api, task->environment);
    if (is_over(task) || !environment)
        return is_over(task) ? task->status : "FAILED";
    int slots = sp_pipeline_camera_slots(api->pipeline);
    for (int i = 0; i < slots; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (report.used && report.frames_done > 0 && sp_environment_has(environment, report.name))
            return "PROCESSING";
    }
    return "INITIALIZING";
}

/* What a task paused goes on when it is over: nobody could resume it. */
static void resume_cameras(struct sp_api *api, const struct sp_task *task)
{
    const struct sp_environment *environment = sp_environment_find(api, task->environment);
    int slots = sp_pipeline_camera_slots(api->pipeline);
    for (int i = 0; environment && task->paused && i < slots; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (report.used && sp_environment_has(environment, report.name))
            sp_pipeline_pause_camera(api->pipeline, i, false, NULL);
    }
}

static void end_task(struct sp_api *api, struct sp_task *task, const char *status,
                     const char *details)
{
    if (is_over(task))
        return;
    resume_cameras(api, task);
    task->paused = false;
    task->transition_wall_us = sp_clock_wall_us();
    snprintf(task->status, sizeof task->status, "%s", status);
    snprintf(task->details, sizeof task->details, "%s", details);
}

void sp_tasks_tick(struct sp_api *api)
{
    int64_t now_us = sp_clock_us();
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        struct sp_task *task = &api->v1->tasks[i];
        if (!task->id[0] || is_over(task) || task->clients > 0)
            continue; /* paused or not: nobody is left to resume it */
        int64_t allowed_us = task->left_us > task->created_us ? IDLE_US : GRACE_US;
        if (now_us - task->left_us > allowed_us)
            end_task(api, task, "STOPPED", "nobody is connected");
    }
}

static void make_id(char id[SP_TASK_ID_BYTES])
{
    unsigned char r[16] = {0};
    if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
        memcpy(r, &(int64_t){sp_clock_wall_us()}, 8);
    r[6] = (unsigned char)((r[6] & 0x0F) | 0x40); /* RFC 9562, version 4 */
    r[8] = (unsigned char)((r[8] & 0x3F) | 0x80);
    size_t used = 0;
    for (int i = 0; i < 16; i++)
        used += (size_t)snprintf(id + used, SP_TASK_ID_BYTES - used, "%s%02x",
                                 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", r[i]);
}

static bool is_id(const char *text)
{
    for (int i = 0; i < SP_TASK_ID_BYTES - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return text[SP_TASK_ID_BYTES - 1] == '\0';
}

/* A free place, or that of the task that is over for the longest time. */
static struct sp_task *take_place(struct sp_api *api)
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

/* {"status": "success", "data": {...}, "timestamp": ...}: begins and ends around the data. */
static void begin_data(struct sp_json *json)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "status", "success");
    sp_json_key(json, "data");
    sp_json_begin_object(json);
}

static void put_time(struct sp_json *json, const char *key, int64_t wall_us)
{
    char time[SP_TIME_BYTES];
    sp_time_format(wall_us, time);
    sp_json_member_string(json, key, time);
}

static void end_data(struct sp_json *json)
{
    sp_json_end_object(json);
    put_time(json, "timestamp", sp_clock_wall_us());
    sp_json_end_object(json);
}

void sp_tasks_environments(struct sp_call *call)
{
    struct sp_api *api = call->api;
    int slots = sp_pipeline_camera_slots(api->pipeline);
    begin_data(call->json);
    sp_json_key(call->json, "environments");
    sp_json_begin_array(call->json);
    for (int i = 0; i < api->v1->environment_count; i++) {
        const struct sp_environment *environment = &api->v1->environments[i];
        sp_json_begin_object(call->json);
        sp_json_member_string(call->json, "environment_id", environment->name);
        sp_json_key(call->json, "cameras");
        sp_json_begin_array(call->json);
        for (int k = 0; k < environment->camera_count; k++)
            sp_json_string(call->json, environment->camera[k]);
        for (int k = 0; environment->all && k < slots; k++) {
            struct sp_camera_report report;
            sp_pipeline_camera(api->pipeline, k, &report);
            if (report.used)
                sp_json_string(call->json, report.name);
        }
        sp_json_end_array(call->json);
        sp_json_end_object(call->json);
    }
    sp_json_end_array(call->json);
    end_data(call->json);
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

void sp_tasks_list(struct sp_call *call)
{
    begin_data(call->json);
    sp_json_key(call->json, "tasks");
    sp_json_begin_array(call->json);
    for (int i = 0; i < SP_TASKS_MAX; i++) {
        const struct sp_task *task = &call->api->v1->tasks[i];
        if (!task->id[0])
            continue;
        sp_json_begin_object(call->json);
        put_task(call, task);
        sp_json_member_string(call->json, "environment_id", task->environment);
        put_time(call->json, "created_at", task->created_wall_us);
        sp_json_end_object(call->json);
    }
    sp_json_end_array(call->json);
    end_data(call->json);
}

void sp_tasks_start(struct sp_call *call)
{
    struct sp_api *api = call->api;
    json_t *body = json_loadb(call->request->body, call->request->body_bytes, 0, NULL);
    const char *name = json_string_value(json_object_get(body, "environment_id"));
    const json_t *tracking = json_object_get(body, "enable_tracking");
    bool good = name && strlen(name) > 0 && strlen(name) < SP_CAMERA_NAME_BYTES &&
                (!tracking || json_is_boolean(tracking) || json_is_null(tracking));
    if (!good) {
        sp_call_refuse(call, 422, "the body is {\"environment_id\": \"campus\"}");
        json_decref(body);
        return;
    }
    for (int i = 0; i < SP_TASKS_MAX; i++)
        if (api->v1->tasks[i].id[0])
            end_task(api, &api->v1->tasks[i], "STOPPED", "another task was started");
    struct sp_task *task = take_place(api); /* all are over, so there is one */
    *task = (struct sp_task){.created_us = sp_clock_us(), .created_wall_us = sp_clock_wall_us()};
    task->left_us = task->created_us;
    task->transition_wall_us = task->created_wall_us;
    make_id(task->id);
    snprintf(task->environment, sizeof task->environment, "%s", name);
    if (!sp_environment_find(api, name))
        end_task(api, task, "FAILED", "there is no such environment");
    json_decref(body);

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

void sp_tasks_status(struct sp_call *call)
{
    const struct sp_task *task = sp_task_find(call->api, call->name);
    if (!task) {
        bool id = is_id(call->name);
        sp_call_refuse(call, id ? 404 : 422, id ? "there is no task %s" : "%s is no task's id",
                       call->name);
        return;
    }
    sp_json_begin_object(call->json);
    put_task(call, task);
    sp_json_end_object(call->json);
}

void sp_tasks_cleanup(struct sp_call *call)
{
    struct sp_api *api = call->api;
    begin_data(call->json);
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
    end_data(call->json);
}
