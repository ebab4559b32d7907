/* Which kernel is the fastest for each convolution, measured on this device: what a shipped table
 * does not know. Kernels are built by several threads; one at a time measures. */
#include "run_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { REPEATS = 20, TURNS = 3, THREADS_MAX = 16, PATH_BYTES = 700 };

/* What the heuristics propose, and the numbers that were among the fastest of all 64 for some
 * convolution on an H200. */
static const int candidates[] = {FUSED_BY_HEURISTICS,
                                 0,
                                 1,
                                 2,
                                 3,
                                 4,
                                 6,
                                 8,
                                 9,
                                 10,
                                 11,
                                 12,
                                 13,
                                 14,
                                 15,
                                 20,
                                 22,
                                 23,
                                 24,
                                 25,
                                 26,
                                 27,
                                 28,
                                 32,
                                 33,
                                 34,
                                 35,
                                 36,
                                 40,
                                 45,
                                 46,
                                 49,
                                 50,
                                 53,
                                 55,
                                 56,
                                 57};

struct sweep {
    struct fused_engine *engine;
    struct fused_conv *conv;
    int count;
    atomic_int next;
    const atomic_bool *stop;
    pthread_mutex_t measuring; /* the device, and what follows */
    int found, file;           /* locked while measuring: other processes sweep, too */
};

/* Milliseconds of one run, by a graph of many; negative: it does not run. */
static float measure(struct fused_cudnn *cudnn, const struct fused_conv_plan *plan,
                     const struct fused_binding *binding, cudaStream_t stream,
                     cudaEvent_t events[2])
{
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    float best = -1;
    if (fused_conv_run(cudnn, plan, binding, stream) < 0 ||
        cudaStreamSynchronize(stream) != cudaSuccess ||
        cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) != cudaSuccess)
        return -1;
    bool enqueued = true;
    for (int i = 0; i < REPEATS && enqueued; ++i)
        enqueued = fused_conv_run(cudnn, plan, binding, stream) == 0;
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess && enqueued &&
        cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess)
        for (int turn = 0; turn <= TURNS; ++turn) {
            float ms = 0;
            cudaEventRecord(events[0], stream);
            cudaGraphLaunch(exec, stream);
            cudaEventRecord(events[1], stream);
            if (cudaEventSynchronize(events[1]) != cudaSuccess)
                break;
            cudaEventElapsedTime(&ms, events[0], events[1]);
            if (turn > 0 && (best < 0 || ms / REPEATS < best)) /* the first one warms up */
                best = ms / REPEATS;
        }
    if (exec)
        cudaGraphExecDestroy(exec);
    if (graph)
        cudaGraphDestroy(graph);
    cudaGetLastError();
    return best;
}

static int64_t numbers(int64_t images, int height, int width, int pitch)
{
    return images * height * width * pitch;
}

/* Numbers that are no zeros, for all of a convolution's memory. */
static int open_memory(const struct fused_conv *c, uint8_t **out, struct fused_conv_memory *memory)
{
    int height = fused_window_size(&c->window, 0, c->height);
    int width = fused_window_size(&c->window, 1, c->width);
    int64_t counts[] = {numbers(c->images, c->height, c->width, c->x_pitch),
                        (int64_t)c->out * c->in * c->window.kernel[0] * c->window.kernel[1],
                        (int64_t)c->out * 2, numbers(c->images, height, width, c->residual_pitch),
                        numbers(c->images, height, width, c->y_pitch)};
    void *places[5];
    size_t all = 0, workspace = (size_t)64 << 20;
    for (int i = 0; i < 5; ++i)
        all += ((size_t)counts[i] * 2 + 511) / 256 * 256;
    uint16_t *host = malloc(all);
    if (!host || cudaMalloc((void **)out, all + workspace) != cudaSuccess) {
        free(host);
        cudaGetLastError();
        return -1;
    }
    unsigned seed = 7;
    for (size_t i = 0; i < all / 2; ++i) { /* of either sign, around a thirtieth */
        seed = seed * 1664525u + 1013904223u;
        host[i] = (uint16_t)(0x2400u | (seed >> 8 & 0x83ffu) | (seed >> 20 & 0x0400u));
    }
    size_t at = 0;
    for (int i = 0; i < 5; ++i) {
        places[i] = *out + at;
        at += ((size_t)counts[i] * 2 + 511) / 256 * 256;
    }
    *memory = (struct fused_conv_memory){places[0], places[1], places[2],
                                         places[3], places[4], *out + all};
    cudaError_t status = cudaMemcpy(*out, host, all, cudaMemcpyHostToDevice);
    free(host);
    return status == cudaSuccess ? 0 : -1;
}

static void sweep_one(struct sweep *sweep, struct fused_cudnn *cudnn, const struct fused_conv *conv,
                      cudaStream_t stream, cudaEvent_t events[2])
{
    int best = FUSED_BY_HEURISTICS;
    float best_ms = -1;
    uint8_t *memory = NULL;
    struct fused_conv_memory places;
    char error[200];
    if (open_memory(conv, &memory, &places) < 0)
        return;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates && !atomic_load(sweep->stop);
         ++i) {
        struct fused_conv_plan *plan = NULL;
        struct fused_binding *binding = NULL;
        if (fused_conv_plan_build(cudnn, conv, candidates[i], 0, &plan, error, sizeof error) < 0)
            continue;
        if (fused_conv_plan_workspace(plan) <= (size_t)64 << 20 &&
            fused_binding_open(&binding, plan, &places) == 0) {
            pthread_mutex_lock(&sweep->measuring);
            flock(sweep->file, LOCK_EX);
            float ms = measure(cudnn, plan, binding, stream, events);
            flock(sweep->file, LOCK_UN);
            pthread_mutex_unlock(&sweep->measuring);
            if (ms > 0 && (best_ms < 0 || ms < best_ms)) {
                best_ms = ms;
                best = candidates[i];
            }
        }
        fused_binding_close(binding);
        fused_conv_plan_close(plan);
    }
    cudaFree(memory);
    pthread_mutex_lock(&sweep->measuring);
    if (best_ms > 0 && !atomic_load(sweep->stop) &&
        fused_choices_set(&sweep->engine->choices, conv, best, best_ms) == 0)
        ++sweep->found;
    pthread_mutex_unlock(&sweep->measuring);
}

static void *sweep_some(void *argument)
{
    struct sweep *sweep = argument;
    struct fused_cudnn *cudnn = NULL;
    cudaStream_t stream = NULL;
    cudaEvent_t events[2] = {NULL, NULL};
    char error[200];
    if (cudaSetDevice(sweep->engine->options.device) == cudaSuccess &&
        cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess &&
        cudaEventCreate(&events[0]) == cudaSuccess && cudaEventCreate(&events[1]) == cudaSuccess &&
        fused_cudnn_open(&cudnn, error, sizeof error) == 0)
        for (int i;
             !atomic_load(sweep->stop) && (i = atomic_fetch_add(&sweep->next, 1)) < sweep->count;)
            sweep_one(sweep, cudnn, &sweep->conv[i], stream, events);
    fused_cudnn_close(cudnn);
    for (int i = 0; i < 2; ++i)
        if (events[i])
            cudaEventDestroy(events[i]);
    if (stream)
        cudaStreamDestroy(stream);
    return NULL;
}

static bool is_new(const struct sweep *sweep, const struct fused_conv *conv)
{
    struct fused_choice wanted = fused_choice_of(conv);
    for (int i = 0; i < sweep->count; ++i) {
        struct fused_choice other = fused_choice_of(&sweep->conv[i]);
        if (fused_choice_same(&wanted, &other))
            return false;
    }
    return !fused_choices_knows(&sweep->engine->choices, conv);
}

int fused_engine_sweep(struct fused_engine *engine, const int *images, int sizes, int threads,
                       const char *path)
{
    char lock[PATH_BYTES];
    int started = 0;
    pthread_t thread[THREADS_MAX];
    struct sweep sweep = {
        .engine = engine, .stop = &engine->stopping, .measuring = PTHREAD_MUTEX_INITIALIZER};
    path = path ? path : *engine->cache_dir ? engine->choices_path : NULL;
    if (!path)
        return 0; /* nowhere to keep it */
    snprintf(lock, sizeof lock, "%s.lock", path);
    sweep.file = open(lock, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    sweep.conv = calloc((size_t)(sizes * engine->plan->op_count) + 1, sizeof *sweep.conv);
    for (int s = 0; sweep.conv && s < sizes; ++s)
        for (int i = 0; i < engine->plan->op_count; ++i) {
            struct fused_conv conv;
            if (engine->plan->op[i].kind != FUSED_CONV)
                continue;
            fused_conv_of(engine, &engine->plan->op[i], images[s], &conv);
            if (is_new(&sweep, &conv))
                sweep.conv[sweep.count++] = conv;
        }
    threads = threads < 1 ? 1 : threads > THREADS_MAX ? THREADS_MAX : threads;
    while (started < threads && sweep.count > 0 &&
           pthread_create(&thread[started], NULL, sweep_some, &sweep) == 0)
        ++started;
    for (int i = 0; i < started; ++i)
        pthread_join(thread[i], NULL);
    free(sweep.conv);
    if (sweep.file >= 0)
        close(sweep.file);
    if (sweep.found > 0)
        fused_choices_write(&engine->choices, path);
    return sweep.found;
}
