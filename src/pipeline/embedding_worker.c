#include "pipeline/embedding_worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "embed/embedder.h"
#include "engine/loader.h"
#include "pipeline/map.h"
#include "surface.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAITING_MAX = 2 * SP_EMBEDDER_BATCH, NO_CAMERA = SP_CAMERAS_MAX };

/* The quota of the process's CPU time; unused time accumulates up to SAVED_MAX_US. */
static const double CPU_QUOTA = 0.1, SAVED_MAX_US = 200000;
static const int64_t POLL_US = 20000, TOO_OLD_US = 2000000;

struct crop {
    int camera; /* -1: free */
    uint32_t track_id;
    bool taken;     /* by the thread, or being filled */
    bool forgotten; /* its camera left while it was taken */
    int64_t at_us;
    struct sp_stage_stats *stage;
    uint8_t *rgb;
};

struct sp_embedding_worker {
    struct sp_embedder *embedder;
    struct sp_map *map;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, stopping, failed;
    size_t crop_bytes;
    int width_px, height_px;
    struct crop crop[WAITING_MAX];
    struct sp_crop_scratch *scratch; /* guarded by `filling` */
    pthread_mutex_t filling;
    uint8_t *batch;
    int64_t common_us, moved_us, expired_us; /* in the space stage's time; the thread's */
    int64_t least_us;                        /* the fastest batch so far; the thread's */
    double saved_us;                         /* the CPU time left in the quota */
    int64_t cpu_us;                          /* of the process, at the last reading */
};

static int read_colors(const char *key, const char *text, double low, float to[3],
                       struct sp_error *err)
{
    char *end;
    for (int i = 0; i < 3; i++) {
        to[i] = strtof(text, &end);
        bool last = i == 2;
        if (end == text || !(to[i] >= low && to[i] <= 10) || *end != (last ? '\0' : ','))
            return sp_fail(
                err, SP_ERR_INVALID,
                "%s: invalid value; use three numbers from %g to 10, such as 0.5,0.5,0.5", key,
                low);
        text = end + 1;
    }
    return SP_OK;
}

/* The checkpoint files that SpotOn accepted. */
static bool is_checkpoint(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcmp(dot, ".tar") == 0 || strcmp(dot, ".pth") == 0 || strcmp(dot, ".pt") == 0);
}

/* On the detector's engine, or, if that does not support the model (the CUDA engine applies no mean
 * and deviation), on a CPU engine: ONNX Runtime first, which the CUDA engine has already loaded. */
static int open_embedder(struct sp_embedding_worker *worker, struct sp_embedder_options *options,
                         struct sp_error *err)
{
    static const char *const others[] = {"onnxruntime", "openvino"};
    const char *first = options->engine->name;
    struct sp_error why = {0}, missing;
    int result = sp_embedder_open(&worker->embedder, options, &why);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (result != SP_ERR_ENGINE && result != SP_ERR_UNSUPPORTED)
            break;
        char refused[sizeof why.text];
        if (strcmp(others[i], first) == 0 ||
            sp_engine_load(&options->engine, others[i], &missing) < 0)
            continue;
        snprintf(refused, sizeof refused, "%s", why.text);
        result = sp_embedder_open(&worker->embedder, options, &why);
        if (result == SP_OK)
            sp_log(SP_LOG_INFO, "%s; using engine %s for it", refused, others[i]);
    }
    return result < 0 ? sp_fail(err, result, "%s", why.text) : SP_OK;
}

int sp_embedding_worker_open(struct sp_embedding_worker **out, const struct sp_settings *settings,
                             const struct spoton_engine_api *engine, const char *cache_dir,
                             struct sp_error *err)
{
    *out = NULL;
    if (!settings->reid_model[0])
        return SP_OK;
    if (is_checkpoint(settings->reid_model)) {
        sp_log(SP_LOG_WARNING,
               "REID_MODEL_PATH: %s is a PyTorch checkpoint; export it to ONNX. Associating "
               "without appearance",
               settings->reid_model);
        return SP_OK;
    }
    struct sp_embedding_worker *worker = calloc(1, sizeof *worker);
    if (!worker)
        return sp_fail(err, SP_ERR_NO_MEMORY, "embeddings: out of memory");
    pthread_mutex_init(&worker->mutex, NULL);
    pthread_mutex_init(&worker->filling, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    struct sp_embedder_options options = {
        .engine = engine, .model_path = settings->reid_model, .cache_dir = cache_dir};
    int result = read_colors("REID_MEAN", settings->reid_mean, -10, options.mean, err);
    if (result == SP_OK)
        result = read_colors("REID_STD", settings->reid_std, 1e-3, options.deviation, err);
    if (result == SP_OK)
        result = open_embedder(worker, &options, err);
    for (int i = 0; i < WAITING_MAX; i++)
        worker->crop[i].camera = -1;
    if (result == SP_OK)
        result = sp_crop_scratch_open(&worker->scratch, err);
    if (result == SP_OK) {
        sp_embedder_crop_size(worker->embedder, &worker->width_px, &worker->height_px);
        worker->crop_bytes = 3 * (size_t)worker->width_px * (size_t)worker->height_px;
        worker->batch = malloc(SP_EMBEDDER_BATCH * worker->crop_bytes);
        bool whole = worker->batch != NULL;
        for (int i = 0; i < WAITING_MAX; i++) {
            worker->crop[i].rgb = malloc(worker->crop_bytes);
            whole = whole && worker->crop[i].rgb;
        }
        if (!whole)
            result = sp_fail(err, SP_ERR_NO_MEMORY, "embeddings: out of memory");
    }
    if (result < 0) {
        sp_embedding_worker_close(worker);
        return result;
    }
    *out = worker;
    return SP_OK;
}

int sp_embedding_worker_dimensions(const struct sp_embedding_worker *worker)
{
    return worker ? sp_embedder_numbers(worker->embedder) : 0;
}

/* ---- tracking workers ---- */

/* With the mutex held: a free entry for this track; NULL: its crop is waiting already, or none is
 * free. */
static struct crop *free_entry_for(struct sp_embedding_worker *worker, int camera,
                                   uint32_t track_id)
{
    struct crop *entry = NULL;
    for (int i = 0; i < WAITING_MAX; i++) {
        struct crop *c = &worker->crop[i];
        if (c->camera == camera && c->track_id == track_id)
            return NULL;
        if (c->camera < 0 && !entry)
            entry = c;
    }
    return worker->failed ? NULL : entry;
}

static bool take_crop(struct sp_embedding_worker *worker, const struct sp_frame *frame,
                      const struct sp_track *track, struct sp_stage_stats *stage)
{
    const double box[4] = {track->x1_px, track->y1_px, track->x2_px, track->y2_px};
    struct sp_error err;
    pthread_mutex_lock(&worker->mutex);
    struct crop *c = free_entry_for(worker, frame->camera, track->id);
    if (c) {
        c->camera = frame->camera;
        c->track_id = track->id;
        c->taken = true;
        c->forgotten = false;
        c->at_us = sp_clock_us();
        c->stage = stage;
    }
    pthread_mutex_unlock(&worker->mutex);
    if (!c)
        return false;
    bool fetched = sp_frame_fetch(frame, &err) == SP_OK;
    pthread_mutex_lock(&worker->filling);
    bool filled = fetched && sp_crop_fill(worker->scratch, frame, box, worker->width_px,
                                          worker->height_px, c->rgb, &err) == SP_OK;
    pthread_mutex_unlock(&worker->filling);
    pthread_mutex_lock(&worker->mutex);
    c->taken = false;
    if (!filled || c->forgotten)
        c->camera = -1;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    return true;
}

void sp_embedding_worker_offer(struct sp_embedding_worker *worker, const struct sp_frame *frame,
                               const struct sp_track *tracks, size_t count,
                               struct sp_stage_stats *stage)
{
    struct sp_space *space = sp_map_space(worker->map);
    int wish[SP_TRACKS_MAX], most = 0;
    for (size_t i = 0; i < count; i++) {
        wish[i] = sp_space_embedding_wanted(space, frame->camera, tracks[i].id);
        most = wish[i] > most ? wish[i] : most;
    }
    if (most == 0)
        return;
    struct sp_stage_clock begin = sp_stage_begin();
    bool took = false;
    for (; most > 0; most--) /* the most useful ones first */
        for (size_t i = 0; i < count; i++)
            if (wish[i] == most)
                took = take_crop(worker, frame, &tracks[i], stage) || took;
    if (!took)
        return;
    int64_t spent_us = sp_stage_end(stage, begin);
    pthread_mutex_lock(&worker->mutex);
    worker->saved_us -= (double)spent_us;
    pthread_mutex_unlock(&worker->mutex);
}

void sp_embedding_worker_forget(struct sp_embedding_worker *worker, int camera)
{
    if (!worker)
        return;
    pthread_mutex_lock(&worker->mutex);
    for (int i = 0; i < WAITING_MAX; i++) {
        struct crop *c = &worker->crop[i];
        if (c->camera != camera)
            continue;
        c->forgotten = c->taken;
        /* A taken crop keeps its entry until it is done, without a camera. */
        c->camera = c->taken ? NO_CAMERA : -1;
    }
    pthread_mutex_unlock(&worker->mutex);
}

/* ---- the thread ---- */

/* With the mutex held. */
static void update_quota(struct sp_embedding_worker *worker)
{
    int64_t cpu_us = sp_process_cpu_us();
    worker->saved_us += CPU_QUOTA * (double)(cpu_us - worker->cpu_us);
    worker->saved_us = worker->saved_us < SAVED_MAX_US ? worker->saved_us : SAVED_MAX_US;
    worker->cpu_us = cpu_us;
}

/* With the mutex held: copies waiting crops into the batch. Crops that are too old are dropped. */
static int gather(struct sp_embedding_worker *worker, struct crop *chosen[SP_EMBEDDER_BATCH])
{
    int count = 0;
    int64_t now_us = sp_clock_us();
    for (int i = 0; i < WAITING_MAX && count < SP_EMBEDDER_BATCH; i++) {
        struct crop *c = &worker->crop[i];
        if (c->camera < 0 || c->taken)
            continue;
        if (now_us - c->at_us > TOO_OLD_US) {
            c->camera = -1;
            continue;
        }
        c->taken = true;
        memcpy(worker->batch + (size_t)count * worker->crop_bytes, c->rgb, worker->crop_bytes);
        chosen[count++] = c;
    }
    return count;
}

static void embed(struct sp_embedding_worker *worker, struct crop **chosen, int count)
{
    const float *embeddings = NULL;
    struct sp_error err = {0};
    int64_t begin_us = sp_clock_us();
    int result = sp_embedder_run(worker->embedder, worker->batch, count, &embeddings, &err);
    int64_t spent_us = sp_clock_us() - begin_us;
    /* On one thread wall time is CPU time, except while the thread was preempted. */
    if (worker->least_us == 0 || spent_us < worker->least_us)
        worker->least_us = spent_us;
    if (spent_us > 2 * worker->least_us)
        spent_us = 2 * worker->least_us;
    if (result < 0)
        sp_log(SP_LOG_ERROR, "REID_MODEL_PATH: %s; associating without appearance", err.text);
    /* With the mutex, so that none goes to a camera that reuses the index at this moment. */
    pthread_mutex_lock(&worker->mutex);
    for (int i = 0; i < count; i++) {
        struct crop *c = chosen[i];
        if (c->forgotten)
            continue;
        if (result == SP_OK)
            sp_space_embed(sp_map_space(worker->map), c->camera, c->track_id,
                           embeddings + (size_t)i * (size_t)sp_embedding_worker_dimensions(worker));
        sp_histogram_add(&c->stage->wall, spent_us / count);
        atomic_fetch_add(&c->stage->cpu_us, (uint64_t)(spent_us / count));
    }
    worker->saved_us -= (double)spent_us;
    worker->failed = worker->failed || result < 0;
    for (int i = 0; i < count; i++) {
        chosen[i]->camera = -1;
        chosen[i]->taken = false;
    }
    pthread_mutex_unlock(&worker->mutex);
}

/* Once a second, while no camera has frames. */
static void expire(struct sp_embedding_worker *worker)
{
    int64_t now_us = sp_clock_us(), common_us = sp_space_now_us(sp_map_space(worker->map));
    if (common_us != worker->common_us) {
        worker->common_us = common_us;
        worker->moved_us = worker->expired_us = now_us;
    } else if (now_us - worker->expired_us > 1000000) {
        worker->expired_us = now_us;
        sp_space_expire(sp_map_space(worker->map), now_us - worker->moved_us);
    }
}

static void *worker_main(void *argument)
{
    struct sp_embedding_worker *worker = argument;
    struct crop *chosen[SP_EMBEDDER_BATCH];
    pthread_mutex_lock(&worker->mutex);
    worker->cpu_us = sp_process_cpu_us();
    while (!worker->stopping) {
        int count = 0;
        expire(worker);
        update_quota(worker);
        if (worker->saved_us > 0 && !worker->failed)
            count = gather(worker, chosen);
        if (count == 0) {
            struct timespec until;
            int64_t until_us = sp_clock_us() + POLL_US;
            until = (struct timespec){.tv_sec = until_us / 1000000,
                                      .tv_nsec = (until_us % 1000000) * 1000};
            pthread_cond_timedwait(&worker->changed, &worker->mutex, &until);
            continue;
        }
        pthread_mutex_unlock(&worker->mutex);
        embed(worker, chosen, count);
        pthread_mutex_lock(&worker->mutex);
    }
    pthread_mutex_unlock(&worker->mutex);
    return NULL;
}

int sp_embedding_worker_start(struct sp_embedding_worker *worker, struct sp_map *map,
                              struct sp_error *err)
{
    worker->map = map;
    int result = sp_thread_start(&worker->thread, "embedding", worker_main, worker, err);
    worker->started = result == SP_OK;
    return result;
}

void sp_embedding_worker_close(struct sp_embedding_worker *worker)
{
    if (!worker)
        return;
    pthread_mutex_lock(&worker->mutex);
    worker->stopping = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->mutex);
    if (worker->started)
        pthread_join(worker->thread, NULL);
    for (int i = 0; i < WAITING_MAX; i++)
        free(worker->crop[i].rgb);
    free(worker->batch);
    sp_crop_scratch_close(worker->scratch);
    sp_embedder_close(worker->embedder);
    pthread_cond_destroy(&worker->changed);
    pthread_mutex_destroy(&worker->filling);
    pthread_mutex_destroy(&worker->mutex);
    free(worker);
}
