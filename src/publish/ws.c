/* WebSocket clients: each gets one message at a time, when it can take one. */
#include "publish/server_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const int SEND_BUFFER_BYTES = 256 * 1024;

_Static_assert(SP_PICTURE_ROOM >= LWS_PRE, "the library writes its header before the data");

/* --- coming and going ------------------------------------------------------------------------- */

int sp_ws_upgrade(struct sp_connection *c)
{
    struct sp_server *server = c->server;
    struct sp_request *request = malloc(sizeof *request);
    struct sp_ws *ws = calloc(1, sizeof *ws);
    struct sp_reply reply = {.status = 400};
    sp_json_clear(&server->json);
    reply.body = server->json;
    bool accepted = false, readable = request && ws && sp_http_read_request(c, request);
    if (readable) {
        request->body = "";
        atomic_fetch_add(&server->requests, 1);
        accepted = !c->over_limit && server->options.site.upgrade(server->options.site.user,
                                                                  request, &ws->plan, &reply);
    }
    free(request);
    server->json = reply.body;
    if (accepted) {
        sp_ws_close(c);
        c->ws = ws;
        return 0;
    }
    free(ws);
    if (c->over_limit)
        reply.status = 429;
    return readable ? sp_http_send(c, &reply, false) : -1;
}

int sp_ws_open(struct sp_connection *c)
{
    int bytes = SEND_BUFFER_BYTES;
    if (!c->ws)
        return -1;
    setsockopt(lws_get_socket_fd(c->wsi), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    c->mode = SP_CONNECTION_WS;
    atomic_fetch_add(&c->server->ws_count, 1);
    const struct sp_site *site = &c->server->options.site;
    if (site->opened)
        site->opened(site->user, &c->ws->plan);
    if (sp_ws_has_news(c, UINT64_MAX))
        sp_connection_want(c);
    return 0;
}

void sp_ws_close(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    if (!ws)
        return;
    c->ws = NULL;
    for (int i = 0; i < SP_HUB_CAMERAS_MAX; i++)
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
    free(ws->message);
    free(ws);
}

/* --- what clients send ------------------------------------------------------------------------ */

int sp_ws_receive(struct sp_connection *c, const char *data, size_t bytes)
{
    struct sp_ws *ws = c->ws;
    const struct sp_site *site = &c->server->options.site;
    if (!ws)
        return -1;
    size_t rest = lws_remaining_packet_payload(c->wsi);
    if (ws->message_bytes + bytes > SP_SERVER_MESSAGE_BYTES || rest > SP_SERVER_MESSAGE_BYTES) {
        lws_close_reason(c->wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
        return -1;
    }
    char *grown = realloc(ws->message, ws->message_bytes + bytes + 1);
    if (!grown)
        return -1;
    ws->message = grown;
    if (bytes > 0)
        memcpy(ws->message + ws->message_bytes, data, bytes);
    ws->message_bytes += bytes;
    ws->message[ws->message_bytes] = '\0';
    if (!lws_is_final_fragment(c->wsi) || rest > 0)
        return 0;
    if (site->message && !lws_frame_is_binary(c->wsi))
        site->message(site->user, &ws->plan, ws->message, ws->message_bytes);
    free(ws->message);
    ws->message = NULL;
    ws->message_bytes = 0;
    return 0;
}

void sp_server_mail(struct sp_server *server, const char *tag, const char *text, size_t bytes)
{
    for (struct sp_connection *c = server->connections; c; c = c->next) {
        struct sp_ws *ws = c->ws;
        if (c->mode != SP_CONNECTION_WS || strcmp(ws->plan.tag, tag) != 0 ||
            (ws->plan.format != SP_WS_MAIL && ws->plan.format != SP_WS_SITE) ||
            ws->mail_count == SP_WS_MAIL_MAX)
            continue;
        uint8_t *memory = malloc(LWS_PRE + bytes);
        if (!memory)
            continue;
        memcpy(memory + LWS_PRE, text, bytes);
        ws->mail[ws->mail_count++] = (struct sp_mail){bytes, memory};
        sp_connection_want(c);
    }
}

/* --- what clients get ------------------------------------------------------------------------- */

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

/* With pictures: joins the stream of the camera that is in this slot now, if it is wanted. */
static void follow_camera(struct sp_connection *c, int camera)
{
    struct sp_ws *ws = c->ws;
    struct sp_hub *hub = c->server->options.hub;
    uint64_t generation = sp_hub_generation(hub, camera);
    if (generation == ws->stream_generation[camera])
        return;
    struct sp_update *update = NULL;
    struct sp_frame *frame = NULL;
    sp_stream_leave(ws->stream[camera]);
    ws->stream[camera] = NULL;
    ws->stream_generation[camera] = 0;
    ws->seen[camera] = 0;
    if (generation == 0 || !sp_hub_latest(hub, camera, &update, &frame))
        return;
    struct sp_stream_options options = ws->plan.stream;
    options.camera = camera;
    if (!is_wanted(&ws->plan, update->name) ||
        sp_stream_join(c->server->options.encoder, &options, &ws->stream[camera], NULL) == SP_OK)
        ws->stream_generation[camera] = generation;
    sp_update_unref(update);
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
    if (c->ws->mail_count > 0)
        return true;
    for (int i = 0; i < SP_HUB_CAMERAS_MAX; i++)
        if ((dirty >> i & 1) && camera_has_news(c, i))
            return true;
    return false;
}

/* Makes the message in the scratch, if it is not the one that is there. Its bytes, or 0. */
static size_t make(struct sp_connection *c, const struct sp_update *update,
                   const struct sp_picture *picture)
{
    struct sp_server *server = c->server;
    struct sp_ws *ws = c->ws;
    enum sp_ws_format format = ws->plan.format;
    struct sp_made *made = &server->made;
    if (format != SP_WS_SITE && format != SP_WS_BINARY_JPEG && made->camera == update->camera &&
        made->generation == update->generation && made->serial == update->serial &&
        made->format == format)
        return made->bytes;
    size_t bytes;
    uint8_t *out;
    if (format == SP_WS_JSON || format == SP_WS_SITE) {
        const struct sp_site *site = &server->options.site;
        sp_json_clear(&server->json);
        if (format == SP_WS_JSON)
            sp_message_json(&server->json, update, &server->options.classes, sp_clock_us());
        else
            site->format(site->user, &ws->plan, update, &server->json);
        bytes = server->json.failed ? 0 : server->json.used_bytes;
        out = sp_server_scratch(server, bytes);
        if (!out || bytes == 0)
            return 0;
        memcpy(out, server->json.text, bytes);
    } else {
        size_t jpeg_bytes = picture ? picture->jpeg_bytes : 0;
        out = sp_server_scratch(server, SP_MESSAGE_BYTES_MAX + jpeg_bytes);
        if (!out)
            return 0;
        bytes = sp_message_binary(out, update, picture != NULL, sp_clock_us());
        if (picture)
            memcpy(out + bytes, picture->jpeg, jpeg_bytes);
        bytes += jpeg_bytes;
    }
    *made = (struct sp_made){update->camera, update->generation, update->serial, format, bytes};
    return bytes;
}

static int send_made(struct sp_connection *c, int camera, size_t bytes)
{
    struct sp_server *server = c->server;
    bool text = c->ws->plan.format == SP_WS_JSON || c->ws->plan.format == SP_WS_SITE;
    int64_t begin_us = sp_clock_us();
    int result = sp_connection_write(c, server->scratch + LWS_PRE, bytes,
                                     text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
    sp_histogram_add(&sp_hub_times(server->options.hub, camera)->send, sp_clock_us() - begin_us);
    return result;
}

/* 1: sent, 0: there was nothing to send, -1: disconnect. */
static int send_camera(struct sp_connection *c, int camera)
{
    struct sp_ws *ws = c->ws;
    struct sp_update *update;
    struct sp_picture *picture = NULL;
    if (ws->plan.format == SP_WS_BINARY_JPEG) {
        picture = sp_stream_newest(ws->stream[camera], ws->seen[camera]);
        if (!picture)
            return 0;
        ws->seen[camera] = picture->number;
        update = sp_update_ref(picture->update);
    } else {
        uint64_t missed = ws->cursor[camera].missed;
        update = sp_hub_next(c->server->options.hub, camera, &ws->cursor[camera]);
        if (!update)
            return 0;
        atomic_fetch_add(&c->server->missed, ws->cursor[camera].missed - missed);
    }
    bool wanted = is_wanted(&ws->plan, update->name) &&
                  (!picture || update->generation == ws->stream_generation[camera]);
    size_t bytes = wanted ? make(c, update, picture) : 0;
    sp_update_unref(update);
    sp_picture_unref(picture);
    if (bytes == 0)
        return 0;
    return send_made(c, camera, bytes) < 0 ? -1 : 1;
}

static int send_mail(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    struct sp_mail mail = ws->mail[0];
    memmove(ws->mail, ws->mail + 1, (size_t)--ws->mail_count * sizeof mail);
    int result = sp_connection_write(c, mail.memory + LWS_PRE, mail.bytes, LWS_WRITE_TEXT);
    free(mail.memory);
    return result < 0 ? -1 : 1;
}

int sp_ws_writable(struct sp_connection *c)
{
    struct sp_ws *ws = c->ws;
    if (!ws)
        return 0;
    c->waiting_since_us = 0;
    int sent = ws->mail_count > 0 ? send_mail(c) : 0;
    /* By turns, so that a busy camera does not keep the others from a narrow line. */
    for (int i = 1; i <= SP_HUB_CAMERAS_MAX && sent == 0; i++) {
        int camera = (ws->turn + i) % SP_HUB_CAMERAS_MAX;
        while (sent == 0 && camera_has_news(c, camera)) {
            sent = send_camera(c, camera);
            if (sent == 0 && ws->plan.format == SP_WS_BINARY_JPEG)
                break;
        }
        if (sent == 1)
            ws->turn = camera;
    }
    if (sent < 0)
        return -1;
    if (sent == 1 && sp_ws_has_news(c, UINT64_MAX))
        sp_connection_want(c);
    return 0;
}
