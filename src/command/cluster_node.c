#include "command/cluster_node.h"

#include "base/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run {
    char name[SP_CAMERA_NAME_BYTES]; /* empty: not run here */
    atomic_bool publishes;
};

struct sp_cluster_node {
    struct sp_pipeline *pipeline;
    struct sp_hub *hub;
    struct sp_settings settings; /* whose cameras were put into the cluster */
    struct sp_cluster *cluster;
    struct run runs[SP_CAMERAS_MAX]; /* by camera index; names: cluster thread only */
};

/* ---- cameras as text ---- */

static int read_text(const char *text, struct sp_camera_setting *camera, struct sp_error *err)
{
    char *none[] = {NULL};
    struct sp_settings *settings = malloc(sizeof *settings);
    if (!settings)
        return sp_fail(err, SP_ERR_NO_MEMORY, "out of memory");
    sp_settings_default(settings);
    int result = sp_settings_read_yaml_text(settings, text, strlen(text), "cluster", none, err);
    if (result == SP_OK && settings->camera_count != 1)
        result = sp_fail(err, SP_ERR_FORMAT, "its setting in the cluster is not one camera");
    if (result == SP_OK)
        *camera = settings->camera[0];
    free(settings);
    return result;
}

/* ---- the runner ---- */

static int index_of(const struct sp_cluster_node *node, const char *camera)
{
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        if (strcmp(node->runs[i].name, camera) == 0)
            return i;
    return -1;
}

static int start_camera(void *user, const char *name, const char *text, struct sp_error *err)
{
    struct sp_cluster_node *node = user;
    struct sp_camera_setting camera;
    int index, used = 0;
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        used += node->runs[i].name[0] != '\0';
    if (used >= node->settings.max_cameras)
        return sp_fail(err, SP_ERR_NO_SPACE, "MAX_CAMERAS=%d are in use on this node",
                       node->settings.max_cameras);
    int result = read_text(text, &camera, err);
    if (result == SP_OK)
        result = sp_pipeline_add_camera(node->pipeline, &camera, &index, err);
    if (result < 0)
        return result;
    atomic_store(&node->runs[index].publishes, false);
    snprintf(node->runs[index].name, sizeof node->runs[index].name, "%s", name);
    sp_hub_begin_camera(node->hub, index, name);
    return SP_OK;
}

static void stop_camera(void *user, const char *name)
{
    struct sp_cluster_node *node = user;
    struct sp_error err = {0};
    int index = index_of(node, name);
    if (index < 0)
        return;
    atomic_store(&node->runs[index].publishes, false);
    node->runs[index].name[0] = '\0';
    if (sp_pipeline_remove_camera(node->pipeline, index, &err) < 0)
        sp_log(SP_LOG_DEBUG, "%s", err.text);
}

static bool is_live(void *user, const char *name, const char **state)
{
    struct sp_cluster_node *node = user;
    struct sp_camera_report report;
    int index = index_of(node, name);
    if (index < 0)
        return false;
    sp_pipeline_camera(node->pipeline, index, &report);
    if (!report.used)
        return false;
    *state = sp_camera_state_name(report.state);
    return report.frames_done > 0 && report.state == SP_CAMERA_LIVE;
}

static void publish(void *user, const char *name, uint64_t epoch)
{
    struct sp_cluster_node *node = user;
    int index = index_of(node, name);
    if (index < 0)
        return;
    if (epoch)
        sp_hub_set_generation(node->hub, index, epoch);
    atomic_store(&node->runs[index].publishes, epoch != 0);
}

bool sp_cluster_node_publishes(const struct sp_cluster_node *node, int camera)
{
    return atomic_load(&node->runs[camera].publishes) && sp_cluster_is_current(node->cluster);
}

/* ---- cameras of the settings ---- */

static void put(struct sp_cluster_node *node, const struct sp_camera_setting *camera, bool only_new)
{
    struct sp_error err = {0};
    char *text = NULL;
    if (sp_camera_setting_text(camera, &text) == SP_OK &&
        sp_cluster_put(node->cluster, camera->name, text, only_new, &err) < 0)
        sp_log(SP_LOG_ERROR, "%s", err.text);
    free(text);
}

static const struct sp_camera_setting *find(const struct sp_settings *settings, const char *name)
{
    for (int i = 0; i < settings->camera_count; i++)
        if (strcmp(settings->camera[i].name, name) == 0)
            return &settings->camera[i];
    return NULL;
}

static bool is_same(const struct sp_camera_setting *a, const struct sp_camera_setting *b)
{
    char *x = NULL, *y = NULL;
    bool same = sp_camera_setting_text(a, &x) == SP_OK && sp_camera_setting_text(b, &y) == SP_OK &&
                strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

void sp_cluster_node_reload(struct sp_cluster_node *node, const struct sp_settings *settings)
{
    int changed = 0, removed = 0;
    for (int i = 0; i < settings->camera_count; i++) {
        const struct sp_camera_setting *before = find(&node->settings, settings->camera[i].name);
        if (before && is_same(before, &settings->camera[i]))
            continue;
        put(node, &settings->camera[i], false);
        changed++;
    }
    for (int i = 0; i < node->settings.camera_count; i++) {
        const char *name = node->settings.camera[i].name;
        if (find(settings, name))
            continue;
        sp_cluster_remove(node->cluster, name, NULL);
        removed++;
    }
    memcpy(node->settings.camera, settings->camera, sizeof settings->camera);
    node->settings.camera_count = settings->camera_count;
    sp_log(SP_LOG_INFO, "cameras of the cluster: %d put, %d removed", changed, removed);
}

/* ---- open and close ---- */

int sp_cluster_node_open(struct sp_cluster_node **out, const struct sp_settings *settings, int port,
                         struct sp_pipeline *pipeline, struct sp_hub *hub, struct sp_error *err)
{
    char host[64] = "localhost", http[sizeof settings->cluster_advertise];
    struct sp_cluster_node *node = calloc(1, sizeof *node);
    if (!node)
        return sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    node->pipeline = pipeline;
    node->hub = hub;
    node->settings = *settings;
    gethostname(host, sizeof host - 1);
    snprintf(http, sizeof http, "%s", settings->cluster_advertise);
    if (!http[0])
        snprintf(http, sizeof http, "%s://%s:%d", settings->tls_cert[0] ? "https" : "http", host,
                 port);
    struct sp_cluster_options options = {
        .url = settings->cluster_url,
        .ca_file = settings->cluster_ca_file,
        .site = settings->cluster_site,
        .node = settings->cluster_node[0] ? settings->cluster_node : host,
        .http = http,
        .capacity =
            settings->cluster_capacity > 0 ? settings->cluster_capacity : settings->max_cameras,
        .lease_ms = settings->cluster_lease_ms,
        .runner = {.user = node,
                   .start = start_camera,
                   .stop = stop_camera,
                   .is_live = is_live,
                   .publish = publish}};
    int result = sp_cluster_open(&node->cluster, &options, err);
    if (result < 0) {
        free(node);
        return result;
    }
    for (int i = 0; i < settings->camera_count; i++)
        put(node, &settings->camera[i], true);
    *out = node;
    return SP_OK;
}

void sp_cluster_node_stop(struct sp_cluster_node *node)
{
    if (node)
        sp_cluster_stop(node->cluster);
}

void sp_cluster_node_close(struct sp_cluster_node *node)
{
    if (!node)
        return;
    sp_cluster_close(node->cluster);
    free(node);
}

struct sp_cluster *sp_cluster_node_cluster(struct sp_cluster_node *node)
{
    return node ? node->cluster : NULL;
}
