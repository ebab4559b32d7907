/* WebSocket clients: one message at a time, whenever the connection is writable. */
#include "publish/ws.h"

#include "base/clock.h"
#include "publish/connection.h"
#include "publish/http_reply.h"

#include <endian.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

enum { FRAME_HEAD_BYTES = 10 };
static const int SEND_BUFFER_BYTES = 256 * 1024;
static const int64_t PING_US = 20000000, SILENT_US = 40000000, CLOSE_US = 30000000;

_Static_assert(LWS_PRE >= FRAME_HEAD_BYTES, "the header is written in front of the data");
_Static_assert(SP_INLET_HEADROOM >= LWS_PRE + FRAME_HEAD_BYTES, "likewise");

enum { SP_WS_MAIL_MAX = 16 };

struct sp_mail {
    size_t bytes;
    uint8_t *memory; /* LWS_PRE, then the text */
};

struct sp_ws {
    struct sp_ws_plan plan;
    struct sp_hub_cursor cursor[SP_CAMERAS_MAX];
    struct sp_stream *stream[SP_CAMERAS_MAX]; /* SP_WS_BINARY_JPEG */
    uint64_t stream_generation[SP_CAMERAS_MAX];
    uint64_t seen[SP_CAMERAS_MAX];
    int turn;      /* the camera served last */
    bool own_turn; /* the last message was of a camera, not of the inlet */
    struct wslay_event_context *frames;
    const char *rx; /* received data, while wslay reads it */
    size_t rx_bytes;
    uint8_t control[512]; /* control frames of wslay, written at once */
    size_t control_bytes;
    int64_t heard_us; /* when the client last sent data */
    bool pinged;      /* since heard_us */
    struct sp_mail mail[SP_WS_MAIL_MAX];
    int mail_count;
    int close_code;        /* above 0: close as soon as the connection is writable */
    const char *close_why; /* static; set: nothing else is sent */
    int64_t closed_us;     /* when the close frame was sent; 0: not yet */
};

/* --- frames ----------------------------------------------------------------------------------- */

/* Sends one message in one frame (RFC 6455, section 5.2). The header is written in front of `data`,
 * where the caller reserves LWS_PRE bytes, so that the message is not copied. */
static int send_frame(struct sp_connection *c, uint8_t *data, size_t bytes, enum wslay_opcode kind)
{
    uint8_t head[FRAME_HEAD_BYTES];
    size_t head_bytes = 2;
    head[0] = (uint8_t)(0x80 | kind);
    if (bytes < 126) {
        head[1] = (uint8_t)bytes;
    } else if (bytes < 65536) {
        uint16_t length = htobe16((uint16_t)bytes);
        head[1] = 126;
        memcpy(head + 2, &length, sizeof length);
        head_bytes += sizeof length;
    } else {
        uint64_t length = htobe64(bytes);
        head[1] = 127;
        memcpy(head + 2, &length, sizeof length);
        head_bytes += sizeof length;
    }
    memcpy(data - head_bytes, head, head_bytes);
    return sp_connection_write(c, data - head_bytes, head_bytes + bytes);
}

static ssize_t read_frames(wslay_event_context_ptr frames, uint8_t *out, size_t bytes, int flags,
                           void *user)
{
    struct sp_connection *c = user;
    struct sp_ws *ws = c->ws;
    (void)flags;
    if (ws->rx_bytes == 0) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    size_t n = bytes < ws->rx_bytes ? bytes : ws->rx_bytes;
    memcpy(out, ws->rx, n);
    ws->rx += n;
    ws->rx_bytes -= n;
    return (ssize_t)n;
}

static int write_control(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    size_t bytes = ws->control_bytes;
    ws->control_bytes = 0;
    return bytes > 0 ? sp_connection_write(c, ws->control, bytes) : 0;
}

/* Sends pongs and the close. Accepts all or nothing: a partial frame would be interrupted by the
 * next message. While the client does not read them, nothing is read from it, so that they do not
 * pile up. */
static ssize_t send_control(wslay_event_context_ptr frames, const uint8_t *data, size_t bytes,
                            int flags, void *user)
{
    struct sp_connection *c = user;
    struct sp_ws *ws = c->ws;
    (void)flags;
    if (ws->control_bytes == sizeof ws->control && write_control(c) < 0) {
        wslay_event_set_error(frames, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    size_t room = sizeof ws->control - ws->control_bytes, n = bytes < room ? bytes : room;
    memcpy(ws->control + ws->control_bytes, data, n);
    ws->control_bytes += n;
    return (ssize_t)n;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    struct sp_connection *c = user;
    const struct sp_site *site = &c->server->options.site;
    (void)frames;
    if (message->opcode == WSLAY_TEXT_FRAME && site->message)
        site->message(site->user, &c->ws->plan, message->msg ? (const char *)message->msg : "",
                      message->msg_length);
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = read_frames,
    .send_callback = send_control,
    .on_msg_recv_callback = on_message,
};

/* Sends wslay's control frames; nothing follows a close. */
static int flush_control(struct sp_connection *c)
{
    wslay_event_context_ptr frames = c->ws->frames;
    if ((wslay_event_want_write(frames) && wslay_event_send(frames) != 0) || write_control(c) < 0)
        return -1;
    if (wslay_event_want_read(frames))
        return 0;
    sp_ws_close(c);
    c->keep = false;
    return sp_http_sent(c);
}

/* --- handshake and close ---------------------------------------------------------------------- */

static void mail(struct sp_connection *c, const char *text, size_t bytes)
{
    struct sp_ws *ws = c->ws;
    bool takes = ws->mail_count < SP_WS_MAIL_MAX && !ws->close_why;
    uint8_t *memory = takes ? malloc(LWS_PRE + bytes) : NULL;
    if (!memory)
        return;
    memcpy(memory + LWS_PRE, text, bytes);
    ws->mail[ws->mail_count++] = (struct sp_mail){bytes, memory};
    sp_connection_want(c);
}

/* headers: additional ones, each terminated by "\r\n". */
static int accept_client(struct sp_connection *c, const char *key, const char *headers)
{
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nServer: spoton\r\n"
                               "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: %s\r\n%s\r\n";
    char text[128], accept[64];
    unsigned char digest[20];
    int bytes = SEND_BUFFER_BYTES;
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    lws_SHA1((const unsigned char *)text, (size_t)n, digest);
    lws_b64_encode_string((const char *)digest, sizeof digest, accept, sizeof accept);
    size_t room = sizeof head + sizeof accept + strlen(headers);
    uint8_t *out = sp_server_scratch(c->server, room);
    if (!out)
        return -1;
    setsockopt(lws_get_socket_fd(c->wsi), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    n = snprintf((char *)out, room, head, accept, headers);
    return sp_connection_write(c, out, (size_t)n);
}

static int open_ws(struct sp_connection *c, struct sp_ws *ws, const char *key, const char *headers)
{
    struct sp_json *first = &c->server->json;
    const struct sp_site *site = &c->server->options.site;
    if (wslay_event_context_server_init(&ws->frames, &callbacks, c) != 0 ||
        accept_client(c, key, headers) < 0) {
        wslay_event_context_free(ws->frames);
        sp_inlet_leave(ws->plan.inlet);
        free(ws);
        return -1;
    }
    wslay_event_config_set_max_recv_msg_length(ws->frames, SP_SERVER_MESSAGE_BYTES);
    ws->heard_us = sp_clock_us();
    c->ws = ws;
    c->mode = SP_CONNECTION_WS;
    atomic_fetch_add(&c->server->ws_count, 1);
    sp_json_clear(first);
    if (site->opened)
        site->opened(site->user, &ws->plan, first);
    if (first->used_bytes > 0 && !first->failed)
        mail(c, first->text, first->used_bytes);
    if (sp_ws_has_news(c, UINT64_MAX))
        sp_connection_want(c);
    return 0;
}

int sp_ws_upgrade(struct sp_connection *c, const struct sp_request *request, const char *key)
{
    struct sp_server *server = c->server;
    struct sp_ws *ws = calloc(1, sizeof *ws);
    struct sp_reply reply = {.status = 400};
    if (!ws)
        return -1;
    sp_json_clear(&server->json);
    reply.body = server->json;
    atomic_fetch_add(&server->requests, 1);
    bool accepted =
        server->options.site.upgrade(server->options.site.user, request, &ws->plan, &reply);
    server->json = reply.body;
    if (accepted)
        return open_ws(c, ws, key, reply.headers);
    free(ws);
    return sp_http_send(c, &reply, false);
}

void sp_ws_close(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    if (!ws)
        return;
    c->ws = NULL;
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        sp_stream_leave(ws->stream[i]);
    for (int i = 0; i < ws->mail_count; i++)
        free(ws->mail[i].memory);
    if (c->mode == SP_CONNECTION_WS) {
        const struct sp_site *site = &c->server->options.site;
        atomic_fetch_sub(&c->server->ws_count, 1);
        if (site->closed)
            site->closed(site->user, &ws->plan);
        c->mode = SP_CONNECTION_IDLE;
    }
    wslay_event_context_free(ws->frames);
    sp_inlet_leave(ws->plan.inlet);
    free(ws);
}

/* --- input ------------------------------------------------------------------------------------ */

int sp_ws_receive(struct sp_connection *c, const char *data, size_t bytes)
{
    struct sp_ws *ws = c->ws;
    ws->rx = data;
    ws->rx_bytes = bytes;
    ws->heard_us = sp_clock_us();
    ws->pinged = false;
    int result = wslay_event_recv(ws->frames);
    ws->rx_bytes = 0;
    /* Invalid frames: wslay has queued the close that reports them. */
    if (result != 0 && result != WSLAY_ERR_CALLBACK_FAILURE)
        return -1;
    return flush_control(c);
}

int sp_ws_check(struct sp_connection *c, int64_t now_us)
{
    static const struct wslay_event_msg ping = {.opcode = WSLAY_PING};
    struct sp_ws *ws = c->ws;
    if (now_us - ws->heard_us > SILENT_US ||
        (ws->closed_us > 0 && now_us - ws->closed_us > CLOSE_US))
        return -1;
    if (ws->pinged || now_us - ws->heard_us < PING_US || lws_partial_buffered(c->wsi))
        return 0;
    ws->pinged = true;
    if (wslay_event_queue_msg(ws->frames, &ping) != 0)
        return -1;
    return flush_control(c);
}

void sp_server_mail(struct sp_server *server, const char *tag, const char *text, size_t bytes)
{
    for (struct sp_connection *c = server->connections; c; c = c->next) {
        struct sp_ws *ws = c->ws;
        if (c->mode == SP_CONNECTION_WS && strcmp(ws->plan.tag, tag) == 0)
            mail(c, text, bytes);
    }
}

void sp_server_close_ws(struct sp_server *server,
                        bool (*chosen)(void *user, const struct sp_ws_plan *plan), void *user,
                        int code, const char *reason)
{
    for (struct sp_connection *c = server->connections; c; c = c->next) {
        if (c->mode != SP_CONNECTION_WS || c->ws->close_why || !chosen(user, &c->ws->plan))
            continue;
        c->ws->close_code = code;
        c->ws->close_why = reason;
        sp_connection_want(c);
    }
}

/* --- output ----------------------------------------------------------------------------------- */

static bool is_wanted(const struct sp_ws_plan *plan, const char *name)
{
    size_t length = strlen(name);
    if (plan->cameras[0] == '\0')
        return true;
    for (const char *at = plan->cameras; *at;) {
        size_t n = strcspn(at, ",");
        if (n == length && memcmp(at, name, n) == 0)
            return true;
        at += n + (at[n] == ',');
    }
    return false;
}

/* Joins the JPEG stream of the camera that has this index now, if the client subscribes to it. */
static void follow_camera(struct sp_connection *c, int camera)
{
    struct sp_ws *ws = c->ws;
    struct sp_hub *hub = c->server->options.hub;
    uint64_t generation = sp_hub_generation(hub, camera);
    if (generation == ws->stream_generation[camera])
        return;
    struct sp_result *result = NULL;
    struct sp_frame *frame = NULL;
    sp_stream_leave(ws->stream[camera]);
    ws->stream[camera] = NULL;
    ws->stream_generation[camera] = 0;
    ws->seen[camera] = 0;
    if (generation == 0 || !sp_hub_latest(hub, camera, &result, &frame))
        return;
    struct sp_stream_options options = ws->plan.stream;
    options.camera = camera;
    if (!is_wanted(&ws->plan, result->name) ||
        sp_stream_join(c->server->options.encoder, &options, &ws->stream[camera], NULL) == SP_OK)
        ws->stream_generation[camera] = generation;
    sp_result_unref(result);
    sp_frame_unref(frame);
}

static bool camera_has_news(struct sp_connection *c, int camera)
{
    struct sp_ws *ws = c->ws;
    switch (ws->plan.format) {
    case SP_WS_MAIL:
        return false;
    case SP_WS_BINARY_JPEG:
        follow_camera(c, camera);
        return ws->stream[camera] && sp_stream_number(ws->stream[camera]) > ws->seen[camera];
    case SP_WS_JSON:
    case SP_WS_BINARY:
    case SP_WS_SITE:
        break;
    }
    return sp_hub_has_next(c->server->options.hub, camera, &ws->cursor[camera]);
}

bool sp_ws_has_news(struct sp_connection *c, uint64_t dirty)
{
    if (c->ws->close_why)
        return c->ws->close_code > 0;
    if (c->ws->mail_count > 0 || (c->ws->plan.inlet && sp_inlet_has_news(c->ws->plan.inlet)))
        return true;
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        if ((dirty >> i & 1) && camera_has_news(c, i))
            return true;
    return false;
}

/* Formats the message into the scratch buffer unless it is cached there. Returns its bytes, or 0.
 */
static size_t make(struct sp_connection *c, const struct sp_result *result,
                   const struct sp_image *image)
{
    struct sp_server *server = c->server;
    struct sp_ws *ws = c->ws;
    enum sp_ws_format format = ws->plan.format;
    struct sp_cached_message *cached = &server->cached;
    if (format != SP_WS_SITE && format != SP_WS_BINARY_JPEG && cached->camera == result->camera &&
        cached->generation == result->generation && cached->serial == result->serial &&
        cached->format == format)
        return cached->bytes;
    size_t bytes;
    uint8_t *out;
    if (format == SP_WS_JSON || format == SP_WS_SITE) {
        const struct sp_site *site = &server->options.site;
        sp_json_clear(&server->json);
        if (format == SP_WS_JSON)
            sp_message_json(&server->json, result, server->options.classes, sp_clock_us());
        else
            site->format(site->user, &ws->plan, result, &server->json);
        bytes = server->json.failed ? 0 : server->json.used_bytes;
        out = sp_server_scratch(server, bytes);
        if (!out || bytes == 0)
            return 0;
        memcpy(out, server->json.text, bytes);
    } else {
        size_t jpeg_bytes = image ? image->jpeg_bytes : 0;
        out = sp_server_scratch(server, SP_MESSAGE_BYTES_MAX + jpeg_bytes);
        if (!out)
            return 0;
        bytes = sp_message_binary(out, result, image != NULL, sp_clock_us());
        if (image)
            memcpy(out + bytes, image->jpeg, jpeg_bytes);
        bytes += jpeg_bytes;
    }
    *cached = (struct sp_cached_message){result->camera, result->generation, result->serial, format,
                                         bytes};
    return bytes;
}

static int send_scratch(struct sp_connection *c, int camera, size_t bytes)
{
    struct sp_server *server = c->server;
    bool text = c->ws->plan.format == SP_WS_JSON || c->ws->plan.format == SP_WS_SITE;
    int64_t begin_us = sp_clock_us();
    int result = send_frame(c, server->scratch + LWS_PRE, bytes,
                            text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME);
    sp_histogram_add(&sp_hub_times(server->options.hub, camera)->send, sp_clock_us() - begin_us);
    return result;
}

/* 1: sent, 0: nothing to send, -1: disconnect. */
static int send_camera(struct sp_connection *c, int camera)
{
    struct sp_ws *ws = c->ws;
    struct sp_result *result;
    struct sp_image *image = NULL;
    if (ws->plan.format == SP_WS_BINARY_JPEG) {
        image = sp_stream_newest(ws->stream[camera], ws->seen[camera]);
        if (!image)
            return 0;
        ws->seen[camera] = image->number;
        result = sp_result_ref(image->result);
    } else {
        uint64_t missed = ws->cursor[camera].missed;
        result = sp_hub_next(c->server->options.hub, camera, &ws->cursor[camera]);
        if (!result)
            return 0;
        atomic_fetch_add(&c->server->missed, ws->cursor[camera].missed - missed);
    }
    bool wanted = is_wanted(&ws->plan, result->name) &&
                  (!image || result->generation == ws->stream_generation[camera]);
    size_t bytes = wanted ? make(c, result, image) : 0;
    sp_result_unref(result);
    sp_image_unref(image);
    if (bytes == 0)
        return 0;
    return send_scratch(c, camera, bytes) < 0 ? -1 : 1;
}

static int send_mail(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    struct sp_mail mail = ws->mail[0];
    memmove(ws->mail, ws->mail + 1, (size_t)--ws->mail_count * sizeof mail);
    int result = send_frame(c, mail.memory + LWS_PRE, mail.bytes, WSLAY_TEXT_FRAME);
    free(mail.memory);
    return result < 0 ? -1 : 1;
}

static int send_inlet(struct sp_connection *c)
{
    struct sp_inlet *inlet = c->ws->plan.inlet;
    struct sp_inlet_message *message = inlet ? sp_inlet_take(inlet) : NULL;
    if (!message)
        return 0;
    int result = send_frame(c, message->memory + SP_INLET_HEADROOM, message->bytes,
                            message->text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME);
    free(message);
    return result < 0 ? -1 : 1;
}

/* Once; then waits for the client's close. */
static int send_close(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    const uint8_t *reason = (const uint8_t *)ws->close_why;
    if (ws->close_code > 0 && wslay_event_queue_close(ws->frames, (uint16_t)ws->close_code, reason,
                                                      strlen(ws->close_why)) != 0)
        return -1;
    if (ws->close_code > 0)
        ws->closed_us = sp_clock_us();
    ws->close_code = 0;
    return flush_control(c);
}

int sp_ws_writable(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    if (!ws)
        return 0;
    c->waiting_since_us = 0;
    if (ws->close_why)
        return send_close(c);
    int sent = ws->mail_count > 0 ? send_mail(c) : 0;
    if (sent == 0 && ws->own_turn)
        sent = send_inlet(c);
    ws->own_turn = false;
    /* Round-robin, so that one busy camera cannot starve the others on a slow connection. */
    for (int i = 1; i <= SP_CAMERAS_MAX && sent == 0; i++) {
        int camera = (ws->turn + i) % SP_CAMERAS_MAX;
        while (sent == 0 && camera_has_news(c, camera)) {
            sent = send_camera(c, camera);
            if (sent == 0 && ws->plan.format == SP_WS_BINARY_JPEG)
                break;
        }
        if (sent == 1) {
            ws->turn = camera;
            ws->own_turn = true;
        }
    }
    if (sent == 0)
        sent = send_inlet(c);
    if (sent < 0)
        return -1;
    if (sent == 1 && sp_ws_has_news(c, UINT64_MAX))
        sp_connection_want(c);
    return 0;
}
