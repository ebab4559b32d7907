#include "publish/server_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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
    free(c);
}

uint8_t *sp_server_scratch(struct sp_server *server, size_t bytes)
{
    server->made.camera = -1;
    if (bytes > server->scratch_bytes) {
        free(server->scratch);
        bytes += bytes / 2;
        server->scratch = malloc(LWS_PRE + bytes);
        server->scratch_bytes = server->scratch ? bytes : 0;
    }
    return server->scratch ? server->scratch + LWS_PRE : NULL;
}

int sp_connection_write(struct sp_connection *c, uint8_t *data, size_t bytes,
                        enum lws_write_protocol kind)
{
    c->waiting_since_us = 0;
    if (lws_write(c->wsi, data, bytes, kind) < 0)
        return -1;
    atomic_fetch_add_explicit(&c->server->sent_bytes, bytes, memory_order_relaxed);
    return 0;
}

void sp_connection_want(struct sp_connection *c)
{
    if (c->waiting_since_us == 0)
        c->waiting_since_us = sp_clock_us();
    lws_callback_on_writable(c->wsi);
}

/* --- the thread ------------------------------------------------------------------------------- */

void sp_server_wake(void *argument, int camera)
{
    struct sp_server *server = argument;
    uint64_t before = atomic_fetch_or(&server->dirty, UINT64_C(1) << camera);
    if (before == 0)
        lws_cancel_service(server->context);
}

static const int64_t BURST_US = 100000; /* time that was not used counts for so long */
static const int64_t DEBT_US = 1000000; /* and nobody waits longer for what was used */

static int64_t thread_cpu_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static void tell_viewers(struct sp_server *server)
{
    uint64_t dirty = atomic_exchange(&server->dirty, 0);
    for (struct sp_connection *c = server->connections; dirty && c; c = c->next) {
        bool news = c->mode == SP_CONNECTION_WS
                        ? sp_ws_has_news(c, dirty)
                        : (c->stream && (dirty >> c->camera & 1) && sp_mjpeg_has_news(c));
        if (news)
            sp_connection_want(c);
    }
}

static void on_later(lws_sorted_usec_list_t *list)
{
    struct sp_server *server = lws_container_of(list, struct sp_server, later);
    server->waiting = false;
    tell_viewers(server);
}

/* With a limit viewers are told of news only when so much time went by as what the thread did pays
 * for; what came meanwhile but the newest they miss. Looking itself costs: so once for each round.
 */
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
        lws_sul_schedule(server->context, 0, &server->later, on_later,
                         server->paid_until_us - now_us);
    else
        tell_viewers(server);
}

void sp_server_limit(struct sp_server *server, double share)
{
    server->share = share;
}

/* Of a viewer the library reads nothing, and so does not see that it has gone until there is a
 * picture to send: of a silent camera that would be never. */
static bool has_left(const struct sp_connection *c)
{
    struct pollfd wait = {.fd = lws_get_socket_fd(c->wsi), .events = POLLRDHUP};
    return (c->mode == SP_CONNECTION_STREAM || c->mode == SP_CONNECTION_SILENCE) &&
           poll(&wait, 1, 0) > 0;
}

static void drop_stuck(struct sp_server *server)
{
    int64_t now_us = sp_clock_us();
    for (struct sp_connection *c = server->connections; c; c = c->next) {
        bool stuck = c->waiting_since_us > 0 &&
                     now_us - c->waiting_since_us > SP_SERVER_STUCK_S * INT64_C(1000000);
        bool late = c->mode == SP_CONNECTION_PICTURE && now_us > c->deadline_us;
        bool gone = c->stream && sp_hub_generation(server->options.hub, c->camera) != c->generation;
        if (stuck || has_left(c)) {
            atomic_fetch_add(&server->stuck, stuck);
            lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
        } else if (late || gone) {
            lws_callback_on_writable(c->wsi);
        } else if (c->mode == SP_CONNECTION_CLOSING && now_us < c->deadline_us) {
            /* Five seconds from the beginning are the library's own patience. */
            lws_set_timeout(c->wsi, PENDING_FLUSH_STORED_SEND_BEFORE_CLOSE, 5);
        }
    }
}

static void on_tick(lws_sorted_usec_list_t *list)
{
    struct sp_server *server = lws_container_of(list, struct sp_server, tick);
    atomic_store(&server->ticked_us, sp_clock_us());
    drop_stuck(server);
    if (server->options.site.tick)
        server->options.site.tick(server->options.site.user);
    lws_sul_schedule(server->context, 0, &server->tick, on_tick, LWS_US_PER_SEC);
}

static void *server_main(void *argument)
{
    struct sp_server *server = argument;
    lws_sul_schedule(server->context, 0, &server->tick, on_tick, LWS_US_PER_SEC);
    while (!atomic_load(&server->stopping))
        if (lws_service(server->context, 0) < 0)
            break;
    lws_sul_cancel(&server->tick);
    lws_sul_cancel(&server->later);
    return NULL;
}

/* From the headers, not from what the callback is given: after another protocol's name the library
 * has answered and freed them, and goes on to ask all the same (4.1.6, lws_handshake_server). */
static bool asks_for_websocket(struct lws *wsi)
{
    char protocol[16];
    return lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) > 0 &&
           lws_hdr_copy(wsi, protocol, sizeof protocol, WSI_TOKEN_UPGRADE) > 0 &&
           strcasecmp(protocol, "websocket") == 0;
}

/* A connection has one request (server_internal.h). */
static bool is_first(const struct sp_connection *c)
{
    return c->mode == SP_CONNECTION_IDLE;
}

static int on_http(struct sp_connection *c, enum lws_callback_reasons reason, void *in,
                   size_t bytes)
{
    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return is_first(c) ? sp_http_begin(c) : -1;
    case LWS_CALLBACK_HTTP_BODY:
        return sp_http_body(c, in, bytes);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return sp_http_body_end(c);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return sp_mjpeg_writable(c);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return is_first(c) && asks_for_websocket(c->wsi) ? sp_ws_upgrade(c) : -1;
    case LWS_CALLBACK_ESTABLISHED:
        return sp_ws_open(c);
    case LWS_CALLBACK_RECEIVE:
        return sp_ws_receive(c, in, bytes);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return sp_ws_writable(c);
    default:
        return 0;
    }
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
        wake_viewers(server);
        return 0;
    case LWS_CALLBACK_SERVER_NEW_CLIENT_INSTANTIATED:
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
    return on_http(c, reason, in, bytes);
}

/* --- open and close --------------------------------------------------------------------------- */

static const struct lws_protocols protocols[] = {
    {.name = "spoton", .callback = callback, .rx_buffer_size = 4096},
    {0},
};

static const lws_retry_bo_t liveness = {.secs_since_valid_ping = 20, .secs_since_valid_hangup = 40};

static void log_line(int level, const char *line)
{
    int length = (int)strcspn(line, "\n");
    (void)level;
    sp_log(SP_LOG_DEBUG, "network: %.*s", length, line);
}

/* Resolves, and tries to bind: the library says nothing of why it could not. */
static int check_address(const struct sp_server_options *options, char address[64], bool *v6,
                         struct sp_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    char port[16];
    snprintf(port, sizeof port, "%d", options->port);
    int failed = getaddrinfo(options->host, port, &hints, &found);
    if (failed)
        return sp_fail(err, SP_ERR_INVALID,
                       "HTTP_HOST=%s: %s: give a name or an address of this "
                       "machine",
                       options->host, gai_strerror(failed));
    getnameinfo(found->ai_addr, found->ai_addrlen, address, 64, NULL, 0, NI_NUMERICHOST);
    *v6 = found->ai_family == AF_INET6;
    int on = 1, result = SP_OK;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1) < 0) {
        const char *advice = errno == EADDRINUSE ? "; stop what listens there, or choose another "
                                                   "HTTP_PORT"
                                                 : "";
        result = sp_fail(err, SP_ERR_IO, "cannot listen on %s port %d: %s%s", address,
                         options->port, strerror(errno), advice);
    }
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return result;
}

static int check_tls(const struct sp_server_options *options, struct sp_error *err)
{
    const char *files[] = {options->tls_cert, options->tls_key};
    static const char *const keys[] = {"TLS_CERT", "TLS_KEY"};
    for (int i = 0; i < 2; i++)
        if (access(files[i], R_OK) != 0)
            return sp_fail(err, sp_error_from_errno(errno), "%s=%s: %s", keys[i], files[i],
                           strerror(errno));
    return SP_OK;
}

int sp_server_open(struct sp_server **out, const struct sp_server_options *options,
                   struct sp_error *err)
{
    char address[64];
    bool v6 = false, tls = options->tls_cert && options->tls_cert[0];
    int result = check_address(options, address, &v6, err);
    if (result == SP_OK && tls)
        result = check_tls(options, err);
    if (result < 0)
        return result;
    struct sp_server *server = calloc(1, sizeof *server);
    if (!server)
        return sp_fail(err, SP_ERR_NO_MEMORY, "server: out of memory");
    server->options = *options;
    server->made.camera = -1;
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    bool any = strcmp(address, "0.0.0.0") == 0 || strcmp(address, "::") == 0;
    struct lws_context_creation_info info = {
        .port = options->port,
        .iface = any ? NULL : address,
        .protocols = protocols,
        .user = server,
        .gid = -1,
        .uid = -1,
        .alpn = "http/1.1",
        .max_http_header_data = SP_SERVER_HEADER_BYTES,
        .max_http_header_pool = 1024,
        .timeout_secs = SP_SERVER_REQUEST_S,
        .ka_time = 60,
        .ka_probes = 3,
        .ka_interval = 10,
        .fd_limit_per_thread = SP_SERVER_CONNECTIONS,
        .retry_and_idle_policy = &liveness,
        .options = LWS_SERVER_OPTION_VALIDATE_UTF8 | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND |
                   (v6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6) |
                   (tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0),
        .ssl_cert_filepath = tls ? options->tls_cert : NULL,
        .ssl_private_key_filepath = tls ? options->tls_key : NULL,
        .server_string = "spoton",
    };
    server->context = lws_create_context(&info);
    server->vhost = server->context ? lws_get_vhost_by_name(server->context, "default") : NULL;
    if (!server->vhost) {
        sp_server_close(server);
        if (tls)
            return sp_fail(err, SP_ERR_IO,
                           "cannot serve https on %s port %d: TLS_CERT=%s and TLS_KEY=%s: give a "
                           "certificate and its own key, both in PEM",
                           address, options->port, options->tls_cert, options->tls_key);
        return sp_fail(err, SP_ERR_IO, "cannot serve on %s port %d", address, options->port);
    }
    server->port = lws_get_vhost_listen_port(server->vhost);
    *out = server;
    return SP_OK;
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
    sp_json_release(&server->json);
    free(server->scratch);
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
