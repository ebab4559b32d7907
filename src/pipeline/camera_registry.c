/* Cameras' camera indices: who is in which one, and what may be asked of a live camera. */
#include "pipeline/internal.h"

#include "base/redact.h"
#include "base/thread.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void sp_camera_init(struct sp_pipeline *p, int index)
{
    struct sp_camera *camera = &p->cameras[index];
    pthread_condattr_t monotonic;
    camera->pipeline = p;
    camera->index = index;
    camera->ledger = &p->ledgers[index];
    atomic_init(&camera->device_shown, -1);
    atomic_init(&camera->decoded_on, -1);
    sp_ledger_init(camera->ledger);
    pthread_mutex_init(&camera->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&camera->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void sp_camera_release(struct sp_camera *camera)
{
    sp_tracker_close(camera->tracker);
    sp_ledger_release(camera->ledger);
    pthread_cond_destroy(&camera->wake);
    pthread_mutex_destroy(&camera->mutex);
}

void sp_slot_leave(struct sp_camera *camera)
{
    sp_embedding_worker_forget(camera->pipeline->embedding_worker, camera->index);
    if (camera->pipeline->map)
        sp_map_camera(camera->pipeline->map, camera->index, NULL);
    camera->busy = false;
}

/* A tracker of its own for each camera, so that one begins with its first number. */
static int open_tracker(struct sp_camera *camera, struct sp_error *err)
{
    const struct sp_settings *s = camera->pipeline->settings;
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    params.high_thresh = s->track_high_thresh;
    params.low_thresh = s->track_low_thresh;
    params.new_track_thresh = s->track_new_thresh;
    params.match_thresh = s->track_match_thresh;
    params.buffer_frames = s->track_buffer_frames;
    sp_tracker_close(camera->tracker);
    camera->tracker = NULL;
    return sp_tracker_open(&camera->tracker, &params, err);
}

int sp_camera_fill(struct sp_camera *camera, const struct sp_camera_setting *setting,
                   struct sp_error *err)
{
    int result = open_tracker(camera, err);
    if (result < 0)
        return result;
    for (int i = 0; i < SP_STAGE_COUNT; i++) {
        sp_histogram_clear(&camera->stages[i].wall);
        atomic_store(&camera->stages[i].cpu_us, 0);
    }
    sp_ledger_clear(camera->ledger);
    sp_rate_window_clear(&camera->latency);
    camera->instance = NULL;
    camera->next_wanted = 0;
    camera->scheduled_epoch = camera->tracked_epoch = 0;
    camera->tracked_width_px = camera->tracked_height_px = 0;
    camera->begun = camera->discarding = camera->forget = false;
    atomic_store(&camera->frames_done, 0);
    atomic_store(&camera->active_tracks, 0);
    atomic_store(&camera->stop, false);
    atomic_store(&camera->interrupted, false);

    sp_embedding_worker_forget(camera->pipeline->embedding_worker, camera->index);
    if (camera->pipeline->map)
        sp_map_camera(camera->pipeline->map, camera->index, setting->name);
    pthread_mutex_lock(&camera->mutex);
    camera->setting = *setting;
    sp_redact_url(setting->url, camera->shown_url, sizeof camera->shown_url);
    camera->busy = true;
    camera->removed = camera->refused = camera->ended = camera->paused = false;
    camera->info = (struct sp_source_info){0};
    camera->error = (struct sp_error){0};
    camera->seek_frame = -1;
    camera->link = SP_CAMERA_CONNECTING;
    camera->health = SP_HEALTH_LIVE;
    camera->connections = 0;
    camera->last_frame_us = 0;
    camera->file_position = -1;
    camera->came = camera->inferred = (struct sp_rate){0};
    pthread_mutex_unlock(&camera->mutex);
    return SP_OK;
}

int sp_camera_start(struct sp_camera *camera, struct sp_error *err)
{
    char name[16];
    snprintf(name, sizeof name, "cam-%.11s", camera->setting.name);
    void *(*run)(void *) = camera->pipeline->options.live ? sp_supervisor_main : sp_camera_main;
    int result = sp_thread_start(&camera->thread, name, run, camera, err);
    camera->thread_started = result == SP_OK;
    return result;
}

/* ---- what may be asked of a live pipeline ---- */

static int check_live(const struct sp_pipeline *p, struct sp_error *err)
{
    if (!p->options.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "cameras come, go, pause and seek in a live pipeline only");
    return SP_OK;
}

/* With the pipeline's mutex held: a camera index for the name, or a negative error. */
static int find_request(struct sp_pipeline *p, const char *name, struct sp_error *err)
{
    int free_slot = -1;
    for (int i = 0; i < p->camera_count; i++) {
        struct sp_camera *camera = &p->cameras[i];
        pthread_mutex_lock(&camera->mutex);
        bool busy = camera->busy;
        bool same = busy && !camera->removed && strcmp(camera->setting.name, name) == 0;
        pthread_mutex_unlock(&camera->mutex);
        if (same)
            return sp_fail(err, SP_ERR_INVALID,
                           "there is a camera %s already: remove it first, or give another name",
                           name);
        if (!busy && free_slot < 0)
            free_slot = i;
    }
    if (free_slot < 0)
        return sp_fail(err, SP_ERR_NO_SPACE,
                       "camera %s is one too many: at most %d cameras run in one process", name,
                       p->camera_count);
    return free_slot;
}

static int add_locked(struct sp_pipeline *p, const struct sp_camera_setting *setting, int *index,
                      struct sp_error *err)
{
    if (!p->started || p->stopping)
        return sp_fail(err, SP_ERR_CLOSED, "camera %s: the server is stopping", setting->name);
    int slot = find_request(p, setting->name, err);
    if (slot < 0)
        return slot;
    struct sp_camera *camera = &p->cameras[slot];
    if (camera->thread_started) { /* of the camera before; it is at its end */
        pthread_join(camera->thread, NULL);
        camera->thread_started = false;
    }
    int result = sp_camera_fill(camera, setting, err);
    if (result < 0)
        return result;
    atomic_fetch_add(&p->cameras_reading, 1);
    result = sp_camera_start(camera, err);
    if (result < 0) {
        atomic_fetch_sub(&p->cameras_reading, 1);
        pthread_mutex_lock(&camera->mutex);
        camera->busy = false;
        pthread_mutex_unlock(&camera->mutex);
        return result;
    }
    *index = slot;
    return SP_OK;
}

int sp_pipeline_add_camera(struct sp_pipeline *pipeline, const struct sp_camera_setting *setting,
                           int *index, struct sp_error *err)
{
    int result = check_live(pipeline, err);
    if (result == SP_OK)
        result = sp_settings_check_camera(setting->name, setting->url, "new camera", err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&pipeline->mutex);
    result = add_locked(pipeline, setting, index, err);
    pthread_mutex_unlock(&pipeline->mutex);
    return result;
}

/* The camera in the camera index, with its mutex locked; or NULL, with the reason in *result and
 * *err. */
static struct sp_camera *lock_camera(struct sp_pipeline *p, int index, bool even_ended, int *result,
                                     struct sp_error *err)
{
    *result = check_live(p, err);
    if (*result < 0)
        return NULL;
    struct sp_camera *camera = index >= 0 && index < p->camera_count ? &p->cameras[index] : NULL;
    if (camera)
        pthread_mutex_lock(&camera->mutex);
    if (!camera || !camera->busy || camera->removed)
        *result = sp_fail(err, SP_ERR_NOT_FOUND, "there is no camera in slot %d", index);
    else if (!even_ended && camera->ended)
        *result = sp_fail(err, SP_ERR_INVALID,
                          "camera %s has ended: remove it and add it again to start it anew",
                          camera->setting.name);
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
    camera->removed = true;
    if (camera->ended)
        sp_slot_leave(camera); /* else when its end is finished */
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
    camera->paused = paused;
    if (paused && camera->info.live)
        atomic_store(&camera->interrupted, true); /* it may wait for a frame for long */
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
    const struct sp_source_info *info = &camera->info;
    const char *name = camera->setting.name;
    if (info->codec[0] == '\0')
        result = sp_fail(err, SP_ERR_INVALID, "camera %s is not open yet: try again", name);
    else if (info->live || info->frame_rate <= 0)
        result = sp_fail(err, SP_ERR_UNSUPPORTED,
                         "camera %s is no file: only files can be moved to another frame", name);
    else if (frame_index < 0 || (info->frames_total > 0 && frame_index >= info->frames_total))
        result = sp_fail(err, SP_ERR_INVALID, "camera %s: frame %lld is none of 0 to %lld", name,
                         (long long)frame_index, (long long)info->frames_total - 1);
    else {
        camera->seek_frame = frame_index;
        camera->paused = false;
        pthread_cond_signal(&camera->wake);
    }
    pthread_mutex_unlock(&camera->mutex);
    return result;
}
