/* The paths of API v1. */
#include "api/v1/internal.h"

#include "api/v1/feedback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sp_route sp_v1_routes[] = {
    {SP_GET, "/health", sp_v1_health, SP_ROUTE_OPEN},
    {SP_GET, "/health/live", sp_v1_health_live, SP_ROUTE_OPEN},
    {SP_GET, "/health/ready", sp_v1_health_ready, SP_ROUTE_OPEN},
    {SP_GET, "/health/deep", sp_v1_health_deep, 0},
    {SP_GET, "/api/v1/detection-processing-tasks", sp_tasks_list, 0},
    {SP_GET, "/api/v1/detection-processing-tasks/environments", sp_tasks_environments, 0},
    {SP_POST, "/api/v1/detection-processing-tasks/start", sp_tasks_start, 0},
    {SP_GET, "/api/v1/detection-processing-tasks/{}", sp_tasks_get, 0},
    {SP_GET, "/api/v1/detection-processing-tasks/{}/status", sp_tasks_status, 0},
    {SP_DELETE, "/api/v1/detection-processing-tasks/{}/stop", sp_tasks_stop, 0},
    {SP_DELETE, "/api/v1/detection-processing-tasks/environment/{}/cleanup", sp_tasks_cleanup, 0},
    {SP_GET, "/api/v1/stream/{}/{}", sp_v1_stream, 0},
    {SP_GET, "/api/v1/controls/{}/status", sp_controls_status, 0},
    {SP_POST, "/api/v1/controls/{}/pause", sp_controls_pause, 0},
    {SP_POST, "/api/v1/controls/{}/resume", sp_controls_resume, 0},
    {SP_POST, "/api/v1/controls/{}/seek", sp_controls_seek, 0},
    {SP_GET, "/api/v1/analytics/dashboard", sp_analytics_dashboard, 0},
    {SP_GET, "/api/v1/analytics/system/statistics", sp_analytics_statistics, 0},
    {SP_GET, "/api/v1/feedback/reidentification", sp_feedback_list, 0},
    {SP_POST, "/api/v1/feedback/reidentification", sp_feedback_post, 0},
};
const int sp_v1_route_count = sizeof sp_v1_routes / sizeof sp_v1_routes[0];

bool sp_v1_owns(const char *path)
{
    return strncmp(path, "/api/v1/", 8) == 0 || strcmp(path, "/health") == 0 ||
           strncmp(path, "/health/", 8) == 0 || strncmp(path, "/ws/", 4) == 0;
}

static int open_feedback(struct sp_api *api, struct sp_error *err)
{
    const char *file = api->recorder ? "" : api->settings.feedback_file; /* kept in the store */
    char path[SP_PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s%s",
                          file[0] && file[0] != '/' ? api->settings.folder : "", file);
    if (length >= (int)sizeof path)
        return sp_fail(err, SP_ERR_INVALID, "FEEDBACK_FILE=%s: the path is too long", file);
    return sp_feedback_open(&api->v1->feedback, path, err);
}

int sp_v1_open(struct sp_api *api, const char *store, struct sp_error *err)
{
    api->v1 = calloc(1, sizeof *api->v1);
    if (!api->v1)
        return sp_fail(err, SP_ERR_NO_MEMORY, "API v1: out of memory");
    int result = sp_analytics_open(&api->v1->analytics, err);
    if (result == SP_OK)
        result = sp_environments_read(api, err);
    if (result == SP_OK)
        result = open_feedback(api, err);
    if (result == SP_OK && api->recorder)
        sp_archive_read(api, store);
    return result;
}

void sp_v1_close(struct sp_api *api)
{
    if (!api->v1)
        return;
    sp_analytics_close(api->v1->analytics);
    sp_feedback_close(api->v1->feedback);
    free(api->v1);
    api->v1 = NULL;
}

void sp_v1_tick(struct sp_api *api)
{
    sp_tasks_tick(api);
    sp_analytics_collect(api);
    sp_archive_tick(api);
}
