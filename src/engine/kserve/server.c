#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHECK_TIMEOUT_MS = 2000, FETCH_TIMEOUT_MS = 5000 };

bool kserve_server_open(struct kserve_server *server, const struct kserve_address *address,
                        const struct kserve_options *options, int64_t budget_us)
{
    *server = (struct kserve_server){.address = address, .options = options};
    server->breaker.budget_us = budget_us;
    snprintf(server->infer_url, sizeof server->infer_url, "%s/infer", address->model);
    return kserve_transfer_open(&server->check, server);
}

void kserve_server_close(struct kserve_server *server)
{
    kserve_transfer_close(&server->check);
}

static bool prepare(struct kserve_transfer *transfer, const struct kserve_address *address,
                    const struct kserve_options *options, enum kserve_check step, long timeout_ms)
{
    char url[KSERVE_URL_BYTES + 32];
    const char *const base = step == KSERVE_CHECK_HEALTH ? address->base : address->model;
    static const char *const paths[] = {"/v2/health/ready", "/ready", ""};
    snprintf(url, sizeof url, "%s%s", base, paths[step]);
    struct kserve_target target = {url, options->token, options->ca_file, timeout_ms};
    return kserve_transfer_prepare(transfer, &target, NULL, 0, NULL, 0);
}

bool kserve_server_prepare_check(struct kserve_server *server)
{
    return prepare(&server->check, server->address, server->options, server->step,
                   CHECK_TIMEOUT_MS);
}

/* ---- does the model fit? ---- */

static void put_dims(char *out, size_t out_bytes, const int64_t *dims, int rank)
{
    size_t used = 0;
    for (int i = 0; i < rank && used < out_bytes; ++i)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%lld", i ? "," : "",
                                 (long long)dims[i]);
}

static int check_input(const struct kserve_need *need, const struct kserve_model *model,
                       char *error, size_t error_bytes)
{
    const struct spoton_tensor *input = &model->info.input[0];
    bool fits = model->info.input_count == 1 && input->rank == 4;
    for (int i = 0; i < 4 && fits; ++i)
        fits = input->dims[i] < 0 || input->dims[i] == need->dims[i];
    if (!fits) {
        char has[120] = "", needs[120] = "";
        put_dims(has, sizeof has, input->dims, input->rank);
        put_dims(needs, sizeof needs, need->dims, 4);
        return kserve_fail(error, error_bytes,
                           "its model takes %s [%s], but [%s] is needed here; use the same model "
                           "and YOLO_INPUT_SIZE on both sides",
                           kserve_datatype(input->element), has, needs);
    }
    bool element = input->element == SPOTON_ELEMENT_F32 || input->element == SPOTON_ELEMENT_F16 ||
                   input->element == SPOTON_ELEMENT_BF16 || input->element == SPOTON_ELEMENT_U8;
    if (!element)
        return kserve_fail(error, error_bytes,
                           "its model takes neither FP32, FP16, BF16 nor UINT8 images");
    return 0;
}

/* All servers of an engine get the same input and return the same outputs. */
static int check_alike(const struct kserve_model *first, const struct kserve_model *model,
                       char *error, size_t error_bytes)
{
    const struct spoton_model_info *a = &first->info, *b = &model->info;
    bool alike = a->input[0].element == b->input[0].element &&
                 first->takes_rgb == model->takes_rgb && a->output_count == b->output_count;
    for (int i = 0; i < a->output_count && alike; ++i)
        alike = strcmp(a->output[i].name, b->output[i].name) == 0 &&
                a->output[i].rank == b->output[i].rank;
    if (!alike)
        return kserve_fail(error, error_bytes,
                           "its model has another input type or other outputs than that of the "
                           "first server; use the same model on all servers");
    return 0;
}

static int take_model(struct kserve_server *server, struct kserve_need *need, char *error,
                      size_t error_bytes)
{
    struct kserve_model *model = calloc(1, sizeof *model);
    if (!model)
        return kserve_fail(error, error_bytes, "out of memory");
    const struct kserve_transfer *reply = &server->check;
    int result = kserve_read_model(model, reply->reply ? reply->reply : "", reply->reply_bytes,
                                   error, error_bytes);
    if (result == 0)
        result = check_input(need, model, error, error_bytes);
    if (result == 0 && need->known)
        result = check_alike(&need->model, model, error, error_bytes);
    if (result == 0) {
        size_t bytes = kserve_element_bytes(model->info.input[0].element);
        for (int i = 0; i < 4; ++i)
            bytes *= (size_t)need->dims[i];
        result = kserve_write_request(server->json, model, need->dims, bytes, error, error_bytes);
    }
    if (result >= 0) {
        server->json_bytes = (size_t)result;
        if (!need->known)
            need->model = *model;
        need->known = true;
    }
    free(model);
    return result < 0 ? result : 0;
}

bool kserve_server_end_step(struct kserve_server *server, struct kserve_need *need, CURLcode code,
                            enum kserve_outcome *outcome, char *error, size_t error_bytes)
{
    char text[200] = "";
    *outcome = kserve_transfer_result(&server->check, code, text, sizeof text);
    if (*outcome == KSERVE_REFUSES && server->step == KSERVE_CHECK_MODEL)
        kserve_fail(error, error_bytes,
                    "has no such model (%s); load it there or correct KSERVE_URL", text);
    else if (*outcome != KSERVE_OK)
        kserve_fail(error, error_bytes, "%s", text);
    if (*outcome != KSERVE_OK)
        return true;
    if (server->step != KSERVE_CHECK_METADATA) {
        server->step++;
        return false;
    }
    if (take_model(server, need, error, error_bytes) < 0)
        *outcome = KSERVE_REFUSES;
    return true;
}

/* ---- inspection ---- */

static int fetch_from(struct kserve_model *model, struct kserve_transfer *transfer,
                      const struct kserve_address *address, const struct kserve_options *options,
                      char *error, size_t error_bytes)
{
    char text[300] = "";
    enum kserve_outcome outcome = KSERVE_OK;
    for (enum kserve_check step = KSERVE_CHECK_HEALTH;
         step <= KSERVE_CHECK_METADATA && outcome == KSERVE_OK; ++step) {
        if (!prepare(transfer, address, options, step, FETCH_TIMEOUT_MS))
            return kserve_fail(error, error_bytes, "out of memory");
        outcome =
            kserve_transfer_result(transfer, curl_easy_perform(transfer->easy), text, sizeof text);
        if (outcome == KSERVE_REFUSES && step == KSERVE_CHECK_MODEL &&
            strstr(text, "token") == NULL)
            return kserve_fail(error, error_bytes,
                               "server %s: has no such model (%s); load it there or correct "
                               "KSERVE_URL",
                               address->shown, text);
    }
    if (outcome == KSERVE_OK && kserve_read_model(model, transfer->reply ? transfer->reply : "",
                                                  transfer->reply_bytes, text, sizeof text) < 0)
        outcome = KSERVE_REFUSES;
    if (outcome == KSERVE_UNREACHABLE || outcome == KSERVE_LATE)
        return kserve_fail(error, error_bytes,
                           "server %s: %s; start the server or correct KSERVE_URL", address->shown,
                           text);
    return outcome == KSERVE_OK
               ? 0
               : kserve_fail(error, error_bytes, "server %s: %s", address->shown, text);
}

int kserve_fetch_model(struct kserve_model *model, const struct kserve_options *options,
                       char *error, size_t error_bytes)
{
    struct kserve_transfer transfer;
    int result = SPOTON_FAILED;
    if (!kserve_transfer_open(&transfer, NULL))
        return kserve_fail(error, error_bytes, "out of memory");
    for (int i = 0; i < options->server_count && result < 0; ++i)
        result = fetch_from(model, &transfer, &options->server[i], options, error, error_bytes);
    kserve_transfer_close(&transfer);
    return result;
}
