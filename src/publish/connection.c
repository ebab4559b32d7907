#include "publish/connection.h"

#include "base/clock.h"

#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>

static const int64_t CLOSE_US = 2000000;

uint8_t *sp_server_scratch(struct sp_server *server, size_t bytes)
{
    server->cached.camera = -1;
    if (bytes > server->scratch_bytes) {
        free(server->scratch);
        bytes += bytes / 2;
        server->scratch = malloc(LWS_PRE + bytes);
        server->scratch_bytes = server->scratch ? bytes : 0;
    }
    return server->scratch ? server->scratch + LWS_PRE : NULL;
}

int sp_connection_write(struct sp_connection *c, uint8_t *data, size_t bytes)
{
    c->waiting_since_us = 0;
    if (lws_write(c->wsi, data, bytes, LWS_WRITE_RAW) < 0)
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

int sp_connection_finish(struct sp_connection *c)
{
    SSL *tls = lws_get_ssl(c->wsi);
    if (tls)
        SSL_shutdown(tls); /* close_notify; the client's reply is read as usual */
    shutdown(lws_get_socket_fd(c->wsi), SHUT_WR);
    c->mode = SP_CONNECTION_CLOSING;
    c->deadline_us = sp_clock_us() + CLOSE_US;
    return 0;
}
