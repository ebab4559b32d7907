/* WebSockets of a task: which there are, and who is connected. */
#include "api/v1/internal.h"

#include "base/clock.h"

#include <string.h>

bool sp_v1_upgrade(struct sp_call *call, struct sp_ws_plan *plan)
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

struct sp_task *sp_task_of(struct sp_api *api, const struct sp_ws_plan *plan)
{
    return plan->tag[0] ? sp_task_find(api, plan->tag + 2) : NULL;
}

void sp_v1_opened(void *api, const struct sp_ws_plan *plan)
{
    struct sp_task *task = sp_task_of(api, plan);
    if (task)
        task->clients++;
}

void sp_v1_closed(void *api, const struct sp_ws_plan *plan)
{
    struct sp_task *task = sp_task_of(api, plan);
    if (!task || task->clients == 0)
        return;
    task->clients--;
    task->left_us = sp_clock_us();
}
