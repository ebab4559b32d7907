/* A complete server in the fuzzer's process: two cameras of which one has a frame, tokens and
 * passwords that may never be seen, and a port on loopback. The pipeline is not started, so that an
 * input cannot make it connect to anything. */
#pragma once

#include "api/api.h"
#include "base/log.h"
#include "publish/encoder.h"
#include "publish/hub.h"

#include "fuzz.h"

#define SITE_SECRET "zq7secret"

#ifndef FUZZ_ENGINE_DIR /* meson.build sets it; linters that read a target alone do not know it */
#define FUZZ_ENGINE_DIR "engines"
#endif

struct site {
    struct sp_settings settings;
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_event_log *events;
    struct sp_fan_out *outputs;
    struct sp_live_counting *counting;
    struct sp_pipeline *pipeline;
    struct sp_frame_pool *pool;
    struct sp_result_pool *results;
    struct sp_api *api;
    struct sp_server *server;
    struct sp_site calls;
};

static inline void site_must(int result, const struct sp_error *err)
{
    if (result < 0)
        (void)fprintf(stderr, "%s\n", err->text);
    FUZZ_CHECK(result >= 0);
}

static inline void site_publish(struct site *site, int camera)
{
    static const uint8_t grey[64 * 48];
    const struct sp_track tracks[] = {
        {.id = 7, .x1_px = 1, .y1_px = 2, .x2_px = 20.5, .y2_px = 40.25, .confidence = 0.9},
        {.id = 70000, .x1_px = -5, .y1_px = 2, .x2_px = 99, .y2_px = 60, .confidence = 0.5},
    };
    struct sp_frame *frame = sp_frame_pool_get(site->pool);
    FUZZ_CHECK(frame != NULL);
    for (int i = 0; i < 3; i++) {
        frame->plane[i] = grey;
        frame->stride_bytes[i] = i ? 32 : 64;
    }
    frame->width_px = 64;
    frame->height_px = 48;
    frame->sequence = 5;
    frame->camera = camera;
    struct sp_result *result = sp_result_new(site->results, frame);
    FUZZ_CHECK(result != NULL);
    result->inferred = true;
    result->track_count = 2;
    memcpy(result->tracks, tracks, sizeof tracks);
    FUZZ_CHECK(sp_hub_publish(site->hub, result, frame) == SP_OK);
    sp_result_unref(result);
    sp_frame_unref(frame);
}

static inline void site_add_camera(struct site *site, const char *name, const char *url)
{
    struct sp_error err = {0};
    site_must(sp_settings_add_camera(&site->settings, name, url, false, "fuzz", &err), &err);
}

static inline void site_open(struct site *site, bool guarded)
{
    struct sp_error err = {0};
    sp_log_set_level(SP_LOG_ERROR);
    setenv("SPOTON_ENGINE_DIR", FUZZ_ENGINE_DIR, 0);
    memset(site, 0, sizeof *site);
    sp_settings_default(&site->settings);
    snprintf(site->settings.engine, sizeof site->settings.engine, "fake");
    snprintf(site->settings.model_path, sizeof site->settings.model_path, "fake");
    snprintf(site->settings.video_dir, sizeof site->settings.video_dir, "/usr/share/doc");
    site->settings.feedback_file[0] = '\0';
    if (guarded)
        snprintf(site->settings.api_token, sizeof site->settings.api_token, SITE_SECRET);
    site_add_camera(site, "c01", "sim://still");
    site_add_camera(site, "door", "rtsp://user:" SITE_SECRET "@192.0.2.1/live");
    site_must(sp_hub_open(&site->hub, &err), &err);
    site_must(sp_frame_pool_open(&site->pool, &err), &err);
    site_must(sp_result_pool_open(&site->results, &err), &err);
    struct sp_pipeline_options pipeline = {.settings = &site->settings, .live = true, .loop = true};
    site_must(sp_pipeline_open(&site->pipeline, &pipeline, &err), &err);
    struct sp_encoder_options encoder = {.hub = site->hub, .threads = 1};
    site_must(sp_encoder_open(&site->encoder, &encoder, &err), &err);
    struct sp_event_log_options events = {0};
    site_must(sp_event_log_open(&site->events, &events, &err), &err);
    const struct sp_fan_out_options outputs = {.outputs = ""};
    site_must(sp_fan_out_open(&site->outputs, &outputs, &err), &err);
    struct sp_live_counting_options counting = {
        .yaml_path = "", .file = "", .events = site->events, .units_per_m = 100};
    site_must(sp_live_counting_open(&site->counting, &counting, &err), &err);
    struct sp_api_options api = {.settings = &site->settings,
                                 .pipeline = site->pipeline,
                                 .hub = site->hub,
                                 .encoder = site->encoder,
                                 .events = site->events,
                                 .outputs = site->outputs,
                                 .counting = site->counting};
    site_must(sp_api_open(&site->api, &api, &err), &err);
    site->calls = sp_api_site(site->api);
    struct sp_server_options server = {.hub = site->hub,
                                       .encoder = site->encoder,
                                       .site = site->calls,
                                       .classes = sp_api_classes(site->api),
                                       .host = "127.0.0.1"};
    site_must(sp_server_open(&site->server, &server, &err), &err);
    sp_api_attach(site->api, site->server);
    sp_api_set_started(site->api, true);
    sp_hub_begin_camera(site->hub, 0, "c01");
    sp_hub_begin_camera(site->hub, 1, "door");
    site_publish(site, 0);
}

static inline void site_close(struct site *site)
{
    sp_pipeline_close(site->pipeline);
    sp_live_counting_close(site->counting);
    sp_fan_out_close(site->outputs);
    sp_encoder_stop(site->encoder);
    sp_server_close(site->server);
    sp_encoder_close(site->encoder);
    sp_api_close(site->api);
    sp_event_log_close(site->events);
    sp_hub_close(site->hub);
    sp_result_pool_close(site->results);
    sp_frame_pool_close(site->pool);
}

/* The newest task of API v1, made anew: inputs write "{task}" where its id goes. */
static inline void site_start_task(struct site *site, char id[64])
{
    static const char body[] = "{\"environment_id\": \"default\"}";
    struct sp_request *request = calloc(1, sizeof *request);
    struct sp_reply reply = {.status = 200};
    FUZZ_CHECK(request != NULL);
    request->method = SP_POST;
    snprintf(request->path, sizeof request->path, "/api/v1/detection-processing-tasks/start");
    snprintf(request->authorization, sizeof request->authorization, "Bearer " SITE_SECRET);
    request->body = body;
    request->body_bytes = sizeof body - 1;
    site->calls.request(site->calls.user, request, &reply);
    FUZZ_CHECK(reply.status == 202);
    const char *at = strstr(reply.body.text, "\"task_id\":\"");
    FUZZ_CHECK(at != NULL);
    snprintf(id, 64, "%.36s", at + 11);
    sp_json_release(&reply.body);
    free(request);
}

/* The input as a text of its own with the task's id put in. Free it. */
static inline char *site_expand(const uint8_t *data, size_t bytes, const char *id, size_t *length)
{
    static const char mark[] = "{task}";
    const size_t mark_bytes = sizeof mark - 1, id_bytes = strlen(id);
    char *text = malloc(bytes / mark_bytes * id_bytes + bytes + 1);
    size_t used = 0;
    FUZZ_CHECK(text != NULL);
    for (size_t i = 0; i < bytes;) {
        if (bytes - i >= mark_bytes && memcmp(data + i, mark, mark_bytes) == 0) {
            memcpy(text + used, id, id_bytes);
            used += id_bytes;
            i += mark_bytes;
        } else {
            text[used++] = (char)data[i++];
        }
    }
    text[used] = '\0';
    *length = used;
    return text;
}
