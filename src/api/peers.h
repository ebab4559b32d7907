/* The other nodes of the cluster, as this node's viewers see them: requests, lists and frames of
 * cameras that others run are asked of their owners, so that any node shows the whole site.
 *
 * Data flow: request (server's thread) -> a queue -> one thread with libcurl's multi interface ->
 * the owner's HTTP API, with API_TOKEN and the header X-Spoton-Node -> sp_server_reply, or
 * publish/inlet.h for MJPEG and WebSockets. A request with that header is answered for a node's
 * own cameras only, so that no request goes in a circle.
 *
 * Limits: SP_PEERS_WAITING requests at a time, each with a time limit; SP_PEERS_LINKS connections
 * for frames, of which SP_PEERS_LINKS_NODE to one node; a viewer has at most one connection to
 * each node and SP_INLET_MESSAGES messages in memory. A slow viewer's connection is not read, and
 * its owner skips frames.
 *
 * Threads: functions with a call or a plan belong to the server's thread, the others to any. */
#pragma once

#include "api/internal.h"

enum {
    SP_PEERS_WAITING = 128,
    SP_PEERS_LINKS = 1024,
    SP_PEERS_LINKS_NODE = 192, /* below SP_SERVER_ADDRESS_CONNECTIONS */
    SP_PEERS_REPLY_BYTES = 8 * 1024 * 1024,
};

struct sp_peers;

/* Cluster and server outlive it. SP_ERR_NO_MEMORY, and errors of starting a thread. */
int sp_peers_open(struct sp_peers **out, const struct sp_settings *settings,
                  struct sp_cluster *cluster, struct sp_server *server, struct sp_error *err);
void sp_peers_set_token(struct sp_peers *peers, const char *token);
void sp_peers_stop(struct sp_peers *peers);  /* ends the thread; NULL is allowed */
void sp_peers_close(struct sp_peers *peers); /* after the server's viewers; NULL is allowed */

/* Replies later with what the owner of the camera replies, or with its stream. */
void sp_peers_pass(struct sp_peers *peers, struct sp_call *call,
                   const struct sp_cluster_camera_report *camera);

/* Replies later with this node's reply, which is in call->json, and those of all other nodes. */
enum sp_peers_list { SP_PEERS_CAMERAS, SP_PEERS_COUNTS, SP_PEERS_ANALYTICS };
void sp_peers_collect(struct sp_peers *peers, struct sp_call *call, enum sp_peers_list list);

/* Adds the messages of other nodes to a WebSocket. */
void sp_peers_join(struct sp_peers *peers, const struct sp_request *request,
                   struct sp_ws_plan *plan, bool events);
