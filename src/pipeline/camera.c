/* A camera's thread: opens the source and pushes its frames to the scheduler. Of a live pipeline:
 * supervisor.c. */
#include "pipeline/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <string.h>

static const int64_t NETWORK_TIMEOUT_US = 10 * 1000000LL;

void sp_camera_fail(struct sp_camera *camera, const struct sp_error *err)
{
    pthread_mutex_lock(&camera->mutex);
    bool first = camera->error.code == SP_OK;
    if (first)
        camera->error = *err;
    pthread_mutex_unlock(&camera->mutex);
    if (first)
        sp_log(SP_LOG_ERROR, "camera %s: %s", camera->setting.name, err->text);
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

int sp_camera_open_source(struct sp_camera *camera, struct sp_source **source, struct sp_error *err)
{
    struct sp_pipeline *p = camera->pipeline;
    const struct sp_settings *s = p->settings;
    struct sp_source_options options = {
        .url = camera->setting.url,
        .camera = camera->index,
        .pool = p->frames,
        .frame_skip = p->frame_skip,
        .sparse = s->output_frames == SP_OUTPUT_FRAMES_INFERRED,
        .decode_threads = s->decode_threads,
        .open_timeout_us = NETWORK_TIMEOUT_US,
        .read_timeout_us = p->options.live ? s->stall_timeout_ms * 1000LL : NETWORK_TIMEOUT_US,
        .snapshot_interval_us = p->options.live ? s->snapshot_interval_ms * 1000LL : 0,
        .gpu = sp_camera_gpu(camera),
        .interrupted = &camera->interrupted,
    };
    if (spoton_engine_takes_images(p->engine))
        options.memory = (struct sp_source_memory){.alloc = p->engine->host_alloc,
                                                   .release = p->engine->host_free};
    int result = sp_source_open(source, &options, err);
    if (result < 0) {
        sp_camera_leave_gpu(camera);
        return result;
    }
    pthread_mutex_lock(&camera->mutex);
    sp_source_info(*source, &camera->info);
    pthread_mutex_unlock(&camera->mutex);
    return SP_OK;
}

int64_t sp_camera_snapshot_us(const struct sp_camera *camera)
{
    return camera->info.snapshot ? camera->pipeline->settings->snapshot_interval_ms * 1000LL : 0;
}

void sp_camera_close_source(struct sp_camera *camera, struct sp_source *source)
{
    sp_ledger_pass(camera->ledger, SP_OUTCOME_FAILED, sp_source_failed(source));
    sp_source_close(source);
    sp_camera_leave_gpu(camera);
}

/* What a container announces may lie on its side (EXIF says so in the image itself). */
static void note_size(struct sp_camera *camera, const struct sp_frame *frame)
{
    pthread_mutex_lock(&camera->mutex);
    camera->info.width_px = frame->width_px;
    camera->info.height_px = frame->height_px;
    pthread_mutex_unlock(&camera->mutex);
}

/* Takes the reference. False: nobody wants more. */
static bool hand_on(struct sp_camera *camera, struct sp_frame *frame, struct sp_pass *pass)
{
    if (pass->next_sequence == 0)
        note_size(camera, frame);
    frame->sequence += pass->base_sequence;
    frame->pts_us += pass->base_pts_us;
    pass->next_sequence = frame->sequence + 1;
    pass->last_pts_us = frame->pts_us;
    sp_histogram_add(&camera->stages[SP_STAGE_DECODE].wall, frame->decode_us);
    sp_camera_count_decoded(camera, frame);
    sp_ledger_pass(camera->ledger, SP_OUTCOME_SKIPPED, frame->undecoded);
    sp_ledger_receive(camera->ledger, 1);
    if (sp_frame_scheduler_push(camera->pipeline->scheduler, camera->index, frame) == SP_OK)
        return true;
    sp_ledger_settle(camera->ledger, SP_OUTCOME_DROPPED, 1);
    return false;
}

/* One pass over the source. SP_OK: it ended well, or was told to stop; *again: it gave frames,
 * and may be read from its beginning. */
static int play(struct sp_camera *camera, struct sp_source *source, struct sp_pass *pass,
                bool *again, struct sp_error *err)
{
    struct sp_pipeline *p = camera->pipeline;
    int result = SP_OK;
    *again = false;
    while (!sp_camera_should_stop(camera)) {
        struct sp_frame *frame;
        struct sp_stage_clock begin = sp_stage_begin();
        result = sp_source_read(source, &frame, err);
        struct sp_stage_clock end = sp_stage_begin();
        atomic_fetch_add(&camera->stages[SP_STAGE_DECODE].cpu_us,
                         (uint64_t)(end.cpu_us - begin.cpu_us));
        if (result < 0)
            break;
        if (p->options.frame_limit &&
            frame->sequence + pass->base_sequence >= p->options.frame_limit) {
            sp_frame_unref(frame);
            atomic_store(&camera->stop, true);
            break;
        }
        if (!hand_on(camera, frame, pass))
            break;
    }
    if (result == SP_ERR_END) {
        uint64_t tail = sp_source_tail_undecoded(source);
        sp_ledger_pass(camera->ledger, SP_OUTCOME_SKIPPED, tail);
        pass->next_sequence += tail;
        *again = pass->next_sequence > pass->base_sequence;
        result = SP_OK;
    }
    return result == SP_ERR_INTERRUPTED ? SP_OK : result;
}

void sp_camera_begin_pass(struct sp_camera *camera, struct sp_pass *pass)
{
    /* A multiple of FRAME_SKIP, so that a sparse source's own count stays in step. */
    uint64_t skip = (uint64_t)camera->pipeline->frame_skip;
    pass->base_sequence = (pass->next_sequence + skip - 1) / skip * skip;
    double rate = camera->info.frame_rate > 0 ? camera->info.frame_rate : SP_FRAME_RATE_DEFAULT;
    pass->base_pts_us = pass->last_pts_us + (int64_t)(1e6 / rate);
}

void sp_camera_end(struct sp_camera *camera)
{
    struct sp_pipeline *p = camera->pipeline;
    sp_frame_scheduler_end_camera(p->scheduler, camera->index);
    if (atomic_fetch_sub(&p->cameras_reading, 1) == 1)
        sp_frame_scheduler_close(p->scheduler);
}

/* Passes over the source, until its end or over and over. It is rewound, not opened anew: a decoder
 * on a GPU takes long to make (FFmpeg makes that of H.264 anew all the same). */
static int play_all(struct sp_camera *camera, struct sp_error *err)
{
    const struct sp_pipeline *p = camera->pipeline;
    struct sp_pass pass = {0};
    struct sp_source *source = NULL;
    bool rewound = false, again;
    int result = SP_OK;
    for (;;) {
        if (!source)
            result = sp_camera_open_source(camera, &source, err);
        if (result < 0)
            return sp_camera_should_stop(camera) ? SP_OK : result;
        result = play(camera, source, &pass, &again, err);
        /* One that could be rewound and then gave nothing is opened anew. */
        if (result < 0 || !p->options.loop || sp_camera_should_stop(camera) || !(again || rewound))
            break;
        rewound = again && sp_source_seek(source, 0, err) == SP_OK;
        if (!rewound) {
            sp_camera_close_source(camera, source);
            source = NULL;
        }
        sp_camera_begin_pass(camera, &pass);
    }
    if (source)
        sp_camera_close_source(camera, source);
    return result;
}

void *sp_camera_main(void *argument)
{
    struct sp_camera *camera = argument;
    struct sp_error err = {0};
    if (play_all(camera, &err) < 0)
        sp_camera_fail(camera, &err);
    sp_camera_end(camera);
    return NULL;
}
