#include "detect/spill.h"

#include "base/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 128, SPARE_REQUESTS = 2, ERROR_BYTES = 300 };

enum request_state { IDLE, QUEUED, RUNNING, DONE, FAILED };

struct output {
    float *data;
    size_t room;
    int rank;
    int64_t dims[SPOTON_RANK_MAX];
};

struct request {
    uint8_t *image;
    struct output output[SPOTON_TENSORS_MAX];
    enum request_state state;
    bool local_only; /* the remote engine failed it */
    int code;        /* of the error */
    char error[ERROR_BYTES];
};

struct side {
    const struct spoton_engine_api *api;
    struct spoton_engine *engine;
};

struct worker {
    struct spoton_engine *spill;
    struct side *side;
    int number; /* of the side's request */
    pthread_t thread;
};

struct spoton_engine {
    struct side local, remote;
    size_t input_bytes;
    int requests, local_streams, remote_streams, output_count;
    struct request *request;
    struct spoton_engine_description description; /* the local engine's */
    struct worker worker[WORKERS_MAX];
    int workers;

    pthread_mutex_t lock; /* guards the rest and the requests' state */
    pthread_cond_t changed;
    int *queue; /* ring of request numbers */
    int head, waiting;
    int local_idle, remote_running;
    bool closing, shaped, differs;           /* `shaped`: shape[] is known, by a local run */
    struct output shape[SPOTON_TENSORS_MAX]; /* without data */
};

static int fail(char *error, size_t error_bytes, const char *text)
{
    snprintf(error, error_bytes, "%s", text);
    return SPOTON_FAILED;
}

/* ---- the queue; with the lock ---- */

static void push_back(struct spoton_engine *e, int request)
{
    e->queue[(e->head + e->waiting++) % e->requests] = request;
    pthread_cond_broadcast(&e->changed);
}

static void push_front(struct spoton_engine *e, int request)
{
    e->head = (e->head + e->requests - 1) % e->requests;
    e->queue[e->head] = request;
    e->waiting++;
    pthread_cond_broadcast(&e->changed);
}

/* The oldest request, or for the remote side the oldest that it may take; -1: none. */
static int take(struct spoton_engine *e, bool remote)
{
    for (int i = 0; i < e->waiting; i++) {
        int number = e->queue[(e->head + i) % e->requests];
        if (remote && e->request[number].local_only)
            continue;
        for (int k = i; k > 0; k--)
            e->queue[(e->head + k) % e->requests] = e->queue[(e->head + k - 1) % e->requests];
        e->head = (e->head + 1) % e->requests;
        e->waiting--;
        return number;
    }
    return -1;
}

static int next_for(struct spoton_engine *e, bool remote)
{
    if (!remote)
        return take(e, false);
    bool usable = e->shaped && !e->differs && e->waiting > e->local_idle &&
                  e->remote.api->capacity(e->remote.engine) > e->remote_running;
    return usable ? take(e, true) : -1;
}

/* ---- workers ---- */

static int keep_output(struct output *to, const float *data, const int64_t *dims, int rank,
                       char *error)
{
    size_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= (size_t)dims[i];
    if (count > to->room) {
        float *grown = realloc(to->data, count * sizeof *grown);
        if (!grown)
            return fail(error, ERROR_BYTES, "out of memory");
        to->data = grown;
        to->room = count;
    }
    memcpy(to->data, data, count * sizeof *data);
    memcpy(to->dims, dims, sizeof to->dims);
    to->rank = rank;
    return 0;
}

static int keep_outputs(const struct spoton_engine *e, const struct side *side, int number,
                        struct request *request)
{
    int result = 0;
    for (int i = 0; i < e->output_count && result == 0; i++) {
        const float *data = NULL;
        int64_t dims[SPOTON_RANK_MAX] = {0};
        int rank = 0;
        result = side->api->output(side->engine, number, i, &data, dims, &rank, request->error,
                                   sizeof request->error);
        if (result == 0)
            result = keep_output(&request->output[i], data, dims, rank, request->error);
    }
    return result;
}

static int infer(const struct spoton_engine *e, const struct worker *worker,
                 struct request *request)
{
    const struct side *side = worker->side;
    memcpy(side->api->input(side->engine, worker->number), request->image, e->input_bytes);
    int result =
        side->api->submit(side->engine, worker->number, request->error, sizeof request->error);
    if (result >= 0)
        result =
            side->api->wait(side->engine, worker->number, request->error, sizeof request->error);
    return result < 0 ? result : keep_outputs(e, side, worker->number, request);
}

/* Whether the outputs have the shapes of the local engine's, which the first local run sets. With
 * the lock. */
static bool check_shapes(struct spoton_engine *e, const struct request *request, bool remote)
{
    for (int i = 0; i < e->output_count; i++) {
        const struct output *output = &request->output[i];
        if (!e->shaped && !remote) {
            e->shape[i].rank = output->rank;
            memcpy(e->shape[i].dims, output->dims, sizeof output->dims);
        } else if (e->shape[i].rank != output->rank ||
                   memcmp(e->shape[i].dims, output->dims,
                          (size_t)output->rank * sizeof output->dims[0]) != 0) {
            return false;
        }
    }
    e->shaped = true;
    return true;
}

static void end_request(struct spoton_engine *e, int number, int result, bool remote)
{
    struct request *request = &e->request[number];
    bool fits = result < 0 || check_shapes(e, request, remote);
    if (remote && !fits && !e->differs) {
        e->differs = true;
        sp_log(SP_LOG_WARNING, "KSERVE_URL: the outputs of the server's model have other shapes "
                               "than those of the local model; not used; use the same model");
    }
    if (remote && (result < 0 || !fits)) {
        request->local_only = true;
        request->state = QUEUED;
        push_front(e, number);
        return;
    }
    request->code = result;
    request->state = result < 0 ? FAILED : DONE;
    pthread_cond_broadcast(&e->changed);
}

static void *run_worker(void *argument)
{
    struct worker *worker = argument;
    struct spoton_engine *e = worker->spill;
    bool remote = worker->side == &e->remote;
    pthread_mutex_lock(&e->lock);
    e->local_idle += !remote;
    while (!e->closing || e->waiting > 0) {
        int number = next_for(e, remote);
        if (number < 0) {
            if (e->closing && remote)
                break;
            pthread_cond_wait(&e->changed, &e->lock);
            continue;
        }
        struct request *request = &e->request[number];
        request->state = RUNNING;
        e->local_idle -= !remote;
        e->remote_running += remote;
        pthread_mutex_unlock(&e->lock);
        int result = infer(e, worker, request);
        pthread_mutex_lock(&e->lock);
        e->local_idle += !remote;
        e->remote_running -= remote;
        end_request(e, number, result, remote);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

/* ---- opening ---- */

static void spill_close(struct spoton_engine *e)
{
    if (!e)
        return;
    pthread_mutex_lock(&e->lock);
    e->closing = true;
    pthread_cond_broadcast(&e->changed);
    pthread_mutex_unlock(&e->lock);
    while (e->workers > 0)
        pthread_join(e->worker[--e->workers].thread, NULL);
    if (e->remote.engine)
        e->remote.api->close(e->remote.engine);
    if (e->local.engine)
        e->local.api->close(e->local.engine);
    for (int i = 0; e->request && i < e->requests; i++) {
        free(e->request[i].image);
        for (int k = 0; k < SPOTON_TENSORS_MAX; k++)
            free(e->request[i].output[k].data);
    }
    pthread_cond_destroy(&e->changed);
    pthread_mutex_destroy(&e->lock);
    free(e->request);
    free(e->queue);
    free(e);
}

static bool start_workers(struct spoton_engine *e)
{
    int count = e->local_streams + e->remote_streams;
    for (int i = 0; i < count && i < WORKERS_MAX; i++) {
        bool remote = i >= e->local_streams;
        struct worker *worker = &e->worker[i];
        worker->spill = e;
        worker->side = remote ? &e->remote : &e->local;
        worker->number = remote ? i - e->local_streams : i;
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0)
            return false;
        pthread_setname_np(worker->thread, remote ? "spill-remote" : "spill-local");
        e->workers++;
    }
    return true;
}

static bool open_requests(struct spoton_engine *e)
{
    e->requests = e->local_streams + e->remote_streams + SPARE_REQUESTS;
    e->request = calloc((size_t)e->requests, sizeof *e->request);
    e->queue = calloc((size_t)e->requests, sizeof *e->queue);
    bool done = e->request && e->queue;
    for (int i = 0; i < e->requests && done; i++) {
        e->request[i].image = calloc(1, e->input_bytes);
        done = e->request[i].image != NULL;
    }
    return done;
}

static int open_sides(struct spoton_engine *e, const struct sp_spill_engines *engines,
                      const struct spoton_engine_options *options, char *error, size_t error_bytes)
{
    struct spoton_engine_description remote = {.struct_bytes = sizeof remote};
    struct spoton_engine_options remote_options = *options;
    remote_options.backend_options = engines->remote_options;
    remote_options.precision = SPOTON_PRECISION_AUTO;
    remote_options.device = 0;
    e->local.api = engines->local;
    e->remote.api = engines->remote;
    int result = e->local.api->open(&e->local.engine, options, error, error_bytes);
    if (result == 0)
        result = e->remote.api->open(&e->remote.engine, &remote_options, error, error_bytes);
    if (result < 0)
        return result;
    e->description.struct_bytes = sizeof e->description;
    e->local.api->describe(e->local.engine, &e->description);
    e->remote.api->describe(e->remote.engine, &remote);
    e->local_streams = e->description.streams > 0 ? e->description.streams : 1;
    if (e->local_streams > e->description.requests)
        e->local_streams = e->description.requests;
    e->remote_streams = remote.streams;
    if (e->local_streams + e->remote_streams > WORKERS_MAX)
        e->remote_streams = WORKERS_MAX - e->local_streams;
    e->output_count = e->description.output_count;
    return 0;
}

int sp_spill_open(struct spoton_engine **out, const struct sp_spill_engines *engines,
                  const struct spoton_engine_options *options, char *error, size_t error_bytes)
{
    struct spoton_engine *e = calloc(1, sizeof *e);
    if (!e)
        return fail(error, error_bytes, "out of memory");
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    e->input_bytes = (size_t)options->batch * (size_t)options->height * (size_t)options->width * 3;
    int result = open_sides(e, engines, options, error, error_bytes);
    if (result == 0 && !(open_requests(e) && start_workers(e)))
        result = fail(error, error_bytes, "out of memory");
    if (result < 0)
        spill_close(e);
    else
        *out = e;
    return result;
}

/* ---- use ---- */

static void spill_describe(struct spoton_engine *e, struct spoton_engine_description *description)
{
    size_t struct_bytes = description->struct_bytes;
    *description = e->description;
    description->struct_bytes = struct_bytes;
    description->requests = e->requests;
    description->streams = e->local_streams + e->remote_streams;
}

static uint8_t *spill_input(struct spoton_engine *e, int number)
{
    return e->request[number].image;
}

static int spill_submit(struct spoton_engine *e, int number, char *error, size_t error_bytes)
{
    int result = 0;
    pthread_mutex_lock(&e->lock);
    struct request *request = &e->request[number];
    if (request->state == QUEUED || request->state == RUNNING) {
        result = fail(error, error_bytes, "submit: the request is in flight");
    } else {
        request->state = QUEUED;
        request->local_only = false;
        push_back(e, number);
    }
    pthread_mutex_unlock(&e->lock);
    return result;
}

static int spill_wait(struct spoton_engine *e, int number, char *error, size_t error_bytes)
{
    int result = 0;
    pthread_mutex_lock(&e->lock);
    struct request *request = &e->request[number];
    while (request->state == QUEUED || request->state == RUNNING)
        pthread_cond_wait(&e->changed, &e->lock);
    if (request->state == FAILED) {
        fail(error, error_bytes, request->error);
        result = request->code;
    } else if (request->state == IDLE) {
        result = fail(error, error_bytes, "wait: nothing was submitted");
    }
    pthread_mutex_unlock(&e->lock);
    return result;
}

static int spill_output(struct spoton_engine *e, int number, int index, const float **data,
                        int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes)
{
    if (index < 0 || index >= e->output_count)
        return fail(error, error_bytes, "there is no such output");
    const struct output *output = &e->request[number].output[index];
    *data = output->data;
    *rank = output->rank;
    memcpy(dims, output->dims, sizeof output->dims);
    return 0;
}

static int spill_server(struct spoton_engine *e, int index, struct spoton_server *server)
{
    return e->remote.api->server(e->remote.engine, index, server);
}

static int spill_capacity(struct spoton_engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool differs = e->differs;
    pthread_mutex_unlock(&e->lock);
    int remote = differs ? 0 : e->remote.api->capacity(e->remote.engine);
    return e->local_streams + (remote < e->remote_streams ? remote : e->remote_streams);
}

const struct spoton_engine_api *sp_spill_api(void)
{
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "spill-over",
        .close = spill_close,
        .describe = spill_describe,
        .input = spill_input,
        .submit = spill_submit,
        .wait = spill_wait,
        .output = spill_output,
        .server = spill_server,
        .capacity = spill_capacity,
    };
    return &api;
}
