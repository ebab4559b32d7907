/* A tracking worker's thread: tracks, then passes the finished frame to the sink. */
#include "pipeline/tracking_worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/camera_state.h"
#include "pipeline/lifecycle.h"
#include "pipeline/pipeline_impl.h"
#include "surface.h"

#include <math.h>

static const int64_t SLOW_TRACKER_UPDATE_US = 50000;

static void refuse(struct sp_camera *camera, const struct sp_error *err)
{
    camera->tracking.discarding = true;
    pthread_mutex_lock(&camera->mutex);
    camera->status.refused = true;
    if (camera->pipeline->options.live) /* an earlier connection error is not why it ends */
        camera->status.error = (struct sp_error){0};
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
    info = camera->status.info;
    pthread_mutex_unlock(&camera->mutex);
    camera->tracking.begun = true;
    camera->tracking.step = (struct sp_timestep){.timestamps = p->timestamps,
                                                 .frame_rate = info.frame_rate,
                                                 .frame_skip = camera->status.setting.frame_skip};
    const struct sp_pipeline_sink *sink = &p->options.sink;
    if (sink->begin && sink->begin(sink->user, camera->index, &info, &err) < 0)
        refuse(camera, &err);
}

/* Whether the frame does not follow its predecessor, or has another size. */
static bool is_new_scene(struct sp_camera *camera, const struct sp_frame *frame)
{
    bool resized = camera->pipeline->options.live && camera->tracking.width_px != 0 &&
                   (frame->width_px != camera->tracking.width_px ||
                    frame->height_px != camera->tracking.height_px);
    bool changed = resized || frame->epoch != camera->tracking.epoch;
    camera->tracking.epoch = frame->epoch;
    camera->tracking.width_px = frame->width_px;
    camera->tracking.height_px = frame->height_px;
    return changed;
}

/* Without a frame, which cannot be read from its device, such a tracker returns no tracks. The next
 * stage that needs the pixels reports it. */
static void give_frame(struct sp_camera *camera, const struct sp_frame *frame)
{
    struct sp_tracker *tracker = camera->tracking.tracker;
    if (!sp_tracker_needs_frame(tracker))
        return;
    struct sp_error err;
    sp_tracker_set_frame(tracker, sp_frame_fetch(frame, &err) == SP_OK ? frame : NULL);
}

static size_t track(struct sp_camera *camera, const struct sp_frame_task *task, bool inferred,
                    struct sp_track *tracks, int64_t *spent_us)
{
    struct sp_stage_clock begin = sp_stage_begin();
    const struct sp_frame *frame = task->frame;
    size_t count;
    if (is_new_scene(camera, frame))
        camera->tracking.forget = true;
    if (inferred) {
        double dt = sp_timestep_next(&camera->tracking.step, frame->sequence, frame->pts_us);
        if (camera->tracking.forget)
            dt = INFINITY; /* drops all tracks; their ids are not reused */
        camera->tracking.forget = false;
        sp_tracker_set_frame_rate(camera->tracking.tracker, camera->tracking.step.frame_rate);
        sp_tracker_set_sequence(camera->tracking.tracker, frame->sequence);
        give_frame(camera, frame);
        count = sp_tracker_update(camera->tracking.tracker, task->detections, task->detection_count,
                                  dt, tracks);
    } else if (camera->tracking.forget) {
        count = 0;
    } else {
        double dt = sp_timestep_ahead(&camera->tracking.step, frame->sequence, frame->pts_us);
        count = sp_tracker_predict(camera->tracking.tracker, dt, tracks);
    }
    *spent_us = sp_stage_end(&camera->stages[SP_STAGE_TRACK], begin);
    if (inferred && *spent_us > SLOW_TRACKER_UPDATE_US)
        sp_log_tagged(SP_LOG_DEBUG, "SPEED_DEBUG", "_process_tracking | TrackerUpdate=%.1fms",
                      (double)*spent_us / 1000.0);
    return count;
}

/* Live outputs cannot add to earlier frames. */
static void find_earlier(struct sp_tracking_worker *worker, const struct sp_camera *camera,
                         bool inferred, struct sp_result_source *source)
{
    const struct sp_pipeline *p = worker->pipeline;
    if (p->options.live || !inferred)
        return;
    bool between = p->settings->output_frames != SP_OUTPUT_FRAMES_INFERRED;
    source->earlier = worker->earlier;
    source->earlier_count = sp_tracker_earlier(camera->tracking.tracker, between, worker->earlier);
}

/* World positions and global ids of the tracks. */
static int64_t find_world_positions(struct sp_camera *camera, const struct sp_frame_task *task,
                                    struct sp_result *result)
{
    struct sp_pipeline *p = camera->pipeline;
    if (!p->map)
        return 0;
    struct sp_stage_clock begin = sp_stage_begin();
    result->has_world_positions =
        sp_map_positions(p->map, task->frame, p->options.live, result->inferred, result->tracks,
                         result->track_count, task->detections, result->positions);
    int64_t spent_us = sp_stage_end(&camera->stages[SP_STAGE_SPACE], begin);
    if (p->embedding_worker && result->inferred && result->has_world_positions)
        sp_embedding_worker_offer(p->embedding_worker, task->frame, result->tracks,
                                  result->track_count, &camera->stages[SP_STAGE_EMBED]);
    return spent_us;
}

static void note_live(struct sp_camera *camera, bool inferred, int64_t now_us, int64_t latency_us)
{
    sp_rate_window_add(&camera->tracking.latency, latency_us, now_us);
    pthread_mutex_lock(&camera->mutex);
    if (inferred)
        sp_rate_add(&camera->status.inferred, now_us);
    camera->tracking.step.frame_rate =
        camera->status.info.frame_rate; /* may change with a new connection */
    pthread_mutex_unlock(&camera->mutex);
}

/* So that the policy can decide on the camera's next frame. */
static void note_policy(struct sp_tracking_worker *worker, struct sp_camera *camera,
                        const struct sp_frame_task *task, bool inferred)
{
    struct sp_policy_report report;
    if (inferred) {
        size_t count = sp_tracker_states(camera->tracking.tracker, worker->states);
        sp_policy_learn(camera->policy, &(struct sp_policy_result){
                                            .detections = task->detections,
                                            .detection_count = task->detection_count,
                                            .states = worker->states,
                                            .state_count = count,
                                        });
    }
    sp_policy_read(camera->policy, &report);
    pthread_mutex_lock(&camera->mutex);
    camera->status.policy = report;
    pthread_mutex_unlock(&camera->mutex);
}

static enum sp_outcome outcome_of(const struct sp_camera *camera, const struct sp_frame_task *task,
                                  bool inferred)
{
    if (task->failed)
        return SP_OUTCOME_FAILED;
    if (inferred)
        return SP_OUTCOME_INFERRED;
    return camera->policy ? SP_OUTCOME_UNNEEDED : SP_OUTCOME_SKIPPED;
}

/* Never, as the pool's results are few; the camera ends. */
static void refuse_result(struct sp_camera *camera)
{
    struct sp_error err = {0};
    sp_fail(&err, SP_ERR_NO_MEMORY, "camera %s: out of memory", camera->status.setting.name);
    if (!camera->tracking.discarding)
        refuse(camera, &err);
}

static void pass_on(struct sp_tracking_worker *worker, struct sp_camera *camera,
                    struct sp_result *result, const struct sp_result_source *source)
{
    const struct sp_pipeline_sink *sink = &worker->pipeline->options.sink;
    struct sp_error err = {0};
    if (camera->tracking.discarding)
        return;
    if (sink->result(sink->user, result, source, &err) < 0)
        refuse(camera, &err);
    else
        atomic_fetch_add(&camera->frames_done, 1);
}

/* The sink's call included. */
static void make_result(struct sp_tracking_worker *worker, struct sp_camera *camera,
                        struct sp_frame_task *task, struct sp_result *result)
{
    struct sp_pipeline *p = worker->pipeline;
    int64_t track_us, begin_us = sp_clock_us();
    bool inferred = task->image >= 0 && !task->failed;
    struct sp_result_source source = {
        .worker = worker->index,
        .frame = task->frame,
        .detections = task->detections,
        .detection_count = inferred ? task->detection_count : 0,
        .stages = camera->stages,
    };
    result->camera = task->camera;
    result->inferred = inferred;
    result->failed = task->failed;
    result->reason = camera->policy && inferred ? sp_inference_reason_name(task->reason) : NULL;
    result->track_count = track(camera, task, inferred, result->tracks, &track_us);
    find_earlier(worker, camera, inferred, &source);
    /* Offline the camera's next frame is inferred while the sink writes this one. */
    if (camera->policy)
        note_policy(worker, camera, task, inferred);
    if (camera->policy && !p->options.live)
        sp_frame_scheduler_done(p->scheduler, task->camera);
    if (inferred)
        sp_reading_note(p->reading, task->frame, task->detection_count);
    int64_t space_us = find_world_positions(camera, task, result);
    pass_on(worker, camera, result, &source);
    int64_t now_us = sp_clock_us();
    sp_histogram_add(&camera->stages[SP_STAGE_TOTAL].wall, now_us - task->frame->received_us);
    atomic_store(&camera->active_tracks, (uint32_t)result->track_count);
    if (p->options.live)
        note_live(camera, inferred, now_us, now_us - task->frame->received_us);
    sp_batch_note_tracking(task->batch, track_us, now_us - begin_us - track_us - space_us);
    sp_batch_note_space(task->batch, space_us);
}

static void finish_frame(struct sp_tracking_worker *worker, struct sp_frame_task *task)
{
    struct sp_pipeline *p = worker->pipeline;
    struct sp_camera *camera = &p->cameras[task->camera];
    bool inferred = task->image >= 0 && !task->failed;
    if (!camera->tracking.begun)
        begin_camera(camera);
    struct sp_result *result = sp_result_new(p->results, task->frame);
    bool done_early = result && camera->policy && !p->options.live;
    if (result)
        make_result(worker, camera, task, result);
    else
        refuse_result(camera);
    sp_result_unref(result);
    sp_speed_log_done(&p->speed_log, task->batch);
    sp_ledger_settle(camera->ledger, outcome_of(camera, task, inferred), 1);
    sp_frame_unref(task->frame);
    if (!done_early)
        sp_frame_scheduler_done(p->scheduler, task->camera);
}

static void end_camera(struct sp_camera *camera)
{
    const struct sp_pipeline_sink *sink = &camera->pipeline->options.sink;
    struct sp_error error;
    pthread_mutex_lock(&camera->mutex);
    error = camera->status.error;
    pthread_mutex_unlock(&camera->mutex);
    if (sink->end)
        sink->end(sink->user, camera->index, error.code == SP_OK ? NULL : &error);
    pthread_mutex_lock(&camera->mutex);
    camera->status.ended = true;
    bool removed = camera->status.removed;
    if (removed)
        sp_camera_free_index(camera);
    pthread_mutex_unlock(&camera->mutex);
}

void *sp_tracking_worker_main(void *argument)
{
    struct sp_tracking_worker *worker = argument;
    struct sp_pipeline *p = worker->pipeline;
    void *item;
    while (sp_queue_pop(worker->tasks, &item, -1) == SP_OK) {
        struct sp_frame_task *task = item;
        if (task->frame)
            finish_frame(worker, task);
        else
            end_camera(&p->cameras[task->camera]);
        sp_queue_push(p->free_tasks, task);
    }
    sp_pipeline_worker_done(p);
    return NULL;
}
