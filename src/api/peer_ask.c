/* Requests that the owner of a camera answers. */
#include "api/peers_internal.h"
#include "api/reply.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const long LIMIT_MS = 12000; /* below SP_SERVER_LATER_S; a still takes up to 5 s */

struct sp_peer_ask {
    struct sp_peer_task task; /* the first member */
    struct sp_peer_exchange exchange;
    struct sp_peer_ask *next, *previous;
    uint64_t reply;
    char camera[SP_CLUSTER_NAME_BYTES], node[SP_CLUSTER_NAME_BYTES], http[SP_CLUSTER_HTTP_BYTES];
    char target[SP_PEERS_TARGET_BYTES];
    enum sp_method method;
    char *body; /* owned, or NULL */
    size_t body_bytes;
    char headers[1024];
    char *data; /* of the owner's reply */
    size_t bytes, room;
};

/* ---- replies ---- */

void sp_peer_refuse(struct sp_peers *peers, uint64_t reply, const char *headers, int status,
                    const char *detail)
{
    struct sp_late_reply late = {.status = status};
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "detail", detail);
    sp_json_end_object(&json);
    snprintf(late.headers, sizeof late.headers, "%s", headers);
    late.body = json.text;
    late.bytes = json.failed ? 0 : json.used_bytes;
    sp_server_reply(peers->server, reply, &late);
}

/* Types of replies are static. NULL: JSON. */
static const char *type_of(CURL *easy)
{
    static const char *const types[] = {"image/jpeg", "image/png"};
    char *found = NULL;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &found);
    for (size_t i = 0; found && i < sizeof types / sizeof types[0]; i++)
        if (strcmp(found, types[i]) == 0)
            return types[i];
    return NULL;
}

static void release(struct sp_peer_ask *ask)
{
    free(ask->body);
    free(ask->data);
    free(ask);
}

static void end(struct sp_peers *peers, struct sp_peer_ask *ask)
{
    sp_peer_exchange_end(&ask->exchange);
    if (ask->next)
        ask->next->previous = ask->previous;
    if (ask->previous)
        ask->previous->next = ask->next;
    else
        peers->asks = ask->next;
    atomic_fetch_sub(&peers->waiting, 1);
    release(ask);
}

static void refuse(struct sp_peers *peers, const struct sp_peer_ask *ask, const char *why)
{
    char detail[500];
    snprintf(detail, sizeof detail, "camera %s: %s", ask->camera, why);
    sp_peer_refuse(peers, ask->reply, ask->headers, 503, detail);
}

/* ---- the exchange ---- */

static struct sp_peer_ask *ask_of(struct sp_peer_exchange *exchange)
{
    return (struct sp_peer_ask *)((char *)exchange - offsetof(struct sp_peer_ask, exchange));
}

static size_t received(struct sp_peer_exchange *exchange, const char *data, size_t bytes)
{
    struct sp_peer_ask *ask = ask_of(exchange);
    if (bytes > SP_PEERS_REPLY_BYTES - ask->bytes)
        return 0;
    if (ask->bytes + bytes > ask->room) {
        size_t room = 2 * (ask->bytes + bytes);
        char *grown = realloc(ask->data, room);
        if (!grown)
            return 0;
        ask->data = grown;
        ask->room = room;
    }
    memcpy(ask->data + ask->bytes, data, bytes);
    ask->bytes += bytes;
    return bytes;
}

/* Headers that describe the reply itself are passed on; the others are this server's own. */
static void header(struct sp_peer_exchange *exchange, const char *line, size_t bytes)
{
    static const char *const names[] = {
        "Cache-Control:", "Retry-After:", "X-Sequence:", "X-Wall-Time:"};
    struct sp_peer_ask *ask = ask_of(exchange);
    size_t used = strlen(ask->headers);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (bytes > strlen(names[i]) && strncasecmp(line, names[i], strlen(names[i])) == 0 &&
            bytes >= 2 && line[bytes - 1] == '\n' && line[bytes - 2] == '\r' &&
            used + bytes < sizeof ask->headers) {
            memcpy(ask->headers + used, line, bytes);
            ask->headers[used + bytes] = '\0';
        }
}

static void done(struct sp_peer_exchange *exchange, CURLcode code)
{
    struct sp_peer_ask *ask = ask_of(exchange);
    struct sp_peers *peers = exchange->peers;
    char why[400];
    long status = 0;
    curl_easy_getinfo(exchange->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        sp_peer_explain(ask->node, exchange, code, why, sizeof why);
        refuse(peers, ask, why);
    } else if (status == 401) { /* it is not the client's token that is wrong */
        snprintf(why, sizeof why, "node %s: refuses this node; set the same API_TOKEN on all nodes",
                 ask->node);
        refuse(peers, ask, why);
    } else {
        struct sp_late_reply late = {.status = (int)status,
                                     .type = type_of(exchange->easy),
                                     .body = ask->data,
                                     .bytes = ask->bytes};
        memcpy(late.headers, ask->headers, sizeof late.headers);
        ask->data = NULL;
        sp_server_reply(peers->server, ask->reply, &late);
    }
    end(peers, ask);
}

static void begin(struct sp_peers *peers, struct sp_peer_task *task)
{
    struct sp_peer_ask *ask = (struct sp_peer_ask *)task;
    const struct sp_peer_options options = {.http = ask->http,
                                            .target = ask->target,
                                            .method = ask->method,
                                            .body = ask->body,
                                            .body_bytes = ask->body_bytes,
                                            .timeout_ms = LIMIT_MS};
    ask->exchange.received = received;
    ask->exchange.header = header;
    ask->exchange.done = done;
    ask->next = peers->asks;
    if (ask->next)
        ask->next->previous = ask;
    peers->asks = ask;
    if (sp_peer_exchange_begin(&ask->exchange, peers, &options) < 0) {
        refuse(peers, ask, "out of memory");
        end(peers, ask);
    }
}

static void drop(struct sp_peer_task *task)
{
    release((struct sp_peer_ask *)task);
}

void sp_peer_asks_end(struct sp_peers *peers)
{
    while (peers->asks)
        end(peers, peers->asks);
}

/* ---- the server's thread ---- */

static void take_body(struct sp_peer_ask *ask, const struct sp_request *request)
{
    if (request->body_bytes == 0)
        return;
    ask->body = (char *)request->body; /* the site's from now on */
    ask->body_bytes = request->body_bytes;
}

void sp_peers_pass(struct sp_peers *peers, struct sp_call *call,
                   const struct sp_cluster_camera_report *camera)
{
    const struct sp_request *request = call->request;
    size_t bytes = strlen(request->path);
    static const char stream[] = "/stream.mjpg";
    if (bytes > sizeof stream && strcmp(request->path + bytes - (sizeof stream - 1), stream) == 0) {
        sp_peer_stream(peers, call, camera);
        return;
    }
    struct sp_peer_ask *ask = calloc(1, sizeof *ask);
    if (!ask || !sp_peers_may_ask(peers)) {
        free(ask);
        sp_call_header(call, "Retry-After: 1");
        sp_call_refuse(call, 503, "camera %s: too many requests to other nodes; try again",
                       camera->name);
        return;
    }
    if (!sp_peer_target(request, ask->target)) {
        atomic_fetch_sub(&peers->waiting, 1);
        free(ask);
        sp_call_refuse(call, 414, "path and query are too long; shorten them");
        return;
    }
    ask->task = (struct sp_peer_task){.begin = begin, .drop = drop};
    ask->reply = request->reply;
    ask->method = request->method;
    snprintf(ask->camera, sizeof ask->camera, "%s", camera->name);
    snprintf(ask->node, sizeof ask->node, "%s", camera->node);
    snprintf(ask->http, sizeof ask->http, "%s", camera->http);
    memcpy(ask->headers, call->reply->headers, sizeof ask->headers);
    take_body(ask, request);
    call->reply->kind = SP_REPLY_LATER;
    sp_peers_add(peers, &ask->task);
}
