/* The camera registry: which camera has which index; adding, removing, pausing and seeking. */
#include "pipeline/camera_registry.h"

#include "base/redact.h"
#include "base/thread.h"
#include "pipeline/camera_state.h"
#include "pipeline/offline_camera.h"
#include "pipeline/pipeline_impl.h"
#include "pipeline/supervisor.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

int sp_camera_start(struct sp_camera *camera, struct sp_error *err)
{
    char name[16];
    snprintf(name, sizeof name, "cam-%.11s", camera->status.setting.name);
    void *(*run)(void *) = camera->pipeline->options.live ? sp_supervisor_main : sp_camera_main;
    int result = sp_thread_start(&camera->thread, name, run, camera, err);
    camera->thread_started = result == SP_OK;
    return result;
}

/* ---- requests to a live pipeline ---- */

static int check_live(const struct sp_pipeline *p, struct sp_error *err)
{
    if (!p->options.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "only a live pipeline can add, remove, pause or seek cameras");
    return SP_OK;
}

/* With the pipeline's mutex held: a camera index for the name, or a negative error. */
static int find_free_index(struct sp_pipeline *p, const char *name, struct sp_error *err)
{
    int free_index = -1;
    for (int i = 0; i < p->camera_count; i++) {
        struct sp_camera *camera = &p->cameras[i];
        pthread_mutex_lock(&camera->mutex);
        bool busy = camera->status.busy;
        bool same =
            busy && !camera->status.removed && strcmp(camera->status.setting.name, name) == 0;
        pthread_mutex_unlock(&camera->mutex);
        if (same)
            return sp_fail(
                err, SP_ERR_INVALID,
                "camera %s: the name is in use; remove that camera first, or use another name",
                name);
        if (!busy && free_index < 0)
            free_index = i;
    }
    if (free_index < 0)
        return sp_fail(err, SP_ERR_NO_SPACE,
                       "camera %s: all %d camera indices are in use; remove a camera first", name,
                       p->camera_count);
    return free_index;
}

static int add_locked(struct sp_pipeline *p, const struct sp_camera_setting *setting,
                      struct sp_push *push, int *index, struct sp_error *err)
{
    if (!p->started || p->stopping)
        return sp_fail(err, SP_ERR_CLOSED, "camera %s: the server is stopping", setting->name);
    int free_index = find_free_index(p, setting->name, err);
    if (free_index < 0)
        return free_index;
    struct sp_camera *camera = &p->cameras[free_index];
    if (camera->thread_started) { /* of the previous camera, which has ended */
        pthread_join(camera->thread, NULL);
        camera->thread_started = false;
    }
    int result = sp_camera_fill(camera, setting, push, err);
    if (result < 0)
        return result;
    atomic_fetch_add(&p->cameras_reading, 1);
    result = sp_camera_start(camera, err);
    if (result < 0) {
        atomic_fetch_sub(&p->cameras_reading, 1);
        pthread_mutex_lock(&camera->mutex);
        camera->status.busy = false;
        pthread_mutex_unlock(&camera->mutex);
        return result;
    }
    *index = free_index;
    return SP_OK;
}

int sp_pipeline_add_camera(struct sp_pipeline *pipeline, const struct sp_camera_setting *setting,
                           int *index, struct sp_error *err)
{
    return sp_pipeline_add_pushed(pipeline, setting, NULL, index, err);
}

int sp_pipeline_add_pushed(struct sp_pipeline *pipeline, const struct sp_camera_setting *setting,
                           struct sp_push *push, int *index, struct sp_error *err)
{
    int result = check_live(pipeline, err);
    if (result == SP_OK)
        result = sp_settings_check_camera(setting->name, setting->url, "new camera", err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&pipeline->mutex);
    result = add_locked(pipeline, setting, push, index, err);
    pthread_mutex_unlock(&pipeline->mutex);
    return result;
}

/* The camera with this index, its mutex locked; or NULL, with the reason in *result and *err. */
static struct sp_camera *lock_camera(struct sp_pipeline *p, int index, bool even_ended, int *result,
                                     struct sp_error *err)
{
    *result = check_live(p, err);
    if (*result < 0)
        return NULL;
    struct sp_camera *camera = index >= 0 && index < p->camera_count ? &p->cameras[index] : NULL;
    if (camera)
        pthread_mutex_lock(&camera->mutex);
    if (!camera || !camera->status.busy || camera->status.removed)
        *result = sp_fail(err, SP_ERR_NOT_FOUND, "camera index %d: there is no such camera", index);
    else if (!even_ended && camera->status.ended)
        *result =
            sp_fail(err, SP_ERR_INVALID, "camera %s: it has ended; remove it and add it again",
                    camera->status.setting.name);
    if (*result == SP_OK)
        return camera;
    if (camera)
        pthread_mutex_unlock(&camera->mutex);
    return NULL;
}

int sp_pipeline_remove_camera(struct sp_pipeline *pipeline, int index, struct sp_error *err)
{
    int result;
    struct sp_camera *camera = lock_camera(pipeline, index, true, &result, err);
    if (!camera)
        return result;
    camera->status.removed = true;
    if (camera->status.ended)
        sp_camera_free_index(camera); /* else once its end has been processed */
    atomic_store(&camera->stop, true);
    atomic_store(&camera->interrupted, true);
    pthread_cond_signal(&camera->wake);
    pthread_mutex_unlock(&camera->mutex);
    return SP_OK;
}

int sp_pipeline_pause_camera(struct sp_pipeline *pipeline, int index, bool paused,
                             struct sp_error *err)
{
    int result;
    struct sp_camera *camera = lock_camera(pipeline, index, false, &result, err);
    if (!camera)
        return result;
    camera->status.paused = paused;
    if (paused && camera->status.info.live)
        atomic_store(&camera->interrupted, true); /* its read may block for long */
    pthread_cond_signal(&camera->wake);
    pthread_mutex_unlock(&camera->mutex);
    return SP_OK;
}

int sp_pipeline_seek_camera(struct sp_pipeline *pipeline, int index, int64_t frame_index,
                            struct sp_error *err)
{
    int result;
    struct sp_camera *camera = lock_camera(pipeline, index, false, &result, err);
    if (!camera)
        return result;
    const struct sp_source_info *info = &camera->status.info;
    const char *name = camera->status.setting.name;
    if (info->codec[0] == '\0')
        result = sp_fail(err, SP_ERR_INVALID, "camera %s: it is not open yet; try again", name);
    else if (info->live || info->frame_rate <= 0)
        result = sp_fail(err, SP_ERR_UNSUPPORTED,
                         "camera %s: it is not a file; only files can seek", name);
    else if (frame_index < 0 || (info->frames_total > 0 && frame_index >= info->frames_total))
        result =
            sp_fail(err, SP_ERR_INVALID, "camera %s: frame %lld is out of range; use 0 to %lld",
                    name, (long long)frame_index, (long long)info->frames_total - 1);
    else {
        camera->status.seek_frame = frame_index;
        camera->status.paused = false;
        pthread_cond_signal(&camera->wake);
    }
    pthread_mutex_unlock(&camera->mutex);
    return result;
}
