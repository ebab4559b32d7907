#include "command/reload.h"

#include "base/log.h"

#include <string.h>

static void read_cameras(struct sp_reload *reload, const struct sp_settings *settings)
{
    reload->camera_count = settings->camera_count;
    memset(reload->pending, 0, sizeof reload->pending);
    for (int i = 0; i < settings->camera_count; i++) {
        reload->camera[i] = settings->camera[i];
        sp_camera_setting_complete(&reload->camera[i], settings);
    }
}

void sp_reload_init(struct sp_reload *reload, struct sp_pipeline *pipeline, struct sp_hub *hub,
                    const struct sp_settings *settings)
{
    reload->pipeline = pipeline;
    reload->hub = hub;
    read_cameras(reload, settings);
}

static int find(const struct sp_camera_setting *cameras, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(cameras[i].name, name) == 0)
            return i;
    return -1;
}

int sp_reload_check(const struct sp_reload *reload, const struct sp_settings *settings,
                    struct sp_error *err)
{
    int result = SP_OK;
    if (settings->camera_count > settings->max_cameras)
        return sp_fail(err, SP_ERR_INVALID, "MAX_CAMERAS=%d: %d cameras are set; remove some",
                       settings->max_cameras, settings->camera_count);
    for (int i = 0; i < settings->camera_count && result == SP_OK; i++) {
        struct sp_camera_setting camera = settings->camera[i];
        sp_camera_setting_complete(&camera, settings);
        result = sp_pipeline_check_camera(reload->pipeline, &camera, err);
    }
    return result;
}

static void remove_camera(struct sp_reload *reload, const char *name)
{
    for (int i = 0; i < sp_pipeline_camera_capacity(reload->pipeline); i++) {
        struct sp_camera_report report;
        struct sp_error err = {0};
        sp_pipeline_camera(reload->pipeline, i, &report);
        if (!report.used || strcmp(report.name, name) != 0)
            continue;
        if (sp_pipeline_remove_camera(reload->pipeline, i, &err) < 0)
            sp_log(SP_LOG_ERROR, "%s", err.text);
        return;
    }
}

static void add_camera(struct sp_reload *reload, int index)
{
    struct sp_error err = {0};
    int camera;
    int result = sp_pipeline_add_camera(reload->pipeline, &reload->camera[index], &camera, &err);
    reload->pending[index] = result == SP_ERR_NO_SPACE;
    if (result == SP_OK)
        sp_hub_begin_camera(reload->hub, camera, reload->camera[index].name);
    else if (result != SP_ERR_NO_SPACE)
        sp_log(SP_LOG_ERROR, "%s", err.text);
}

void sp_reload_apply(struct sp_reload *reload, const struct sp_settings *settings)
{
    enum { KEPT, ADDED, CHANGED } what[SP_CAMERAS_MAX] = {KEPT};
    int added = 0, removed = 0, changed = 0;
    for (int i = 0; i < settings->camera_count; i++) {
        struct sp_camera_setting camera = settings->camera[i];
        int before = find(reload->camera, reload->camera_count, camera.name);
        sp_camera_setting_complete(&camera, settings);
        if (before < 0 || reload->pending[before])
            what[i] = ADDED;
        else if (!sp_camera_setting_equal(&camera, &reload->camera[before]))
            what[i] = CHANGED;
        added += what[i] == ADDED;
        changed += what[i] == CHANGED;
        if (what[i] == CHANGED)
            remove_camera(reload, camera.name);
    }
    for (int i = 0; i < reload->camera_count; i++)
        if (find(settings->camera, settings->camera_count, reload->camera[i].name) < 0) {
            remove_camera(reload, reload->camera[i].name);
            removed++;
        }
    read_cameras(reload, settings);
    for (int i = 0; i < reload->camera_count; i++)
        if (what[i] != KEPT)
            add_camera(reload, i);
    sp_log(SP_LOG_INFO, "cameras reloaded: %d added, %d removed, %d changed", added, removed,
           changed);
}

void sp_reload_retry(struct sp_reload *reload)
{
    for (int i = 0; i < reload->camera_count; i++)
        if (reload->pending[i])
            add_camera(reload, i);
}
