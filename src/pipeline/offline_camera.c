/* The thread of an offline camera: opens the source and pushes its frames to the scheduler. Live:
 * supervisor.c. */
#include "pipeline/offline_camera.h"

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/camera_source.h"
#include "pipeline/camera_state.h"
#include "pipeline/pipeline_impl.h"

#include <string.h>

/* The container's size may precede rotation (EXIF orientation is known only from the image). */
static void note_size(struct sp_camera *camera, const struct sp_frame *frame)
{
    pthread_mutex_lock(&camera->mutex);
    camera->status.info.width_px = frame->width_px;
    camera->status.info.height_px = frame->height_px;
    pthread_mutex_unlock(&camera->mutex);
}

/* Takes the reference. False: the scheduler is closed. */
static bool hand_on(struct sp_camera *camera, struct sp_frame *frame, struct sp_pass *pass)
{
    if (pass->next_sequence == 0)
        note_size(camera, frame);
    frame->sequence += pass->base_sequence;
    frame->pts_us += pass->base_pts_us;
    pass->next_sequence = frame->sequence + 1;
    pass->last_pts_us = frame->pts_us;
    return sp_camera_push(camera, frame);
}

/* One pass over the source. SP_OK: its end, or a stop; *again: it had frames, so it may be read
 * from the beginning. */
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

/* Reads the source once, or repeatedly with `loop`. It is rewound, not reopened: creating a decoder
 * on a GPU is slow (capture/libav_seek.c). */
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
        /* A source that was rewound and then gave no frame is reopened. */
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
