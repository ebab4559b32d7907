/* spoton serve: live cameras and viewers, until a signal. */
#include "api/api.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/json.h"
#include "base/log.h"
#include "command/cluster_node.h"
#include "command/command.h"
#include "command/config_write.h"
#include "command/ending.h"
#include "command/event_images.h"
#include "command/notify.h"
#include "command/options.h"
#include "command/people_events.h"
#include "command/recording.h"
#include "command/reload.h"
#include "command/stills.h"
#include "library/camera_events.h"
#include "library/output_settings.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const int64_t POLL_US = 100000, FINISH_US = 1200000, HANG_US = 10000000;

static volatile sig_atomic_t reload_requested;

static void on_hangup(int number)
{
    (void)number;
    reload_requested = 1;
}

static const struct sp_command_usage usage = {
    .name = "serve",
    .synopsis = "[--camera NAME=URL]... [URL...]",
    .about =
        "Runs live cameras (files are repeated) and serves the dashboard, the API, streams and\n"
        "metrics on HTTP_HOST:HTTP_PORT until Ctrl-C or SIGTERM. SIGHUP reloads the settings.\n",
    .takes = SP_TAKES_CAMERAS | SP_TAKES_SERVE,
};

struct serve {
    const struct sp_command_context *context;
    struct sp_settings *settings;
    bool stalled; /* the HTTP thread */
    struct sp_hub *hub;
    struct sp_event_log *events;
    struct sp_fan_out *outputs;
    struct sp_recorder *recorder; /* NULL: nothing is stored */
    struct sp_camera_events *camera_events;
    struct sp_people_events *people_events;
    struct sp_live_counting *counting;
    struct sp_encoder *encoder;
    struct sp_stills stills;                      /* for outputs */
    struct sp_event_images *_Atomic event_images; /* NULL: nothing is stored */
    struct sp_pipeline *pipeline;
    struct sp_api *api;
    struct sp_server *server;
    _Atomic(struct sp_server *) server_open; /* the same, for events of other threads */
    struct sp_reload *reload;
    bool config_write;
    struct sp_cluster_node *_Atomic cluster; /* NULL: not opened, or a single machine */
    struct sp_notify notify;
    bool pipeline_started;
    uint64_t epoch; /* of this start */
};

/* --- from the pipeline to the hub ------------------------------------------------------------- */

static int begin_camera(void *user, int camera, const struct sp_source_info *info,
                        struct sp_error *err)
{
    struct serve *serve = user;
    struct sp_camera_report report;
    (void)info;
    (void)err;
    sp_pipeline_camera(serve->pipeline, camera, &report);
    if (report.used) /* else removed before its first result */
        sp_hub_begin_camera(serve->hub, camera, report.name);
    sp_event_images_begin(serve->event_images, camera, report.snapshots);
    return SP_OK;
}

static bool is_clustered(const struct serve *serve)
{
    return serve->settings->cluster_url[0] != '\0';
}

static int take_result(void *user, struct sp_result *result, const struct sp_result_source *source,
                       struct sp_error *err)
{
    struct serve *serve = user;
    (void)err;
    struct sp_cluster_node *cluster = atomic_load(&serve->cluster);
    if (is_clustered(serve) && !(cluster && sp_cluster_node_publishes(cluster, result->camera)))
        return SP_OK;
    sp_hub_publish(serve->hub, result, (struct sp_frame *)source->frame);
    return SP_OK;
}

static void end_camera(void *user, int camera, const struct sp_error *why)
{
    struct serve *serve = user;
    (void)why;
    sp_hub_end_camera(serve->hub, camera);
    sp_live_counting_end_camera(serve->counting, camera);
    sp_fan_out_end_camera(serve->outputs, camera);
}

/* The hub's listener: viewers, outputs and counting share the result. */
static void share_result(void *user, struct sp_result *result, struct sp_frame *frame)
{
    struct serve *serve = user;
    sp_encoder_offer(serve->encoder, result, frame);
    sp_event_images_see(serve->event_images, result);
    sp_live_counting_frame(serve->counting, result);
    sp_fan_out_frame(serve->outputs, result);
}

/* Stored as it is counted, so that counting what is stored gives the same events. */
static void record(void *user, const struct sp_live_frame *frame)
{
    struct serve *serve = user;
    const struct sp_counting_frame *counted = frame->counted;
    const struct sp_recorded_frame recorded = {
        .camera = frame->camera,
        .name = frame->name,
        .epoch = frame->epoch,
        .sequence = frame->sequence,
        .time_us = counted->time_us,
        .inferred = counted->inferred,
        .width_px = counted->width_px,
        .height_px = counted->height_px,
        .tracks = counted->tracks,
        .positions = counted->positions,
        .count = counted->count,
    };
    sp_recorder_frame(serve->recorder, &recorded);
}

static void take_event(void *user, const struct sp_event *event)
{
    struct serve *serve = user;
    sp_fan_out_event(serve->outputs, event);
    sp_server_news(atomic_load(&serve->server_open));
    sp_recorder_event(serve->recorder, event);
    sp_event_images_event(serve->event_images, event);
}

/* On the outbox's thread. */
static void take_outbox_state(void *user, enum sp_outbox_state state, const char *text)
{
    struct serve *serve = user;
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "state", state == SP_OUTBOX_WORKING ? "working" : "failing");
    if (text[0])
        sp_json_member_string(&json, "reason", text);
    sp_json_end_object(&json);
    sp_event_log_add(serve->events, SP_CAMERAS_MAX, "", serve->epoch,
                     state == SP_OUTBOX_WORKING     ? "outbox.working"
                     : state == SP_OUTBOX_FULL_DISK ? "outbox.full"
                                                    : "outbox.failing",
                     sp_clock_wall_us(), json.failed ? "{}" : json.text);
    sp_json_release(&json);
}

/* --- start ------------------------------------------------------------------------------------ */

/* Each viewer uses a file descriptor. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    rlim_t wanted = SP_SERVER_CONNECTIONS + 1024;
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_pipeline(struct serve *serve, struct sp_error *err)
{
    struct sp_cpu cpu;
    sp_cpu_read(&cpu);
    struct sp_pipeline_options pipeline = {
        .settings = serve->settings,
        .live = true,
        .sink = {.user = serve, .begin = begin_camera, .result = take_result, .end = end_camera},
        .environment = "serve",
        .loop = true,
        .interrupted = serve->context->interrupted,
    };
    struct sp_encoder_options encoder = {.threads = (cpu.cores_usable + 1) / 2,
                                         .device = sp_pipeline_jpeg_device};
    int result = sp_hub_open(&serve->hub, err);
    struct sp_outbox *outbox = sp_fan_out_outbox(serve->outputs);
    serve->epoch = outbox ? sp_outbox_epoch(outbox) : (uint64_t)sp_clock_wall_us();
    if (result == SP_OK)
        sp_hub_set_epoch(serve->hub, serve->epoch);
    encoder.hub = serve->hub;
    if (result == SP_OK)
        result = sp_pipeline_open(&serve->pipeline, &pipeline, err);
    encoder.device_user = serve->pipeline;
    if (result == SP_OK)
        encoder.names = sp_pipeline_label_names(serve->pipeline);
    if (result == SP_OK)
        result = sp_encoder_open(&serve->encoder, &encoder, err);
    serve->stills.hub = serve->hub;
    if (result == SP_OK)
        atomic_store(&serve->stills.encoder, serve->encoder);
    if (result == SP_OK)
        result = sp_recording_images(&serve->event_images, &serve->stills, serve->recorder, err);
    return result;
}

/* Before the pipeline, so that an output that cannot be opened ends the start at once. */
static int open_outputs(struct serve *serve, struct sp_error *err)
{
    struct sp_event_log_options events = {.listener = take_event, .user = serve};
    struct sp_output_settings outputs;
    sp_output_settings_fill(&outputs, serve->settings);
    outputs.options.image = (struct sp_image_source){sp_stills_take, &serve->stills};
    int result = sp_fan_out_open(&serve->outputs, &outputs.options, err);
    if (result == SP_OK)
        result = sp_event_log_open(&serve->events, &events, err);
    struct sp_outbox *outbox = result == SP_OK ? sp_fan_out_outbox(serve->outputs) : NULL;
    if (outbox)
        sp_outbox_listen(outbox, take_outbox_state, serve);
    if (result == SP_OK)
        result = sp_recording_open(&serve->recorder, serve->settings, serve->events, err);
    return result;
}

static void read_map(struct serve *serve, double *units_per_m, bool *y_up)
{
    struct sp_map *map = sp_pipeline_map(serve->pipeline);
    *units_per_m = 0;
    *y_up = false;
    if (map)
        sp_map_scale(map, units_per_m, y_up);
}

static uint64_t epoch_of(void *user, int camera)
{
    return sp_hub_generation(((struct serve *)user)->hub, camera);
}

static int open_camera_events(struct serve *serve, struct sp_error *err)
{
    struct sp_camera_events_options options = {
        .pipeline = serve->pipeline, .log = serve->events, .epoch = epoch_of, .user = serve};
    return sp_camera_events_open(&serve->camera_events, &options, err);
}

/* After the pipeline, whose map it needs. */
static int open_events(struct serve *serve, struct sp_error *err)
{
    struct sp_live_counting_options counting = {.yaml_path = serve->settings->yaml_path,
                                                .file = serve->settings->analytics_file,
                                                .events = serve->events,
                                                .epoch = serve->epoch,
                                                .frame = serve->recorder ? record : NULL,
                                                .user = serve};
    read_map(serve, &counting.units_per_m, &counting.y_up);
    int result = sp_live_counting_open(&serve->counting, &counting, err);
    if (result == SP_OK)
        result = open_camera_events(serve, err);
    if (result == SP_OK)
        result = sp_people_events_open(&serve->people_events, serve->pipeline, serve->hub,
                                       serve->events, serve->epoch, err);
    return result;
}

static int open_server(struct serve *serve, struct sp_error *err)
{
    const struct sp_settings *settings = serve->settings;
    char store[SP_STORE_PLACE_BYTES];
    struct sp_api_options api = {.settings = settings,
                                 .pipeline = serve->pipeline,
                                 .hub = serve->hub,
                                 .encoder = serve->encoder,
                                 .events = serve->events,
                                 .counting = serve->counting,
                                 .outputs = serve->outputs,
                                 .recorder = serve->recorder,
                                 .store = store,
                                 .edits_cameras = serve->config_write};
    sp_recording_location(settings, store);
    int result = sp_api_open(&serve->api, &api, err);
    if (result < 0)
        return result;
    struct sp_server_options server = {
        .hub = serve->hub,
        .encoder = serve->encoder,
        .site = sp_api_site(serve->api),
        .classes = sp_api_classes(serve->api),
        .host = settings->http_host,
        .port = settings->http_port,
        .tls_cert = settings->tls_cert,
        .tls_key = settings->tls_key,
    };
    result = sp_server_open(&serve->server, &server, err);
    if (result < 0)
        return result;
    struct sp_hub_options listeners = {
        .wake = sp_server_wake, .user = serve->server, .image = share_result, .image_user = serve};
    sp_hub_listen(serve->hub, &listeners);
    sp_encoder_listen(serve->encoder, sp_server_wake, serve->server);
    sp_api_attach(serve->api, serve->server);
    atomic_store(&serve->server_open, serve->server);
    return SP_OK;
}

/* In a cluster the pipeline starts without cameras; those of the settings are the cluster's. */
static struct sp_settings *take_cameras(struct serve *serve, struct sp_error *err)
{
    struct sp_settings *with_cameras = malloc(sizeof *with_cameras);
    if (!with_cameras) {
        sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
        return NULL;
    }
    *with_cameras = *serve->settings;
    serve->settings->camera_count = 0;
    return with_cameras;
}

static int join_cluster(struct serve *serve, const struct sp_settings *settings,
                        struct sp_error *err)
{
    struct sp_cluster_node *node;
    int result = sp_cluster_node_open(&node, settings, sp_server_port(serve->server),
                                      serve->pipeline, serve->hub, err);
    if (result == SP_OK) {
        atomic_store(&serve->cluster, node);
        result = sp_api_set_cluster(serve->api, sp_cluster_node_cluster(node), err);
    }
    return result;
}

static int start_parts(struct serve *serve, struct sp_error *err)
{
    const struct sp_settings *settings = serve->settings;
    if (settings->camera_count > settings->max_cameras)
        return sp_fail(
            err, SP_ERR_INVALID,
            "MAX_CAMERAS=%d: %d cameras are set, %d too many; remove some, or measure the "
            "capacity with `spoton tune --capacity` and raise MAX_CAMERAS",
            settings->max_cameras, settings->camera_count,
            settings->camera_count - settings->max_cameras);
    int result = sp_api_check_exposure(serve->settings, err);
    if (result == SP_OK)
        result = open_outputs(serve, err);
    if (result == SP_OK)
        result = open_pipeline(serve, err);
    if (result == SP_OK)
        result = open_events(serve, err);
    if (result == SP_OK)
        result = open_server(serve, err);
    if (result == SP_OK)
        sp_fan_out_set_classes(serve->outputs, sp_api_classes(serve->api));
    if (result == SP_OK)
        result = sp_server_start(serve->server, err);
    for (int i = 0; i < serve->settings->camera_count && result == SP_OK; i++)
        sp_hub_begin_camera(serve->hub, i, serve->settings->camera[i].name);
    if (result == SP_OK)
        result = sp_pipeline_start(serve->pipeline, err);
    serve->pipeline_started = result == SP_OK;
    sp_reload_init(serve->reload, serve->pipeline, serve->hub, settings);
    if (result == SP_OK)
        sp_camera_events_poll(serve->camera_events); /* the cameras of the settings are added now */
    if (result == SP_OK)
        sp_api_set_started(serve->api, true);
    return result;
}

static int start(struct serve *serve, struct sp_error *err)
{
    if (!is_clustered(serve))
        return start_parts(serve, err);
    struct sp_settings *settings = take_cameras(serve, err);
    int result = settings ? start_parts(serve, err) : SP_ERR_NO_MEMORY;
    if (result == SP_OK)
        result = join_cluster(serve, settings, err);
    free(settings);
    return result;
}

static void print_address(const struct serve *serve)
{
    const struct sp_settings *settings = serve->settings;
    const char *host = settings->http_host;
    if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
        host = "localhost";
    bool v6 = strchr(host, ':') != NULL;
    printf("dashboard: %s://%s%s%s:%d/\n", settings->tls_cert[0] ? "https" : "http", v6 ? "[" : "",
           host, v6 ? "]" : "", sp_server_port(serve->server));
    fflush(stdout);
}

/* --- running ---------------------------------------------------------------------------------- */

/* Reads all sources of settings again. Settings that cannot change at run time keep their values
 * until a restart. */
static void reload(struct serve *serve)
{
    const struct sp_command_context *context = serve->context;
    struct sp_options *fresh = calloc(1, sizeof *fresh);
    struct sp_error err = {0};
    if (!fresh)
        return;
    sp_notify(&serve->notify, "RELOADING=1");
    int result =
        sp_options_parse(fresh, &usage, context->argc, context->argv, context->environment, &err);
    if (result == SP_OK && fresh->settings.api_token[0] == '\0' &&
        serve->settings->api_token[0] != '\0')
        result = sp_fail(&err, SP_ERR_INVALID,
                         "API_TOKEN: cannot be removed at run time; restart the server");
    if (result == SP_OK)
        result = sp_reload_check(serve->reload, &fresh->settings, &err);
    if (result == SP_OK)
        result = sp_live_counting_reload(serve->counting, fresh->settings.yaml_path, &err);
    if (result < 0) {
        sp_log(SP_LOG_ERROR, "settings not reloaded: %s", err.text);
    } else {
        sp_log_set_level((enum sp_log_level)fresh->settings.log_level);
        sp_api_reload(serve->api, &fresh->settings);
        sp_log(SP_LOG_INFO,
               "settings reloaded: LOG_LEVEL, API_TOKEN, ALLOWED_ORIGINS, VIDEO_DIR, "
               "V4L2_DEVICES, FRAME_JPEG_QUALITY, STREAM_MAX_WIDTH, STREAM_RESIZE_FACTOR, the "
               "settings of cameras, and lines and zones are in effect; other changes require a "
               "restart");
        if (serve->cluster)
            sp_cluster_node_reload(serve->cluster, &fresh->settings);
        else
            sp_reload_apply(serve->reload, &fresh->settings);
    }
    free(fresh);
    sp_notify(&serve->notify, "READY=1");
}

static void poll_events(struct serve *serve)
{
    double units_per_m;
    bool y_up;
    read_map(serve, &units_per_m, &y_up);
    sp_live_counting_set_map(serve->counting, units_per_m, y_up);
    sp_camera_events_poll(serve->camera_events);
    sp_people_events_poll(serve->people_events);
}

/* Keeps the watchdog of systemd fed only while the HTTP thread responds. */
static void feed_watchdog(struct serve *serve)
{
    bool stalled = sp_server_silence_us(serve->server) > HANG_US;
    if (stalled && !serve->stalled)
        sp_log(SP_LOG_ERROR,
               "HTTP thread: no response for %.0f s; the systemd watchdog will restart the service",
               HANG_US / 1e6);
    serve->stalled = stalled;
    if (!stalled)
        sp_notify_alive(&serve->notify);
}

/* False: the whole pipeline failed; the reason is in the log. */
static bool run(struct serve *serve)
{
    struct sp_error error = {0};
    struct sp_config_write write = {.reload = serve->reload,
                                    .path = serve->settings->yaml_path,
                                    .environment = serve->context->environment};
    sp_notify(&serve->notify, "READY=1");
    while (!serve->context->interrupted()) {
        bool done = sp_pipeline_wait(serve->pipeline, POLL_US);
        sp_pipeline_error(serve->pipeline, &error);
        if (done || error.code != SP_OK)
            break;
        if (reload_requested) {
            reload_requested = 0;
            reload(serve);
        }
        sp_reload_retry(serve->reload);
        sp_api_edit_cameras(serve->api, sp_config_write_camera, &write);
        poll_events(serve);
        feed_watchdog(serve);
    }
    return error.code == SP_OK;
}

/* Upstream to downstream. The server outlives the pipeline, which still wakes it, but no longer
 * calls the pipeline. */
static void stop(struct serve *serve)
{
    bool done = true;
    int code = serve->context->interrupted() ? SP_EXIT_OK : SP_EXIT_FAILED;
    sp_notify(&serve->notify, "STOPPING=1");
    sp_ending_begin(serve->settings->stop_timeout_s, code);
    if (serve->api)
        sp_api_set_started(serve->api, false);
    sp_cluster_node_stop(serve->cluster);
    if (serve->pipeline && serve->pipeline_started) {
        sp_pipeline_stop(serve->pipeline);
        done = sp_pipeline_wait(serve->pipeline, FINISH_US);
    }
    if (serve->server)
        sp_server_stop(serve->server);
    if (!done) {
        /* There are no files to finish, and a service must end in time. */
        sp_log(SP_LOG_WARNING, "inference did not end in time; exiting without waiting for it");
        quick_exit(code);
    }
    sp_ending_step("inference");
    if (serve->api)
        sp_api_end_threads(serve->api);
    sp_event_images_stop(serve->event_images);
    if (serve->encoder)
        sp_encoder_stop(serve->encoder);
    sp_pipeline_close(serve->pipeline);
    sp_cluster_node_close(serve->cluster);
    sp_live_counting_close(serve->counting);
    atomic_store(&serve->server_open, NULL);
    sp_ending_step("history");
    sp_recorder_close(serve->recorder);
    sp_ending_step("outputs and outbox");
    bool closed = sp_fan_out_close(serve->outputs); /* releases what it has of the hub */
    sp_ending_step("HTTP server");
    sp_server_close(serve->server);
    sp_event_images_close(serve->event_images);
    sp_encoder_close(serve->encoder);
    sp_api_close(serve->api);
    sp_people_events_close(serve->people_events);
    sp_camera_events_close(serve->camera_events);
    sp_event_log_close(serve->events);
    if (!closed) /* its thread is in an arbitrary state, in which no exit handler may run */
        quick_exit(code);
    sp_hub_close(serve->hub);
    sp_ending_step("exit handlers");
}

/* main() blocks the signal until here. */
static void unblock_hangup(void)
{
    sigset_t hangup;
    signal(SIGHUP, on_hangup);
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    pthread_sigmask(SIG_UNBLOCK, &hangup, NULL);
}

int sp_command_serve_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    unblock_hangup();
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    struct serve serve = {.context = context,
                          .settings = &options->settings,
                          .config_write = options->config_write,
                          .reload = calloc(1, sizeof(struct sp_reload))};
    if (!serve.reload) {
        fputs("spoton serve: out of memory\n", stderr);
        free(options);
        return SP_EXIT_FAILED;
    }
    raise_file_limit();
    sp_notify_init(&serve.notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"));
    int code = SP_EXIT_OK;
    int result = start(&serve, &err);
    if (result == SP_ERR_INTERRUPTED) {
        sp_log(SP_LOG_INFO, "interrupted during the start");
    } else if (result < 0) {
        sp_log(SP_LOG_ERROR, "%s", err.text);
        code = SP_EXIT_FAILED;
    } else {
        print_address(&serve);
        code = run(&serve) ? SP_EXIT_OK : SP_EXIT_FAILED;
    }
    stop(&serve);
    sp_notify_release(&serve.notify);
    free(serve.reload);
    free(options);
    return code;
}
