#include "publish/connection.h"
#include "publish/feed.h"
#include "publish/http_reply.h"
#include "publish/http_request.h"
#include "publish/mjpeg.h"
#include "publish/server_internal.h"
#include "publish/ws.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <libwebsockets.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { INPUT_BYTES_MAX = 64 * 1024 }; /* more than libwebsockets reads at once */
static const int64_t BUSY_IDLE_US = 5000000;

struct sp_timers {
    struct sp_server *server;
    lws_sorted_usec_list_t tick, later;
};

/* --- connections ------------------------------------------------------------------------------ */

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
           strncmp(address, "::ffff:127.", 11) == 0;
}

static int connection_open(struct sp_server *server, struct lws *wsi)
{
    struct sp_connection *c = calloc(1, sizeof *c);
    if (!c)
        return -1;
    c->server = server;
    c->wsi = wsi;
    c->secure = lws_is_ssl(wsi) != 0;
    c->deadline_us = sp_clock_us() + SP_SERVER_REQUEST_S * INT64_C(1000000);
    lws_get_peer_simple(wsi, c->address, sizeof c->address);
    int same = 0;
    for (struct sp_connection *other = server->connections; other; other = other->next)
        same += strcmp(other->address, c->address) == 0;
    c->over_limit = same >= SP_SERVER_ADDRESS_CONNECTIONS && !is_loopback(c->address);
    c->next = server->connections;
    if (c->next)
        c->next->previous = c;
    server->connections = c;
    atomic_fetch_add(&server->connection_count, 1);
    lws_set_opaque_user_data(wsi, c);
    return 0;
}

static void connection_close(struct sp_connection *c)
{
    struct sp_server *server = c->server;
    sp_http_forget(c);
    sp_mjpeg_end(c);
    sp_ws_close(c);
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        server->connections = c->next;
    atomic_fetch_sub(&server->connection_count, 1);
    lws_set_opaque_user_data(c->wsi, NULL);
    free(c->input);
    free(c);
}

/* --- input ------------------------------------------------------------------------------------ */

/* While a reply is prepared or sent nothing is read: pipelined data waits in the kernel, and then
 * at the client. libwebsockets does not read either while it has data to send, but would busy-loop
 * on readable sockets. */
static void choose_to_read(struct sp_connection *c)
{
    bool busy = c->mode == SP_CONNECTION_IMAGE || c->mode == SP_CONNECTION_SENDING ||
                c->mode == SP_CONNECTION_LATER || c->mode == SP_CONNECTION_WAIT;
    bool unsent = lws_partial_buffered(c->wsi);
    lws_rx_flow_control(c->wsi, !busy && !unsent && c->input_bytes == 0);
    /* The next pipelined request, after other connections had their turn. */
    if (unsent || (!busy && c->input_bytes > 0))
        lws_callback_on_writable(c->wsi);
}

static int take_input(struct sp_connection *c)
{
    int result = 0;
    switch (c->mode) {
    case SP_CONNECTION_IDLE:
    case SP_CONNECTION_REQUEST:
        result = sp_http_run(c);
        break;
    case SP_CONNECTION_WS:
        result = c->input_bytes > 0 ? sp_ws_receive(c, c->input, c->input_bytes) : 0;
        c->input_bytes = 0;
        break;
    case SP_CONNECTION_STREAM: /* unbounded reply */
    case SP_CONNECTION_SILENCE:
    case SP_CONNECTION_FEED:
    case SP_CONNECTION_CLOSING:
        c->input_bytes = 0;
        break;
    case SP_CONNECTION_IMAGE:
    case SP_CONNECTION_SENDING:
    case SP_CONNECTION_WAIT:
    case SP_CONNECTION_LATER:
        break;
    }
    if (c->input_bytes == 0) {
        free(c->input);
        c->input = NULL;
    }
    return result;
}

static int on_receive(struct sp_connection *c, const char *data, size_t bytes)
{
    if (c->mode == SP_CONNECTION_WS && c->input_bytes == 0)
        return sp_ws_receive(c, data, bytes);
    if (bytes > INPUT_BYTES_MAX - c->input_bytes)
        return -1;
    char *grown = realloc(c->input, c->input_bytes + bytes);
    if (!grown)
        return -1;
    memcpy(grown + c->input_bytes, data, bytes);
    c->input = grown;
    c->input_bytes += bytes;
    /* libwebsockets' own timeout after a TLS handshake; deadline_us replaces it. */
    lws_set_timeout(c->wsi, NO_PENDING_TIMEOUT, 0);
    return take_input(c);
}

/* All written data is in the kernel's buffer. */
static int on_writable(struct sp_connection *c)
{
    int result = 0;
    if (c->mode == SP_CONNECTION_SENDING)
        result = sp_http_sent(c);
    else if (c->mode == SP_CONNECTION_WS)
        result = sp_ws_writable(c);
    else if (c->mode == SP_CONNECTION_FEED || c->mode == SP_CONNECTION_WAIT)
        result = sp_feed_writable(c);
    else
        result = sp_mjpeg_writable(c);
    return result == 0 ? take_input(c) : result;
}

/* --- the thread ------------------------------------------------------------------------------- */

void sp_server_wake(void *argument, int camera)
{
    struct sp_server *server = argument;
    uint64_t before = atomic_fetch_or(&server->dirty, UINT64_C(1) << camera);
    if (before == 0)
        lws_cancel_service(server->context);
}

void sp_server_wake_inlets(void *argument)
{
    struct sp_server *server = argument;
    if (!atomic_exchange(&server->inlet_news, true))
        lws_cancel_service(server->context);
}

void sp_server_news(struct sp_server *server)
{
    if (server && !atomic_exchange(&server->news, true))
        lws_cancel_service(server->context);
}

static const int64_t BURST_US = 100000; /* unused CPU time accumulates for this long */
static const int64_t DEBT_US = 1000000; /* upper limit of the wait for used CPU time */

static int64_t thread_cpu_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void wake_all_viewers(struct sp_server *server)
{
    uint64_t dirty = atomic_exchange(&server->dirty, 0);
    bool any = atomic_exchange(&server->inlet_news, false) || dirty;
    for (struct sp_connection *c = server->connections; any && c; c = c->next) {
        bool news = c->mode == SP_CONNECTION_WS ? sp_ws_has_news(c, dirty)
                    : c->inlet                  ? sp_inlet_has_news(c->inlet)
                               : (c->stream && (dirty >> c->camera & 1) && sp_mjpeg_has_news(c));
        if (news)
            sp_connection_want(c);
    }
}

static void on_later(lws_sorted_usec_list_t *list)
{
    struct sp_server *server = lws_container_of(list, struct sp_timers, later)->server;
    server->waiting = false;
    wake_all_viewers(server);
}

/* With a CPU limit, viewers are woken only once the CPU time used so far is paid off; they skip all
 * but the newest of the frames published meanwhile. Reading the clocks has a cost too, so this runs
 * once per iteration. */
static void wake_viewers(struct sp_server *server)
{
    if (server->waiting)
        return;
    int64_t now_us = sp_clock_us(), cpu_us = thread_cpu_us();
    int64_t used_us = cpu_us - server->paid_cpu_us;
    server->paid_cpu_us = cpu_us;
    if (server->paid_until_us < now_us - BURST_US)
        server->paid_until_us = now_us - BURST_US;
    if (server->share > 0)
        server->paid_until_us += (int64_t)((double)used_us / server->share);
    if (server->paid_until_us > now_us + DEBT_US)
        server->paid_until_us = now_us + DEBT_US;
    server->waiting = server->paid_until_us > now_us;
    if (server->waiting)
        lws_sul_schedule(server->context, 0, &server->timers->later, on_later,
                         server->paid_until_us - now_us);
    else
        wake_all_viewers(server);
}

void sp_server_limit(struct sp_server *server, double share)
{
    server->share = share;
}

/* Nothing is read from a viewer that accepts no data, so libwebsockets does not notice when it
 * disconnects. */
static bool has_left(const struct sp_connection *c)
{
    struct pollfd wait = {.fd = lws_get_socket_fd(c->wsi), .events = POLLRDHUP};
    bool unread = c->mode == SP_CONNECTION_STREAM || c->mode == SP_CONNECTION_SILENCE ||
                  c->mode == SP_CONNECTION_FEED || c->mode == SP_CONNECTION_WAIT;
    return unread && poll(&wait, 1, 0) > 0;
}

/* 0, or -1: disconnect. */
static int check(struct sp_connection *c, int64_t now_us)
{
    bool stuck = c->waiting_since_us > 0 &&
                 now_us - c->waiting_since_us > SP_SERVER_STUCK_S * INT64_C(1000000);
    bool gone = c->stream && sp_hub_generation(c->server->options.hub, c->camera) != c->generation;
    bool late = now_us > c->deadline_us;
    bool crowded = atomic_load(&c->server->connection_count) > SP_SERVER_CONNECTIONS / 2;
    if (stuck || has_left(c)) {
        atomic_fetch_add(&c->server->stuck, stuck);
        return -1;
    }
    switch (c->mode) {
    case SP_CONNECTION_IDLE:
        if (crowded && c->deadline_us > now_us + BUSY_IDLE_US)
            c->deadline_us = now_us + BUSY_IDLE_US;
        return late ? -1 : 0;
    case SP_CONNECTION_REQUEST:
        return late ? sp_http_late(c) : 0;
    case SP_CONNECTION_SENDING:
    case SP_CONNECTION_LATER:
    case SP_CONNECTION_CLOSING:
        return late ? -1 : 0;
    case SP_CONNECTION_WS:
        return sp_ws_check(c, now_us);
    case SP_CONNECTION_FEED:
    case SP_CONNECTION_WAIT:
        return sp_feed_check(c, now_us);
    case SP_CONNECTION_IMAGE:
        gone = gone || late;
        break;
    case SP_CONNECTION_STREAM:
    case SP_CONNECTION_SILENCE:
        break;
    }
    if (gone)
        lws_callback_on_writable(c->wsi);
    return 0;
}

static void check_connections(struct sp_server *server)
{
    int64_t now_us = sp_clock_us();
    for (struct sp_connection *c = server->connections; c; c = c->next) {
        if (check(c, now_us) < 0)
            lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        else
            choose_to_read(c);
    }
}

static void on_tick(lws_sorted_usec_list_t *list)
{
    struct sp_server *server = lws_container_of(list, struct sp_timers, tick)->server;
    atomic_store(&server->ticked_us, sp_clock_us());
    check_connections(server);
    if (server->options.site.tick)
        server->options.site.tick(server->options.site.user);
    lws_sul_schedule(server->context, 0, &server->timers->tick, on_tick, LWS_US_PER_SEC);
}

/* --- late replies ----------------------------------------------------------------------------- */

void sp_server_reply(struct sp_server *server, uint64_t id, const struct sp_late_reply *reply)
{
    struct sp_late_item *item = malloc(sizeof *item);
    if (!item) { /* the connection ends by its deadline */
        free(reply->body);
        return;
    }
    item->id = id;
    item->reply = *reply;
    pthread_mutex_lock(&server->late_lock);
    item->next = server->late;
    server->late = item;
    pthread_mutex_unlock(&server->late_lock);
    lws_cancel_service(server->context);
}

static struct sp_late_item *take_late(struct sp_server *server)
{
    pthread_mutex_lock(&server->late_lock);
    struct sp_late_item *list = server->late;
    server->late = NULL;
    pthread_mutex_unlock(&server->late_lock);
    return list;
}

static void free_late(struct sp_late_item *item)
{
    free(item->reply.body);
    free(item);
}

static void send_late_replies(struct sp_server *server)
{
    for (struct sp_late_item *item = take_late(server), *next; item; item = next) {
        struct sp_connection *c = server->connections;
        next = item->next;
        while (c && (c->mode != SP_CONNECTION_LATER || c->id != item->id))
            c = c->next;
        struct sp_reply reply = {.status = item->reply.status,
                                 .type = item->reply.type,
                                 .fixed = item->reply.body ? item->reply.body : "",
                                 .fixed_bytes = item->reply.bytes};
        memcpy(reply.headers, item->reply.headers, sizeof item->reply.headers);
        if (c && sp_http_send(c, &reply, c->head_only) < 0)
            lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        else if (c)
            choose_to_read(c);
        free_late(item);
    }
}

static void send_news(struct sp_server *server)
{
    const struct sp_site *site = &server->options.site;
    if (!atomic_exchange(&server->news, false))
        return;
    if (site->news)
        site->news(site->user);
    sp_feed_wake(server);
}

static void *server_main(void *argument)
{
    struct sp_server *server = argument;
    lws_sul_schedule(server->context, 0, &server->timers->tick, on_tick, LWS_US_PER_SEC);
    while (!atomic_load(&server->stopping))
        if (lws_service(server->context, 0) < 0)
            break;
    lws_sul_cancel(&server->timers->tick);
    lws_sul_cancel(&server->timers->later);
    return NULL;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t bytes)
{
    (void)user;
    struct lws_context *context = lws_get_context(wsi);
    struct sp_server *server = context ? lws_context_user(context) : NULL;
    if (!server)
        return 0;
    switch (reason) {
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        send_late_replies(server);
        send_news(server);
        wake_viewers(server);
        return 0;
    case LWS_CALLBACK_RAW_ADOPT:
        return connection_open(server, wsi);
    default:
        break;
    }
    struct sp_connection *c = lws_get_opaque_user_data(wsi);
    if (!c)
        return 0;
    if (reason == LWS_CALLBACK_WSI_DESTROY) {
        connection_close(c);
        return 0;
    }
    int result = 0;
    if (reason == LWS_CALLBACK_RAW_RX)
        result = on_receive(c, in, bytes);
    else if (reason == LWS_CALLBACK_RAW_WRITEABLE)
        result = on_writable(c);
    else
        return 0;
    if (result == 0)
        choose_to_read(c);
    return result;
}

/* --- open and close --------------------------------------------------------------------------- */

/* One send call per reply, if the kernel accepts it all. */
static const struct lws_protocols protocols[] = {
    {.name = "spoton", .callback = callback, .tx_packet_size = 4 * 1024 * 1024},
    {0},
};

int sp_server_open(struct sp_server **out, const struct sp_server_options *options,
                   struct sp_error *err)
{
    struct sp_server *server = calloc(1, sizeof *server);
    struct sp_timers *timers = calloc(1, sizeof *timers);
    if (!server || !timers) {
        free(server);
        free(timers);
        return sp_fail(err, SP_ERR_NO_MEMORY, "server: out of memory");
    }
    timers->server = server;
    server->timers = timers;
    server->options = *options;
    pthread_mutex_init(&server->late_lock, NULL);
    server->cached.camera = -1;
    int result = sp_server_listen(server, protocols, err);
    if (result < 0)
        sp_server_close(server);
    else
        *out = server;
    return result;
}

int sp_server_start(struct sp_server *server, struct sp_error *err)
{
    atomic_store(&server->ticked_us, sp_clock_us());
    int result = sp_thread_start(&server->thread, "network", server_main, server, err);
    server->started = result == SP_OK;
    return result;
}

int sp_server_port(const struct sp_server *server)
{
    return server->port;
}

int64_t sp_server_silence_us(struct sp_server *server)
{
    return sp_clock_us() - atomic_load(&server->ticked_us);
}

void sp_server_stop(struct sp_server *server)
{
    atomic_store(&server->stopping, true);
    if (server->started) {
        lws_cancel_service(server->context);
        pthread_join(server->thread, NULL);
    }
    server->started = false;
}

void sp_server_close(struct sp_server *server)
{
    if (!server)
        return;
    sp_server_stop(server);
    if (server->context)
        lws_context_destroy(server->context);
    for (struct sp_late_item *item = take_late(server), *next; item; item = next) {
        next = item->next;
        free_late(item);
    }
    pthread_mutex_destroy(&server->late_lock);
    sp_json_release(&server->json);
    free(server->scratch);
    free(server->timers);
    free(server);
}

void sp_server_count(struct sp_server *server, struct sp_server_counts *counts)
{
    *counts = (struct sp_server_counts){
        .connections = atomic_load(&server->connection_count),
        .mjpeg = atomic_load(&server->mjpeg_count),
        .ws = atomic_load(&server->ws_count),
        .requests = atomic_load(&server->requests),
        .refused = atomic_load(&server->refused),
        .stuck = atomic_load(&server->stuck),
        .missed = atomic_load(&server->missed),
        .sent_bytes = atomic_load(&server->sent_bytes),
    };
}
