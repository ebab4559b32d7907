/* Shared by the files of src/cluster/. Data flow and threads: cluster.h. */
#pragma once

#include "cluster/cluster.h"
#include "cluster/kv.h"
#include "cluster/placement.h"

#include <pthread.h>
#include <stdatomic.h>

enum { REQUESTS_MAX = 4 * 256, LEASE_BYTES = 512 };

struct camera {
    char name[SP_CLUSTER_NAME_BYTES];
    char *setting; /* NULL: not a camera of the site (any more) */
    bool listed;   /* since the last reset */
    uint64_t setting_revision;

    /* The owner as the bucket shows it, or as this node wrote it. node empty: released. */
    bool leased;
    char node[SP_CLUSTER_NAME_BYTES], state[16];
    uint64_t epoch, revision;

    /* The claim of the node that is to be the next owner. */
    char claimant[SP_CLUSTER_NAME_BYTES]; /* empty: none */
    bool claim_ready;
    int64_t claim_seen_us;

    /* This node's part. */
    bool wanted;  /* by placement */
    bool running; /* standby or owner */
    bool mine;    /* this node is the owner, as far as it knows */
    uint64_t running_revision, my_epoch;
    int64_t written_us, claimed_us, retry_us;
    bool claimed_ready;
};

struct node {
    char name[SP_CLUSTER_NAME_BYTES], http[SP_CLUSTER_HTTP_BYTES];
    double capacity;
    int64_t seen_us; /* 0: never */
    bool draining;
};

enum request_kind { REQUEST_PUT, REQUEST_CREATE, REQUEST_REMOVE };

struct request {
    enum request_kind kind;
    char key[SP_KV_KEY_BYTES];
    char *value; /* owned */
};

/* What other threads read. */
struct shared {
    int node_count, camera_count;
    struct sp_cluster_node_report nodes[SP_CLUSTER_NODES_MAX];
    struct sp_cluster_camera_report cameras[SP_CLUSTER_CAMERAS_MAX];
    struct sp_cluster_status status;
};

struct sp_cluster {
    struct sp_cluster_options options;
    char url[2048], ca_file[1024], site[64], name[SP_CLUSTER_NAME_BYTES],
        http[SP_CLUSTER_HTTP_BYTES];
    int64_t lease_us;
    struct sp_kv *kv;

    struct camera *cameras; /* [SP_CLUSTER_CAMERAS_MAX], by name */
    int camera_count;
    struct node *nodes; /* [SP_CLUSTER_NODES_MAX], by name */
    int node_count;
    unsigned synced;      /* bit by bucket */
    int64_t settled_us;   /* from then on cameras are taken */
    int64_t announced_us; /* this node's record, which is its lease */
    bool placed;          /* nothing has changed since placement */
    uint64_t alive_nodes; /* a hash of those, likewise */
    int64_t away_since_us;
    char error[256];
    uint64_t taken, lost, moved;

    pthread_t thread, watcher;
    bool started;
    atomic_bool stop;
    atomic_bool frozen;
    atomic_llong beat_us; /* of the thread that notices freezes */

    pthread_mutex_t mutex;    /* of what follows */
    struct request *requests; /* [REQUESTS_MAX], a ring */
    int request_first, request_count;
    struct shared *shared;
};

/* key.c: "owner.gate" is the kind and the name; a dot of the name would be a separator. */
void sp_cluster_key(char key[SP_KV_KEY_BYTES], const char *kind, const char *name);
/* False: not a key of ours. */
bool sp_cluster_read_key(const char *key, char kind[16], char name[SP_CLUSTER_NAME_BYTES]);

/* view.c: what the buckets hold. */
/* `text`: the value of its key; NULL: removed. */
void sp_cluster_change_owner(struct camera *camera, const char *text, uint64_t revision);
/* NULL: not known. */
const struct node *sp_cluster_find_node(const struct sp_cluster *cluster, const char *name);
struct sp_kv_listener sp_cluster_listener(struct sp_cluster *cluster);
bool sp_cluster_node_is_alive(const struct sp_cluster *cluster, const struct node *node,
                              int64_t now_us);

/* request.c: carries requests out; one stays until NATS has answered. */
void sp_cluster_perform_requests(struct sp_cluster *cluster);

/* lease.c: one step of this node's part in a camera. */
void sp_cluster_camera_step(struct sp_cluster *cluster, struct camera *camera, int64_t now_us);
void sp_cluster_camera_stop(struct sp_cluster *cluster, struct camera *camera);
/* After a freeze. False: not known yet. */
bool sp_cluster_camera_confirm(struct sp_cluster *cluster, struct camera *camera, int64_t now_us);
