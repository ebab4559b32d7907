#include "pipeline/lifecycle.h"

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/camera_state.h"
#include "pipeline/pipeline_impl.h"

#include <errno.h>
#include <time.h>

void sp_pipeline_stop(struct sp_pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->mutex);
    bool waits_for_stop = pipeline->options.live && pipeline->started && !pipeline->stopping;
    pipeline->stopping = true;
    pthread_mutex_unlock(&pipeline->mutex);
    if (waits_for_stop && atomic_fetch_sub(&pipeline->cameras_reading, 1) == 1)
        sp_frame_scheduler_close(pipeline->scheduler);
    for (int i = 0; i < pipeline->camera_count; i++)
        sp_camera_stop(&pipeline->cameras[i]);
}

/* ---- errors, stopping, waiting ---- */

void sp_pipeline_fail(struct sp_pipeline *pipeline, const struct sp_error *err)
{
    pthread_mutex_lock(&pipeline->mutex);
    bool first = pipeline->error.code == SP_OK;
    if (first)
        pipeline->error = *err;
    pthread_mutex_unlock(&pipeline->mutex);
    atomic_store(&pipeline->broken, true);
    if (first)
        sp_log(SP_LOG_ERROR, "%s", err->text);
    sp_pipeline_stop(pipeline);
}

void sp_pipeline_error(struct sp_pipeline *pipeline, struct sp_error *error)
{
    pthread_mutex_lock(&pipeline->mutex);
    *error = pipeline->error;
    pthread_mutex_unlock(&pipeline->mutex);
}

bool sp_pipeline_wait(struct sp_pipeline *pipeline, int64_t timeout_us)
{
    int64_t deadline_us = sp_clock_us() + timeout_us;
    struct timespec at = {.tv_sec = deadline_us / 1000000,
                          .tv_nsec = (deadline_us % 1000000) * 1000};
    pthread_mutex_lock(&pipeline->mutex);
    while (!pipeline->done)
        if (pthread_cond_timedwait(&pipeline->done_changed, &pipeline->mutex, &at) == ETIMEDOUT)
            break;
    bool done = pipeline->done;
    pthread_mutex_unlock(&pipeline->mutex);
    return done;
}

void sp_pipeline_worker_done(struct sp_pipeline *pipeline)
{
    if (atomic_fetch_sub(&pipeline->workers_running, 1) != 1)
        return;
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->done = true;
    pthread_cond_broadcast(&pipeline->done_changed);
    pthread_mutex_unlock(&pipeline->mutex);
}
