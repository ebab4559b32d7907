/* The view: what the buckets hold, kept by the changes that are reported. */
#include "cluster/internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- cameras ---- */

/* Where it is, or would be. */
static int camera_place(const struct sp_cluster *cluster, const char *name)
{
    int low = 0, high = cluster->camera_count;
    while (low < high) {
        int middle = (low + high) / 2;
        if (strcmp(cluster->cameras[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct camera *camera_of(struct sp_cluster *cluster, const char *name, bool add)
{
    int at = camera_place(cluster, name);
    struct camera *camera = &cluster->cameras[at];
    if (at < cluster->camera_count && strcmp(camera->name, name) == 0)
        return camera;
    if (!add)
        return NULL;
    if (cluster->camera_count == SP_CLUSTER_CAMERAS_MAX) {
        sp_log(SP_LOG_ERROR, "cluster: more than %d cameras; camera %s is ignored",
               SP_CLUSTER_CAMERAS_MAX, name);
        return NULL;
    }
    memmove(camera + 1, camera, (size_t)(cluster->camera_count++ - at) * sizeof *camera);
    *camera = (struct camera){0};
    snprintf(camera->name, sizeof camera->name, "%s", name);
    return camera;
}

static void change_setting(struct sp_cluster *cluster, const char *name, const char *value,
                           uint64_t revision)
{
    struct camera *camera = camera_of(cluster, name, value != NULL);
    if (!camera)
        return;
    char *copy = value ? strdup(value) : NULL;
    if (value && !copy)
        return;
    /* The same text again, as after a reconnection, restarts nothing. */
    if (!copy || !camera->setting || strcmp(copy, camera->setting) != 0)
        camera->setting_revision = revision;
    free(camera->setting);
    camera->setting = copy;
    camera->listed = copy != NULL;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void sp_cluster_change_owner(struct camera *camera, const char *text, uint64_t revision)
{
    json_t *value = text ? json_loads(text, 0, NULL) : NULL;
    camera->leased = text != NULL;
    camera->revision = revision;
    camera->epoch = (uint64_t)json_integer_value(json_object_get(value, "epoch"));
    snprintf(camera->node, sizeof camera->node, "%s", text_of(value, "node"));
    snprintf(camera->state, sizeof camera->state, "%s", text_of(value, "state"));
    json_decref(value);
}

static void see_owner(struct sp_cluster *cluster, const char *name, const char *text,
                      uint64_t revision)
{
    struct camera *camera = camera_of(cluster, name, text != NULL);
    /* What this node wrote itself is reported later. */
    if (!camera || revision <= camera->revision)
        return;
    sp_cluster_change_owner(camera, text, revision);
    cluster->placed = false;
}

static void change_claim(struct sp_cluster *cluster, const char *name, json_t *value)
{
    struct camera *camera = camera_of(cluster, name, value != NULL);
    if (!camera)
        return;
    snprintf(camera->claimant, sizeof camera->claimant, "%s", value ? text_of(value, "node") : "");
    camera->claim_ready = value && json_is_true(json_object_get(value, "ready"));
    camera->claim_seen_us = sp_clock_us();
}

/* ---- nodes ---- */

static struct node *node_of(struct sp_cluster *cluster, const char *name, bool add)
{
    int at = 0;
    while (at < cluster->node_count && strcmp(cluster->nodes[at].name, name) < 0)
        at++;
    struct node *node = &cluster->nodes[at];
    if (at < cluster->node_count && strcmp(node->name, name) == 0)
        return node;
    if (!add)
        return NULL;
    if (cluster->node_count == SP_CLUSTER_NODES_MAX) {
        sp_log(SP_LOG_ERROR, "cluster: more than %d nodes; node %s is ignored",
               SP_CLUSTER_NODES_MAX, name);
        return NULL;
    }
    memmove(node + 1, node, (size_t)(cluster->node_count++ - at) * sizeof *node);
    *node = (struct node){.capacity = 1};
    snprintf(node->name, sizeof node->name, "%s", name);
    return node;
}

static void change_node(struct sp_cluster *cluster, const char *name, json_t *value)
{
    struct node *node = node_of(cluster, name, value != NULL);
    if (!node)
        return;
    node->seen_us = value ? sp_clock_us() : 0;
    if (!value)
        return;
    double capacity = json_number_value(json_object_get(value, "capacity"));
    capacity = capacity > 0 ? capacity : 1;
    if (capacity != node->capacity)
        cluster->placed = false;
    node->capacity = capacity;
    snprintf(node->http, sizeof node->http, "%s", text_of(value, "http"));
}

const struct node *sp_cluster_find_node(const struct sp_cluster *cluster, const char *name)
{
    int low = 0, high = cluster->node_count;
    while (low < high) {
        int middle = (low + high) / 2;
        int order = strcmp(cluster->nodes[middle].name, name);
        if (order == 0)
            return &cluster->nodes[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool sp_cluster_node_is_alive(const struct sp_cluster *cluster, const struct node *node,
                              int64_t now_us)
{
    return node->seen_us > 0 && now_us - node->seen_us <= cluster->lease_us * 5 / 4;
}

/* ---- changes ---- */

static void reset(void *user, enum sp_kv_bucket bucket)
{
    struct sp_cluster *cluster = user;
    cluster->synced &= ~(1U << bucket);
    cluster->placed = false;
    for (int i = 0; i < cluster->camera_count; i++) {
        struct camera *camera = &cluster->cameras[i];
        if (bucket == SP_KV_OWNERS) {
            camera->leased = false;
            camera->revision = 0; /* the bucket may be another one now */
        } else if (bucket == SP_KV_ALIVE) {
            camera->claimant[0] = '\0';
        } else {
            camera->listed = false;
        }
    }
    for (int i = 0; i < cluster->node_count; i++) {
        if (bucket == SP_KV_ALIVE)
            cluster->nodes[i].seen_us = 0;
        else if (bucket == SP_KV_SETUP)
            cluster->nodes[i].draining = false;
    }
}

static void change(void *user, enum sp_kv_bucket bucket, const char *key, const char *value,
                   uint64_t revision)
{
    struct sp_cluster *cluster = user;
    char kind[16], name[SP_CLUSTER_NAME_BYTES];
    if (!sp_cluster_read_key(key, kind, name))
        return;
    if (bucket == SP_KV_OWNERS) {
        if (strcmp(kind, "owner") == 0)
            see_owner(cluster, name, value, revision);
        return;
    }
    if (bucket == SP_KV_SETUP) {
        cluster->placed = false;
        if (strcmp(kind, "camera") == 0) {
            change_setting(cluster, name, value, revision);
        } else if (strcmp(kind, "drain") == 0) {
            struct node *node = node_of(cluster, name, value != NULL);
            if (node)
                node->draining = value != NULL;
        }
        return;
    }
    json_t *object = value ? json_loads(value, 0, NULL) : NULL;
    if (value && !json_is_object(object)) {
        sp_log(SP_LOG_WARNING, "cluster: key %s: not a JSON object; ignored", key);
        json_decref(object);
        return;
    }
    if (strcmp(kind, "claim") == 0)
        change_claim(cluster, name, object);
    else if (strcmp(kind, "node") == 0)
        change_node(cluster, name, object);
    json_decref(object);
}

/* A server that lost its disk has no cameras; the nodes know them. */
static bool was_lost(const struct sp_cluster *cluster)
{
    bool any = false;
    for (int i = 0; i < cluster->camera_count; i++) {
        if (cluster->cameras[i].listed)
            return false;
        any = any || cluster->cameras[i].setting;
    }
    return any;
}

static void forget_unlisted(struct sp_cluster *cluster)
{
    bool lost = was_lost(cluster);
    if (lost)
        sp_log(SP_LOG_WARNING, "cluster: NATS has lost the cameras; writing them again");
    for (int i = 0; i < cluster->camera_count; i++) {
        struct camera *camera = &cluster->cameras[i];
        if (camera->listed || !camera->setting)
            continue;
        if (lost) {
            sp_cluster_put(cluster, camera->name, camera->setting, true, NULL);
            camera->listed = true;
        } else {
            free(camera->setting);
            camera->setting = NULL;
        }
    }
}

static void synced(void *user, enum sp_kv_bucket bucket)
{
    struct sp_cluster *cluster = user;
    cluster->synced |= 1U << bucket;
    cluster->placed = false;
    /* Other nodes may still be reconnecting, and their leases may have been lost with the server.
     */
    cluster->settled_us = sp_clock_us() + cluster->lease_us;
    if (bucket == SP_KV_SETUP)
        forget_unlisted(cluster);
}

struct sp_kv_listener sp_cluster_listener(struct sp_cluster *cluster)
{
    return (struct sp_kv_listener){
        .user = cluster, .reset = reset, .change = change, .synced = synced};
}
