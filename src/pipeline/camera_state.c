#include "pipeline/camera_state.h"

#include "base/log.h"
#include "base/redact.h"
#include "engine/loader.h"
#include "pipeline/camera_head.h"
#include "pipeline/classes.h"
#include "pipeline/pipeline_impl.h"

#include <stdlib.h>
#include <time.h>

void sp_camera_init(struct sp_pipeline *p, int index)
{
    struct sp_camera *camera = &p->cameras[index];
    pthread_condattr_t monotonic;
    camera->pipeline = p;
    camera->index = index;
    camera->ledger = &p->ledgers[index];
    atomic_init(&camera->device_shown, -1);
    atomic_init(&camera->decoding.device, -1);
    sp_ledger_init(camera->ledger);
    pthread_mutex_init(&camera->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&camera->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void sp_camera_release(struct sp_camera *camera)
{
    sp_camera_head_close(camera);
    sp_tracker_close(camera->tracking.tracker);
    sp_policy_close(camera->policy);
    sp_ledger_release(camera->ledger);
    sp_push_unref(camera->push);
    pthread_cond_destroy(&camera->wake);
    pthread_mutex_destroy(&camera->mutex);
}

void sp_camera_free_index(struct sp_camera *camera)
{
    sp_embedding_worker_forget(camera->pipeline->embedding_worker, camera->index);
    if (camera->pipeline->map)
        sp_map_camera(camera->pipeline->map, camera->index, NULL);
    camera->status.busy = false;
}

/* Each camera has a tracker of its own, so that its track ids begin at 1. */
static int open_tracker(struct sp_camera *camera, const struct sp_camera_setting *s,
                        struct sp_error *err)
{
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    int result = sp_tracker_choose(&params, camera->pipeline->settings->tracker, err);
    if (result < 0)
        return result;
    params.has_frames = true;
    params.high_thresh = s->track_high_thresh;
    params.low_thresh = s->track_low_thresh;
    params.new_track_thresh = s->track_new_thresh;
    params.match_thresh = s->track_match_thresh;
    params.buffer_frames = s->track_buffer_frames;
    sp_tracker_close(camera->tracking.tracker);
    camera->tracking.tracker = NULL;
    return sp_tracker_open(&camera->tracking.tracker, &params, err);
}

static int open_policy(struct sp_camera *camera, const struct sp_camera_setting *s,
                       struct sp_error *err)
{
    sp_policy_close(camera->policy);
    camera->policy = NULL;
    if (s->inference != SP_INFERENCE_NEED)
        return SP_OK;
    if (!sp_tracker_has_states(camera->tracking.tracker))
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "camera %s: INFERENCE=need requires a tracker that reports the states of its "
            "tracks; use TRACKER=bytetrack or TRACKER=spoton",
            s->name);
    return sp_policy_open(&camera->policy, s->track_new_thresh, err);
}

void sp_camera_set_credits(struct sp_camera *camera)
{
    sp_frame_scheduler_set_credits(camera->pipeline->scheduler, camera->index,
                                   camera->policy ? 1 : 0);
}

/* INFERENCE=need decides itself which frames, and counts in time. */
static int check_inference(const struct sp_pipeline *p, const struct sp_camera_setting *setting,
                           struct sp_error *err)
{
    if (setting->inference != SP_INFERENCE_NEED)
        return SP_OK;
    if (setting->frame_skip > 1)
        return sp_fail(err, SP_ERR_INVALID,
                       "camera %s: INFERENCE=need and FRAME_SKIP=%d exclude each other; use "
                       "FRAME_SKIP=1",
                       setting->name, setting->frame_skip);
    if (p->settings->track_dt == SP_TRACK_DT_FRAMES)
        return sp_fail(err, SP_ERR_INVALID,
                       "camera %s: INFERENCE=need requires the time between frames; use "
                       "TRACK_DT=auto",
                       setting->name);
    return SP_OK;
}

int sp_pipeline_check_camera(const struct sp_pipeline *pipeline,
                             const struct sp_camera_setting *setting, struct sp_error *err)
{
    bool *wanted = NULL;
    if (setting->decoder == SP_DECODER_GPU && !spoton_engine_decodes(pipeline->engine))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "camera %s: DECODER=gpu: engine %s does not decode video; use ENGINE=cuda, "
                       "or DECODER=auto",
                       setting->name, pipeline->engine->name);
    int result = check_inference(pipeline, setting, err);
    if (result < 0)
        return result;
    result = sp_classes_choose(&wanted, &pipeline->model, setting->classes, err);
    free(wanted);
    return result < 0 ? sp_fail_prefix(err, result, "camera %s", setting->name) : SP_OK;
}

int sp_camera_fill(struct sp_camera *camera, const struct sp_camera_setting *setting,
                   struct sp_push *push, struct sp_error *err)
{
    const struct sp_pipeline *p = camera->pipeline;
    struct sp_camera_setting whole = *setting;
    sp_camera_setting_complete(&whole, p->settings);
    int result = sp_pipeline_check_camera(p, &whole, err);
    if (result == SP_OK)
        result = sp_camera_head_open(camera, &whole, err);
    if (result == SP_OK)
        result = open_tracker(camera, &whole, err);
    if (result == SP_OK)
        result = open_policy(camera, &whole, err);
    if (result < 0)
        return result;
    sp_push_unref(camera->push);
    camera->push = push ? sp_push_ref(push) : NULL;
    if (p->scheduler)
        sp_camera_set_credits(camera);
    camera->own_input_size_px =
        whole.input_size_px != p->settings->input_size_px ? whole.input_size_px : 0;
    if (camera->own_input_size_px > 0 && p->model.fixed_width_px)
        sp_log(
            SP_LOG_WARNING,
            "camera %s: input_size %d has no effect, because the model's input is fixed to %dx%d",
            whole.name, whole.input_size_px, p->model.fixed_width_px, p->model.fixed_height_px);
    for (int i = 0; i < SP_STAGE_COUNT; i++) {
        sp_histogram_clear(&camera->stages[i].wall);
        atomic_store(&camera->stages[i].cpu_us, 0);
    }
    sp_ledger_clear(camera->ledger);
    sp_rate_window_clear(&camera->tracking.latency);
    camera->scheduling.instance = NULL;
    camera->scheduling.next_due = 0;
    camera->scheduling.epoch = camera->tracking.epoch = 0;
    camera->tracking.width_px = camera->tracking.height_px = 0;
    camera->tracking.begun = camera->tracking.discarding = camera->tracking.forget = false;
    atomic_store(&camera->frames_done, 0);
    atomic_store(&camera->active_tracks, 0);
    atomic_store(&camera->stop, false);
    atomic_store(&camera->interrupted, false);

    sp_embedding_worker_forget(camera->pipeline->embedding_worker, camera->index);
    if (camera->pipeline->map)
        sp_map_camera(camera->pipeline->map, camera->index, setting->name);
    pthread_mutex_lock(&camera->mutex);
    camera->status.setting = whole;
    sp_redact_url(setting->url, camera->status.shown_url, sizeof camera->status.shown_url);
    camera->status.busy = true;
    camera->status.removed = camera->status.refused = camera->status.ended = camera->status.paused =
        false;
    camera->status.info = (struct sp_source_info){0};
    camera->status.error = (struct sp_error){0};
    camera->status.seek_frame = -1;
    camera->status.link = SP_CAMERA_CONNECTING;
    camera->status.health = SP_HEALTH_LIVE;
    camera->status.connections = 0;
    camera->status.last_frame_us = 0;
    camera->status.file_position = -1;
    camera->status.received = camera->status.inferred = (struct sp_rate){0};
    camera->status.policy = (struct sp_policy_report){0};
    pthread_mutex_unlock(&camera->mutex);
    return SP_OK;
}

void sp_camera_fail(struct sp_camera *camera, const struct sp_error *err)
{
    pthread_mutex_lock(&camera->mutex);
    bool first = camera->status.error.code == SP_OK;
    if (first)
        camera->status.error = *err;
    pthread_mutex_unlock(&camera->mutex);
    if (first)
        sp_log(SP_LOG_ERROR, "camera %s: %s", camera->status.setting.name, err->text);
}

void sp_camera_stop(struct sp_camera *camera)
{
    pthread_mutex_lock(&camera->mutex);
    atomic_store(&camera->stop, true);
    atomic_store(&camera->interrupted, true);
    pthread_cond_signal(&camera->wake);
    pthread_mutex_unlock(&camera->mutex);
}

bool sp_camera_should_stop(struct sp_camera *camera)
{
    return atomic_load(&camera->stop);
}

int64_t sp_camera_snapshot_us(const struct sp_camera *camera)
{
    return camera->status.info.snapshot ? camera->status.setting.snapshot_interval_ms * 1000LL : 0;
}
