/* Shared by the files of api/peers*.c. Data flow and threads: peers.h. All of it belongs to the
 * thread of the peers, except for what the mutex guards. */
#pragma once

#include "api/peers.h"

#include <curl/curl.h>

enum { SP_PEERS_TARGET_BYTES = 4096, SP_PEERS_URL_BYTES = 4096 + 512 };

/* One HTTP exchange with another node. */
struct sp_peer_exchange {
    struct sp_peers *peers;
    CURL *easy;
    struct curl_slist *headers;
    char error[CURL_ERROR_SIZE];
    /* Returns what libcurl's write function does. */
    size_t (*received)(struct sp_peer_exchange *exchange, const char *data, size_t bytes);
    void (*header)(struct sp_peer_exchange *exchange, const char *line, size_t bytes); /* or NULL */
    void (*done)(struct sp_peer_exchange *exchange, CURLcode code);
};

/* What waits for the thread. */
struct sp_peer_task {
    struct sp_peer_task *next;
    void (*begin)(struct sp_peers *peers, struct sp_peer_task *task);
    void (*drop)(struct sp_peer_task *task); /* the thread ends */
};

struct sp_peer_view { /* of the cluster */
    int64_t read_us;
    int node_count, camera_count;
    struct sp_cluster_node_report nodes[SP_CLUSTER_NODES_MAX];
    struct sp_cluster_camera_report cameras[SP_CLUSTER_CAMERAS_MAX]; /* by name */
};

struct sp_peers {
    struct sp_cluster *cluster;
    struct sp_server *server;
    char ca_file[1024];
    char node[SP_CLUSTER_NAME_BYTES]; /* this one; empty: not known yet */
    pthread_t thread;
    bool started;
    atomic_bool stopping;
    CURLM *multi;
    struct sp_peer_view *view;
    atomic_int waiting; /* requests, from the queue to the reply */
    struct sp_peer_ask *asks;
    struct sp_peer_survey *surveys;
    struct sp_peer_viewer *viewers;
    int link_count;

    pthread_mutex_t mutex; /* of the rest */
    char token[512];
    struct sp_peer_task *first, *last;
};

/* ---- peer_queue.c ---- */

/* False: too many requests wait. */
bool sp_peers_may_ask(struct sp_peers *peers);
void sp_peers_add(struct sp_peers *peers, struct sp_peer_task *task);
struct sp_peer_task *sp_peers_take(struct sp_peers *peers);       /* all */
const struct sp_peer_view *sp_peers_view(struct sp_peers *peers); /* a fraction of a second old */
const struct sp_cluster_node_report *sp_peers_node(const struct sp_peer_view *view,
                                                   const char *name);

/* ---- peer_exchange.c ---- */

/* Path and query as they are sent. False: they do not fit. */
bool sp_peer_target(const struct sp_request *request, char out[SP_PEERS_TARGET_BYTES]);
/* Sets URL, headers, token and time limits, and starts it. On failure nothing is left to end. */
struct sp_peer_options {
    const char *http, *target; /* the URL is both together; copied */
    enum sp_method method;
    const char *body; /* outlives the exchange; NULL: none */
    size_t body_bytes;
    long timeout_ms;    /* 0: none */
    bool connects_only; /* curl_easy_send and curl_easy_recv do the rest */
};
int sp_peer_exchange_begin(struct sp_peer_exchange *exchange, struct sp_peers *peers,
                           const struct sp_peer_options *options);
void sp_peer_exchange_end(struct sp_peer_exchange *exchange);
/* Options of libcurl that all connections to other nodes have. */
void sp_peer_set_common(CURL *easy, struct sp_peers *peers);
/* The token, in a header line; empty: none. */
void sp_peer_authorization(struct sp_peers *peers, char *out, size_t out_bytes);
/* "node b: ...": why there is no reply. */
void sp_peer_explain(const char *node, const struct sp_peer_exchange *exchange, CURLcode code,
                     char *out, size_t out_bytes);

/* ---- peer_survey.c ---- */

void sp_peer_surveys_step(struct sp_peers *peers);
void sp_peer_surveys_end(struct sp_peers *peers);

/* ---- peer_ask.c ---- */

void sp_peer_asks_end(struct sp_peers *peers);
/* Sends {"detail": ...}. */
void sp_peer_refuse(struct sp_peers *peers, uint64_t reply, const char *headers, int status,
                    const char *detail);

/* ---- peer_viewer.c ---- */

/* Adds an MJPEG stream of one camera to a reply. */
void sp_peer_stream(struct sp_peers *peers, struct sp_call *call,
                    const struct sp_cluster_camera_report *camera);
void sp_peer_viewers_step(struct sp_peers *peers);
void sp_peer_viewers_end(struct sp_peers *peers);
/* File descriptors to wait for; writes up to `room`. */
int sp_peer_viewers_wait(struct sp_peers *peers, struct curl_waitfd *fds, int room);
