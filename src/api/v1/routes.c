/* The paths of API v1. */
#include "api/v1/internal.h"

#include <stdlib.h>
#include <string.h>

const struct sp_route sp_v1_routes[] = {
    {SP_GET, "/health", sp_v1_health, SP_ROUTE_OPEN},
    {SP_GET, "/api/v1/detection-processing-tasks", sp_tasks_list, 0},
    {SP_GET, "/api/v1/detection-processing-tasks/environments", sp_tasks_environments, 0},
    {SP_POST, "/api/v1/detection-processing-tasks/start", sp_tasks_start, 0},
    {SP_GET, "/api/v1/detection-processing-tasks/{}/status", sp_tasks_status, 0},
    {SP_DELETE, "/api/v1/detection-processing-tasks/environment/{}/cleanup", sp_tasks_cleanup, 0},
    {SP_GET, "/api/v1/stream/{}/{}", sp_v1_stream, 0},
    {SP_GET, "/api/v1/controls/{}/status", sp_controls_status, 0},
    {SP_POST, "/api/v1/controls/{}/pause", sp_controls_pause, 0},
    {SP_POST, "/api/v1/controls/{}/resume", sp_controls_resume, 0},
    {SP_POST, "/api/v1/controls/{}/seek", sp_controls_seek, 0},
};
const int sp_v1_route_count = sizeof sp_v1_routes / sizeof sp_v1_routes[0];

bool sp_v1_owns(const char *path)
{
    return strncmp(path, "/api/v1/", 8) == 0 || strcmp(path, "/health") == 0 ||
           strncmp(path, "/ws/", 4) == 0;
}

int sp_v1_open(struct sp_api *api, struct sp_error *err)
{
    api->v1 = calloc(1, sizeof *api->v1);
    if (!api->v1)
        return sp_fail(err, SP_ERR_NO_MEMORY, "API v1: out of memory");
    return sp_environments_read(api, err);
}

void sp_v1_close(struct sp_api *api)
{
    free(api->v1);
    api->v1 = NULL;
}

void sp_v1_tick(struct sp_api *api)
{
    sp_tasks_tick(api);
}
