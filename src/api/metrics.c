/* /metrics, in Prometheus's text format 0.0.4. */
#include "api/metrics.h"

#include "api/inference.h"
#include "api/metrics_counts.h"
#include "api/reply.h"
#include "api/system.h"
#include "base/clock.h"

#include <dirent.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Upper bounds of the buckets, in microseconds; the histogram itself is exact to 3 %. */
static const int64_t buckets_us[] = {100,    250,    500,     1000,    2500,
                                     5000,   10000,  25000,   50000,   100000,
                                     250000, 500000, 1000000, 2500000, 10000000};
enum { BUCKETS = sizeof buckets_us / sizeof buckets_us[0] };

/* For the latency per camera: fewer, because there may be 64 cameras. */
static const int64_t latency_us[] = {10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000};
enum { LATENCY_BUCKETS = sizeof latency_us / sizeof latency_us[0] };

struct camera {
    int index;
    struct sp_camera_report report;
};

struct page {
    struct sp_api *api;
    struct sp_json *out; /* used for plain text */
    struct camera cameras[SP_CAMERAS_MAX];
    int camera_count;
};

static void line(struct page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct page *page, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sp_json_raw(page->out, text);
    sp_json_raw(page->out, "\n");
}

static void head(struct page *page, const char *name, const char *type, const char *help)
{
    line(page, "# HELP %s %s", name, help);
    line(page, "# TYPE %s %s", name, type);
}

static void single(struct page *page, const char *name, const char *type, const char *help,
                   double value)
{
    head(page, name, type, help);
    line(page, "%s %.15g", name, value);
}

/* Camera names need no escaping: their characters are restricted. */
static void each_camera(struct page *page, const char *name, const char *type, const char *help,
                        double (*value)(const struct sp_camera_report *report))
{
    head(page, name, type, help);
    for (int i = 0; i < page->camera_count; i++)
        line(page, "%s{camera=\"%s\"} %.15g", name, page->cameras[i].report.name,
             value(&page->cameras[i].report));
}

static double received(const struct sp_camera_report *report)
{
    return (double)report->ledger.received;
}

static double in_flight(const struct sp_camera_report *report)
{
    return (double)report->ledger.in_flight;
}

static double reconnects(const struct sp_camera_report *report)
{
    return (double)report->reconnects;
}

static double camera_fps(const struct sp_camera_report *report)
{
    return report->camera_fps;
}

static double inferred_fps(const struct sp_camera_report *report)
{
    return report->inferred_fps;
}

static double tracks(const struct sp_camera_report *report)
{
    return report->active_tracks;
}

static double mailbox(const struct sp_camera_report *report)
{
    return report->mailbox_depth;
}

static double age_s(const struct sp_camera_report *report)
{
    return report->last_frame_age_us < 0 ? (double)NAN : (double)report->last_frame_age_us / 1e6;
}

static void put_cameras(struct page *page)
{
    each_camera(page, "spoton_frames_received_total", "counter", "Frames received from a camera.",
                received);
    head(page, "spoton_frames_total", "counter",
         "Frames by outcome: inferred, skipped, unneeded, dropped (late) or failed.");
    for (int i = 0; i < page->camera_count; i++)
        for (int k = 0; k < SP_OUTCOME_COUNT; k++)
            line(page, "spoton_frames_total{camera=\"%s\",outcome=\"%s\"} %llu",
                 page->cameras[i].report.name, sp_outcome_name((enum sp_outcome)k),
                 (unsigned long long)page->cameras[i].report.ledger.settled[k]);
    each_camera(page, "spoton_frames_in_flight", "gauge",
                "Frames in the pipeline without an outcome yet.", in_flight);
    each_camera(page, "spoton_camera_reconnects_total", "counter", "Connections after the first.",
                reconnects);
    each_camera(page, "spoton_camera_fps", "gauge", "Frames received per second.", camera_fps);
    each_camera(page, "spoton_camera_inferred_fps", "gauge", "Frames inferred per second.",
                inferred_fps);
    each_camera(page, "spoton_camera_tracks", "gauge", "Tracks in the newest result.", tracks);
    each_camera(page, "spoton_camera_mailbox_depth", "gauge", "Frames waiting for inference.",
                mailbox);
    each_camera(page, "spoton_camera_last_frame_age_seconds", "gauge",
                "Time since the newest frame; NaN before the first.", age_s);
    head(page, "spoton_camera_state", "gauge", "1 for the current state of the camera, else 0.");
    for (int i = 0; i < page->camera_count; i++)
        for (int s = SP_CAMERA_CONNECTING; s <= SP_CAMERA_ENDED; s++)
            line(page, "spoton_camera_state{camera=\"%s\",state=\"%s\"} %d",
                 page->cameras[i].report.name, sp_camera_state_name((enum sp_camera_state)s),
                 (int)page->cameras[i].report.state == s);
}

static double policy_value(const struct sp_policy_report *policy, size_t metric)
{
    const struct sp_audit *audit = &policy->audit;
    const double values[] = {(double)audit->audits,
                             (double)audit->sightings,
                             (double)audit->missed,
                             sp_policy_missed_share(policy),
                             sp_audit_bound(audit->missed, audit->sightings),
                             audit->level};
    return values[metric];
}

/* Cameras with INFERENCE=need only. */
static void put_policies(struct page *page)
{
    static const struct {
        const char *name, *type, *help;
    } metrics[] = {
        /* in the order of policy_value */
        {"spoton_inference_audits_total", "counter", "Audits of INFERENCE=need."},
        {"spoton_inference_sightings_total", "counter", "People seen in audits."},
        {"spoton_inference_missed_total", "counter",
         "People seen in audits of which no track was known."},
        {"spoton_inference_missed_ratio", "gauge", "Share of the people missed by INFERENCE=need."},
        {"spoton_inference_missed_ratio_max", "gauge",
         "Upper 95 % bound of spoton_inference_missed_ratio."},
        {"spoton_inference_level", "gauge",
         "Strictness of INFERENCE=need, 0 to 3; 3: every frame is inferred."},
    };
    bool any = false;
    for (int i = 0; i < page->camera_count; i++)
        any = any || page->cameras[i].report.by_need;
    if (!any)
        return;
    head(page, "spoton_inference_frames_total", "counter",
         "Frames of INFERENCE=need by the reason of their inference; none: not inferred.");
    for (int i = 0; i < page->camera_count; i++)
        for (int k = 0; k < SP_REASON_COUNT && page->cameras[i].report.by_need; k++)
            line(page, "spoton_inference_frames_total{camera=\"%s\",reason=\"%s\"} %llu",
                 page->cameras[i].report.name,
                 sp_inference_reason_name((enum sp_inference_reason)k),
                 (unsigned long long)page->cameras[i].report.policy.reasons[k]);
    for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++) {
        head(page, metrics[m].name, metrics[m].type, metrics[m].help);
        for (int i = 0; i < page->camera_count; i++)
            if (page->cameras[i].report.by_need)
                line(page, "%s{camera=\"%s\"} %.15g", metrics[m].name, page->cameras[i].report.name,
                     policy_value(&page->cameras[i].report.policy, m));
    }
}

/* labels: key="value", without the braces. */
static void put_histogram(struct page *page, const char *name, const char *labels,
                          const struct sp_histogram *histogram, const int64_t *limit_us, int count)
{
    uint64_t below[BUCKETS], all = sp_histogram_below(histogram, limit_us, count, below);
    if (all == 0)
        return;
    for (int i = 0; i < count; i++)
        line(page, "%s_bucket{%s,le=\"%g\"} %llu", name, labels, (double)limit_us[i] / 1e6,
             (unsigned long long)below[i]);
    line(page, "%s_bucket{%s,le=\"+Inf\"} %llu", name, labels, (unsigned long long)all);
    line(page, "%s_sum{%s} %.9g", name, labels, (double)atomic_load(&histogram->sum_us) / 1e6);
    line(page, "%s_count{%s} %llu", name, labels, (unsigned long long)all);
}

/* Over all cameras, as of the last tick: a histogram per camera and stage would make 14,000 series
 * for 64 cameras. */
static void put_stages(struct page *page)
{
    const struct sp_api *api = page->api;
    struct sp_histogram *send = &api->scratch->wall;
    char labels[64];
    head(page, "spoton_stage_seconds", "histogram",
         "Time of a frame in a stage, over all cameras; total: decoded to finished.");
    for (int s = 0; s < SP_STAGE_COUNT; s++) {
        snprintf(labels, sizeof labels, "stage=\"%s\"", sp_stage_name((enum sp_stage)s));
        put_histogram(page, "spoton_stage_seconds", labels, &api->stages[s].wall, buckets_us,
                      BUCKETS);
    }
    memset(send, 0, sizeof *send);
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        sp_histogram_merge(send, &sp_hub_times(api->hub, i)->send);
    put_histogram(page, "spoton_stage_seconds", "stage=\"send\"", send, buckets_us, BUCKETS);
}

static void put_latency(struct page *page)
{
    struct sp_histogram *total = &page->api->scratch->wall;
    char labels[SP_CAMERA_NAME_BYTES + 16];
    head(page, "spoton_camera_latency_seconds", "histogram",
         "Latency of a frame, decoded to finished.");
    for (int i = 0; i < page->camera_count; i++) {
        memset(total, 0, sizeof *total);
        sp_pipeline_stage_histogram(page->api->pipeline, page->cameras[i].index, SP_STAGE_TOTAL,
                                    total);
        snprintf(labels, sizeof labels, "camera=\"%s\"", page->cameras[i].report.name);
        put_histogram(page, "spoton_camera_latency_seconds", labels, total, latency_us,
                      LATENCY_BUCKETS);
    }
}

static void put_viewers(struct page *page)
{
    struct sp_server_counts server;
    struct sp_encoder_counts encoder;
    sp_server_count(page->api->server, &server);
    sp_encoder_count(page->api->encoder, &encoder);
    head(page, "spoton_viewers", "gauge", "Clients that receive frames or results.");
    line(page, "spoton_viewers{kind=\"mjpeg\"} %d", server.mjpeg);
    line(page, "spoton_viewers{kind=\"ws\"} %d", server.ws);
    single(page, "spoton_connections", "gauge", "Open connections.", server.connections);
    single(page, "spoton_requests_total", "counter", "HTTP requests.", (double)server.requests);
    single(page, "spoton_requests_refused_total", "counter",
           "HTTP requests answered with 4xx or 5xx.", (double)server.refused);
    single(page, "spoton_viewers_stuck_total", "counter",
           "Viewers disconnected because they stopped reading.", (double)server.stuck);
    single(page, "spoton_results_missed_total", "counter",
           "Results dropped for slow WebSocket clients.", (double)server.missed);
    single(page, "spoton_sent_bytes_total", "counter", "Bytes sent to clients.",
           (double)server.sent_bytes);
    single(page, "spoton_jpeg_streams", "gauge",
           "Open JPEG streams (camera, size, quality, annotation).", encoder.streams);
    single(page, "spoton_jpeg_queue_depth", "gauge", "Frames waiting for a JPEG encoder.",
           encoder.waiting);
    single(page, "spoton_jpeg_encoded_total", "counter", "Frames encoded as JPEG.",
           (double)encoder.encoded);
    single(page, "spoton_jpeg_replaced_total", "counter",
           "Waiting frames replaced by newer ones before encoding.", (double)encoder.replaced);
    single(page, "spoton_jpeg_failed_total", "counter", "Frames that failed to encode.",
           (double)encoder.failed);
}

static int count_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0;
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count > 3 ? count - 3 : 0; /* ".", "..", and the folder itself */
}

static void put_people(struct page *page)
{
    struct sp_map *map = sp_pipeline_map(page->api->pipeline);
    struct sp_space_counts counts;
    if (!map)
        return;
    sp_space_count(sp_map_space(map), &counts);
    single(page, "spoton_people", "gauge", "People visible to calibrated cameras.", counts.visible);
    single(page, "spoton_people_remembered", "gauge",
           "People with a global id, visible or recently seen.", counts.people);
    head(page, "spoton_people_decisions_total", "counter",
         "Cross-camera association decisions by kind.");
    const struct {
        const char *name;
        uint64_t count;
    } decisions[] = {{"created", counts.created},       {"merged", counts.merged},
                     {"split", counts.split},           {"reverted", counts.reverted},
                     {"reassigned", counts.reassigned}, {"returned", counts.returned}};
    for (size_t i = 0; i < sizeof decisions / sizeof decisions[0]; i++)
        line(page, "spoton_people_decisions_total{decision=\"%s\"} %llu", decisions[i].name,
             (unsigned long long)decisions[i].count);
}

enum device_metric { LOST, CAMERAS, IMAGES, DECODED, BATCHES, BUSY, IN_FLIGHT };

static double device_value(const struct sp_device_report *device, enum device_metric metric)
{
    switch (metric) {
    case LOST:
        return device->lost;
    case CAMERAS:
        return device->cameras;
    case IMAGES:
        return (double)device->images;
    case DECODED:
        return (double)device->decoded;
    case BATCHES:
        return (double)device->batches;
    case BUSY:
        return (double)device->busy_us / 1e6;
    case IN_FLIGHT:
        return (double)device->flight_us / 1e6;
    }
    return 0;
}

/* Labelled by the index in DEVICES, because a device may be listed twice. */
static void put_devices(struct page *page)
{
    static const struct {
        const char *name, *type, *help;
    } metrics[] = {
        [LOST] = {"spoton_device_lost", "gauge",
                  "1: the device failed; its cameras moved to other devices."},
        [CAMERAS] = {"spoton_device_cameras", "gauge", "Cameras assigned to the device."},
        [IMAGES] = {"spoton_device_images_total", "counter", "Frames inferred on the device."},
        [DECODED] = {"spoton_device_decoded_total", "counter", "Frames decoded on the device."},
        [BATCHES] = {"spoton_device_batches_total", "counter", "Batches inferred on the device."},
        [BUSY] = {"spoton_device_busy_seconds_total", "counter",
                  "Time with at least one batch on the device."},
        [IN_FLIGHT] = {"spoton_device_batch_seconds_total", "counter",
                       "Sum of the durations of all batches on the device."},
    };
    struct sp_device_report devices[SP_DEVICES_MAX];
    int count = sp_pipeline_devices(page->api->pipeline, devices);
    for (size_t m = 0; m < sizeof metrics / sizeof metrics[0]; m++) {
        head(page, metrics[m].name, metrics[m].type, metrics[m].help);
        for (int i = 0; i < count; i++)
            line(page, "%s{index=\"%d\",device=\"%d\"} %.15g", metrics[m].name, i,
                 devices[i].number, device_value(&devices[i], (enum device_metric)m));
    }
}

enum output_metric {
    OUTPUT_DELIVERED,
    OUTPUT_DROPPED,
    OUTPUT_FAILED,
    OUTPUT_QUEUE,
    OUTPUT_CONNECTED, /* from here on: outputs that deliver from the outbox */
    OUTPUT_RETRIED,
    OUTPUT_REJECTED,
    OUTPUT_LOST,
    OUTPUT_LAG_MESSAGES,
    OUTPUT_LAG_SECONDS,
    OUTPUT_METRICS,
};

static double output_value(const struct sp_output_report *r, enum output_metric metric)
{
    const double values[OUTPUT_METRICS] = {
        [OUTPUT_DELIVERED] = (double)(r->delivers ? r->sent : r->frames + r->events),
        [OUTPUT_DROPPED] = (double)r->dropped,
        [OUTPUT_FAILED] = (double)r->failed,
        [OUTPUT_QUEUE] = r->queued,
        [OUTPUT_CONNECTED] = r->connected,
        [OUTPUT_RETRIED] = (double)r->retried,
        [OUTPUT_REJECTED] = (double)r->rejected,
        [OUTPUT_LOST] = (double)r->lost,
        [OUTPUT_LAG_MESSAGES] = (double)r->lag_messages,
        [OUTPUT_LAG_SECONDS] = r->lag_seconds,
    };
    return values[metric];
}

static void put_outbox(struct page *page)
{
    struct sp_outbox *outbox = sp_fan_out_outbox(page->api->outputs);
    struct sp_outbox_report report;
    if (!outbox)
        return;
    sp_outbox_report(outbox, &report);
    single(page, "spoton_outbox_working", "gauge", "0: the outbox cannot write to its disk.",
           report.state == SP_OUTBOX_WORKING);
    single(page, "spoton_outbox_bytes", "gauge", "Bytes of the outbox on disk.",
           (double)report.bytes);
    single(page, "spoton_outbox_appended_total", "counter",
           "Frames and events put into the outbox.", (double)report.appended);
    single(page, "spoton_outbox_dropped_total", "counter",
           "Frames and events that the outbox could not write.", (double)report.dropped);
}

static void put_outputs(struct page *page)
{
    static const struct {
        const char *name, *type, *help;
    } metrics[OUTPUT_METRICS] = {
        {"spoton_output_delivered_total", "counter", "Frames and events that the output accepted."},
        {"spoton_output_dropped_total", "counter", "Frames and events dropped: queue full."},
        {"spoton_output_failed_total", "counter", "Calls of the output that returned an error."},
        {"spoton_output_queue", "gauge", "Frames and events waiting for the output."},
        {"spoton_output_connected", "gauge", "1: the other side accepts messages."},
        {"spoton_output_retried_total", "counter", "Messages sent again."},
        {"spoton_output_rejected_total", "counter", "Messages that the other side refused."},
        {"spoton_output_lost_total", "counter",
         "Frames and events that left the outbox before they were sent."},
        {"spoton_output_lag_messages", "gauge", "Frames and events not delivered yet."},
        {"spoton_output_lag_seconds", "gauge", "Age of the oldest message not delivered yet."},
    };
    struct sp_fan_out *outputs = page->api->outputs;
    int count = sp_fan_out_count(outputs);
    for (int m = 0; m < OUTPUT_METRICS && count > 0; m++) {
        head(page, metrics[m].name, metrics[m].type, metrics[m].help);
        for (int i = 0; i < count; i++) {
            struct sp_output_report report;
            sp_fan_out_report(outputs, i, &report);
            if (m < OUTPUT_CONNECTED || report.delivers)
                line(page, "%s{output=\"%s\"} %.15g", metrics[m].name, report.name,
                     output_value(&report, (enum output_metric)m));
        }
    }
    put_outbox(page);
}

static void put_shared(struct page *page)
{
    struct sp_inference_counts counts;
    if (!sp_inference_count(page->api, &counts))
        return;
    single(page, "spoton_shared_inferences_total", "counter", "Inferences for other machines.",
           (double)counts.requests);
    single(page, "spoton_shared_busy_total", "counter",
           "Inference requests of other machines refused with 503.", (double)counts.busy);
    single(page, "spoton_shared_failed_total", "counter",
           "Inference requests of other machines that failed.", (double)counts.failed);
    single(page, "spoton_shared_queue", "gauge", "Inference requests of other machines waiting.",
           counts.queued);
}

enum server_metric {
    SERVER_READY,
    SERVER_IN_FLIGHT,
    SERVER_REQUESTS,
    SERVER_FAILURES,
    SERVER_BUSY,
    SERVER_SENT,
    SERVER_RECEIVED,
    SERVER_ROUND_TRIP,
};

static double server_value(const struct spoton_server *server, enum server_metric metric)
{
    switch (metric) {
    case SERVER_READY:
        return server->state == SPOTON_SERVER_READY;
    case SERVER_IN_FLIGHT:
        return server->in_flight;
    case SERVER_REQUESTS:
        return (double)server->requests;
    case SERVER_FAILURES:
        return (double)server->failures;
    case SERVER_BUSY:
        return (double)server->busy;
    case SERVER_SENT:
        return (double)server->sent_bytes;
    case SERVER_RECEIVED:
        return (double)server->received_bytes;
    case SERVER_ROUND_TRIP:
        return (double)server->round_trip_us / 1e6;
    }
    return 0;
}

static void put_servers(struct page *page)
{
    static const struct {
        const char *name, *type, *help;
    } metrics[] = {
        [SERVER_READY] = {"spoton_inference_server_ready", "gauge",
                          "1: the inference server gets requests; its state is in the label."},
        [SERVER_IN_FLIGHT] = {"spoton_inference_server_in_flight", "gauge",
                              "Requests sent to the server without a reply yet."},
        [SERVER_REQUESTS] = {"spoton_inference_server_requests_total", "counter",
                             "Requests sent to the server."},
        [SERVER_FAILURES] = {"spoton_inference_server_failures_total", "counter",
                             "Requests that the server failed or did not answer in time."},
        [SERVER_BUSY] = {"spoton_inference_server_busy_total", "counter",
                         "Requests that the server refused as busy."},
        [SERVER_SENT] = {"spoton_inference_server_sent_bytes_total", "counter",
                         "Bytes of requests sent to the server."},
        [SERVER_RECEIVED] = {"spoton_inference_server_received_bytes_total", "counter",
                             "Bytes of replies received from the server."},
        [SERVER_ROUND_TRIP] = {"spoton_inference_server_round_trip_seconds", "gauge",
                               "Smoothed time from request to reply."},
    };
    struct spoton_server servers[SP_SERVERS_MAX];
    int count = sp_pipeline_servers(page->api->pipeline, servers);
    for (size_t m = 0; m < sizeof metrics / sizeof metrics[0] && count > 0; m++) {
        head(page, metrics[m].name, metrics[m].type, metrics[m].help);
        for (int i = 0; i < count; i++) {
            double value = server_value(&servers[i], (enum server_metric)m);
            if (m == SERVER_READY)
                line(page, "%s{server=\"%s\",state=\"%s\"} %.15g", metrics[m].name, servers[i].name,
                     sp_server_state_name(servers[i].state), value);
            else
                line(page, "%s{server=\"%s\"} %.15g", metrics[m].name, servers[i].name, value);
        }
    }
}

static void put_cluster(struct page *page)
{
    struct sp_cluster_status status;
    struct sp_cluster *cluster = atomic_load(&page->api->cluster);
    if (!cluster)
        return;
    sp_cluster_status(cluster, &status);
    single(page, "spoton_cluster_connected", "gauge", "1: connected to NATS.", status.connected);
    head(page, "spoton_cluster_nodes", "gauge", "Nodes of the cluster.");
    line(page, "spoton_cluster_nodes{state=\"alive\"} %d", status.nodes);
    line(page, "spoton_cluster_nodes{state=\"gone\"} %d", status.known_nodes - status.nodes);
    single(page, "spoton_cluster_cameras", "gauge", "Cameras of the cluster.", status.cameras);
    single(page, "spoton_cluster_owned_cameras", "gauge",
           "Cameras that this node has the lease of.", status.owned);
    head(page, "spoton_cluster_leases_total", "counter", "Leases taken, lost, and given away.");
    line(page, "spoton_cluster_leases_total{change=\"taken\"} %.15g", (double)status.taken);
    line(page, "spoton_cluster_leases_total{change=\"lost\"} %.15g", (double)status.lost);
    line(page, "spoton_cluster_leases_total{change=\"moved\"} %.15g", (double)status.moved);
}

static void put_process(struct page *page)
{
    struct sp_error error;
    sp_pipeline_error(page->api->pipeline, &error);
    single(page, "spoton_pipeline_failed", "gauge", "1: the pipeline has failed.",
           error.code != SP_OK);
    single(page, "process_resident_memory_bytes", "gauge", "Resident memory.",
           (double)sp_system_memory_bytes());
    single(page, "process_cpu_seconds_total", "counter", "User and system CPU time.",
           (double)sp_process_cpu_us() / 1e6);
    single(page, "process_open_fds", "gauge", "Open file descriptors.", count_files());
    single(page, "process_start_time_seconds", "gauge", "Start time since the Unix epoch.",
           (double)page->api->started_wall_us / 1e6);
}

void sp_metrics(struct sp_call *call)
{
    struct page *page = calloc(1, sizeof *page);
    if (!page) {
        sp_call_refuse(call, 503, "out of memory");
        return;
    }
    page->api = call->api;
    page->out = call->json;
    int capacity = sp_pipeline_camera_capacity(call->api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct camera *camera = &page->cameras[page->camera_count];
        sp_pipeline_camera(call->api->pipeline, i, &camera->report);
        camera->index = i;
        page->camera_count += camera->report.used;
    }
    call->reply->type = "text/plain; version=0.0.4; charset=utf-8";
    head(page, "spoton_build_info", "gauge", "Always 1; the label holds the version.");
    line(page, "spoton_build_info{version=\"%s\"} 1", SPOTON_VERSION);
    put_cameras(page);
    put_policies(page);
    put_stages(page);
    put_latency(page);
    put_viewers(page);
    put_people(page);
    put_devices(page);
    put_outputs(page);
    put_servers(page);
    put_shared(page);
    put_cluster(page);
    sp_metrics_counts(page->api, page->out);
    put_process(page);
    free(page);
}
