#include "api/inference.h"

#include "api/access.h"
#include "api/inference_body.h"
#include "api/inference_queue.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/thread.h"
#include "pipeline/share.h"

#include <stdlib.h>
#include <string.h>

enum { WORKERS_MAX = 8, NAME_BYTES = 64, NUMBER_BYTES_MAX = 5 /* of a byte in JSON: "255, " */ };

/* A neighbour has a frame waiting: beyond this it is better inferred there. */
static const int64_t WAIT_US = 400000;

struct sp_inference {
    struct sp_api *api;
    char model[NAME_BYTES];
    enum spoton_layout layout;
    pthread_t worker[WORKERS_MAX];
    int workers;
    _Atomic uint64_t requests, busy, failed;

    pthread_mutex_t lock;
    pthread_cond_t queued;
    bool stopping;
    struct sp_inference_queue queue;
};

/* ---- workers ---- */

/* The reply being written, while the engine's outputs are valid. */
struct reply_writer {
    const struct sp_inference *inference;
    const struct sp_inference_request *request;
    struct sp_json json;
    char *body;
    size_t bytes, json_bytes;
};

static void write_reply(void *user, const struct sp_model_output *outputs, int count)
{
    struct reply_writer *writer = user;
    const struct sp_inference_request *request = writer->request;
    size_t binary = 0;
    sp_inference_write(&writer->json, writer->inference->model, request, outputs, count);
    if (writer->json.failed)
        return;
    writer->json_bytes = writer->json.used_bytes;
    for (int i = 0; i < count && request->binary; i++)
        binary += (size_t)request->images * sp_inference_output_bytes(&outputs[i]);
    writer->bytes = writer->json_bytes + binary;
    writer->body = malloc(writer->bytes + 1);
    if (!writer->body)
        return;
    memcpy(writer->body, writer->json.text, writer->json_bytes);
    char *at = writer->body + writer->json_bytes;
    for (int i = 0; i < count && request->binary; i++) {
        size_t n = (size_t)request->images * sp_inference_output_bytes(&outputs[i]);
        memcpy(at, outputs[i].data, n);
        at += n;
    }
}

static void reply_error(struct sp_inference *inference, uint64_t id, int code,
                        const struct sp_error *err)
{
    struct sp_late_reply reply = {.status = 500};
    struct sp_json json = {0};
    if (code == SP_ERR_TIMEOUT || code == SP_ERR_NO_MEMORY) {
        reply.status = 503;
        snprintf(reply.headers, sizeof reply.headers, "Retry-After: 1\r\n");
        atomic_fetch_add(&inference->busy, 1);
    } else {
        reply.status = code == SP_ERR_INVALID ? 400 : 500;
        atomic_fetch_add(&inference->failed, 1);
    }
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "error", err->text);
    sp_json_end_object(&json);
    reply.body = json.text;
    reply.bytes = json.failed ? 0 : json.used_bytes;
    sp_server_reply(inference->api->server, id, &reply);
}

static void reply_outputs(struct sp_inference *inference, uint64_t id, struct reply_writer *writer)
{
    struct sp_late_reply reply = {.status = 200, .body = writer->body, .bytes = writer->bytes};
    if (writer->request->binary) {
        reply.type = "application/octet-stream";
        snprintf(reply.headers, sizeof reply.headers, "Inference-Header-Content-Length: %zu\r\n",
                 writer->json_bytes);
    }
    atomic_fetch_add(&inference->requests, 1);
    sp_server_reply(inference->api->server, id, &reply);
}

static void work(struct sp_inference *inference, const struct sp_inference_item *item)
{
    struct sp_error err = {0};
    struct sp_inference_request request;
    struct reply_writer writer = {.inference = inference, .request = &request};
    int result = sp_inference_read(&request, item->body, item->bytes, item->json_bytes,
                                   inference->layout, &err);
    if (result == SP_OK) {
        struct sp_share_input input = {
            .images = request.data,
            .count = request.images,
            .width_px = request.width_px,
            .height_px = request.height_px,
            .deadline_us = item->deadline_us,
        };
        result = sp_share_infer(inference->api->pipeline, &input, write_reply, &writer, &err);
    }
    if (result == SP_OK && !writer.body)
        result = sp_fail(&err, SP_ERR_NO_MEMORY, "inference: out of memory");
    if (result < 0)
        reply_error(inference, item->reply, result, &err);
    else
        reply_outputs(inference, item->reply, &writer);
    sp_json_release(&writer.json);
    free(request.numbers);
    free(item->body);
}

static void *run_worker(void *argument)
{
    struct sp_inference *inference = argument;
    pthread_mutex_lock(&inference->lock);
    while (!inference->stopping) {
        struct sp_inference_item item;
        if (!sp_inference_queue_pop(&inference->queue, &item)) {
            pthread_cond_wait(&inference->queued, &inference->lock);
            continue;
        }
        pthread_mutex_unlock(&inference->lock);
        work(inference, &item);
        pthread_mutex_lock(&inference->lock);
    }
    pthread_mutex_unlock(&inference->lock);
    return NULL;
}

/* ---- opening ---- */

/* The stem of the model's file: person.onnx is the model "person". */
static void name_model(char out[NAME_BYTES], const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    snprintf(out, NAME_BYTES, "%.*s", (int)strcspn(name, "."), name);
}

int sp_inference_open(struct sp_inference **out, struct sp_api *api, struct sp_error *err)
{
    *out = NULL;
    if (!api->settings.share_engine)
        return SP_OK;
    if (SPOTON_ENGINE_HAS(sp_pipeline_engine(api->pipeline), inspect_with))
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "SHARE_ENGINE: this engine infers on other machines itself; share the engine "
            "there");
    struct sp_inference *inference = calloc(1, sizeof *inference);
    if (!inference)
        return sp_fail(err, SP_ERR_NO_MEMORY, "SHARE_ENGINE: out of memory");
    inference->api = api;
    inference->layout = sp_pipeline_model(api->pipeline)->layout;
    name_model(inference->model, sp_pipeline_model(api->pipeline)->path);
    pthread_mutex_init(&inference->lock, NULL);
    pthread_cond_init(&inference->queued, NULL);
    int result = SP_OK;
    while (inference->workers < WORKERS_MAX && result == SP_OK) {
        result = sp_thread_start(&inference->worker[inference->workers], "share", run_worker,
                                 inference, err);
        inference->workers += result == SP_OK;
    }
    if (result < 0)
        sp_inference_close(inference);
    else
        *out = inference;
    return result;
}

void sp_inference_stop(struct sp_inference *inference)
{
    if (!inference)
        return;
    pthread_mutex_lock(&inference->lock);
    inference->stopping = true;
    pthread_cond_broadcast(&inference->queued);
    pthread_mutex_unlock(&inference->lock);
    while (inference->workers > 0)
        pthread_join(inference->worker[--inference->workers], NULL);
}

void sp_inference_close(struct sp_inference *inference)
{
    struct sp_inference_item item;
    if (!inference)
        return;
    sp_inference_stop(inference);
    while (sp_inference_queue_pop(&inference->queue, &item))
        free(item.body);
    pthread_cond_destroy(&inference->queued);
    pthread_mutex_destroy(&inference->lock);
    free(inference);
}

bool sp_inference_count(const struct sp_api *api, struct sp_inference_counts *counts)
{
    struct sp_inference *inference = api->inference;
    if (!inference)
        return false;
    *counts = (struct sp_inference_counts){.requests = atomic_load(&inference->requests),
                                           .busy = atomic_load(&inference->busy),
                                           .failed = atomic_load(&inference->failed)};
    pthread_mutex_lock(&inference->lock);
    counts->queued = inference->queue.count;
    pthread_mutex_unlock(&inference->lock);
    return true;
}

/* ---- requests, on the server's thread ---- */

static bool is_infer(const char *path)
{
    static const char begin[] = "/v2/models/", end[] = "/infer";
    size_t length = strlen(path);
    return strncmp(path, begin, sizeof begin - 1) == 0 && length > sizeof begin + sizeof end &&
           strcmp(path + length - (sizeof end - 1), end) == 0;
}

size_t sp_inference_body_limit(struct sp_api *api, const struct sp_request *request)
{
    struct sp_share_model model;
    bool large = api->inference && request->method == SP_POST && is_infer(request->path) &&
                 sp_access_is_known(api, request) && sp_share_describe(api->pipeline, &model);
    if (!large)
        return SP_SERVER_BODY_BYTES;
    size_t images = (size_t)model.batch * (size_t)model.width_px * (size_t)model.height_px * 3;
    return SP_SERVER_BODY_BYTES + images * NUMBER_BYTES_MAX;
}

static bool is_shared(struct sp_call *call)
{
    if (!call->api->inference)
        sp_call_refuse(call, 404, "the engine is not shared; start with --share-engine");
    return call->api->inference != NULL;
}

static bool is_model(struct sp_call *call)
{
    if (!is_shared(call))
        return false;
    if (strcmp(call->name, call->api->inference->model) == 0)
        return true;
    sp_call_refuse(call, 404, "model %.60s: not here; the model is %s", call->name,
                   call->api->inference->model);
    return false;
}

void sp_inference_server(struct sp_call *call)
{
    if (!is_shared(call))
        return;
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "name", "spoton");
    sp_json_member_string(call->json, "version", SPOTON_VERSION);
    sp_json_key(call->json, "extensions");
    sp_json_begin_array(call->json);
    sp_json_string(call->json, "binary_tensor_data");
    sp_json_end_array(call->json);
    sp_json_end_object(call->json);
}

void sp_inference_live(struct sp_call *call)
{
    if (!is_shared(call))
        return;
    sp_json_begin_object(call->json);
    sp_json_member_bool(call->json, "live", true);
    sp_json_end_object(call->json);
}

static void put_ready(struct sp_call *call)
{
    struct sp_share_model model;
    bool ready = sp_share_describe(call->api->pipeline, &model);
    call->reply->status = ready ? 200 : 503;
    if (!ready)
        sp_call_header(call, "Retry-After: 1");
    sp_json_begin_object(call->json);
    sp_json_member_bool(call->json, "ready", ready);
    sp_json_end_object(call->json);
}

void sp_inference_ready(struct sp_call *call)
{
    if (is_shared(call))
        put_ready(call);
}

void sp_inference_model_ready(struct sp_call *call)
{
    if (is_model(call))
        put_ready(call);
}

static void put_dims(struct sp_json *json, const int64_t *dims, int rank)
{
    sp_json_key(json, "shape");
    sp_json_begin_array(json);
    for (int i = 0; i < rank; i++)
        sp_json_int(json, dims[i]);
    sp_json_end_array(json);
}

static void put_metadata(struct sp_json *json, const char *name, const struct sp_share_model *model)
{
    int64_t batch = model->batch > 1 ? -1 : 1;
    const int64_t nchw[4] = {batch, 3, model->height_px, model->width_px};
    const int64_t nhwc[4] = {batch, model->height_px, model->width_px, 3};
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", name);
    sp_json_key(json, "versions");
    sp_json_begin_array(json);
    sp_json_string(json, "1");
    sp_json_end_array(json);
    sp_json_member_string(json, "platform", "spoton"); /* RGB bytes, whatever the model takes */
    sp_json_key(json, "inputs");
    sp_json_begin_array(json);
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", "images");
    sp_json_member_string(json, "datatype", "UINT8");
    put_dims(json, model->layout == SPOTON_LAYOUT_NCHW ? nchw : nhwc, 4);
    sp_json_end_object(json);
    sp_json_end_array(json);
    sp_json_key(json, "outputs");
    sp_json_begin_array(json);
    for (int i = 0; i < model->output_count; i++) {
        char output[16];
        int64_t dims[SPOTON_RANK_MAX + 1] = {batch};
        snprintf(output, sizeof output, "output%d", i);
        memcpy(dims + 1, model->output[i].dims, sizeof model->output[i].dims);
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", output);
        sp_json_member_string(json, "datatype", "FP32");
        put_dims(json, dims, model->output[i].rank + 1);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

void sp_inference_metadata(struct sp_call *call)
{
    struct sp_share_model model;
    if (!is_model(call))
        return;
    if (sp_share_describe(call->api->pipeline, &model)) {
        put_metadata(call->json, call->name, &model);
        return;
    }
    sp_call_header(call, "Retry-After: 1");
    sp_call_refuse(call, 503, "the model is being compiled; try again");
}

void sp_inference_infer(struct sp_call *call)
{
    struct sp_inference *inference = call->api->inference;
    const struct sp_request *request = call->request;
    if (!is_model(call))
        return;
    struct sp_inference_item item = {
        .reply = request->reply,
        .body = (char *)request->body,
        .bytes = request->body_bytes,
        .json_bytes = request->body_bytes,
        .deadline_us = sp_clock_us() + WAIT_US,
    };
    snprintf(item.client, sizeof item.client, "%s", request->address);
    if (request->inference_header[0]) {
        char *end;
        item.json_bytes = strtoul(request->inference_header, &end, 10);
        if (*end || request->inference_header[0] == '-') {
            sp_call_refuse(call, 400, "Inference-Header-Content-Length: not a number of bytes");
            return;
        }
    }
    if (request->body_bytes == 0) {
        sp_call_refuse(call, 400, "inference request: the body is empty; see docs/KSERVE.md");
        return;
    }
    pthread_mutex_lock(&inference->lock);
    bool queued = sp_inference_queue_push(&inference->queue, &item);
    if (queued)
        pthread_cond_signal(&inference->queued);
    pthread_mutex_unlock(&inference->lock);
    if (queued) {
        call->reply->kind = SP_REPLY_LATER; /* the body is the queue's now */
        return;
    }
    atomic_fetch_add(&inference->busy, 1);
    sp_call_header(call, "Retry-After: 1");
    sp_call_refuse(call, 503, "too many inference requests; try again");
}
