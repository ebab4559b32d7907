#include "api/cluster.h"

#include "api/camera_lookup.h"
#include "api/reply.h"

#include <stdlib.h>
#include <string.h>

static struct sp_cluster *cluster_of(struct sp_call *call)
{
    return atomic_load(&call->api->cluster);
}

static void put_nodes(struct sp_json *json, const struct sp_cluster_node_report *nodes, int count)
{
    sp_json_key(json, "nodes");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", nodes[i].name);
        sp_json_member_bool(json, "alive", nodes[i].alive);
        sp_json_member_bool(json, "self", nodes[i].self);
        sp_json_member_bool(json, "draining", nodes[i].draining);
        sp_json_member_number(json, "capacity", nodes[i].capacity, 2);
        sp_json_member_int(json, "cameras", nodes[i].cameras);
        sp_json_member_number(json, "load", nodes[i].cameras / nodes[i].capacity, 3);
        sp_json_member_string(json, "http", nodes[i].http);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_cameras(struct sp_json *json, const struct sp_cluster_camera_report *cameras,
                        int count)
{
    sp_json_key(json, "cameras");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", cameras[i].name);
        sp_json_member_string(json, "node", cameras[i].node[0] ? cameras[i].node : NULL);
        sp_json_member_int(json, "epoch", (int64_t)cameras[i].epoch);
        sp_json_member_string(json, "state", cameras[i].state);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

void sp_cluster_overview(struct sp_call *call)
{
    struct sp_cluster *cluster = cluster_of(call);
    if (!cluster) {
        sp_call_refuse(call, 404, "this server is not part of a cluster; set CLUSTER_URL");
        return;
    }
    struct sp_cluster_status status;
    struct sp_cluster_node_report *nodes = malloc(SP_CLUSTER_NODES_MAX * sizeof *nodes);
    struct sp_cluster_camera_report *cameras = malloc(SP_CLUSTER_CAMERAS_MAX * sizeof *cameras);
    if (!nodes || !cameras) {
        sp_call_refuse(call, 503, "out of memory");
    } else {
        sp_cluster_status(cluster, &status);
        int node_count = sp_cluster_nodes(cluster, nodes);
        int camera_count = sp_cluster_cameras(cluster, cameras);
        sp_json_begin_object(call->json);
        sp_json_member_bool(call->json, "connected", status.connected);
        sp_json_member_number(call->json, "away_s", (double)status.away_us / 1e6, 1);
        sp_json_member_string(call->json, "error", status.error[0] ? status.error : NULL);
        put_nodes(call->json, nodes, node_count);
        put_cameras(call->json, cameras, camera_count);
        sp_json_end_object(call->json);
    }
    free(nodes);
    free(cameras);
}

static bool has_node(struct sp_cluster *cluster, const char *name)
{
    bool found = false;
    struct sp_cluster_node_report *nodes = malloc(SP_CLUSTER_NODES_MAX * sizeof *nodes);
    int count = nodes ? sp_cluster_nodes(cluster, nodes) : 0;
    for (int i = 0; i < count; i++)
        found = found || strcmp(nodes[i].name, name) == 0;
    free(nodes);
    return found;
}

static void set_draining(struct sp_call *call, bool drain)
{
    struct sp_error err = {0};
    struct sp_cluster *cluster = cluster_of(call);
    if (!cluster || !has_node(cluster, call->name))
        sp_call_refuse(call, 404, "node %s: not found; see /api/v2/cluster", call->name);
    else if (sp_cluster_drain(cluster, call->name, drain, &err) < 0)
        sp_call_refuse(call, 503, "%s", err.text);
    else
        call->reply->status = 204;
}

void sp_cluster_drain_node(struct sp_call *call)
{
    set_draining(call, true);
}

void sp_cluster_undrain_node(struct sp_call *call)
{
    set_draining(call, false);
}

bool sp_cluster_passes(struct sp_call *call, const char *camera)
{
    struct sp_cluster_camera_report report;
    struct sp_cluster *cluster = cluster_of(call);
    const struct sp_request *request = call->request;
    if (!cluster || !sp_cluster_find(cluster, camera, &report))
        return false;
    if (!report.node[0] || !report.http[0])
        sp_call_refuse(call, 503, "camera %s: no node runs it at the moment; try again", camera);
    else if (strcmp(report.node, sp_cluster_name(cluster)) == 0)
        sp_call_refuse(call, 503, "camera %s: node %s is starting it; try again", camera,
                       report.node);
    else if (request->node[0])
        sp_call_refuse(call, 503, "camera %s: run by node %s, no longer by node %s; try again",
                       camera, report.node, sp_cluster_name(cluster));
    else
        sp_peers_pass(atomic_load(&call->api->peers), call, &report);
    return true;
}

bool sp_cluster_is_elsewhere(struct sp_call *call, const char *camera)
{
    struct sp_cluster_camera_report report;
    struct sp_cluster *cluster = cluster_of(call);
    return cluster && !call->request->node[0] && sp_cluster_find(cluster, camera, &report) &&
           report.node[0] && strcmp(report.node, sp_cluster_name(cluster)) != 0;
}

bool sp_cluster_joins(struct sp_call *call, enum sp_peers_list list)
{
    char local[8] = "0";
    struct sp_peers *peers = atomic_load(&call->api->peers);
    sp_request_query(call->request, "local", local, sizeof local);
    if (strcmp(local, "0") != 0 && strcmp(local, "1") != 0) {
        sp_call_refuse(call, 400, "local: unknown value; use 0 or 1");
        return true;
    }
    if (!peers || call->request->node[0] || strcmp(local, "1") == 0)
        return false;
    sp_peers_collect(peers, call, list);
    return true;
}

bool sp_cluster_adds(struct sp_call *call, const struct sp_camera_setting *setting)
{
    struct sp_error err = {0};
    struct sp_cluster_camera_report report;
    struct sp_cluster *cluster = cluster_of(call);
    char *text = NULL;
    if (!cluster)
        return false;
    if (sp_cluster_find(cluster, setting->name, &report)) {
        sp_call_refuse(call, 409, "camera %s: exists already; choose another name", setting->name);
    } else if (sp_settings_check_camera(setting->name, setting->url, "the request", &err) < 0) {
        sp_call_refuse(call, 400, "%s", err.text);
    } else if (sp_camera_setting_text(setting, &text) < 0) {
        sp_call_refuse(call, 503, "out of memory");
    } else if (sp_cluster_put(cluster, setting->name, text, true, &err) < 0) {
        sp_call_refuse(call, 503, "%s", err.text);
    } else {
        call->reply->status = 202;
        sp_call_header(call, "Location: /api/v2/cameras/%s", setting->name);
        sp_json_begin_object(call->json);
        sp_json_member_string(call->json, "name", setting->name);
        sp_json_member_string(call->json, "state", "waiting");
        sp_json_end_object(call->json);
    }
    free(text);
    return true;
}

bool sp_cluster_removes(struct sp_call *call, const char *camera)
{
    struct sp_error err = {0};
    struct sp_cluster_camera_report report;
    struct sp_cluster *cluster = cluster_of(call);
    if (!cluster)
        return false;
    if (!sp_cluster_find(cluster, camera, &report))
        sp_call_refuse(call, 404, "camera %s: not found; see /api/v2/cluster", camera);
    else if (sp_cluster_remove(cluster, camera, &err) < 0)
        sp_call_refuse(call, 503, "%s", err.text);
    else
        call->reply->status = 204;
    return true;
}
