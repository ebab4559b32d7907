/* A post worker's thread: tracks, then hands the finished frame to the sink. */
#include "pipeline/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>

static const int64_t SLOW_TRACKER_UPDATE_US = 50000;

static void refuse(struct sp_camera *camera, const struct sp_error *err)
{
    camera->discarding = true;
    pthread_mutex_lock(&camera->mutex);
    camera->refused = true;
    if (camera->pipeline->options.live) /* a passing trouble is not why it ends */
        camera->error = (struct sp_error){0};
    pthread_mutex_unlock(&camera->mutex);
    sp_camera_fail(camera, err);
    sp_camera_stop(camera);
}

static void begin_camera(struct sp_camera *camera)
{
    struct sp_pipeline *p = camera->pipeline;
    struct sp_error err = {0};
    struct sp_source_info info;
    pthread_mutex_lock(&camera->mutex);
    info = camera->info;
    pthread_mutex_unlock(&camera->mutex);
    camera->begun = true;
    camera->step = (struct sp_timestep){
        .timestamps = p->timestamps, .frame_rate = info.frame_rate, .frame_skip = p->frame_skip};
    const struct sp_pipeline_sink *sink = &p->options.sink;
    if (sink->begin && sink->begin(sink->user, camera->index, &info, &err) < 0)
        refuse(camera, &err);
}

/* Whether the picture does not follow the one before it, or its pixels mean other places. */
static bool is_new_scene(struct sp_camera *camera, const struct sp_frame *frame)
{
    bool resized = camera->pipeline->options.live && camera->tracked_width_px != 0 &&
                   (frame->width_px != camera->tracked_width_px ||
                    frame->height_px != camera->tracked_height_px);
    bool changed = resized || frame->epoch != camera->tracked_epoch;
    camera->tracked_epoch = frame->epoch;
    camera->tracked_width_px = frame->width_px;
    camera->tracked_height_px = frame->height_px;
    return changed;
}

static size_t track(struct sp_camera *camera, const struct sp_job *job, bool inferred,
                    struct sp_track *tracks, int64_t *spent_us)
{
    struct sp_stage_clock begin = sp_stage_begin();
    const struct sp_frame *frame = job->frame;
    size_t count;
    if (is_new_scene(camera, frame))
        camera->forget = true;
    if (inferred) {
        double dt = sp_timestep_next(&camera->step, frame->sequence, frame->pts_us);
        if (camera->forget)
            dt = INFINITY; /* drops all tracks; their numbers are not used again */
        camera->forget = false;
        count =
            sp_tracker_update(camera->tracker, job->detections, job->detection_count, dt, tracks);
    } else if (camera->forget) {
        count = 0;
    } else {
        double dt = sp_timestep_ahead(&camera->step, frame->sequence, frame->pts_us);
        count = sp_tracker_predict(camera->tracker, dt, tracks);
    }
    *spent_us = sp_stage_end(&camera->stages[SP_STAGE_TRACK], begin);
    if (inferred && *spent_us > SLOW_TRACKER_UPDATE_US)
        sp_log_tagged(SP_LOG_DEBUG, "SPEED_DEBUG", "_process_tracking | TrackerUpdate=%.1fms",
                      (double)*spent_us / 1000.0);
    return count;
}

/* Where the tracks stand on the map, and who they are there. */
static int64_t find_places(struct sp_camera *camera, const struct sp_job *job, bool inferred,
                           struct sp_result *result, struct sp_place *places)
{
    struct sp_pipeline *p = camera->pipeline;
    if (!p->map)
        return 0;
    struct sp_stage_clock begin = sp_stage_begin();
    if (sp_map_places(p->map, job->frame, p->options.live, inferred, result->tracks,
                      result->track_count, result->detections, places))
        result->places = places;
    int64_t spent_us = sp_stage_end(&camera->stages[SP_STAGE_SPACE], begin);
    if (p->looks && inferred && result->places)
        sp_looks_offer(p->looks, job->frame, result->tracks, result->track_count,
                       &camera->stages[SP_STAGE_EMBED]);
    return spent_us;
}

static void note_live(struct sp_camera *camera, bool inferred, int64_t now_us, int64_t latency_us)
{
    sp_lately_add(&camera->latency, latency_us, now_us);
    pthread_mutex_lock(&camera->mutex);
    if (inferred)
        sp_rate_add(&camera->inferred, now_us);
    camera->step.frame_rate = camera->info.frame_rate; /* another one after a new connection */
    pthread_mutex_unlock(&camera->mutex);
}

static void finish_frame(struct sp_post_worker *worker, struct sp_job *job)
{
    struct sp_pipeline *p = worker->pipeline;
    struct sp_camera *camera = &p->cameras[job->camera];
    struct sp_error err = {0};
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_place places[SP_TRACKS_MAX];
    bool inferred = job->image >= 0 && !job->failed;
    if (!camera->begun)
        begin_camera(camera);

    int64_t track_us, begin_us = sp_clock_us();
    struct sp_result result = {
        .camera = job->camera,
        .worker = worker->index,
        .frame = job->frame,
        .inferred = inferred,
        .failed = job->failed,
        .detections = job->detections,
        .detection_count = job->detection_count,
        .tracks = tracks,
        .track_count = track(camera, job, inferred, tracks, &track_us),
        .stages = camera->stages,
    };
    if (inferred)
        sp_reading_note(p->reading, job->frame, job->detection_count);
    int64_t space_us = find_places(camera, job, inferred, &result, places);
    if (!camera->discarding) {
        const struct sp_pipeline_sink *sink = &p->options.sink;
        if (sink->result(sink->user, &result, &err) < 0)
            refuse(camera, &err);
        else
            atomic_fetch_add(&camera->frames_done, 1);
    }
    int64_t now_us = sp_clock_us();
    sp_histogram_add(&camera->stages[SP_STAGE_TOTAL].wall, now_us - job->frame->received_us);
    atomic_store(&camera->active_tracks, (uint32_t)result.track_count);
    if (p->options.live)
        note_live(camera, inferred, now_us, now_us - job->frame->received_us);
    sp_batch_note_post(job->batch, track_us, now_us - begin_us - track_us - space_us);
    sp_batch_note_space(job->batch, space_us);
    sp_speed_log_done(&p->speed_log, job->batch);
    sp_ledger_settle(
        camera->ledger,
        job->failed ? SP_OUTCOME_FAILED : (inferred ? SP_OUTCOME_INFERRED : SP_OUTCOME_SKIPPED), 1);
    sp_frame_unref(job->frame);
    sp_batcher_done(p->batcher, job->camera);
}

static void end_camera(struct sp_camera *camera)
{
    const struct sp_pipeline_sink *sink = &camera->pipeline->options.sink;
    struct sp_error error;
    pthread_mutex_lock(&camera->mutex);
    error = camera->error;
    pthread_mutex_unlock(&camera->mutex);
    if (sink->end)
        sink->end(sink->user, camera->index, error.code == SP_OK ? NULL : &error);
    pthread_mutex_lock(&camera->mutex);
    camera->ended = true;
    bool removed = camera->removed;
    if (removed)
        sp_slot_leave(camera);
    pthread_mutex_unlock(&camera->mutex);
}

void *sp_post_main(void *argument)
{
    struct sp_post_worker *worker = argument;
    struct sp_pipeline *p = worker->pipeline;
    void *item;
    while (sp_queue_pop(worker->jobs, &item, -1) == SP_OK) {
        struct sp_job *job = item;
        if (job->frame)
            finish_frame(worker, job);
        else
            end_camera(&p->cameras[job->camera]);
        sp_queue_push(p->free_jobs, job);
    }
    sp_pipeline_worker_done(p);
    return NULL;
}
