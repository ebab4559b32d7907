/* Viewers of cameras that other nodes run: WebSockets and MJPEG streams.
 *
 * A WebSocket has a link to every node that runs one of its cameras, with the viewer's own query:
 * each node sends what it runs, so a camera that moves needs no other query. An MJPEG stream has
 * one exchange, and ends when its camera moves, as it does when a camera is removed. */
#include "api/peer_socket.h"
#include "api/peers_internal.h"
#include "api/reply.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

static const int64_t RETRY_US = 500000, RETRY_MAX_US = 8000000, FIRST_US = 6000000,
                     RECONCILE_US = 200000;

struct link {
    struct link *next;
    char node[SP_CLUSTER_NAME_BYTES];
    struct sp_peer_socket *socket; /* NULL: waits for retry_us */
    int64_t retry_us, pause_us;
    bool wanted; /* scratch */
};

struct sp_peer_viewer {
    struct sp_peer_task task; /* the first member */
    struct sp_peer_exchange exchange;
    struct sp_peer_viewer *next;
    struct sp_inlet *inlet;
    char target[SP_PEERS_TARGET_BYTES];
    bool over; /* to be released */

    /* WebSockets */
    char cameras[2048]; /* names, comma separated; empty: all */
    bool events;        /* of all nodes */
    struct link *links;
    int64_t reconciled_us;

    /* MJPEG */
    bool mjpeg, paused, received;
    char camera[SP_CLUSTER_NAME_BYTES], node[SP_CLUSTER_NAME_BYTES], http[SP_CLUSTER_HTTP_BYTES];
    int64_t begun_us;
};

static void taken(void *user)
{
    struct sp_peers *peers = user;
    curl_multi_wakeup(peers->multi);
}

/* ---- links ---- */

static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ",");
        if (n == length && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return list[0] == '\0';
}

static bool wants(const struct sp_peer_viewer *viewer, const struct sp_peer_view *view,
                  const struct sp_cluster_node_report *node)
{
    if (node->self || !node->alive || !node->http[0])
        return false;
    if (viewer->events)
        return true;
    for (int i = 0; i < view->camera_count; i++)
        if (strcmp(view->cameras[i].node, node->name) == 0 &&
            is_listed(viewer->cameras, view->cameras[i].name))
            return true;
    return false;
}

static struct link *link_of(struct sp_peer_viewer *viewer, const char *node)
{
    struct link *link = viewer->links;
    while (link && strcmp(link->node, node) != 0)
        link = link->next;
    return link;
}

static int count_links(const struct sp_peers *peers, const char *node)
{
    int count = 0;
    for (const struct sp_peer_viewer *viewer = peers->viewers; viewer; viewer = viewer->next) {
        for (const struct link *link = viewer->links; link; link = link->next)
            count += link->socket && strcmp(link->node, node) == 0;
        count += viewer->mjpeg && viewer->exchange.easy && strcmp(viewer->node, node) == 0;
    }
    return count;
}

static bool may_connect(const struct sp_peers *peers, const char *node)
{
    return peers->link_count < SP_PEERS_LINKS && count_links(peers, node) < SP_PEERS_LINKS_NODE;
}

static void disconnect(struct sp_peers *peers, struct link *link)
{
    peers->link_count -= link->socket != NULL;
    sp_peer_socket_close(link->socket);
    link->socket = NULL;
}

static void retry_later(struct sp_peers *peers, struct link *link, const char *why)
{
    /* The first failure of a row: a viewer who has frames again is worth a line once more. */
    sp_log(link->pause_us == 0 ? SP_LOG_WARNING : SP_LOG_DEBUG,
           "cluster: frames of node %s for a viewer: %s; trying again", link->node, why);
    disconnect(peers, link);
    link->pause_us = link->pause_us ? 2 * link->pause_us : RETRY_US;
    if (link->pause_us > RETRY_MAX_US)
        link->pause_us = RETRY_MAX_US;
    link->retry_us = sp_clock_us() + link->pause_us;
}

static void step_link(struct sp_peers *peers, struct sp_peer_viewer *viewer, struct link *link)
{
    struct sp_error err = {0};
    if (!link->socket && sp_clock_us() >= link->retry_us) {
        const struct sp_cluster_node_report *node = sp_peers_node(sp_peers_view(peers), link->node);
        if (!node || !may_connect(peers, link->node) ||
            sp_peer_socket_open(&link->socket, peers, node->http, viewer->target, viewer->inlet) <
                0) {
            retry_later(peers, link, "too many viewers");
            return;
        }
        peers->link_count++;
    }
    if (!link->socket)
        return;
    if (sp_peer_socket_step(link->socket, &err) < 0)
        retry_later(peers, link, err.text);
    else if (sp_peer_socket_is_open(link->socket))
        link->pause_us = 0;
}

static void reconcile(struct sp_peers *peers, struct sp_peer_viewer *viewer)
{
    const struct sp_peer_view *view = sp_peers_view(peers);
    for (struct link *link = viewer->links; link; link = link->next)
        link->wanted = false;
    for (int i = 0; i < view->node_count; i++) {
        if (!wants(viewer, view, &view->nodes[i]))
            continue;
        struct link *link = link_of(viewer, view->nodes[i].name);
        if (!link) {
            link = calloc(1, sizeof *link);
            if (!link)
                return;
            snprintf(link->node, sizeof link->node, "%s", view->nodes[i].name);
            link->next = viewer->links;
            viewer->links = link;
        }
        link->wanted = true;
    }
    for (struct link **at = &viewer->links; *at;) {
        struct link *link = *at;
        if (link->wanted) {
            at = &link->next;
            continue;
        }
        *at = link->next;
        disconnect(peers, link);
        free(link);
    }
}

/* ---- MJPEG ---- */

static struct sp_peer_viewer *viewer_of(struct sp_peer_exchange *exchange)
{
    return (struct sp_peer_viewer *)((char *)exchange - offsetof(struct sp_peer_viewer, exchange));
}

static size_t received(struct sp_peer_exchange *exchange, const char *data, size_t bytes)
{
    struct sp_peer_viewer *viewer = viewer_of(exchange);
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return 0;
    if (!sp_inlet_has_room(viewer->inlet)) {
        viewer->paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    viewer->received = true;
    return sp_inlet_put(viewer->inlet, data, bytes, false) == SP_OK ? bytes : 0;
}

static void end_stream(struct sp_peer_viewer *viewer, const char *why)
{
    char text[500];
    snprintf(text, sizeof text, "camera %s: %s", viewer->camera, why);
    sp_inlet_end(viewer->inlet, text);
    viewer->over = true;
}

static void done(struct sp_peer_exchange *exchange, CURLcode code)
{
    struct sp_peer_viewer *viewer = viewer_of(exchange);
    char why[400];
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 0 && status != 200)
        snprintf(why, sizeof why, "node %s: replied %ld", viewer->node, status);
    else
        sp_peer_explain(viewer->node, exchange, code, why, sizeof why);
    end_stream(viewer, why);
}

static void begin_stream(struct sp_peers *peers, struct sp_peer_viewer *viewer)
{
    const struct sp_peer_options options = {.http = viewer->http, .target = viewer->target};
    viewer->exchange.received = received;
    viewer->exchange.done = done;
    viewer->begun_us = sp_clock_us();
    if (!may_connect(peers, viewer->node) ||
        sp_peer_exchange_begin(&viewer->exchange, peers, &options) < 0)
        end_stream(viewer, "too many viewers of other nodes; close some");
    else
        peers->link_count++;
}

static void step_stream(struct sp_peers *peers, struct sp_peer_viewer *viewer)
{
    const struct sp_peer_view *view = sp_peers_view(peers);
    bool there = false;
    for (int i = 0; i < view->camera_count; i++)
        if (strcmp(view->cameras[i].name, viewer->camera) == 0)
            there = strcmp(view->cameras[i].node, viewer->node) == 0;
    if (!there)
        end_stream(viewer, "it moves to another node; try again");
    else if (!viewer->received && sp_clock_us() - viewer->begun_us > FIRST_US)
        end_stream(viewer, "its node does not reply");
    else if (viewer->paused && sp_inlet_has_room(viewer->inlet)) {
        viewer->paused = false;
        curl_easy_pause(viewer->exchange.easy, CURLPAUSE_CONT);
    }
}

/* ---- viewers ---- */

static void release(struct sp_peers *peers, struct sp_peer_viewer *viewer)
{
    peers->link_count -= viewer->mjpeg && viewer->exchange.easy;
    sp_peer_exchange_end(&viewer->exchange);
    while (viewer->links) {
        struct link *link = viewer->links;
        viewer->links = link->next;
        disconnect(peers, link);
        free(link);
    }
    sp_inlet_close(viewer->inlet);
    free(viewer);
}

static void begin(struct sp_peers *peers, struct sp_peer_task *task)
{
    struct sp_peer_viewer *viewer = (struct sp_peer_viewer *)task;
    viewer->next = peers->viewers;
    peers->viewers = viewer;
    if (viewer->mjpeg)
        begin_stream(peers, viewer);
}

static void drop(struct sp_peer_task *task)
{
    struct sp_peer_viewer *viewer = (struct sp_peer_viewer *)task;
    sp_inlet_close(viewer->inlet);
    free(viewer);
}

static void step_viewer(struct sp_peers *peers, struct sp_peer_viewer *viewer)
{
    int64_t now_us = sp_clock_us();
    if (viewer->over)
        return;
    if (viewer->mjpeg) {
        step_stream(peers, viewer);
        return;
    }
    if (now_us - viewer->reconciled_us > RECONCILE_US) {
        viewer->reconciled_us = now_us;
        reconcile(peers, viewer);
    }
    for (struct link *link = viewer->links; link; link = link->next)
        step_link(peers, viewer, link);
}

void sp_peer_viewers_step(struct sp_peers *peers)
{
    for (struct sp_peer_viewer **at = &peers->viewers; *at;) {
        struct sp_peer_viewer *viewer = *at;
        step_viewer(peers, viewer);
        if (viewer->over || !sp_inlet_has_viewer(viewer->inlet)) {
            *at = viewer->next;
            release(peers, viewer);
        } else {
            at = &viewer->next;
        }
    }
}

void sp_peer_viewers_end(struct sp_peers *peers)
{
    while (peers->viewers) {
        struct sp_peer_viewer *viewer = peers->viewers;
        peers->viewers = viewer->next;
        sp_inlet_end(viewer->inlet, "the server stops");
        release(peers, viewer);
    }
}

int sp_peer_viewers_wait(struct sp_peers *peers, struct curl_waitfd *fds, int room)
{
    int count = 0;
    for (struct sp_peer_viewer *viewer = peers->viewers; viewer; viewer = viewer->next)
        for (struct link *link = viewer->links; link && count < room; link = link->next)
            count += link->socket && sp_peer_socket_wait(link->socket, &fds[count]);
    return count;
}

/* ---- the server's thread ---- */

/* NULL: out of memory, or the query is too long. */
static struct sp_peer_viewer *new_viewer(struct sp_peers *peers, const struct sp_request *request)
{
    const struct sp_inlet_options options = {
        .news = sp_server_wake_inlets, .news_user = peers->server, .taken = taken, .user = peers};
    struct sp_peer_viewer *viewer = calloc(1, sizeof *viewer);
    if (viewer && sp_peer_target(request, viewer->target) &&
        sp_inlet_open(&viewer->inlet, &options, NULL) == SP_OK) {
        viewer->task = (struct sp_peer_task){.begin = begin, .drop = drop};
        return viewer;
    }
    free(viewer);
    return NULL;
}

void sp_peer_stream(struct sp_peers *peers, struct sp_call *call,
                    const struct sp_cluster_camera_report *camera)
{
    if (call->request->method == SP_HEAD) {
        call->reply->kind = SP_REPLY_SILENCE;
        return;
    }
    struct sp_peer_viewer *viewer = new_viewer(peers, call->request);
    if (!viewer) {
        sp_call_refuse(call, 503, "camera %s: out of memory", camera->name);
        return;
    }
    viewer->mjpeg = true;
    snprintf(viewer->camera, sizeof viewer->camera, "%s", camera->name);
    snprintf(viewer->node, sizeof viewer->node, "%s", camera->node);
    snprintf(viewer->http, sizeof viewer->http, "%s", camera->http);
    call->reply->kind = SP_REPLY_STREAM;
    call->reply->inlet = viewer->inlet;
    sp_peers_add(peers, &viewer->task);
}

void sp_peers_join(struct sp_peers *peers, const struct sp_request *request,
                   struct sp_ws_plan *plan, bool events)
{
    struct sp_peer_viewer *viewer = new_viewer(peers, request);
    if (!viewer)
        return;
    viewer->events = events;
    memcpy(viewer->cameras, plan->cameras, sizeof viewer->cameras);
    plan->inlet = viewer->inlet;
    sp_peers_add(peers, &viewer->task);
}
