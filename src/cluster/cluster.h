/* A node of a cluster: which cameras of the site this process runs.
 *
 * Data flow: cameras, nodes, leases and claims of all nodes (kv.h) -> the view -> placement ->
 * this node's cameras are started and stopped through struct sp_cluster_runner.
 *
 * - A node has a lease: its record, which expires `lease_ms` after the last renewal. A camera's key
 *   names its owner; another node replaces it, by compare-and-set, once the owner has released the
 *   camera or its lease is over. The epoch rises with every owner; results carry it, so that a
 *   consumer can refuse those of an earlier owner. So renewals grow with nodes, not with cameras.
 * - A planned move is made before the old one ends: the next node runs the camera as standby,
 *   claims it once frames arrive, and takes the lease when the owner has released it.
 * - Without NATS every node continues with its cameras, and nothing moves. A node that was frozen
 *   (SIGSTOP, a suspended machine) publishes nothing until its leases are confirmed.
 *
 * Threads: one of the cluster, which makes all calls to the runner; one that notices freezes.
 * The functions below may be called from any thread and do not wait for the network. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_CLUSTER_NAME_BYTES = 64,
    SP_CLUSTER_HTTP_BYTES = 256,
    SP_CLUSTER_SETTING_BYTES = 4096,
    SP_CLUSTER_CAMERAS_MAX = 2048, /* of a site */
    SP_CLUSTER_NODES_MAX = 128,
};

struct sp_cluster;

/* What runs the cameras. Calls are made in pairs: start ... stop. */
struct sp_cluster_runner {
    void *user;
    /* `setting`: as given to sp_cluster_put. An error is logged; the call is repeated later. */
    int (*start)(void *user, const char *camera, const char *setting, struct sp_error *err);
    void (*stop)(void *user, const char *camera);
    /* Whether frames arrive; "live", "connecting", ... in *state. */
    bool (*is_live)(void *user, const char *camera, const char **state);
    /* From now on results are published with this epoch; 0: they are not. */
    void (*publish)(void *user, const char *camera, uint64_t epoch);
};

struct sp_cluster_options {
    const char *url;     /* kv.h */
    const char *ca_file; /* kv.h */
    const char *site;    /* letters, digits, '_', '-' */
    const char *node;    /* unique within the site; letters, digits, '.', '_', '-' */
    const char *http;    /* where other nodes and browsers reach this one: http://HOST:PORT */
    double capacity;     /* cameras, relative to the other nodes */
    int lease_ms;
    bool observes; /* only watches and asks: no node, no runner */
    struct sp_cluster_runner runner;
};

/* SP_ERR_INVALID, SP_ERR_NO_MEMORY. A server that is not there is waited for, which is logged. */
int sp_cluster_open(struct sp_cluster **out, const struct sp_cluster_options *options,
                    struct sp_error *err);

/* Stops all cameras and releases their leases, so that other nodes take them at once. */
void sp_cluster_stop(struct sp_cluster *cluster);
void sp_cluster_close(struct sp_cluster *cluster); /* NULL is allowed */

/* False: this process was frozen, and its leases are not confirmed yet; publish nothing. */
bool sp_cluster_is_current(const struct sp_cluster *cluster);

/* Cameras of the site. `only_new`: an existing one stays as it is. Asynchronous. SP_ERR_NO_SPACE:
 * too many requests wait, as NATS is away; SP_ERR_INVALID: the setting is too long. */
int sp_cluster_put(struct sp_cluster *cluster, const char *camera, const char *setting,
                   bool only_new, struct sp_error *err);
int sp_cluster_remove(struct sp_cluster *cluster, const char *camera, struct sp_error *err);

/* Of this node. */
const char *sp_cluster_name(const struct sp_cluster *cluster);

/* Asks a node to give its cameras to the others, or to take cameras again. */
int sp_cluster_drain(struct sp_cluster *cluster, const char *node, bool drain,
                     struct sp_error *err);

struct sp_cluster_node_report {
    char name[SP_CLUSTER_NAME_BYTES], http[SP_CLUSTER_HTTP_BYTES];
    bool alive, draining, self;
    double capacity;
    int cameras; /* that it holds the lease of */
};

struct sp_cluster_camera_report {
    char name[SP_CLUSTER_NAME_BYTES];
    char node[SP_CLUSTER_NAME_BYTES]; /* empty: none at the moment */
    char http[SP_CLUSTER_HTTP_BYTES]; /* of that node */
    char state[16];                   /* as its node reported it last */
    uint64_t epoch;
};

/* As of the last fraction of a second. `nodes`: [SP_CLUSTER_NODES_MAX], `cameras`:
 * [SP_CLUSTER_CAMERAS_MAX]; both return the count. */
int sp_cluster_nodes(struct sp_cluster *cluster, struct sp_cluster_node_report *nodes);
int sp_cluster_cameras(struct sp_cluster *cluster, struct sp_cluster_camera_report *cameras);
bool sp_cluster_find(struct sp_cluster *cluster, const char *camera,
                     struct sp_cluster_camera_report *report);

struct sp_cluster_status {
    bool connected;         /* to NATS */
    int64_t away_us;        /* for how long not */
    uint64_t taken, lost;   /* leases */
    uint64_t moved;         /* released to another node */
    int cameras, owned;     /* of the site; by this node */
    int nodes, known_nodes; /* alive; ever seen */
    int pending;            /* requests that NATS has not answered yet */
    char error[256];        /* of the connection; empty: none */
};
void sp_cluster_status(struct sp_cluster *cluster, struct sp_cluster_status *status);
