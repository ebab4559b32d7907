/* The kserve engine: inference on other machines by the KServe v2 protocol over HTTP (Triton,
 * OpenVINO Model Server, MLServer, `spoton serve --share-engine`).
 *
 * Data flow: submit() converts the images to the model's type and queues the request -> the
 * engine's thread picks the ready server with the fewest requests in flight and sends it, several
 * at once, by libcurl's multi interface -> the reply's outputs become f32 -> wait(). A request that
 * a server did not take or lost is sent to another one while its time lasts. The same thread checks
 * the servers' health (breaker.h).
 *
 * Errors name the server, never the token. */
#include "request.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SPARE_REQUESTS = 2, POLL_MS_MAX = 1000, OPEN_WAIT_MS = 5000 };

struct spoton_engine {
    struct kserve_options options;
    struct kserve_need need; /* the thread's; `need.known` by the lock for others */
    struct kserve_input input;
    struct kserve_server server[KSERVE_SERVERS_MAX];
    struct kserve_request *request;
    int requests;
    CURLM *multi;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    int *queue; /* ring of request numbers */
    int head, waiting, sent;
    bool closing, prepared; /* the requests fit need.model */
    pthread_t thread;
    bool started;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void kserve_probe(struct spoton_engine_probe *probe)
{
    probe->preference = 0;
    snprintf(probe->version, sizeof probe->version, "%s",
             curl_version_info(CURLVERSION_NOW)->version);
    snprintf(probe->device, sizeof probe->device, "remote");
    snprintf(probe->precisions, sizeof probe->precisions, "f32");
    snprintf(probe->reason, sizeof probe->reason, "used only if named: ENGINE=kserve, KSERVE_URL");
}

static int kserve_inspect(const char *path, struct spoton_model_info *info, char *error,
                          size_t error_bytes)
{
    (void)path;
    (void)info;
    return kserve_fail(error, error_bytes, "KSERVE_URL: not set; its model is on a server");
}

static int kserve_inspect_with(const char *path, const char *backend_options,
                               struct spoton_model_info *info, char *error, size_t error_bytes)
{
    (void)path;
    struct kserve_options *options = calloc(1, sizeof *options);
    struct kserve_model *model = calloc(1, sizeof *model);
    int result = SPOTON_FAILED;
    pthread_once(&curl_once, start_curl);
    if (options && model)
        result = kserve_read_options(options, backend_options, error, error_bytes);
    else
        kserve_fail(error, error_bytes, "out of memory");
    if (result == 0)
        result = kserve_fetch_model(model, options, error, error_bytes);
    if (result == 0 && model) {
        size_t struct_bytes = info->struct_bytes;
        *info = model->info;
        info->struct_bytes = struct_bytes;
    }
    free(options);
    free(model);
    return result;
}

/* ---- the thread ---- */

/* The usable server with the fewest requests in flight that was not tried; -1: none. With the lock.
 */
static int choose_server(struct spoton_engine *engine, unsigned tried, int64_t now)
{
    int best = -1;
    for (int i = 0; i < engine->options.server_count; ++i) {
        struct kserve_server *server = &engine->server[i];
        if ((tried >> i & 1) || !kserve_breaker_usable(&server->breaker, now))
            continue;
        if (best < 0 || server->in_flight < engine->server[best].in_flight)
            best = i;
    }
    return best;
}

static void finish(struct spoton_engine *engine, struct kserve_request *request,
                   enum kserve_request_state state)
{
    request->state = state;
    pthread_cond_broadcast(&engine->changed);
}

/* With the lock. */
static void send_request(struct spoton_engine *engine, struct kserve_request *request)
{
    int64_t now = now_us();
    int index = choose_server(engine, request->tried, now);
    int64_t left_ms = (request->deadline_us - now) / 1000;
    if (index < 0 || left_ms <= 0) {
        if (!request->tried) {
            const struct kserve_server *first = &engine->server[0];
            kserve_fail(request->error, sizeof request->error, "no server is ready; %s: %s",
                        first->address->shown, first->error[0] ? first->error : "not checked yet");
        }
        finish(engine, request, KSERVE_FAILED);
        return;
    }
    struct kserve_server *server = &engine->server[index];
    struct kserve_target target = {server->infer_url, engine->options.token,
                                   engine->options.ca_file, (long)left_ms};
    if (!kserve_transfer_prepare(&request->transfer, &target, server->json, server->json_bytes,
                                 request->input, request->input_bytes) ||
        curl_multi_add_handle(engine->multi, request->transfer.easy) != CURLM_OK) {
        kserve_fail(request->error, sizeof request->error, "out of memory");
        finish(engine, request, KSERVE_FAILED);
        return;
    }
    request->server = index;
    request->tried |= 1U << index;
    request->sent_us = now;
    request->state = KSERVE_SENT;
    server->in_flight++;
    server->requests++;
    server->sent_bytes += server->json_bytes + request->input_bytes;
    engine->sent++;
}

static void note_outcome(struct kserve_server *server, enum kserve_outcome outcome, int64_t now,
                         int64_t sent_us, int64_t retry_after_s)
{
    switch (outcome) {
    case KSERVE_OK:
        kserve_breaker_ok(&server->breaker, now, now - sent_us);
        break;
    case KSERVE_BUSY:
        server->busy++;
        kserve_breaker_busy(&server->breaker, now, retry_after_s);
        break;
    case KSERVE_UNREACHABLE:
    case KSERVE_LATE:
    case KSERVE_ERROR:
    case KSERVE_REFUSES:
        server->failures++;
        kserve_breaker_fail(&server->breaker, now, outcome == KSERVE_UNREACHABLE);
        break;
    }
}

static void end_request(struct spoton_engine *engine, struct kserve_request *request, CURLcode code)
{
    char text[200] = "";
    struct kserve_server *server = &engine->server[request->server];
    enum kserve_outcome outcome =
        kserve_transfer_result(&request->transfer, code, text, sizeof text);
    if (outcome == KSERVE_OK &&
        kserve_request_keep(request, &engine->need.model.info, text, sizeof text) < 0)
        outcome = KSERVE_ERROR;
    pthread_mutex_lock(&engine->lock);
    int64_t now = now_us();
    engine->sent--;
    server->in_flight--;
    server->received_bytes += request->transfer.reply_bytes;
    note_outcome(server, outcome, now, request->sent_us, request->transfer.retry_after_s);
    if (outcome == KSERVE_OK) {
        finish(engine, request, KSERVE_DONE);
    } else {
        kserve_fail(request->error, sizeof request->error, "server %s: %s", server->address->shown,
                    text);
        kserve_fail(server->error, sizeof server->error, "%s", text);
        send_request(engine, request); /* to another server, or fails */
    }
    pthread_mutex_unlock(&engine->lock);
}

static bool prepare_requests(struct spoton_engine *engine)
{
    bool done = kserve_input_prepare(&engine->input, &engine->need.model);
    for (int i = 0; i < engine->requests && done; ++i)
        done = kserve_request_prepare(&engine->request[i], &engine->input);
    return done;
}

static void end_check(struct spoton_engine *engine, struct kserve_server *server, CURLcode code)
{
    char text[256] = "";
    enum kserve_outcome outcome = KSERVE_OK;
    pthread_mutex_lock(&engine->lock); /* it may set need.model */
    bool over = kserve_server_end_step(server, &engine->need, code, &outcome, text, sizeof text);
    pthread_mutex_unlock(&engine->lock);
    server->checking = false;
    if (!over && kserve_server_prepare_check(server) &&
        curl_multi_add_handle(engine->multi, server->check.easy) == CURLM_OK) {
        server->checking = true;
        return;
    }
    pthread_mutex_lock(&engine->lock);
    if (outcome == KSERVE_OK && over && !engine->prepared) {
        engine->prepared = prepare_requests(engine);
        if (!engine->prepared) {
            outcome = KSERVE_REFUSES;
            kserve_fail(text, sizeof text,
                        "mean and deviation need an FP32 input, or out of memory");
        }
    }
    kserve_breaker_checked(&server->breaker, now_us(), over && outcome == KSERVE_OK,
                           outcome == KSERVE_REFUSES);
    server->checked = true;
    kserve_fail(server->error, sizeof server->error, "%s", text);
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

/* Starts due checks; returns the milliseconds until the next one. With the lock. */
static int start_checks(struct spoton_engine *engine)
{
    int64_t now = now_us(), next_us = now + POLL_MS_MAX * INT64_C(1000);
    for (int i = 0; i < engine->options.server_count; ++i) {
        struct kserve_server *server = &engine->server[i];
        int64_t due_us = 0;
        if (server->checking)
            continue;
        if (!kserve_breaker_check_due(&server->breaker, now, &due_us)) {
            next_us = due_us < next_us ? due_us : next_us;
            continue;
        }
        server->step = KSERVE_CHECK_HEALTH;
        server->checking = kserve_server_prepare_check(server) &&
                           curl_multi_add_handle(engine->multi, server->check.easy) == CURLM_OK;
    }
    return (int)((next_us - now) / 1000) + 1;
}

static void read_messages(struct spoton_engine *engine)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(engine->multi, &left))) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        void *owner = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&owner);
        curl_multi_remove_handle(engine->multi, easy);
        bool check = (char *)owner >= (char *)engine->server &&
                     (char *)owner < (char *)(engine->server + KSERVE_SERVERS_MAX);
        if (check)
            end_check(engine, owner, code);
        else
            end_request(engine, owner, code);
    }
}

static void *run_thread(void *argument)
{
    struct spoton_engine *engine = argument;
    for (;;) {
        int running = 0;
        pthread_mutex_lock(&engine->lock);
        while (engine->waiting > 0) {
            struct kserve_request *request = &engine->request[engine->queue[engine->head]];
            engine->head = (engine->head + 1) % engine->requests;
            engine->waiting--;
            send_request(engine, request);
        }
        bool over = engine->closing && engine->sent == 0;
        int wait_ms = engine->closing ? POLL_MS_MAX : start_checks(engine);
        pthread_mutex_unlock(&engine->lock);
        if (over)
            break;
        curl_multi_perform(engine->multi, &running);
        read_messages(engine);
        pthread_mutex_lock(&engine->lock);
        bool again = engine->waiting > 0 || (engine->closing && engine->sent == 0);
        pthread_mutex_unlock(&engine->lock);
        if (!again)
            curl_multi_poll(engine->multi, NULL, 0, wait_ms, NULL);
    }
    return NULL;
}

/* ---- opening ---- */

static void kserve_close(struct spoton_engine *engine)
{
    if (!engine)
        return;
    if (engine->started) {
        pthread_mutex_lock(&engine->lock);
        engine->closing = true;
        pthread_mutex_unlock(&engine->lock);
        curl_multi_wakeup(engine->multi);
        pthread_join(engine->thread, NULL);
    }
    for (int i = 0; i < engine->options.server_count; ++i) {
        if (engine->server[i].checking)
            curl_multi_remove_handle(engine->multi, engine->server[i].check.easy);
        kserve_server_close(&engine->server[i]);
    }
    for (int i = 0; engine->request && i < engine->requests; ++i)
        kserve_request_close(&engine->request[i]);
    curl_multi_cleanup(engine->multi);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine->request);
    free(engine->queue);
    free(engine);
}

static bool open_requests(struct spoton_engine *engine)
{
    engine->queue = calloc((size_t)engine->requests, sizeof *engine->queue);
    engine->request = calloc((size_t)engine->requests, sizeof *engine->request);
    bool done = engine->queue && engine->request;
    for (int i = 0; i < engine->requests && done; ++i)
        done = kserve_request_open(&engine->request[i], &engine->input);
    return done;
}

static void take_options(struct spoton_engine *engine, const struct spoton_engine_options *options)
{
    const int64_t nchw[4] = {options->batch, 3, options->height, options->width};
    const int64_t nhwc[4] = {options->batch, options->height, options->width, 3};
    memcpy(engine->need.dims, options->layout == SPOTON_LAYOUT_NCHW ? nchw : nhwc, sizeof nchw);
    engine->input = (struct kserve_input){
        .batch = options->batch,
        .height = options->height,
        .width = options->width,
        .layout = options->layout,
        .image_layout = options->input_layout,
        .swap_red_blue = options->swap_red_blue != 0,
        .has_deviation = options->struct_bytes >= sizeof *options && options->deviation[0] > 0,
        .scale = options->scale,
    };
    if (engine->input.has_deviation) {
        memcpy(engine->input.mean, options->mean, sizeof engine->input.mean);
        memcpy(engine->input.deviation, options->deviation, sizeof engine->input.deviation);
    }
    engine->requests = engine->options.requests * engine->options.server_count + SPARE_REQUESTS;
}

/* Waits until a server is ready, or all were checked in vain. */
static int wait_for_server(struct spoton_engine *engine, char *error, size_t error_bytes)
{
    struct timespec limit;
    clock_gettime(CLOCK_MONOTONIC, &limit);
    limit.tv_sec += OPEN_WAIT_MS / 1000;
    int result = SPOTON_FAILED, pending = 1, timeout = 0;
    pthread_mutex_lock(&engine->lock);
    while (result < 0 && pending > 0 && timeout == 0) {
        pending = 0;
        for (int i = 0; i < engine->options.server_count; ++i) {
            pending += !engine->server[i].checked;
            if (engine->server[i].breaker.state == SPOTON_SERVER_READY)
                result = 0;
        }
        if (result < 0 && pending > 0)
            timeout = pthread_cond_timedwait(&engine->changed, &engine->lock, &limit);
    }
    const struct kserve_server *first = &engine->server[0];
    if (result < 0)
        kserve_fail(error, error_bytes, "server %s: %s", first->address->shown,
                    first->error[0] ? first->error : "no reply");
    pthread_mutex_unlock(&engine->lock);
    return result;
}

static int kserve_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                       char *error, size_t error_bytes)
{
    pthread_once(&curl_once, start_curl);
    if (options->precision != SPOTON_PRECISION_AUTO && options->precision != SPOTON_PRECISION_F32)
        return kserve_fail(error, error_bytes,
                           "PRECISION: the server chooses it; use PRECISION=auto");
    struct spoton_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return kserve_fail(error, error_bytes, "out of memory");
    pthread_mutex_init(&engine->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int result =
        kserve_read_options(&engine->options, options->backend_options, error, error_bytes);
    if (result < 0)
        engine->options.server_count = 0;
    take_options(engine, options);
    bool room = result == 0 && (engine->multi = curl_multi_init()) != NULL && open_requests(engine);
    for (int i = 0; room && i < engine->options.server_count; ++i)
        room = kserve_server_open(&engine->server[i], &engine->options.server[i], &engine->options,
                                  (int64_t)engine->options.budget_ms * 1000);
    if (room) {
        curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, (long)engine->requests * 2);
        engine->started = pthread_create(&engine->thread, NULL, run_thread, engine) == 0;
    }
    if (result == 0 && !engine->started)
        result = kserve_fail(error, error_bytes, "out of memory");
    if (result == 0 && !engine->options.later)
        result = wait_for_server(engine, error, error_bytes);
    if (result < 0)
        kserve_close(engine);
    else
        *out = engine;
    return result;
}

/* ---- use ---- */

static void kserve_describe(struct spoton_engine *engine,
                            struct spoton_engine_description *description)
{
    pthread_mutex_lock(&engine->lock);
    description->output_count = engine->need.model.info.output_count;
    pthread_mutex_unlock(&engine->lock);
    description->requests = engine->requests;
    description->streams = engine->requests - SPARE_REQUESTS;
    description->threads = 1;
    description->precision = SPOTON_PRECISION_F32;
    snprintf(description->device, sizeof description->device, "%.100s%s",
             engine->options.server[0].shown, engine->options.server_count > 1 ? ", ..." : "");
}

static uint8_t *kserve_input(struct spoton_engine *engine, int request)
{
    return engine->request[request].image;
}

static int kserve_submit(struct spoton_engine *engine, int index, char *error, size_t error_bytes)
{
    struct kserve_request *request = &engine->request[index];
    pthread_mutex_lock(&engine->lock);
    bool in_flight = request->state == KSERVE_QUEUED || request->state == KSERVE_SENT;
    bool prepared = engine->prepared;
    pthread_mutex_unlock(&engine->lock);
    if (in_flight)
        return kserve_fail(error, error_bytes, "submit: the request is in flight");
    if (prepared)
        kserve_request_fill(request, &engine->input);
    pthread_mutex_lock(&engine->lock);
    request->tried = 0;
    request->error[0] = '\0';
    request->deadline_us = now_us() + engine->options.timeout_ms * INT64_C(1000);
    request->state = KSERVE_QUEUED;
    if (prepared) {
        engine->queue[(engine->head + engine->waiting++) % engine->requests] = index;
    } else {
        kserve_fail(request->error, sizeof request->error, "no server was ready yet");
        finish(engine, request, KSERVE_FAILED);
    }
    pthread_mutex_unlock(&engine->lock);
    curl_multi_wakeup(engine->multi);
    return 0;
}

static int kserve_wait(struct spoton_engine *engine, int index, char *error, size_t error_bytes)
{
    struct kserve_request *request = &engine->request[index];
    int result = 0;
    pthread_mutex_lock(&engine->lock);
    while (request->state == KSERVE_QUEUED || request->state == KSERVE_SENT)
        pthread_cond_wait(&engine->changed, &engine->lock);
    if (request->state != KSERVE_DONE)
        result = kserve_fail(error, error_bytes, "%s",
                             request->error[0] ? request->error : "wait: nothing was submitted");
    pthread_mutex_unlock(&engine->lock);
    return result;
}

static int kserve_output(struct spoton_engine *engine, int index, int output, const float **data,
                         int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes)
{
    const struct kserve_request *request = &engine->request[index];
    if (output < 0 || output >= engine->need.model.info.output_count ||
        !request->output[output].data)
        return kserve_fail(error, error_bytes, "there is no output %d", output);
    *data = request->output[output].data;
    *rank = request->output[output].rank;
    memcpy(dims, request->output[output].dims, sizeof request->output[output].dims);
    return 0;
}

static int kserve_server(struct spoton_engine *engine, int index, struct spoton_server *report)
{
    if (index < 0 || index >= engine->options.server_count)
        return SPOTON_FAILED;
    struct kserve_server *server = &engine->server[index];
    pthread_mutex_lock(&engine->lock);
    kserve_breaker_usable(&server->breaker, now_us());
    snprintf(report->name, sizeof report->name, "%s", server->address->shown);
    report->state = server->breaker.state;
    report->in_flight = server->in_flight;
    report->requests = server->requests;
    report->failures = server->failures;
    report->busy = server->busy;
    report->sent_bytes = server->sent_bytes;
    report->received_bytes = server->received_bytes;
    report->round_trip_us = (int64_t)server->breaker.round_trip_us;
    report->round_trip_high_us = kserve_breaker_round_trip_high_us(&server->breaker);
    snprintf(report->error, sizeof report->error, "%s",
             report->state == SPOTON_SERVER_READY ? "" : server->error);
    pthread_mutex_unlock(&engine->lock);
    return 0;
}

static int kserve_capacity(struct spoton_engine *engine)
{
    int count = 0;
    pthread_mutex_lock(&engine->lock);
    for (int i = 0; i < engine->options.server_count; ++i)
        if (kserve_breaker_usable(&engine->server[i].breaker, now_us()))
            count += engine->options.requests;
    pthread_mutex_unlock(&engine->lock);
    return count;
}

__attribute__((visibility("default"))) const struct spoton_engine_api *spoton_engine_entry(void)
{
    static const struct spoton_engine_api api = {
        .abi = SPOTON_ENGINE_ABI,
        .struct_bytes = sizeof api,
        .name = "kserve",
        .probe = kserve_probe,
        .inspect = kserve_inspect,
        .open = kserve_open,
        .close = kserve_close,
        .describe = kserve_describe,
        .input = kserve_input,
        .submit = kserve_submit,
        .wait = kserve_wait,
        .output = kserve_output,
        .inspect_with = kserve_inspect_with,
        .server = kserve_server,
        .capacity = kserve_capacity,
    };
    return &api;
}
