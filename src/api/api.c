/* Routes requests and WebSocket upgrades. */
#include "api/internal.h"

#include "api/access.h"
#include "api/assets.h"
#include "api/camera_edits.h"
#include "api/camera_lookup.h"
#include "api/cameras.h"
#include "api/cluster.h"
#include "api/counts.h"
#include "api/events.h"
#include "api/health.h"
#include "api/history.h"
#include "api/history_worker.h"
#include "api/inference.h"
#include "api/metrics_store.h"
#include "api/peers.h"
#include "api/people.h"
#include "api/reply.h"
#include "api/system.h"
#include "api/v1/v1.h"
#include "api/viewer_throttle.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static const struct sp_route routes[] = {
    {SP_GET, "/healthz", sp_health_live, SP_ROUTE_OPEN},
    {SP_GET, "/readyz", sp_health_ready, SP_ROUTE_OPEN},
    {SP_GET, "/metrics", sp_metrics_with_store, 0},
    {SP_POST, "/api/v2/login", sp_access_login, SP_ROUTE_OPEN},
    {SP_POST, "/api/v2/logout", sp_access_logout, SP_ROUTE_OPEN},
    {SP_GET, "/api/v2/cameras", sp_cameras_list, 0},
    {SP_POST, "/api/v2/cameras", sp_cameras_add, 0},
    {SP_GET, "/api/v2/cameras/{}", sp_cameras_get, 0},
    {SP_DELETE, "/api/v2/cameras/{}", sp_cameras_remove, 0},
    {SP_POST, "/api/v2/cameras/{}/pause", sp_cameras_pause, 0},
    {SP_POST, "/api/v2/cameras/{}/resume", sp_cameras_resume, 0},
    {SP_GET, "/api/v2/cameras/{}/tracks", sp_cameras_tracks, 0},
    {SP_GET, "/api/v2/cameras/{}/frame.jpg", sp_cameras_frame, 0},
    {SP_GET, "/api/v2/cameras/{}/snapshot.jpg", sp_cameras_snapshot, 0},
    {SP_GET, "/api/v2/cameras/{}/stream.mjpg", sp_cameras_stream, 0},
    {SP_GET, "/api/v2/cluster", sp_cluster_overview, 0},
    {SP_POST, "/api/v2/cluster/nodes/{}/drain", sp_cluster_drain_node, 0},
    {SP_POST, "/api/v2/cluster/nodes/{}/undrain", sp_cluster_undrain_node, 0},
    {SP_GET, "/api/v2/cameras/{}/analytics", sp_counts_camera, 0},
    {SP_PUT, "/api/v2/cameras/{}/analytics", sp_counts_put_camera, 0},
    {SP_DELETE, "/api/v2/cameras/{}/analytics", sp_counts_remove_camera, 0},
    {SP_GET, "/api/v2/analytics", sp_counts_setup, 0},
    {SP_GET, "/api/v2/counts", sp_counts_list, 0},
    {SP_GET, "/api/v2/events", sp_events_list, 0},
    {SP_GET, "/api/v2/history", sp_history_state, 0},
    {SP_GET, "/api/v2/history/counts", sp_history_counts, 0},
    {SP_POST, "/api/v2/history/evaluate", sp_history_post_evaluate, 0},
    {SP_GET, "/api/v2/history/events", sp_history_events, 0},
    {SP_GET, "/api/v2/history/snapshots/{}", sp_history_get_snapshot, 0},
    {SP_GET, "/api/v2/history/visits", sp_history_visits, 0},
    {SP_GET, "/api/v2/history/people", sp_history_people, 0},
    {SP_GET, "/api/v2/history/people/{}/tracks", sp_history_tracks, 0},
    {SP_GET, "/api/v2/history/heatmap", sp_history_get_heatmap, 0},
    {SP_GET, "/api/v2/history/heatmap.png", sp_history_get_heatmap_png, 0},
    {SP_GET, "/api/v2/outputs", sp_events_outputs, 0},
    {SP_GET, "/api/v2/people", sp_people_list, 0},
    {SP_GET, "/api/v2/people/events", sp_people_events, 0},
    {SP_GET, "/api/v2/map", sp_people_map, 0},
    {SP_POST, "/api/v2/map", sp_people_resize, 0},
    {SP_POST, "/api/v2/map/cameras/{}", sp_people_calibrate, 0},
    {SP_DELETE, "/api/v2/map/cameras/{}", sp_people_forget, 0},
    {SP_GET, "/api/v2/map/analytics", sp_counts_map, 0},
    {SP_PUT, "/api/v2/map/analytics", sp_counts_put_map, 0},
    {SP_DELETE, "/api/v2/map/analytics", sp_counts_remove_map, 0},
    {SP_GET, "/api/v2/ledger", sp_system_ledger, 0},
    {SP_GET, "/api/v2/settings", sp_system_settings, 0},
    {SP_GET, "/api/v2/stats", sp_system_stats, 0},
    {SP_GET, "/v2", sp_inference_server, 0},
    {SP_GET, "/v2/health/live", sp_inference_live, SP_ROUTE_OPEN},
    {SP_GET, "/v2/health/ready", sp_inference_ready, SP_ROUTE_OPEN},
    {SP_GET, "/v2/models/{}", sp_inference_metadata, 0},
    {SP_GET, "/v2/models/{}/ready", sp_inference_model_ready, 0},
    {SP_POST, "/v2/models/{}/infer", sp_inference_infer, 0},
};

enum { ROUTES = sizeof routes / sizeof routes[0] };

/* False too when a segment is empty or too long for a name. */
static bool matches(const char *pattern, const char *path, struct sp_call *call)
{
    char *parts[] = {call->name, call->second};
    const size_t sizes[] = {sizeof call->name, sizeof call->second};
    int part = 0;
    while (*pattern) {
        if (pattern[0] == '{') {
            size_t n = strcspn(path, "/");
            if (part >= 2 || n == 0 || n >= sizes[part])
                return false;
            memcpy(parts[part], path, n);
            parts[part++][n] = '\0';
            path += n;
            pattern += 2;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return *path == '\0';
}

/* openapi.json has a path of its own, and one as a file of web/. */
static bool describes_api(const char *path)
{
    return strcmp(path, "/api/v2/openapi.json") == 0 || strcmp(path, "/openapi.json") == 0;
}

static bool send_asset(struct sp_call *call)
{
    const char *path = call->request->path;
    const char *name = strcmp(path, "/") == 0 ? "index.html" : path + 1;
    if (describes_api(path))
        name = "openapi.json";
    for (size_t i = 0; i < sp_asset_count; i++) {
        if (strcmp(name, sp_assets[i].name) != 0)
            continue;
        call->reply->type = sp_assets[i].type;
        call->reply->fixed = sp_assets[i].data;
        call->reply->fixed_bytes = sp_assets[i].bytes;
        sp_call_header(call, "Cache-Control: no-cache");
        sp_call_header(call, "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                             "style-src 'self'; img-src 'self'; connect-src 'self'; base-uri "
                             "'none'; form-action 'none'; frame-ancestors 'none'");
        sp_call_header(call, "Referrer-Policy: no-referrer");
        return true;
    }
    return false;
}

/* Finds the route and fills call->name and call->second. NULL: no such path or, with methods in
 * `allow`, the path has other methods. */
static const struct sp_route *find_route(struct sp_call *call, char allow[64])
{
    enum sp_method method = call->request->method;
    allow[0] = '\0';
    for (int i = 0; i < ROUTES + sp_v1_route_count; i++) {
        const struct sp_route *route = i < ROUTES ? &routes[i] : &sp_v1_routes[i - ROUTES];
        if (!matches(route->path, call->request->path, call))
            continue;
        if (route->method == method || (method == SP_HEAD && route->method == SP_GET))
            return route;
        static const char *const names[] = {
            [SP_GET] = "GET, HEAD", [SP_POST] = "POST", [SP_PUT] = "PUT", [SP_DELETE] = "DELETE"};
        size_t used = strlen(allow);
        snprintf(allow + used, 64 - used, "%s%s", used ? ", " : "", names[route->method]);
    }
    return NULL;
}

static void add_cors(struct sp_call *call)
{
    if (call->request->origin[0]) /* else caches may serve one origin's reply to another */
        sp_call_header(call, "Vary: Origin");
    /* Pages of other sites must not embed images of this API. */
    if (!sp_v1_owns(call->request->path))
        sp_call_header(call, "Cross-Origin-Resource-Policy: same-site");
    if (!sp_access_cors(call->api, call->request, sp_v1_owns(call->request->path)))
        return;
    sp_call_header(call, "Access-Control-Allow-Origin: *");
    if (call->request->method != SP_OPTIONS)
        return;
    sp_call_header(call, "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS");
    sp_call_header(call, "Access-Control-Allow-Headers: content-type, authorization");
    sp_call_header(call, "Access-Control-Max-Age: 600");
}

static void apply_new_settings(struct sp_api *api)
{
    pthread_mutex_lock(&api->mutex);
    if (api->has_new_settings) {
        struct sp_settings *to = &api->settings, *from = api->new_settings;
        /* Sessions of the old token are no longer valid. */
        if (strcmp(to->api_token, from->api_token) != 0)
            sp_sessions_end_all(&api->sessions);
        memcpy(to->api_token, from->api_token, sizeof to->api_token);
        if (atomic_load(&api->peers))
            sp_peers_set_token(atomic_load(&api->peers), to->api_token);
        memcpy(to->video_dir, from->video_dir, sizeof to->video_dir);
        memcpy(to->allowed_origins, from->allowed_origins, sizeof to->allowed_origins);
        memcpy(to->v4l2_devices, from->v4l2_devices, sizeof to->v4l2_devices);
        to->jpeg_quality = from->jpeg_quality;
        to->stream_max_width_px = from->stream_max_width_px;
        to->stream_resize_factor = from->stream_resize_factor;
        to->log_level = from->log_level;
        api->has_new_settings = false;
    }
    pthread_mutex_unlock(&api->mutex);
}

static void answer(void *user, const struct sp_request *request, struct sp_reply *reply)
{
    struct sp_call call = {.api = user, .request = request, .reply = reply, .json = &reply->body};
    char allow[64];
    add_cors(&call);
    const struct sp_route *route = find_route(&call, allow);
    bool reads = request->method == SP_GET || request->method == SP_HEAD;
    if (request->method == SP_OPTIONS) {
        reply->status = 204;
    } else if (route) {
        if (sp_access_allowed(&call, (route->flags & SP_ROUTE_OPEN) != 0))
            route->answer(&call);
    } else if (allow[0] == '\0' && reads && send_asset(&call)) {
        /* The pages contain no data and include the login, so they require no token. */
        if (describes_api(request->path) || !sp_access_allowed(&call, true))
            sp_access_allowed(&call, false);
    } else if (allow[0]) {
        sp_call_header(&call, "Allow: %s", allow);
        if (sp_access_allowed(&call, false))
            sp_call_refuse(&call, 405, "unsupported method; use %s", allow);
    } else if (sp_access_allowed(&call, false)) {
        sp_call_refuse(&call, 404, "no such path; see /api/v2/openapi.json");
    }
}

static bool plan_updates(struct sp_call *call, struct sp_ws_plan *plan)
{
    char format[16] = "json", jpeg[8] = "0", events[8] = "0";
    const struct sp_request *request = call->request;
    sp_request_query(request, "format", format, sizeof format);
    sp_request_query(request, "jpeg", jpeg, sizeof jpeg);
    sp_request_query(request, "events", events, sizeof events);
    sp_request_query(request, "cameras", plan->cameras, sizeof plan->cameras);
    bool binary = strcmp(format, "binary") == 0;
    if (!binary && strcmp(format, "json") != 0) {
        sp_call_refuse(call, 400, "format: unknown value; use json or binary");
    } else if (strcmp(jpeg, "0") != 0 && strcmp(jpeg, "1") != 0) {
        sp_call_refuse(call, 400, "jpeg: unknown value; use 0 or 1");
    } else if (strcmp(events, "0") != 0 && strcmp(events, "1") != 0) {
        sp_call_refuse(call, 400, "events: unknown value; use 0 or 1");
    } else if (jpeg[0] == '1' && !binary) {
        sp_call_refuse(call, 400, "jpeg=1 requires format=binary");
    } else if (sp_call_stream_options(call, &plan->stream)) {
        snprintf(plan->tag, sizeof plan->tag, "%s", events[0] == '1' ? sp_events_tag : "");
        struct sp_peers *peers = atomic_load(&call->api->peers);
        if (peers && !request->node[0])
            sp_peers_join(peers, request, plan, events[0] == '1');
        plan->format = jpeg[0] == '1' ? SP_WS_BINARY_JPEG : (binary ? SP_WS_BINARY : SP_WS_JSON);
        return true;
    }
    return false;
}

static bool upgrade(void *user, const struct sp_request *request, struct sp_ws_plan *plan,
                    struct sp_reply *reply)
{
    struct sp_call call = {.api = user, .request = request, .reply = reply, .json = &reply->body};
    bool same_origin = request->origin[0] == '\0' || sp_access_cors(call.api, request, true);
    if (!same_origin) {
        sp_call_refuse(&call, 403, "Origin of another host; add it to ALLOWED_ORIGINS");
        return false;
    }
    if (!sp_access_allowed(&call, false))
        return false;
    if (strcmp(request->path, "/api/v2/ws") == 0)
        return plan_updates(&call, plan);
    return sp_v1_upgrade(&call, plan);
}

static void tick(void *user)
{
    struct sp_api *api = user;
    apply_new_settings(api);
    sp_system_sample(api);
    sp_viewer_throttle_tick(api);
    sp_sessions_tick(&api->sessions, sp_clock_us());
    sp_v1_tick(api);
}

static size_t body_limit(void *user, const struct sp_request *request)
{
    return sp_inference_body_limit(user, request);
}

struct sp_site sp_api_site(struct sp_api *api)
{
    return (struct sp_site){
        .user = api,
        .request = answer,
        .upgrade = upgrade,
        .format = sp_v1_format,
        .message = sp_v1_message,
        .opened = sp_v1_opened,
        .closed = sp_v1_closed,
        .tick = tick,
        .body_limit = body_limit,
        .news = sp_events_mail,
        .feed = sp_events_feed,
    };
}

int sp_api_open(struct sp_api **out, const struct sp_api_options *options, struct sp_error *err)
{
    struct sp_api *api = calloc(1, sizeof *api);
    if (!api)
        return sp_fail(err, SP_ERR_NO_MEMORY, "API: out of memory");
    api->settings = *options->settings;
    api->pipeline = options->pipeline;
    api->hub = options->hub;
    api->encoder = options->encoder;
    api->events = options->events;
    api->outputs = options->outputs;
    api->recorder = options->recorder;
    api->counting = options->counting;
    api->started_us = sp_clock_us();
    api->started_wall_us = sp_clock_wall_us();
    api->probe.struct_bytes = sizeof api->probe;
    sp_pipeline_engine(api->pipeline)->probe(&api->probe);
    pthread_mutex_init(&api->mutex, NULL);
    api->new_settings = malloc(sizeof *api->new_settings);
    api->stages = calloc(SP_STAGE_COUNT, sizeof api->stages[0]);
    api->scratch = calloc(1, sizeof *api->scratch);
    api->events_out = calloc(SP_EVENTS_MAIL, sizeof *api->events_out);
    api->classes = &sp_pipeline_model(api->pipeline)->class_names;
    int result = SP_OK;
    if (!api->new_settings || !api->stages || !api->scratch || !api->events_out)
        result = sp_fail(err, SP_ERR_NO_MEMORY, "API: out of memory");
    if (result == SP_OK && api->recorder)
        result = sp_history_worker_open(&api->history, options->store, err);
    if (result == SP_OK && options->edits_cameras)
        result = sp_camera_edits_open(&api->edits, err);
    if (result == SP_OK)
        result = sp_v1_open(api, options->store, err);
    if (result == SP_OK)
        result = sp_inference_open(&api->inference, api, err);
    if (result < 0)
        sp_api_close(api);
    else
        *out = api;
    return result;
}

void sp_api_close(struct sp_api *api)
{
    if (!api)
        return;
    pthread_mutex_destroy(&api->mutex);
    sp_v1_close(api);
    sp_inference_close(api->inference);
    sp_history_worker_close(api->history);
    sp_peers_close(atomic_load(&api->peers));
    sp_camera_edits_close(api->edits);
    free(api->new_settings);
    free(api->stages);
    free(api->scratch);
    free(api->events_out);
    free(api);
}

const struct sp_class_names *sp_api_classes(const struct sp_api *api)
{
    return api->classes;
}

void sp_api_attach(struct sp_api *api, struct sp_server *server)
{
    api->server = server;
    sp_history_worker_attach(api->history, server);
}

void sp_api_reload(struct sp_api *api, const struct sp_settings *settings)
{
    pthread_mutex_lock(&api->mutex);
    *api->new_settings = *settings;
    api->has_new_settings = true;
    pthread_mutex_unlock(&api->mutex);
}

void sp_api_end_threads(struct sp_api *api)
{
    sp_peers_stop(atomic_load(&api->peers));
    sp_inference_stop(api->inference);
    sp_history_worker_stop(api->history);
}

int sp_api_set_cluster(struct sp_api *api, struct sp_cluster *cluster, struct sp_error *err)
{
    struct sp_peers *peers = NULL;
    int result = sp_peers_open(&peers, &api->settings, cluster, api->server, err);
    if (result == SP_OK) {
        atomic_store(&api->peers, peers);
        atomic_store(&api->cluster, cluster);
    }
    return result;
}

void sp_api_set_started(struct sp_api *api, bool started)
{
    atomic_store(&api->started, started);
}
