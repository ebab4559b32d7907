#include "cluster/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEP_MS = 50, BEAT_MS = 50 };
static const unsigned ALL_SYNCED = (1U << SP_KV_BUCKETS) - 1;

/* ---- freezes ---- */

/* A pause of this length is not the load of the machine; the lease is not over yet. */
static int64_t freeze_us(const struct sp_cluster *cluster)
{
    return cluster->lease_us / 2;
}

/* Marks the freeze before the beat that would hide it. */
static void *watch_freezes(void *argument)
{
    struct sp_cluster *cluster = argument;
    while (!atomic_load(&cluster->stop)) {
        int64_t now_us = sp_clock_us();
        if (now_us - atomic_load(&cluster->beat_us) > freeze_us(cluster)) {
            atomic_store(&cluster->frozen, true);
            sp_log(SP_LOG_WARNING,
                   "cluster: the process was stopped for %.1f s; confirming its leases",
                   (double)(now_us - atomic_load(&cluster->beat_us)) / 1e6);
        }
        atomic_store(&cluster->beat_us, now_us);
        usleep(BEAT_MS * 1000);
    }
    return NULL;
}

bool sp_cluster_is_current(const struct sp_cluster *cluster)
{
    /* In this order: the watcher sets `frozen` before the beat. */
    bool beating = sp_clock_us() - atomic_load(&cluster->beat_us) <= freeze_us(cluster);
    return beating && !atomic_load(&cluster->frozen);
}

static void confirm_after_freeze(struct sp_cluster *cluster)
{
    bool known = true;
    for (int i = 0; i < cluster->camera_count; i++)
        if (!sp_cluster_camera_confirm(cluster, &cluster->cameras[i], sp_clock_us()))
            known = false;
    if (known)
        atomic_store(&cluster->frozen, false);
}

/* ---- placement ---- */

static int index_of_owner(const struct sp_cluster *cluster, const struct camera *camera,
                          const int *alive, int count)
{
    const char *owner = camera->mine ? cluster->name : (camera->leased ? camera->node : "");
    const struct node *node = sp_cluster_find_node(cluster, owner);
    for (int i = 0; node && i < count; i++)
        if (&cluster->nodes[alive[i]] == node)
            return i;
    return -1;
}

/* Nodes die without a change of a bucket. */
static uint64_t hash_alive(const struct sp_cluster *cluster, int64_t now_us)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (int i = 0; i < cluster->node_count; i++)
        hash = (hash ^ (sp_cluster_node_is_alive(cluster, &cluster->nodes[i], now_us) ? 1U : 2U)) *
               0x100000001b3ULL;
    return hash;
}

static void place(struct sp_cluster *cluster, int64_t now_us)
{
    static const double COST = 1;
    uint64_t alive_nodes = hash_alive(cluster, now_us);
    if (cluster->placed && cluster->alive_nodes == alive_nodes)
        return;
    int alive[SP_CLUSTER_NODES_MAX], nodes = 0, cameras = 0, self = -1;
    struct sp_placement_node node[SP_CLUSTER_NODES_MAX];
    size_t most = (size_t)cluster->camera_count + 1;
    struct sp_placement_camera *camera = calloc(most, sizeof *camera);
    int *index = calloc(most, sizeof *index), *node_of = calloc(most, sizeof *node_of);
    for (int i = 0; i < cluster->node_count; i++) {
        const struct node *n = &cluster->nodes[i];
        bool own = strcmp(n->name, cluster->name) == 0;
        if (!own && !sp_cluster_node_is_alive(cluster, n, now_us))
            continue;
        if (own)
            self = nodes;
        node[nodes] = (struct sp_placement_node){n->name, n->capacity, n->draining};
        alive[nodes++] = i;
    }
    for (int i = 0; camera && index && i < cluster->camera_count; i++) {
        const struct camera *c = &cluster->cameras[i];
        if (!c->setting)
            continue;
        index[cameras] = i;
        camera[cameras++] =
            (struct sp_placement_camera){c->name, COST, index_of_owner(cluster, c, alive, nodes)};
    }
    cluster->placed =
        camera && index && node_of && sp_placement(node, nodes, camera, cameras, node_of) == SP_OK;
    cluster->alive_nodes = alive_nodes;
    for (int i = 0; cluster->placed && i < cameras; i++)
        cluster->cameras[index[i]].wanted = node_of[i] >= 0 && node_of[i] == self;
    free(camera);
    free(index);
    free(node_of);
}

/* ---- the thread ---- */

/* The node's lease. */
static void announce(struct sp_cluster *cluster, int64_t now_us)
{
    char key[SP_KV_KEY_BYTES], value[SP_CLUSTER_HTTP_BYTES + 128];
    if (now_us - cluster->announced_us < cluster->lease_us / 3)
        return;
    sp_cluster_key(key, "node", cluster->name);
    snprintf(value, sizeof value, "{\"capacity\":%g,\"http\":\"%s\"}", cluster->options.capacity,
             cluster->http);
    if (sp_kv_put(cluster->kv, SP_KV_ALIVE, key, value, NULL) == SP_OK)
        cluster->announced_us = now_us;
}

static void note_connection(struct sp_cluster *cluster, int result, const struct sp_error *err)
{
    int64_t now_us = sp_clock_us();
    if (result == SP_OK) {
        if (cluster->away_since_us)
            sp_log(SP_LOG_INFO, "cluster: connected to NATS");
        cluster->away_since_us = 0;
        cluster->error[0] = '\0';
        return;
    }
    if (!cluster->away_since_us) {
        cluster->away_since_us = now_us;
        sp_log(SP_LOG_WARNING, "%s; cameras continue where they are", err->text);
    }
    snprintf(cluster->error, sizeof cluster->error, "%s", err->text);
}

/* A camera that is not of the site, and not known to the buckets either. */
static void forget_gone(struct sp_cluster *cluster)
{
    int kept = 0;
    for (int i = 0; i < cluster->camera_count; i++) {
        struct camera *c = &cluster->cameras[i];
        if (c->setting || c->running || c->mine || (c->leased && c->node[0]))
            cluster->cameras[kept++] = *c;
    }
    cluster->camera_count = kept;
}

static void step(struct sp_cluster *cluster)
{
    struct sp_error err = {0};
    int result = sp_kv_poll(cluster->kv, STEP_MS, &err);
    note_connection(cluster, result, &err);
    if (result < 0 || cluster->synced != ALL_SYNCED)
        return;
    if (atomic_load(&cluster->frozen)) {
        cluster->announced_us = 0;
        if (!cluster->options.observes) /* first, so that no other node takes more */
            announce(cluster, sp_clock_us());
        confirm_after_freeze(cluster);
    }
    sp_cluster_perform_requests(cluster);
    if (cluster->options.observes)
        return;
    announce(cluster, sp_clock_us());
    place(cluster, sp_clock_us());
    for (int i = 0; i < cluster->camera_count && sp_kv_is_connected(cluster->kv); i++) {
        struct camera *camera = &cluster->cameras[i];
        int64_t now_us = sp_clock_us();
        if (camera->mine || !camera->setting || now_us >= cluster->settled_us)
            sp_cluster_camera_step(cluster, camera, now_us);
    }
    forget_gone(cluster);
}

static int fill_nodes(const struct sp_cluster *cluster, struct sp_cluster_node_report *out)
{
    int64_t now_us = sp_clock_us();
    for (int i = 0; i < cluster->node_count; i++) {
        const struct node *n = &cluster->nodes[i];
        bool self = strcmp(n->name, cluster->name) == 0;
        out[i] = (struct sp_cluster_node_report){
            .alive = self || sp_cluster_node_is_alive(cluster, n, now_us),
            .draining = n->draining,
            .self = self,
            .capacity = n->capacity};
        snprintf(out[i].name, sizeof out[i].name, "%s", n->name);
        snprintf(out[i].http, sizeof out[i].http, "%s", n->http);
    }
    return cluster->node_count;
}

static void fill_cameras(const struct sp_cluster *cluster, struct shared *to)
{
    to->camera_count = 0;
    for (int i = 0; i < cluster->camera_count; i++) {
        const struct camera *c = &cluster->cameras[i];
        if (!c->setting)
            continue;
        struct sp_cluster_camera_report *out = &to->cameras[to->camera_count++];
        const struct node *owner = c->leased ? sp_cluster_find_node(cluster, c->node) : NULL;
        bool alive = owner && sp_cluster_node_is_alive(cluster, owner, sp_clock_us());
        const char *node = c->mine ? cluster->name : (alive ? c->node : "");
        *out = (struct sp_cluster_camera_report){.epoch = c->mine ? c->my_epoch : c->epoch};
        snprintf(out->name, sizeof out->name, "%s", c->name);
        snprintf(out->node, sizeof out->node, "%s", node);
        snprintf(out->state, sizeof out->state, "%s", node[0] ? c->state : "waiting");
        owner = node[0] ? sp_cluster_find_node(cluster, node) : NULL;
        if (owner) { /* in the same order */
            to->nodes[owner - cluster->nodes].cameras++;
            memcpy(out->http, owner->http, sizeof out->http);
        }
    }
}

static void share(struct sp_cluster *cluster)
{
    struct shared *to = cluster->shared;
    pthread_mutex_lock(&cluster->mutex);
    to->node_count = fill_nodes(cluster, to->nodes);
    fill_cameras(cluster, to);
    to->status = (struct sp_cluster_status){
        .connected = cluster->away_since_us == 0 && cluster->synced == ALL_SYNCED,
        .away_us = cluster->away_since_us ? sp_clock_us() - cluster->away_since_us : 0,
        .taken = cluster->taken,
        .lost = cluster->lost,
        .moved = cluster->moved,
        .pending = cluster->request_count,
        .cameras = to->camera_count};
    to->status.known_nodes = to->node_count;
    for (int i = 0; i < to->node_count; i++) {
        to->status.nodes += to->nodes[i].alive;
        to->status.owned += to->nodes[i].self ? to->nodes[i].cameras : 0;
    }
    snprintf(to->status.error, sizeof to->status.error, "%s", cluster->error);
    pthread_mutex_unlock(&cluster->mutex);
}

static void leave(struct sp_cluster *cluster)
{
    char key[SP_KV_KEY_BYTES];
    if (cluster->options.observes)
        return;
    for (int i = 0; i < cluster->camera_count; i++)
        sp_cluster_camera_stop(cluster, &cluster->cameras[i]);
    sp_cluster_key(key, "node", cluster->name);
    sp_kv_remove(cluster->kv, SP_KV_ALIVE, key, NULL);
}

static void *run(void *argument)
{
    struct sp_cluster *cluster = argument;
    int64_t shared_us = 0;
    while (!atomic_load(&cluster->stop)) {
        step(cluster);
        if (sp_clock_us() - shared_us > 100000) {
            share(cluster);
            shared_us = sp_clock_us();
        }
    }
    leave(cluster);
    return NULL;
}

/* ---- open and close ---- */

static bool is_name(const char *text, const char *more)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !strchr(more, c))
            return false;
    }
    return n > 0 && n < SP_CLUSTER_NAME_BYTES;
}

static int check(const struct sp_cluster_options *options, struct sp_error *err)
{
    if (!is_name(options->site, "_-"))
        return sp_fail(err, SP_ERR_INVALID,
                       "CLUSTER_SITE=%s: not a name; use letters, digits, '_' and '-'",
                       options->site);
    if (!is_name(options->node, "_-."))
        return sp_fail(err, SP_ERR_INVALID,
                       "CLUSTER_NODE=%s: not a name; use letters, digits, '.', '_' and '-'",
                       options->node);
    if (strpbrk(options->http, "\"\\ ") || strlen(options->http) >= SP_CLUSTER_HTTP_BYTES)
        return sp_fail(err, SP_ERR_INVALID,
                       "CLUSTER_ADVERTISE=%s: not an address; use http://HOST:PORT", options->http);
    return SP_OK;
}

static int start_threads(struct sp_cluster *cluster, struct sp_error *err)
{
    atomic_store(&cluster->beat_us, sp_clock_us());
    int result = sp_thread_start(&cluster->thread, "cluster", run, cluster, err);
    if (result < 0)
        return result;
    result = sp_thread_start(&cluster->watcher, "cluster-beat", watch_freezes, cluster, err);
    if (result < 0) {
        atomic_store(&cluster->stop, true);
        pthread_join(cluster->thread, NULL);
        return result;
    }
    cluster->started = true;
    return SP_OK;
}

int sp_cluster_open(struct sp_cluster **out, const struct sp_cluster_options *options,
                    struct sp_error *err)
{
    int result = check(options, err);
    if (result < 0)
        return result;
    struct sp_cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster)
        return sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    pthread_mutex_init(&cluster->mutex, NULL);
    cluster->options = *options;
    snprintf(cluster->url, sizeof cluster->url, "%s", options->url);
    snprintf(cluster->ca_file, sizeof cluster->ca_file, "%s",
             options->ca_file ? options->ca_file : "");
    snprintf(cluster->site, sizeof cluster->site, "%s", options->site);
    snprintf(cluster->name, sizeof cluster->name, "%s", options->node);
    snprintf(cluster->http, sizeof cluster->http, "%s", options->http);
    cluster->lease_us = options->lease_ms * (int64_t)1000;
    cluster->cameras = calloc(SP_CLUSTER_CAMERAS_MAX + 1, sizeof *cluster->cameras);
    cluster->nodes = calloc(SP_CLUSTER_NODES_MAX + 1, sizeof *cluster->nodes);
    cluster->requests = calloc(REQUESTS_MAX, sizeof *cluster->requests);
    cluster->shared = calloc(1, sizeof *cluster->shared);
    if (!cluster->cameras || !cluster->nodes || !cluster->requests || !cluster->shared) {
        sp_cluster_close(cluster);
        return sp_fail(err, SP_ERR_NO_MEMORY, "cluster: out of memory");
    }
    struct sp_kv_options kv = {.url = cluster->url,
                               .ca_file = cluster->ca_file,
                               .site = cluster->site,
                               .name = cluster->name,
                               .ttl_ms = options->lease_ms,
                               .listener = sp_cluster_listener(cluster)};
    *out = cluster; /* the runner, which the thread calls, may read it */
    result = sp_kv_open(&cluster->kv, &kv, err);
    if (result == SP_OK)
        result = start_threads(cluster, err);
    if (result < 0) {
        sp_cluster_close(cluster);
        *out = NULL;
    }
    return result;
}

void sp_cluster_stop(struct sp_cluster *cluster)
{
    if (!cluster->started)
        return;
    atomic_store(&cluster->stop, true);
    pthread_join(cluster->thread, NULL);
    pthread_join(cluster->watcher, NULL);
    cluster->started = false;
}

void sp_cluster_close(struct sp_cluster *cluster)
{
    if (!cluster)
        return;
    sp_cluster_stop(cluster);
    sp_kv_close(cluster->kv);
    for (int i = 0; cluster->cameras && i < cluster->camera_count; i++)
        free(cluster->cameras[i].setting);
    for (int i = 0; cluster->requests && i < cluster->request_count; i++)
        free(cluster->requests[(cluster->request_first + i) % REQUESTS_MAX].value);
    free(cluster->cameras);
    free(cluster->nodes);
    free(cluster->requests);
    free(cluster->shared);
    pthread_mutex_destroy(&cluster->mutex);
    free(cluster);
}

/* ---- reports ---- */

const char *sp_cluster_name(const struct sp_cluster *cluster)
{
    return cluster->name;
}

int sp_cluster_nodes(struct sp_cluster *cluster, struct sp_cluster_node_report *nodes)
{
    pthread_mutex_lock(&cluster->mutex);
    int count = cluster->shared->node_count;
    memcpy(nodes, cluster->shared->nodes, (size_t)count * sizeof *nodes);
    pthread_mutex_unlock(&cluster->mutex);
    return count;
}

int sp_cluster_cameras(struct sp_cluster *cluster, struct sp_cluster_camera_report *cameras)
{
    pthread_mutex_lock(&cluster->mutex);
    int count = cluster->shared->camera_count;
    memcpy(cameras, cluster->shared->cameras, (size_t)count * sizeof *cameras);
    pthread_mutex_unlock(&cluster->mutex);
    return count;
}

bool sp_cluster_find(struct sp_cluster *cluster, const char *camera,
                     struct sp_cluster_camera_report *report)
{
    bool found = false;
    pthread_mutex_lock(&cluster->mutex);
    for (int i = 0; i < cluster->shared->camera_count && !found; i++)
        if (strcmp(cluster->shared->cameras[i].name, camera) == 0) {
            *report = cluster->shared->cameras[i];
            found = true;
        }
    pthread_mutex_unlock(&cluster->mutex);
    return found;
}

void sp_cluster_status(struct sp_cluster *cluster, struct sp_cluster_status *status)
{
    pthread_mutex_lock(&cluster->mutex);
    *status = cluster->shared->status;
    pthread_mutex_unlock(&cluster->mutex);
}
