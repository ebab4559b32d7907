#include "base/clock.h"
#include "base/thread.h"
#include "library/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

static const int64_t WATCH_US = 100000;
static const int64_t WAIT_US = 3600 * 1000000LL; /* at a time, without a limit */

/* ---- opening and closing ---- */

static int open_live(struct spoton_pipeline *p, struct sp_error *err)
{
    const struct sp_library_live_options options = {.settings = &p->settings,
                                                    .events = p->events,
                                                    .outputs = p->options.outputs != 0,
                                                    .analytics = p->options.analytics != 0};
    if (!options.outputs && !options.analytics)
        return SP_OK;
    if (!p->options.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "pipeline: `outputs` and `analytics` are for live pipelines; set `live`");
    struct sp_log_sink *before = sp_log_use(p->sink); /* its threads inherit it */
    int result = sp_library_live_open(&p->live, &options, err);
    if (result == SP_OK)
        p->last_epoch = sp_library_live_epoch(p->live);
    sp_log_use(before);
    return result;
}

static int open_parts(struct spoton_pipeline *p, const struct spoton_settings *settings,
                      struct sp_error *err)
{
    struct sp_event_log_options events = {.listener = sp_library_event, .user = p};
    if (settings)
        p->settings = settings->values;
    else
        sp_settings_default(&p->settings);
    int result = sp_settings_check(&p->settings, err);
    if (result == SP_OK)
        result = sp_library_open_log(&p->sink, &p->settings, p->options.log, p->options.user, err);
    if (result == SP_OK)
        result = sp_frame_memory_open(&p->memory, err);
    if (result == SP_OK)
        result = sp_event_log_open(&p->events, &events, err);
    if (result == SP_OK)
        result = open_live(p, err);
    if (result == SP_OK)
        result = sp_library_add_handles(p, err);
    return result;
}

int spoton_pipeline_open(struct spoton_pipeline **out,
                         const struct spoton_pipeline_options *options, struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_pipeline_options copy;
    int result = sp_library_copy(&copy, sizeof copy, options, "pipeline options", &why);
    if (result < 0)
        return sp_library_return(err, result, &why);
    struct spoton_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return sp_library_return(err, sp_fail(&why, SP_ERR_NO_MEMORY, "pipeline: out of memory"),
                                 &why);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    p->options = copy;
    p->options.settings = NULL;
    result = open_parts(p, copy.settings, &why);
    if (result < 0) {
        spoton_pipeline_close(p);
        return sp_library_return(err, result, &why);
    }
    *out = p;
    return SPOTON_OK;
}

static void end_watcher(struct spoton_pipeline *p)
{
    if (!p->watcher_started)
        return;
    pthread_mutex_lock(&p->mutex);
    p->watcher_ends = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->watcher, NULL);
    p->watcher_started = false;
}

void spoton_pipeline_close(struct spoton_pipeline *pipeline)
{
    struct spoton_pipeline *p = pipeline;
    if (!p)
        return;
    struct sp_log_sink *before = sp_log_use(p->sink);
    spoton_pipeline_stop(p);
    sp_pipeline_join(atomic_load(&p->running)); /* ends of cameras are events */
    end_watcher(p);
    sp_camera_events_close(p->camera_events);
    sp_library_live_close(p->live);
    sp_pipeline_close(atomic_load(&p->running));
    while (p->cameras) {
        struct spoton_camera *camera = p->cameras;
        p->cameras = camera->next;
        sp_library_free_handle(camera);
    }
    sp_event_log_close(p->events);
    sp_frame_memory_close(p->memory);
    sp_log_use(before);
    sp_log_sink_close(p->sink);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

/* ---- starting ---- */

static void *watch(void *argument)
{
    struct spoton_pipeline *p = argument;
    pthread_mutex_lock(&p->mutex);
    while (!p->watcher_ends) {
        int64_t until_us = sp_clock_us() + WATCH_US;
        struct timespec at = {.tv_sec = until_us / 1000000, .tv_nsec = (until_us % 1000000) * 1000};
        pthread_mutex_unlock(&p->mutex);
        sp_camera_events_poll(p->camera_events);
        pthread_mutex_lock(&p->mutex);
        while (!p->watcher_ends && sp_clock_us() < until_us)
            if (pthread_cond_timedwait(&p->changed, &p->mutex, &at) == ETIMEDOUT)
                break;
    }
    pthread_mutex_unlock(&p->mutex);
    sp_camera_events_poll(p->camera_events);
    return NULL;
}

static int start_watcher(struct spoton_pipeline *p, struct sp_pipeline *running,
                         struct sp_error *err)
{
    struct sp_camera_events_options options = {
        .pipeline = running, .log = p->events, .epoch = sp_library_epoch, .user = p};
    if (!p->options.live || !(p->options.event || p->options.outputs))
        return SP_OK;
    int result = sp_camera_events_open(&p->camera_events, &options, err);
    if (result == SP_OK)
        result = sp_thread_start(&p->watcher, "events", watch, p, err);
    p->watcher_started = result == SP_OK;
    return result;
}

static int start(struct spoton_pipeline *p, struct sp_error *err)
{
    struct sp_push *push[SP_CAMERAS_MAX] = {0};
    for (struct spoton_camera *camera = p->cameras; camera; camera = camera->next)
        push[camera->index] = camera->push;
    struct sp_pipeline_options options = {
        .settings = &p->settings,
        .live = p->options.live != 0,
        .loop = p->options.loop != 0,
        .sink = sp_library_sink(p),
        .environment = "library",
        .push = push,
    };
    if (p->settings.camera_count == 0 && !options.live)
        return sp_fail(err, SP_ERR_INVALID,
                       "pipeline: no camera; add one with spoton_camera_add, or set `live`");
    struct sp_pipeline *running;
    int result = sp_pipeline_open(&running, &options, err);
    if (result < 0)
        return result;
    if (p->live)
        sp_library_live_attach(p->live, running);
    for (int i = 0; i < p->settings.camera_count; i++)
        sp_library_enter(p, i, p->settings.camera[i].name);
    atomic_store(&p->running, running); /* the callbacks use it */
    result = sp_pipeline_start(running, err);
    if (result == SP_OK)
        result = start_watcher(p, running, err);
    if (result == SP_OK && atomic_load(&p->stopping))
        sp_pipeline_stop(running);
    return result;
}

int spoton_pipeline_start(struct spoton_pipeline *pipeline, struct spoton_error *err)
{
    struct sp_error why = {0};
    struct sp_log_sink *before = sp_log_use(pipeline->sink);
    int result =
        atomic_load(&pipeline->running)
            ? sp_fail(&why, SP_ERR_INVALID, "pipeline: it was started before; open another")
            : start(pipeline, &why);
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}

/* ---- running ---- */

int spoton_pipeline_wait(struct spoton_pipeline *pipeline, int64_t timeout_us,
                         struct spoton_error *err)
{
    struct sp_pipeline *running = atomic_load(&pipeline->running);
    struct sp_error why = {0};
    if (!running)
        return sp_library_return(err, sp_fail(&why, SP_ERR_INVALID, "pipeline: it is not started"),
                                 &why);
    bool done = sp_pipeline_wait(running, timeout_us < 0 ? WAIT_US : timeout_us);
    while (!done && timeout_us < 0)
        done = sp_pipeline_wait(running, WAIT_US);
    int result = SP_OK;
    if (done) {
        sp_pipeline_error(running, &why);
        result = why.code;
    } else {
        result = sp_fail(&why, SP_ERR_TIMEOUT, "pipeline: it is running");
    }
    return sp_library_return(err, result, &why);
}

void spoton_pipeline_stop(struct spoton_pipeline *pipeline)
{
    struct sp_log_sink *before = sp_log_use(pipeline->sink);
    atomic_store(&pipeline->stopping, true);
    struct sp_pipeline *running = atomic_load(&pipeline->running);
    if (running)
        sp_pipeline_stop(running);
    pthread_mutex_lock(&pipeline->mutex);
    for (struct spoton_camera *camera = pipeline->cameras; camera; camera = camera->next)
        if (camera->push)
            sp_push_close(camera->push); /* no thread waits for room any more */
    pthread_mutex_unlock(&pipeline->mutex);
    sp_log_use(before);
}

const char *spoton_pipeline_class_name(const struct spoton_pipeline *pipeline, int class_id)
{
    struct sp_pipeline *running = atomic_load(&pipeline->running);
    return running ? sp_class_names_get(&sp_pipeline_model(running)->class_names, class_id) : NULL;
}
