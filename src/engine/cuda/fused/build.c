/* The kernels of a size: shapes that occur more than once are built once, by several threads. */
#include "keep.h"
#include "run_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_MAX = 16 };

void fused_conv_of(const struct fused_engine *e, const struct fused_op *op, int images,
                   struct fused_conv *conv)
{
    const struct fused_buffer *x = &e->plan->buffer[op->x.buffer];
    *conv = (struct fused_conv){
        .images = images,
        .in = op->channels_in,
        .out = op->channels_out,
        .height = x->height,
        .width = x->width,
        .window = op->window,
        .activation = op->activation,
        .low = op->low,
        .high = op->high,
        .residual = op->residual.buffer >= 0,
        .x_pitch = x->channels,
        .y_pitch = e->plan->buffer[op->y.buffer].channels,
        .residual_pitch =
            op->residual.buffer >= 0 ? e->plan->buffer[op->residual.buffer].channels : 0,
    };
}

static bool same_conv(const struct fused_conv *a, const struct fused_conv *b)
{
    return a->in == b->in && a->out == b->out && a->height == b->height && a->width == b->width &&
           memcmp(&a->window, &b->window, sizeof a->window) == 0 &&
           a->activation == b->activation && a->low == b->low && a->high == b->high &&
           a->residual == b->residual && a->x_pitch == b->x_pitch && a->y_pitch == b->y_pitch &&
           a->residual_pitch == b->residual_pitch;
}

struct work {
    struct fused_engine *engine;
    struct fused_size *size;
    const int *first; /* [op]: the operation whose plan it shares */
    atomic_int next;
    atomic_bool failed;
    pthread_mutex_t lock; /* of what follows */
    struct fused_sources sources;
    char error[300];
};

static void fail(struct work *work, const char *text)
{
    pthread_mutex_lock(&work->lock);
    if (!atomic_exchange(&work->failed, true))
        snprintf(work->error, sizeof work->error, "%s", text);
    pthread_mutex_unlock(&work->lock);
}

static int build_one(struct work *work, struct fused_cudnn *cudnn, int op, char *error,
                     size_t error_bytes)
{
    struct fused_engine *e = work->engine;
    struct fused_conv conv;
    fused_conv_of(e, &e->plan->op[op], work->size->images, &conv);
    int kernel = fused_choices_find(&e->choices, &conv);
    int result = kernel < 0 ? -1
                            : fused_conv_plan_build(cudnn, &conv, kernel, 0, &work->size->plan[op],
                                                    error, error_bytes);
    bool chosen = result == 0;
    if (!chosen)
        result = fused_conv_plan_build(cudnn, &conv, FUSED_BY_HEURISTICS, 0, &work->size->plan[op],
                                       error, error_bytes);
    work->size->owns[op] = result == 0;
    pthread_mutex_lock(&work->lock);
    work->sources.chosen += result == 0 && chosen;
    work->sources.proposed += result == 0 && !chosen;
    pthread_mutex_unlock(&work->lock);
    return result;
}

static void *build_some(void *argument)
{
    struct work *work = argument;
    struct fused_plan *plan = work->engine->plan;
    struct fused_cudnn *cudnn = NULL;
    char error[300] = "";
    if (cudaSetDevice(work->engine->options.device) != cudaSuccess ||
        fused_cudnn_open(&cudnn, error, sizeof error) < 0) {
        fail(work, *error ? error : "a thread got no device");
        return NULL;
    }
    for (int i; !atomic_load(&work->failed) && !atomic_load(&work->engine->stopping) &&
                (i = atomic_fetch_add(&work->next, 1)) < plan->op_count;)
        if (plan->op[i].kind == FUSED_CONV && work->first[i] == i &&
            build_one(work, cudnn, i, error, sizeof error) < 0) {
            char text[300];
            snprintf(text, sizeof text, "%.100s: %.190s", plan->op[i].name, error);
            fail(work, text);
        }
    fused_cudnn_close(cudnn);
    return NULL;
}

static void find_same(const struct fused_engine *e, int images, int *first)
{
    for (int i = 0; i < e->plan->op_count; ++i) {
        struct fused_conv conv, other;
        first[i] = i;
        if (e->plan->op[i].kind != FUSED_CONV)
            continue;
        fused_conv_of(e, &e->plan->op[i], images, &conv);
        for (int k = 0; k < i && first[i] == i; ++k) {
            if (e->plan->op[k].kind != FUSED_CONV)
                continue;
            fused_conv_of(e, &e->plan->op[k], images, &other);
            if (same_conv(&conv, &other))
                first[i] = k;
        }
    }
}

/* ---- kept ones ---- */

/* What the plans of a size depend on. */
static uint64_t key_of(const struct fused_engine *e, const struct fused_size *size,
                       const int *first)
{
    uint64_t key = fused_hash(FUSED_HASH_START, &e->version, sizeof e->version);
    key = fused_hash(key, &e->architecture, sizeof e->architecture);
    for (int i = 0; i < e->plan->op_count; ++i) {
        struct fused_conv conv;
        if (e->plan->op[i].kind != FUSED_CONV || first[i] != i)
            continue;
        fused_conv_of(e, &e->plan->op[i], size->images, &conv);
        struct fused_choice choice = fused_choice_of(&conv);
        int more[] = {fused_choices_find(&e->choices, &conv),
                      conv.x_pitch,
                      conv.y_pitch,
                      conv.residual_pitch,
                      conv.window.before[0],
                      conv.window.after[0],
                      conv.window.before[1],
                      conv.window.after[1],
                      conv.window.kernel[1],
                      conv.window.stride[1]};
        key = fused_hash(key, &choice, offsetof(struct fused_choice, chosen));
        key = fused_hash(key, more, sizeof more);
        key = fused_hash(key, &conv.low, sizeof conv.low);
        key = fused_hash(key, &conv.high, sizeof conv.high);
    }
    return key;
}

/* Texts, each ended by a zero. All of them, or none. */
static bool restore(struct fused_engine *e, struct fused_size *size, const int *first, uint64_t key)
{
    size_t count = 0;
    char error[200];
    uint8_t *texts = fused_keep_read(e->cache_dir, "plans", key, &count), *at = texts;
    bool all = texts != NULL;
    int restored = 0;
    for (int i = 0; i < e->plan->op_count && all; ++i) {
        struct fused_conv conv;
        if (e->plan->op[i].kind != FUSED_CONV || first[i] != i)
            continue;
        fused_conv_of(e, &e->plan->op[i], size->images, &conv);
        all =
            at < texts + count && fused_conv_plan_restore(e->builder, &conv, (const char *)at,
                                                          &size->plan[i], error, sizeof error) == 0;
        at += all ? strlen((const char *)at) + 1 : 0;
        size->owns[i] = all;
        restored += all;
    }
    for (int i = 0; i < e->plan->op_count && texts && !all; ++i) {
        if (size->owns[i])
            fused_conv_plan_close(size->plan[i]);
        size->plan[i] = NULL;
        size->owns[i] = false;
    }
    e->sources.restored += all ? restored : 0;
    free(texts);
    return all;
}

static void keep(const struct fused_engine *e, const struct fused_size *size, uint64_t key)
{
    char *texts = NULL;
    size_t used = 0;
    bool all = true;
    for (int i = 0; i < e->plan->op_count && all; ++i) {
        char *text = size->owns[i] ? fused_conv_plan_save(size->plan[i]) : NULL;
        size_t length = text ? strlen(text) + 1 : 0;
        char *grown = text ? realloc(texts, used + length) : NULL;
        all = !size->owns[i] || grown;
        if (grown) {
            texts = grown;
            memcpy(texts + used, text, length);
            used += length;
        }
        free(text);
    }
    if (all && texts)
        fused_keep_write(e->cache_dir, "plans", key, texts, used);
    free(texts);
}

int fused_build_size(struct fused_engine *e, struct fused_size *size, char *error,
                     size_t error_bytes)
{
    int *first = calloc(FUSED_OPS_MAX, sizeof *first), started = 0;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = e->options.threads > 0 ? e->options.threads : cores > 8 ? 8 : (int)cores;
    pthread_t thread[THREADS_MAX];
    if (!first)
        return fused_fail(error, error_bytes, "out of memory");
    find_same(e, size->images, first);
    uint64_t key = key_of(e, size, first);
    bool restored = restore(e, size, first, key);
    struct work work = {
        .engine = e, .size = size, .first = first, .lock = PTHREAD_MUTEX_INITIALIZER};
    threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    while (!restored && started < threads - 1 &&
           pthread_create(&thread[started], NULL, build_some, &work) == 0)
        ++started;
    if (!restored)
        build_some(&work);
    for (int i = 0; i < started; ++i)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < e->plan->op_count; ++i)
        if (e->plan->op[i].kind == FUSED_CONV)
            size->plan[i] = size->plan[first[i]];
    e->sources.chosen += work.sources.chosen;
    e->sources.proposed += work.sources.proposed;
    if (!restored && !atomic_load(&work.failed) && *e->cache_dir)
        keep(e, size, key);
    free(first);
    if (atomic_load(&e->stopping))
        return fused_fail(error, error_bytes, "stopped");
    return atomic_load(&work.failed) ? fused_fail(error, error_bytes, "%s", work.error) : 0;
}
