/* /api/v2/ledger, /api/v2/settings and /api/v2/stats. */
#include "api/system.h"

#include "api/camera_lookup.h"
#include "base/clock.h"
#include "engine/loader.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void sp_system_ledger(struct sp_call *call)
{
    struct sp_ledger_counts total = {0};
    int capacity = sp_pipeline_camera_capacity(call->api->pipeline);
    bool balanced = true;
    sp_json_begin_object(call->json);
    sp_json_key(call->json, "cameras");
    sp_json_begin_object(call->json);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(call->api->pipeline, i, &report);
        if (!report.used)
            continue;
        sp_ledger_sum(&total, &report.ledger);
        balanced = balanced && sp_ledger_balances(&report.ledger);
        sp_json_key(call->json, report.name);
        sp_json_ledger(call->json, &report.ledger);
    }
    sp_json_end_object(call->json);
    sp_json_key(call->json, "total");
    sp_json_ledger(call->json, &total);
    sp_json_key(call->json, "balanced");
    sp_json_bool(call->json, balanced);
    sp_json_end_object(call->json);
}

static void add_setting(void *user, const char *key, const char *value)
{
    if (strncmp(key, "CAMERA_", 7) !=
        0) /* initial cameras; /api/v2/cameras lists the current ones */
        sp_json_member_string(user, key, value);
}

void sp_system_settings(struct sp_call *call)
{
    sp_json_begin_object(call->json);
    sp_json_key(call->json, "settings");
    sp_json_begin_object(call->json);
    sp_settings_each(&call->api->settings, add_setting, call->json);
    sp_json_end_object(call->json);
    sp_json_end_object(call->json);
}

uint64_t sp_system_memory_bytes(void)
{
    unsigned long long whole = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    int found = fscanf(file, "%llu %llu", &whole, &resident);
    fclose(file);
    return found == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

/* The pipeline's stages, and the encoding and sending stages of viewers. */
static void read_stages(struct sp_api *api)
{
    memset(api->stages, 0, SP_STAGE_COUNT * sizeof api->stages[0]);
    sp_pipeline_stages(api->pipeline, api->stages);
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        struct sp_hub_times *times = sp_hub_times(api->hub, i);
        sp_histogram_merge(&api->stages[SP_STAGE_DRAW].wall, &times->draw);
        sp_histogram_merge(&api->stages[SP_STAGE_ENCODE].wall, &times->encode);
    }
}

static const struct {
    const char *key;
    double share;
} percentiles[] = {{"p50_ms", 0.5}, {"p95_ms", 0.95}, {"p99_ms", 0.99}};

/* True when the stage has new values since the previous tick. */
static bool changed(const struct sp_api *api, int stage)
{
    const struct sp_rate_sample *before =
        &api->sample[(api->samples + SP_RATE_SAMPLES - 2) % SP_RATE_SAMPLES];
    return api->samples < 2 || before->count[stage] != atomic_load(&api->stages[stage].wall.count);
}

void sp_system_sample(struct sp_api *api)
{
    struct sp_rate_sample *sample = &api->sample[api->samples++ % SP_RATE_SAMPLES];
    *sample = (struct sp_rate_sample){.at_us = sp_clock_us()};
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        if (!report.used)
            continue;
        sample->frames += report.frames_done;
        sample->inferred += report.ledger.settled[SP_OUTCOME_INFERRED];
    }
    struct sp_device_report devices[SP_DEVICES_MAX];
    int device_count = sp_pipeline_devices(api->pipeline, devices);
    for (int i = 0; i < device_count; i++) {
        sample->images += devices[i].images;
        sample->batches += devices[i].batches;
    }
    read_stages(api);
    for (int i = 0; i < SP_STAGE_COUNT; i++) {
        for (int k = 0; k < 3 && changed(api, i); k++)
            api->percentile_ms[i][k] =
                sp_histogram_percentile(&api->stages[i].wall, percentiles[k].share) / 1000;
        sample->count[i] = atomic_load(&api->stages[i].wall.count);
        sample->sum_us[i] = atomic_load(&api->stages[i].wall.sum_us);
    }
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        const struct sp_hub_times *times = sp_hub_times(api->hub, i);
        sample->send_count += atomic_load(&times->send.count);
        sample->send_us += atomic_load(&times->send.sum_us);
    }
}

/* Totals drop when a camera is removed. */
static double rise(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) : 0;
}

static double mean_ms(uint64_t count_from, uint64_t count_to, uint64_t us_from, uint64_t us_to)
{
    double count = rise(count_from, count_to);
    return count > 0 ? rise(us_from, us_to) / count / 1000 : 0;
}

static void put_devices(struct sp_json *json, const struct sp_device_report *devices, int count)
{
    sp_json_key(json, "devices");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_object(json);
        sp_json_member_int(json, "device", devices[i].number);
        sp_json_member_string(json, "name", devices[i].name);
        sp_json_member_int(json, "cameras", devices[i].cameras);
        sp_json_member_int(json, "images", (int64_t)devices[i].images);
        sp_json_member_int(json, "batches", (int64_t)devices[i].batches);
        sp_json_member_int(json, "decoded", (int64_t)devices[i].decoded);
        sp_json_member_string(json, "lost", devices[i].lost ? devices[i].error.text : NULL);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

/* Class names by the class index of binary messages. */
static void put_classes(const struct sp_api *api, struct sp_json *json)
{
    const struct sp_model *model = sp_pipeline_model(api->pipeline);
    char number[16];
    sp_json_key(json, "classes");
    sp_json_begin_object(json);
    for (int i = 0; i < model->classes; i++) {
        if (!sp_pipeline_reports_class(api->pipeline, i))
            continue;
        sp_json_member_string(json, sp_class_name(NULL, i, number),
                              sp_class_names_get(api->classes, i));
    }
    sp_json_end_object(json);
}

static void put_servers(struct sp_api *api, struct sp_json *json)
{
    struct spoton_server servers[SP_SERVERS_MAX];
    int count = sp_pipeline_servers(api->pipeline, servers);
    sp_json_key(json, "servers");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", servers[i].name);
        sp_json_member_string(json, "state", sp_server_state_name(servers[i].state));
        sp_json_member_string(json, "error", servers[i].error[0] ? servers[i].error : NULL);
        sp_json_member_int(json, "in_flight", servers[i].in_flight);
        sp_json_member_int(json, "requests", (int64_t)servers[i].requests);
        sp_json_member_int(json, "failures", (int64_t)servers[i].failures);
        sp_json_member_int(json, "busy", (int64_t)servers[i].busy);
        sp_json_key(json, "round_trip_ms");
        sp_json_number(json, (double)servers[i].round_trip_us / 1000, 3);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_engine(struct sp_api *api, struct sp_json *json)
{
    struct sp_detector_report detectors[SP_DETECTORS_MAX];
    struct sp_device_report devices[SP_DEVICES_MAX];
    int count = sp_pipeline_detectors(api->pipeline, detectors);
    int device_count = sp_pipeline_devices(api->pipeline, devices);
    const struct spoton_engine_api *engine = sp_pipeline_engine(api->pipeline);
    const char *path = sp_pipeline_model(api->pipeline)->path, *slash = strrchr(path, '/');
    sp_json_key(json, "engine");
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", engine->name);
    sp_json_member_string(json, "device", api->probe.device);
    sp_json_member_string(json, "precision",
                          count ? sp_precision_name(detectors[0].description.precision) : NULL);
    sp_json_member_string(json, "model", slash ? slash + 1 : path);
    put_classes(api, json);
    sp_json_key(json, "inputs");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_object(json);
        sp_json_member_int(json, "width", detectors[i].width_px);
        sp_json_member_int(json, "height", detectors[i].height_px);
        sp_json_member_int(json, "batch", detectors[i].batch);
        sp_json_member_int(json, "streams", detectors[i].description.streams);
        sp_json_member_int(json, "images", (int64_t)detectors[i].images);
        sp_json_member_int(json, "device", devices[detectors[i].device].number);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    put_devices(json, devices, device_count);
    put_servers(api, json);
    sp_json_end_object(json);
}

static void put_stages(struct sp_api *api, struct sp_json *json)
{
    sp_json_key(json, "stages");
    sp_json_begin_object(json);
    for (int i = 0; i < SP_STAGE_COUNT; i++) {
        const struct sp_histogram *wall = &api->stages[i].wall;
        sp_json_key(json, sp_stage_name((enum sp_stage)i));
        sp_json_begin_object(json);
        for (int k = 0; k < 3; k++) {
            sp_json_key(json, percentiles[k].key);
            sp_json_number(json, api->percentile_ms[i][k], 3);
        }
        sp_json_member_int(json, "count", (int64_t)atomic_load(&wall->count));
        sp_json_end_object(json);
    }
    sp_json_end_object(json);
}

static void put_ms(struct sp_json *json, const char *key, double ms)
{
    sp_json_key(json, key);
    sp_json_number(json, ms, 3);
}

static void put_batch(struct sp_json *json, const struct sp_rate_sample *from,
                      const struct sp_rate_sample *to)
{
    /* The mean size of the batches that ran. */
    double batches = rise(from->batches, to->batches);
    double size = batches > 0 ? rise(from->images, to->images) / batches : 1;
    double mean[SP_STAGE_COUNT];
    for (int i = 0; i < SP_STAGE_COUNT; i++)
        mean[i] = mean_ms(from->count[i], to->count[i], from->sum_us[i], to->sum_us[i]);
    sp_json_key(json, "batch");
    sp_json_begin_object(json);
    sp_json_key(json, "size");
    sp_json_number(json, size, 2);
    put_ms(json, "detect_ms", mean[SP_STAGE_ENGINE]);
    put_ms(json, "track_ms", mean[SP_STAGE_TRACK] * size);
    put_ms(json, "encode_ms", mean[SP_STAGE_ENCODE] * size);
    put_ms(json, "send_ms",
           mean_ms(from->send_count, to->send_count, from->send_us, to->send_us) * size);
    sp_json_end_object(json);
}

void sp_system_stats(struct sp_call *call)
{
    static const struct sp_rate_sample none;
    struct sp_api *api = call->api;
    struct sp_json *json = call->json;
    struct sp_server_counts viewers;
    uint64_t last = api->samples - 1,
             kept = api->samples < SP_RATE_SAMPLES ? api->samples : SP_RATE_SAMPLES;
    const struct sp_rate_sample *to = kept ? &api->sample[last % SP_RATE_SAMPLES] : &none;
    const struct sp_rate_sample *from =
        kept ? &api->sample[(last + 1 - kept) % SP_RATE_SAMPLES] : &none;
    double seconds = (double)(to->at_us - from->at_us) / 1e6;
    sp_server_count(api->server, &viewers);
    sp_json_begin_object(json);
    sp_json_key(json, "uptime_s");
    sp_json_number(json, (double)(sp_clock_us() - api->started_us) / 1e6, 1);
    sp_json_key(json, "frames_per_s");
    sp_json_number(json, seconds > 0 ? rise(from->frames, to->frames) / seconds : 0, 2);
    sp_json_key(json, "inferred_per_s");
    sp_json_number(json, seconds > 0 ? rise(from->inferred, to->inferred) / seconds : 0, 2);
    put_engine(api, json);
    put_stages(api, json);
    put_batch(json, from, to);
    sp_json_member_int(json, "memory_bytes", (int64_t)sp_system_memory_bytes());
    sp_json_key(json, "viewers");
    sp_json_begin_object(json);
    sp_json_member_int(json, "mjpeg", viewers.mjpeg);
    sp_json_member_int(json, "ws", viewers.ws);
    sp_json_end_object(json);
    sp_json_end_object(json);
}
