/* Where the server listens: every address of HTTP_HOST, each a virtual host of libwebsockets. */
#include "publish/server_internal.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_TRIES = 8 };

struct address {
    char text[64];
    bool v6;
};

static void log_line(int level, const char *line)
{
    int length = (int)strcspn(line, "\n");
    (void)level;
    sp_log(SP_LOG_DEBUG, "network: %.*s", length, line);
}

/* Tries to bind, because libwebsockets does not report why it fails. 0 or errno. */
static int try_to_bind(const struct addrinfo *at)
{
    int on = 1, result = 0;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, 1) < 0)
        result = errno;
    close(fd);
    return result;
}

static bool is_known(const struct address *addresses, int count, const char *text)
{
    for (int i = 0; i < count; i++)
        if (strcmp(addresses[i].text, text) == 0)
            return true;
    return false;
}

/* The addresses of HTTP_HOST that can be bound, or an error. A name may resolve to an
 * address family that this machine does not support. */
static int find_addresses(const struct sp_server_options *options,
                          struct address addresses[SP_SERVER_ADDRESSES], struct sp_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    char port[16];
    int count = 0, reason = 0;
    snprintf(port, sizeof port, "%d", options->port);
    int failed = getaddrinfo(options->host, port, &hints, &found);
    if (failed)
        return sp_fail(err, SP_ERR_INVALID,
                       "HTTP_HOST=%s: %s; use a name or an address of this machine", options->host,
                       gai_strerror(failed));
    char text[64] = "";
    for (const struct addrinfo *at = found; at && count < SP_SERVER_ADDRESSES; at = at->ai_next) {
        char name[64];
        getnameinfo(at->ai_addr, at->ai_addrlen, name, sizeof name, NULL, 0, NI_NUMERICHOST);
        if (is_known(addresses, count, name))
            continue;
        int fault = try_to_bind(at);
        bool absent = fault == EADDRNOTAVAIL || fault == EAFNOSUPPORT;
        if (fault != 0 && (reason == 0 || !absent)) {
            reason = fault;
            memcpy(text, name, sizeof text);
        }
        if (fault != 0 && !absent) { /* a port in use on one address counts as in use */
            count = 0;
            break;
        }
        if (fault == 0) {
            memcpy(addresses[count].text, name, sizeof name);
            addresses[count++].v6 = at->ai_family == AF_INET6;
        }
    }
    freeaddrinfo(found);
    if (count > 0)
        return count;
    return sp_fail(
        err, SP_ERR_IO, "%s port %d: cannot listen: %s%s", text, options->port, strerror(reason),
        reason == EADDRINUSE ? "; stop the program that listens there, or choose another HTTP_PORT"
                             : "");
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

/* TLS 1.3, and TLS 1.2 with forward secrecy and authenticated encryption only. Renegotiation is
 * disabled: a client could use it to consume CPU time. */
static void choose_tls(const struct sp_server_options *options,
                       struct lws_context_creation_info *info)
{
    info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info->ssl_cert_filepath = options->tls_cert;
    info->ssl_private_key_filepath = options->tls_key;
    info->ssl_cipher_list = "ECDHE+AESGCM:ECDHE+CHACHA20";
    info->ssl_options_set = (long)(SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 |
                                   SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
}

static bool open_hosts(struct sp_server *server, const struct lws_protocols *protocols,
                       const struct address *addresses, int count)
{
    struct lws_context_creation_info info = {
        .protocols = protocols,
        .user = server,
        .gid = -1,
        .uid = -1,
        .alpn = "http/1.1",
        .timeout_secs = SP_SERVER_REQUEST_S,
        .ka_time = 60,
        .ka_probes = 3,
        .ka_interval = 10,
        .fd_limit_per_thread = SP_SERVER_CONNECTIONS,
    };
    uint64_t common = LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND | LWS_SERVER_OPTION_ONLY_RAW |
                      LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    bool tls = server->options.tls_cert && server->options.tls_cert[0];
    info.options = common | (tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0);
    server->context = lws_create_context(&info);
    server->port = server->options.port;
    for (int i = 0; server->context && i < count; i++) {
        const char *text = addresses[i].text;
        bool any = strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0;
        info.options = common | (addresses[i].v6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6);
        if (addresses[i].v6 && count > 1)
            info.options |=
                LWS_SERVER_OPTION_IPV6_V6ONLY_MODIFY | LWS_SERVER_OPTION_IPV6_V6ONLY_VALUE;
        info.port = server->port;
        info.iface = any ? NULL : text;
        info.vhost_name = text;
        if (tls)
            choose_tls(&server->options, &info);
        struct lws_vhost *vhost = lws_create_vhost(server->context, &info);
        if (!vhost)
            return false;
        server->port = lws_get_vhost_listen_port(vhost);
    }
    return server->context != NULL;
}

int sp_server_listen(struct sp_server *server, const struct lws_protocols *protocols,
                     struct sp_error *err)
{
    const struct sp_server_options *options = &server->options;
    struct address addresses[SP_SERVER_ADDRESSES] = {0};
    bool tls = options->tls_cert && options->tls_cert[0];
    int count = find_addresses(options, addresses, err);
    int result = count >= 0 && tls ? check_tls(options, err) : SP_OK;
    if (count < 0 || result < 0)
        return count < 0 ? count : result;
    lws_set_log_level(LLL_ERR | LLL_WARN, log_line);
    /* A port that is free on one address may be in use on another. */
    int tries = options->port == 0 && count > 1 ? PORT_TRIES : 1;
    for (int i = 0; i < tries; i++) {
        if (open_hosts(server, protocols, addresses, count))
            return SP_OK;
        if (server->context)
            lws_context_destroy(server->context);
        server->context = NULL;
    }
    if (tls)
        return sp_fail(err, SP_ERR_IO,
                       "https on %s port %d: cannot use TLS_CERT=%s with TLS_KEY=%s; set them to "
                       "a certificate and its own key, both in PEM",
                       addresses[0].text, options->port, options->tls_cert, options->tls_key);
    return sp_fail(err, SP_ERR_IO, "%s port %d: cannot listen", addresses[0].text, options->port);
}
