#include "api/v1/internal.h"

#include <strings.h>

struct sp_task *sp_task_find(struct sp_api *api, const char *id)
{
    for (int i = 0; i < SP_TASKS_MAX; i++)
        if (api->v1->tasks[i].id[0] && strcasecmp(api->v1->tasks[i].id, id) == 0)
            return &api->v1->tasks[i];
    return NULL;
}

struct sp_task *sp_task_of(struct sp_api *api, const struct sp_ws_plan *plan)
{
    return plan->tag[0] ? sp_task_find(api, plan->tag + 2) : NULL;
}

bool sp_task_is_active(struct sp_api *api, const struct sp_task *task)
{
    return task && task->status[0] == '\0' && sp_environment_find(api, task->environment);
}
