#include "pipeline/camera_source.h"

#include "base/log.h"
#include "pipeline/gpu.h"
#include "pipeline/pipeline_impl.h"

static const int64_t NETWORK_TIMEOUT_US = 10 * 1000000LL;

int sp_camera_open_source(struct sp_camera *camera, struct sp_source **source, struct sp_error *err)
{
    struct sp_pipeline *p = camera->pipeline;
    const struct sp_settings *s = p->settings;
    const struct sp_camera_setting *setting = &camera->status.setting;
    struct sp_source_options options = {
        .url = setting->url,
        .push = camera->push,
        .camera = camera->index,
        .pool = p->frames,
        .frame_skip = setting->frame_skip,
        .sparse = s->output_frames == SP_OUTPUT_FRAMES_INFERRED,
        .rewinds = p->options.loop,
        .decode_threads = setting->decode_threads,
        .open_timeout_us = NETWORK_TIMEOUT_US,
        .read_timeout_us = p->options.live ? setting->stall_timeout_ms * 1000LL
                           : camera->push  ? 0
                                           : NETWORK_TIMEOUT_US,
        .snapshot_interval_us = p->options.live ? setting->snapshot_interval_ms * 1000LL : 0,
        .rtsp_transport = (enum sp_source_transport)setting->rtsp_transport,
        .gpu = sp_camera_gpu(camera),
        .interrupted = &camera->interrupted,
    };
    if (spoton_engine_takes_images(p->engine))
        options.memory = (struct sp_source_memory){.alloc = p->engine->device_api->host_alloc,
                                                   .release = p->engine->device_api->host_free};
    int result = sp_source_open(source, &options, err);
    if (result < 0) {
        sp_camera_leave_gpu(camera);
        return result;
    }
    pthread_mutex_lock(&camera->mutex);
    sp_source_info(*source, &camera->status.info);
    pthread_mutex_unlock(&camera->mutex);
    return SP_OK;
}

void sp_camera_close_source(struct sp_camera *camera, struct sp_source *source)
{
    sp_ledger_pass(camera->ledger, SP_OUTCOME_FAILED, sp_source_failed(source));
    sp_source_close(source);
    sp_camera_leave_gpu(camera);
}

void sp_camera_begin_pass(struct sp_camera *camera, struct sp_pass *pass)
{
    /* A multiple of FRAME_SKIP, so that a sparse source's own count stays aligned. */
    uint64_t skip = (uint64_t)camera->status.setting.frame_skip;
    pass->base_sequence = (pass->next_sequence + skip - 1) / skip * skip;
    double rate =
        camera->status.info.frame_rate > 0 ? camera->status.info.frame_rate : SP_FRAME_RATE_DEFAULT;
    pass->base_pts_us = pass->last_pts_us + (int64_t)(1e6 / rate);
}

/* What the scheduling policy sees of the frame; without it the frame is inferred. */
static void reduce(struct sp_camera *camera, struct sp_frame *frame)
{
    struct sp_gate_shape shape;
    struct sp_stage_clock begin = sp_stage_begin();
    if (frame->surface) {
        if (!camera->gate_warned)
            sp_log(SP_LOG_WARNING,
                   "camera %s: INFERENCE=need has no effect on frames decoded by the GPU; use "
                   "DECODER=cpu",
                   camera->status.setting.name);
        camera->gate_warned = true;
        return;
    }
    if (!sp_gate_shape(frame->width_px, frame->height_px, &shape) ||
        sp_frame_hold_means(frame, shape.width, shape.height) < 0)
        return;
    sp_gate_reduce(frame, &shape, frame->means);
    sp_stage_end(&camera->stages[SP_STAGE_GATE], begin);
}

bool sp_camera_push(struct sp_camera *camera, struct sp_frame *frame)
{
    sp_histogram_add(&camera->stages[SP_STAGE_DECODE].wall, frame->decode_us);
    sp_camera_count_decoded(camera, frame);
    sp_ledger_pass(camera->ledger, SP_OUTCOME_SKIPPED, frame->undecoded);
    if (camera->policy)
        reduce(camera, frame);
    sp_ledger_receive(camera->ledger, 1);
    if (sp_frame_scheduler_push(camera->pipeline->scheduler, camera->index, frame) == SP_OK)
        return true;
    sp_ledger_settle(camera->ledger, SP_OUTCOME_DROPPED, 1);
    return false;
}

void sp_camera_end(struct sp_camera *camera)
{
    struct sp_pipeline *p = camera->pipeline;
    if (camera->push)
        sp_push_close(camera->push); /* no thread waits for room any more */
    sp_frame_scheduler_end_camera(p->scheduler, camera->index);
    if (atomic_fetch_sub(&p->cameras_reading, 1) == 1)
        sp_frame_scheduler_close(p->scheduler);
}
