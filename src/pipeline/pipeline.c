#include "pipeline/pipeline_impl.h"

#include "base/clock.h"
#include "base/cpu.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/loader.h"
#include "pipeline/camera_head.h"
#include "pipeline/camera_registry.h"
#include "pipeline/camera_state.h"
#include "pipeline/classes.h"
#include "pipeline/collector.h"
#include "pipeline/detector_pool.h"
#include "pipeline/devices.h"
#include "pipeline/dispatcher.h"
#include "pipeline/gpu.h"
#include "pipeline/lifecycle.h"
#include "pipeline/tracking_worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAILBOX_FRAMES = 4, /* so that the engine never waits for a decode thread to be scheduled */
    BATCHES = 32,       /* in flight or queued, per device */
    REQUESTS_BUSY = 6,
    TASKS_BESIDE_REQUESTS = 24,
    WORKER_QUEUE_TASKS = 8,
    /* Live: frames of one camera in flight. Few, so that a slow sink adds little latency; enough
     * for an engine that processes several frames of one camera at once. */
    LIVE_CREDITS = 4,
};

static int live_gather(const struct sp_pipeline *p)
{
    return sp_model_choice_gather(&p->choice, p->settings->camera_count,
                                  p->settings->batch_accumulation);
}

/* Frames of a camera in a batch, and as many in the next one. */
static int live_credits(const struct sp_pipeline *p)
{
    int two_batches = 2 * live_gather(p);
    return two_batches > LIVE_CREDITS ? two_batches : LIVE_CREDITS;
}

/* Each camera's frames and its end: no thread ever waits for a task, a batch or a worker's queue.
 */
static size_t live_tasks(const struct sp_pipeline *p)
{
    return (size_t)SP_CAMERAS_MAX * (size_t)(live_credits(p) + 1);
}

static int open_model(struct sp_pipeline *p, struct sp_error *err)
{
    int result = sp_model_choose(&p->choice, p->settings, err);
    if (result == SP_OK && p->options.live)
        result = sp_model_choice_spill(&p->choice, p->settings, err);
    if (result == SP_OK) {
        p->engine = p->choice.engine;
        p->model = p->choice.model;
        result = sp_model_choice_cache_dir(p->cache_dir, p->settings, err);
    }
    if (result == SP_OK)
        result = sp_model_choice_check_quantization(&p->choice, p->settings, p->cores,
                                                    p->cache_dir[0] ? p->cache_dir : NULL,
                                                    p->options.interrupted, err);
    if (result == SP_OK)
        result = sp_classes_choose(&p->class_wanted, &p->model, p->settings->classes, err);
    return result;
}

static int open_cameras(struct sp_pipeline *p, struct sp_error *err)
{
    const struct sp_settings *s = p->settings;
    int capacity = p->options.live ? SP_CAMERAS_MAX : s->camera_count;
    p->ledgers = calloc((size_t)capacity, sizeof *p->ledgers);
    p->cameras = calloc((size_t)capacity, sizeof *p->cameras);
    if (!p->cameras || !p->ledgers)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%d cameras: out of memory", capacity);
    for (; p->camera_count < capacity; p->camera_count++)
        sp_camera_init(p, p->camera_count);
    int result = SP_OK;
    for (int i = 0; i < s->camera_count && result == SP_OK; i++)
        result = sp_camera_fill(&p->cameras[i], &s->camera[i],
                                p->options.push ? p->options.push[i] : NULL, err);
    if (result == SP_OK)
        result = sp_pipeline_merge_heads(p, err);
    if (result == SP_OK)
        result = sp_frame_pool_open(&p->frames, err);
    if (result == SP_OK)
        result = sp_result_pool_open(&p->results, err);
    if (result < 0)
        return result;
    struct sp_frame_scheduler_options options = {.cameras = p->camera_count,
                                                 .mailbox_frames = MAILBOX_FRAMES,
                                                 .ledgers = p->ledgers,
                                                 .by_time = p->options.by_time};
    if (p->options.live) {
        options.live = true;
        options.mailbox_frames = live_gather(p);
        options.credits = live_credits(p);
    }
    result = sp_frame_scheduler_open(&p->scheduler, &options, err);
    for (int i = 0; i < p->camera_count && result == SP_OK; i++)
        sp_camera_set_credits(&p->cameras[i]);
    return result;
}

/* The queues between the threads, and the pools of tasks and batches that move through them. A
 * pool's queue is as long as the pool, so returning an item never blocks. */
static int open_queues(struct sp_pipeline *p, struct sp_error *err)
{
    bool live = p->options.live;
    int batch = p->model.fixed_batch ? p->model.fixed_batch : p->choice.batch;
    size_t devices = (size_t)p->device_count,
           in_requests = REQUESTS_BUSY * (size_t)(batch > 0 ? batch : 1);
    size_t tasks = live ? live_tasks(p) : TASKS_BESIDE_REQUESTS + devices * in_requests;
    size_t batch_queue = live ? live_tasks(p) : BATCHES * devices;
    int result = sp_queue_open(&p->free_batches, batch_queue, err);
    for (int i = 0; i < p->device_count && result == SP_OK; i++)
        result = sp_queue_open(&p->devices[i].batch_queue, batch_queue, err);
    for (int i = 0; i < p->camera_count; i++)
        p->cameras[i].scheduling.route = &p->devices[0];
    if (result == SP_OK)
        result = sp_queue_open(&p->free_tasks, tasks, err);
    if (result < 0)
        return result;
    p->batch_memory = calloc(batch_queue, sizeof *p->batch_memory);
    p->task_memory = calloc(tasks, sizeof *p->task_memory);
    p->worker_count = p->camera_count < p->cores ? p->camera_count : p->cores;
    p->workers = calloc((size_t)p->worker_count, sizeof *p->workers);
    if (!p->batch_memory || !p->task_memory || !p->workers)
        return sp_fail(err, SP_ERR_NO_MEMORY, "pipeline: out of memory");
    for (size_t i = 0; i < batch_queue; i++)
        sp_queue_push(p->free_batches, &p->batch_memory[i]);
    for (size_t i = 0; i < tasks; i++)
        sp_queue_push(p->free_tasks, &p->task_memory[i]);
    for (int i = 0; i < p->worker_count && result == SP_OK; i++) {
        p->workers[i].pipeline = p;
        p->workers[i].index = i;
        result = sp_queue_open(&p->workers[i].tasks, live ? tasks : WORKER_QUEUE_TASKS, err);
    }
    return result;
}

static int count_cores(const struct sp_settings *settings)
{
    if (settings->threads > 0)
        return settings->threads;
    struct sp_cpu cpu;
    sp_cpu_read(&cpu);
    return cpu.cores_usable;
}

int sp_pipeline_open(struct sp_pipeline **out, const struct sp_pipeline_options *options,
                     struct sp_error *err)
{
    const struct sp_settings *s = options->settings;
    if (s->camera_count == 0 && !options->live)
        return sp_fail(err, SP_ERR_INVALID,
                       "no camera given; name one with --camera NAME=URL, CAMERA_<NAME>=URL in the "
                       "settings, or a file");
    struct sp_pipeline *p = calloc(1, sizeof *p);
    if (!p)
        return sp_fail(err, SP_ERR_NO_MEMORY, "pipeline: out of memory");
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->done_changed, &monotonic);
    pthread_cond_init(&p->instance_opened, NULL);
    pthread_condattr_destroy(&monotonic);
    p->options = *options;
    p->settings = s;
    p->timestamps = s->track_dt != SP_TRACK_DT_FRAMES;
    p->cores = count_cores(s);
    sp_speed_log_init(&p->speed_log, options->environment ? options->environment : "run");
    bool mapped = options->live && s->spatial_match;
    int result = open_model(p, err);
    if (result == SP_OK && mapped)
        result = sp_embedding_worker_open(&p->embedding_worker, s, p->engine,
                                          p->cache_dir[0] ? p->cache_dir : NULL, err);
    if (result == SP_OK && mapped)
        result = sp_map_open(&p->map, s, SP_CAMERAS_MAX,
                             sp_embedding_worker_dimensions(p->embedding_worker), err);
    if (result == SP_OK && p->embedding_worker)
        result = sp_embedding_worker_start(p->embedding_worker, p->map, err);
    struct sp_reading_options reading = {
        .choice = &p->choice, .settings = s, .watch = options->live};
    if (result == SP_OK)
        result = sp_reading_open(&p->reading, &reading, err);
    if (result == SP_OK)
        result = sp_devices_open(p, err);
    if (result == SP_OK)
        result = sp_gpu_check(p, err);
    if (result == SP_OK)
        result = open_cameras(p, err);
    if (result == SP_OK)
        result = open_queues(p, err);
    if (result < 0) {
        sp_pipeline_close(p);
        return result;
    }
    *out = p;
    return SP_OK;
}

/* ---- starting and closing ---- */

/* From downstream to upstream, so that each thread's consumer is already running. */
static int start_threads(struct sp_pipeline *p, struct sp_error *err)
{
    int result = SP_OK;
    char name[16];
    for (int i = 0; i < p->worker_count && result == SP_OK; i++) {
        snprintf(name, sizeof name, "track-%d", i);
        result = sp_thread_start(&p->workers[i].thread, name, sp_tracking_worker_main,
                                 &p->workers[i], err);
        if (result == SP_OK)
            p->workers_started++;
    }
    for (int i = 0; i < p->device_count && result == SP_OK; i++) {
        struct sp_device *device = &p->devices[i];
        result = sp_thread_start(&device->collector, "collector", sp_collector_main, device, err);
        device->collector_started = result == SP_OK;
    }
    if (result == SP_OK)
        result = sp_detector_pool_start(p, err);
    if (result == SP_OK) {
        result = sp_thread_start(&p->dispatcher, "dispatcher", sp_dispatcher_main, p, err);
        p->dispatcher_started = result == SP_OK;
    }
    pthread_mutex_lock(&p->mutex);
    for (int i = 0; i < p->settings->camera_count && result == SP_OK; i++)
        result = sp_camera_start(&p->cameras[i], err);
    pthread_mutex_unlock(&p->mutex);
    return result;
}

int sp_pipeline_start(struct sp_pipeline *pipeline, struct sp_error *err)
{
    atomic_store(&pipeline->cameras_reading,
                 pipeline->settings->camera_count + (pipeline->options.live ? 1 : 0));
    atomic_store(&pipeline->workers_running,
                 pipeline->worker_count + pipeline->device_count); /* each device has an opener */
    atomic_store(&pipeline->collectors_running, pipeline->device_count);
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->started = true;
    pthread_mutex_unlock(&pipeline->mutex);
    return start_threads(pipeline, err);
}

void sp_pipeline_join(struct sp_pipeline *pipeline)
{
    struct sp_pipeline *p = pipeline;
    if (!p || p->joined)
        return;
    p->joined = true;
    sp_pipeline_stop(p);
    for (int i = 0; i < p->camera_count; i++)
        if (p->cameras[i].thread_started)
            pthread_join(p->cameras[i].thread, NULL);
    if (p->scheduler)
        sp_frame_scheduler_close(p->scheduler);
    /* A stage that never started cannot close the queue behind it. */
    if (p->dispatcher_started)
        pthread_join(p->dispatcher, NULL);
    for (int i = 0; i < p->device_count; i++) {
        if (p->devices[i].batch_queue)
            sp_queue_close(p->devices[i].batch_queue);
        if (p->devices[i].collector_started)
            pthread_join(p->devices[i].collector, NULL);
    }
    for (int i = 0; i < p->workers_started; i++) {
        sp_queue_close(p->workers[i].tasks);
        pthread_join(p->workers[i].thread, NULL);
    }
}

void sp_pipeline_close(struct sp_pipeline *pipeline)
{
    struct sp_pipeline *p = pipeline;
    if (!p)
        return;
    sp_pipeline_join(p);
    sp_reading_close(p->reading);
    sp_detector_pool_close(p);
    for (int i = 0; p->workers && i < p->worker_count; i++)
        sp_queue_free(p->workers[i].tasks);
    free(p->workers);
    for (int i = 0; i < p->device_count; i++)
        sp_queue_free(p->devices[i].batch_queue);
    sp_queue_free(p->free_batches);
    sp_queue_free(p->free_tasks);
    free(p->batch_memory);
    free(p->task_memory);
    sp_frame_scheduler_free(p->scheduler);
    sp_result_pool_close(p->results);
    sp_frame_pool_close(p->frames);
    for (int i = 0; i < p->camera_count; i++)
        sp_camera_release(&p->cameras[i]);
    free(p->cameras);
    free(p->ledgers);
    free(p->class_wanted);
    free(p->class_decoded);
    sp_embedding_worker_close(p->embedding_worker);
    sp_map_close(p->map);
    sp_speed_log_release(&p->speed_log);
    pthread_cond_destroy(&p->instance_opened);
    pthread_cond_destroy(&p->done_changed);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}
