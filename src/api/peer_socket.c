#include "api/peer_socket.h"

#include "base/clock.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <wslay/wslay.h>

enum { HEAD_BYTES = 4096, REQUEST_BYTES = SP_PEERS_TARGET_BYTES + 1024, KEY_BYTES = 32 };
static const int64_t HANDSHAKE_US = 5000000;

struct sp_peer_socket {
    struct sp_peer_exchange exchange;
    struct sp_inlet *inlet;
    bool connected, open, ended;
    CURLcode code; /* of the connection */
    int64_t begun_us;
    char request[REQUEST_BYTES], key[KEY_BYTES];
    size_t request_bytes, sent_bytes;
    char head[HEAD_BYTES + 1]; /* the reply, then the first frames */
    size_t head_bytes, rest_at;
    struct wslay_event_context *frames;
};

/* ---- the connection ---- */

static void connected(struct sp_peer_exchange *exchange, CURLcode code)
{
    struct sp_peer_socket *s = (struct sp_peer_socket *)exchange; /* the first member */
    s->connected = code == CURLE_OK;
    s->ended = !s->connected;
    s->code = code;
}

static size_t ignore(struct sp_peer_exchange *exchange, const char *data, size_t bytes)
{
    (void)exchange;
    (void)data;
    return bytes;
}

static int write_request(struct sp_peer_socket *s, const char *http, const char *target)
{
    unsigned char random[16];
    char authorization[sizeof s->exchange.peers->token + 32];
    const char *host = strstr(http, "://");
    host = host ? host + 3 : http;
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return SP_ERR_IO;
    EVP_EncodeBlock((unsigned char *)s->key, random, sizeof random);
    sp_peer_authorization(s->exchange.peers, authorization, sizeof authorization);
    int n = snprintf(s->request, sizeof s->request,
                     "GET %s HTTP/1.1\r\nHost: %.*s\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                     "Sec-WebSocket-Version: 13\r\nX-Spoton-Node: %s\r\n%s%s\r\n",
                     target, (int)strcspn(host, "/"), host, s->key, s->exchange.peers->node,
                     authorization, authorization[0] ? "\r\n" : "");
    memset(authorization, 0, sizeof authorization);
    s->request_bytes = (size_t)n;
    return n > 0 && (size_t)n < sizeof s->request ? SP_OK : SP_ERR_INVALID;
}

/* ---- frames ---- */

static ssize_t read_bytes(wslay_event_context_ptr frames, uint8_t *out, size_t bytes, int flags,
                          void *user)
{
    struct sp_peer_socket *s = user;
    size_t n = 0;
    (void)flags;
    if (s->rest_at < s->head_bytes) {
        n = s->head_bytes - s->rest_at < bytes ? s->head_bytes - s->rest_at : bytes;
        memcpy(out, s->head + s->rest_at, n);
        s->rest_at += n;
        return (ssize_t)n;
    }
    CURLcode code = sp_inlet_has_room(s->inlet) ? curl_easy_recv(s->exchange.easy, out, bytes, &n)
                                                : CURLE_AGAIN;
    if (code == CURLE_OK && n > 0)
        return (ssize_t)n;
    s->ended = code != CURLE_AGAIN;
    wslay_event_set_error(frames, s->ended ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t write_bytes(wslay_event_context_ptr frames, const uint8_t *data, size_t bytes,
                           int flags, void *user)
{
    struct sp_peer_socket *s = user;
    size_t n = 0;
    (void)flags;
    CURLcode code = curl_easy_send(s->exchange.easy, data, bytes, &n);
    if (code == CURLE_OK && n > 0)
        return (ssize_t)n;
    wslay_event_set_error(frames,
                          code == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int make_mask(wslay_event_context_ptr frames, uint8_t *out, size_t bytes, void *user)
{
    (void)frames;
    (void)user;
    return getrandom(out, bytes, 0) == (ssize_t)bytes ? 0 : -1;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    struct sp_peer_socket *s = user;
    (void)frames;
    if (message->opcode == WSLAY_TEXT_FRAME || message->opcode == WSLAY_BINARY_FRAME)
        sp_inlet_put(s->inlet, message->msg ? message->msg : (const uint8_t *)"",
                     message->msg_length, message->opcode == WSLAY_TEXT_FRAME);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = read_bytes,
    .send_callback = write_bytes,
    .genmask_callback = make_mask,
    .on_msg_recv_callback = on_message,
};

static int step_frames(struct sp_peer_socket *s, struct sp_error *err)
{
    int result = wslay_event_recv(s->frames);
    if (result == 0 && wslay_event_want_write(s->frames))
        result = wslay_event_send(s->frames);
    if (result != 0 || s->ended || !wslay_event_want_read(s->frames))
        return sp_fail(err, SP_ERR_CLOSED, "the connection has ended");
    return SP_OK;
}

/* ---- the handshake ---- */

/* RFC 6455, section 4.1. */
static bool accepts(const struct sp_peer_socket *s)
{
    static const char name[] = "sec-websocket-accept:";
    unsigned char digest[EVP_MAX_MD_SIZE], expected[2 * EVP_MAX_MD_SIZE];
    char text[KEY_BYTES + 40];
    unsigned digest_bytes = 0;
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", s->key);
    if (EVP_Digest(text, (size_t)n, digest, &digest_bytes, EVP_sha1(), NULL) != 1)
        return false;
    int length = EVP_EncodeBlock(expected, digest, (int)digest_bytes);
    for (const char *line = strstr(s->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, sizeof name - 1) != 0)
            continue;
        line += sizeof name - 1;
        line += strspn(line, " ");
        return strncmp(line, (char *)expected, (size_t)length) == 0 &&
               strncmp(line + length, "\r\n", 2) == 0;
    }
    return false;
}

static int read_head(struct sp_peer_socket *s, const char *end, struct sp_error *err)
{
    int status = 0;
    if (sscanf(s->head, "HTTP/1.1 %3d", &status) != 1)
        return sp_fail(err, SP_ERR_CLOSED, "its reply is not HTTP");
    if (status == 401)
        return sp_fail(err, SP_ERR_CLOSED,
                       "it refuses this node; set the same API_TOKEN on all nodes");
    if (status != 101 || !accepts(s))
        return sp_fail(err, SP_ERR_CLOSED, "it replied %d to a WebSocket", status);
    s->rest_at = (size_t)(end - s->head) + 4;
    if (wslay_event_context_client_init(&s->frames, &callbacks, s) != 0)
        return sp_fail(err, SP_ERR_NO_MEMORY, "out of memory");
    wslay_event_config_set_max_recv_msg_length(s->frames, SP_PEERS_REPLY_BYTES);
    s->open = true;
    return step_frames(s, err);
}

static int step_handshake(struct sp_peer_socket *s, struct sp_error *err)
{
    size_t n = 0;
    CURLcode code = CURLE_OK;
    while (code == CURLE_OK && s->sent_bytes < s->request_bytes) {
        code = curl_easy_send(s->exchange.easy, s->request + s->sent_bytes,
                              s->request_bytes - s->sent_bytes, &n);
        s->sent_bytes += code == CURLE_OK ? n : 0;
    }
    while (code == CURLE_OK && s->head_bytes < HEAD_BYTES) {
        code = curl_easy_recv(s->exchange.easy, s->head + s->head_bytes, HEAD_BYTES - s->head_bytes,
                              &n);
        if (code == CURLE_OK && n == 0)
            return sp_fail(err, SP_ERR_CLOSED, "the connection has ended");
        s->head_bytes += code == CURLE_OK ? n : 0;
        s->head[s->head_bytes] = '\0';
        const char *end = strstr(s->head, "\r\n\r\n");
        if (end)
            return read_head(s, end, err);
    }
    if (code == CURLE_AGAIN)
        return SP_OK;
    return sp_fail(err, SP_ERR_CLOSED, "%s",
                   code == CURLE_OK ? "its reply is too long" : curl_easy_strerror(code));
}

int sp_peer_socket_step(struct sp_peer_socket *s, struct sp_error *err)
{
    if (s->ended)
        return sp_fail(err, SP_ERR_CLOSED, "no reply (%.200s)",
                       s->exchange.error[0] ? s->exchange.error : curl_easy_strerror(s->code));
    if (s->open)
        return sp_inlet_has_room(s->inlet) ? step_frames(s, err) : SP_OK;
    if (sp_clock_us() - s->begun_us > HANDSHAKE_US)
        return sp_fail(err, SP_ERR_CLOSED, "no reply within 5 s");
    return s->connected ? step_handshake(s, err) : SP_OK;
}

/* ---- open and close ---- */

int sp_peer_socket_open(struct sp_peer_socket **out, struct sp_peers *peers, const char *http,
                        const char *target, struct sp_inlet *inlet)
{
    struct sp_peer_socket *s = calloc(1, sizeof *s);
    if (!s)
        return SP_ERR_NO_MEMORY;
    const struct sp_peer_options options = {.http = http, .target = "", .connects_only = true};
    s->inlet = inlet;
    s->begun_us = sp_clock_us();
    s->exchange.peers = peers;
    s->exchange.received = ignore;
    s->exchange.done = connected;
    int result = write_request(s, http, target);
    if (result == SP_OK)
        result = sp_peer_exchange_begin(&s->exchange, peers, &options);
    if (result < 0)
        free(s);
    else
        *out = s;
    return result;
}

void sp_peer_socket_close(struct sp_peer_socket *s)
{
    if (!s)
        return;
    if (s->frames)
        wslay_event_context_free(s->frames);
    sp_peer_exchange_end(&s->exchange);
    memset(s->request, 0, sizeof s->request);
    free(s);
}

bool sp_peer_socket_is_open(const struct sp_peer_socket *s)
{
    return s->open;
}

bool sp_peer_socket_wait(struct sp_peer_socket *s, struct curl_waitfd *fd)
{
    curl_socket_t found = CURL_SOCKET_BAD;
    if (!s->connected || s->ended || (s->open && !sp_inlet_has_room(s->inlet)) ||
        curl_easy_getinfo(s->exchange.easy, CURLINFO_ACTIVESOCKET, &found) != CURLE_OK ||
        found == CURL_SOCKET_BAD)
        return false;
    bool sends = s->sent_bytes < s->request_bytes || (s->open && wslay_event_want_write(s->frames));
    *fd = (struct curl_waitfd){
        .fd = found, .events = (short)(CURL_WAIT_POLLIN | (sends ? CURL_WAIT_POLLOUT : 0))};
    return true;
}
