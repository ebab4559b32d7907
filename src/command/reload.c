#include "command/reload.h"

#include "base/log.h"

#include <string.h>

static void read_cameras(struct sp_reload *reload, const struct sp_settings *settings)
{
    reload->settings = *settings;
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

/* Its index in the pipeline, or -1. */
static int running(const struct sp_reload *reload, const char *name)
{
    for (int i = 0; i < sp_pipeline_camera_capacity(reload->pipeline); i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(reload->pipeline, i, &report);
        if (report.used && strcmp(report.name, name) == 0)
            return i;
    }
    return -1;
}

static void remove_camera(struct sp_reload *reload, const char *name)
{
    struct sp_error err = {0};
    int index = running(reload, name);
    if (index >= 0 && sp_pipeline_remove_camera(reload->pipeline, index, &err) < 0)
        sp_log(SP_LOG_ERROR, "%s", err.text);
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

bool sp_reload_has(const struct sp_reload *reload, const char *name)
{
    return find(reload->camera, reload->camera_count, name) >= 0;
}

bool sp_reload_has_replaced(const struct sp_reload *reload, const char *name)
{
    int index = find(reload->camera, reload->camera_count, name);
    return index >= 0 && reload->camera[index].replaced;
}

static int check_count(const struct sp_reload *reload, struct sp_error *err)
{
    int used = 0, most = reload->settings.max_cameras;
    for (int i = 0; i < sp_pipeline_camera_capacity(reload->pipeline); i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(reload->pipeline, i, &report);
        used += report.used;
    }
    if (used < most && reload->camera_count < most)
        return SP_OK;
    return sp_fail(err, SP_ERR_NO_SPACE, "MAX_CAMERAS=%d: as many cameras are set; remove one",
                   most);
}

int sp_reload_add(struct sp_reload *reload, const struct sp_camera_setting *camera,
                  struct sp_error *err)
{
    struct sp_camera_setting *own = &reload->camera[reload->camera_count];
    int index, result = check_count(reload, err);
    if (result == SP_OK && sp_reload_has(reload, camera->name)) /* it waits for an index */
        result = sp_fail(err, SP_ERR_INVALID, "camera %s: exists already; choose another name",
                         camera->name);
    if (result < 0)
        return result;
    *own = *camera;
    sp_camera_setting_complete(own, &reload->settings);
    result = sp_pipeline_add_camera(reload->pipeline, own, &index, err);
    if (result < 0)
        return result;
    reload->pending[reload->camera_count++] = false;
    /* Lets viewers subscribe before the first frame. */
    sp_hub_begin_camera(reload->hub, index, camera->name);
    return SP_OK;
}

int sp_reload_remove(struct sp_reload *reload, const char *name, struct sp_error *err)
{
    int known = find(reload->camera, reload->camera_count, name);
    int index = running(reload, name);
    if (known >= 0) {
        reload->camera_count--;
        for (int i = known; i < reload->camera_count; i++) {
            reload->camera[i] = reload->camera[i + 1];
            reload->pending[i] = reload->pending[i + 1];
        }
        reload->pending[reload->camera_count] = false;
    }
    return index >= 0
               ? sp_pipeline_remove_camera(reload->pipeline, index, err)
               : sp_fail(err, SP_ERR_NOT_FOUND, "camera %s: not found; see /api/v2/cameras", name);
}

void sp_reload_retry(struct sp_reload *reload)
{
    for (int i = 0; i < reload->camera_count; i++)
        if (reload->pending[i])
            add_camera(reload, i);
}
