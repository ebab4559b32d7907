#include "publish/mjpeg.h"

#include "base/clock.h"
#include "publish/connection.h"
#include "publish/http_reply.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { SEND_BUFFER_BYTES = 256 * 1024 };
static const int64_t FRAME_TIMEOUT_US = 5000000;
static const char stream_type[] = "multipart/x-mixed-replace; boundary=frame";

/* Frames that wait in a large kernel buffer add latency. */
static void limit_send_buffer(struct lws *wsi)
{
    int bytes = SEND_BUFFER_BYTES;
    setsockopt(lws_get_socket_fd(wsi), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static int send_head(struct sp_connection *c, const char *headers, const char *first)
{
    char more[1200];
    uint8_t *out = sp_server_scratch(c->server, 4096);
    if (!out)
        return -1;
    snprintf(more, sizeof more, "%sCache-Control: no-cache, no-store, must-revalidate\r\n",
             headers);
    size_t bytes = sp_http_head((char *)out, 2048, 200, stream_type, -1, false, more);
    bytes += (size_t)snprintf((char *)out + bytes, 4096 - bytes, "%s", c->head_only ? "" : first);
    return sp_connection_write(c, out, bytes);
}

/* The head is sent with the first message: until then the reply may become an error. */
static int begin_inlet(struct sp_connection *c, const struct sp_reply *reply)
{
    snprintf(c->headers, sizeof c->headers, "%s", reply->headers);
    c->inlet = reply->inlet;
    c->begun = false;
    c->ending = false;
    c->tag[0] = c->client[0] = '\0';
    c->mode = SP_CONNECTION_STREAM;
    atomic_fetch_add(&c->server->mjpeg_count, 1);
    limit_send_buffer(c->wsi);
    if (sp_inlet_has_news(c->inlet))
        sp_connection_want(c);
    return 0;
}

int sp_mjpeg_begin(struct sp_connection *c, const struct sp_reply *reply, bool head_only)
{
    c->head_only = head_only;
    if (reply->inlet)
        return begin_inlet(c, reply);
    struct sp_error err = {0};
    bool one = reply->kind == SP_REPLY_IMAGE;
    memcpy(c->tag, reply->tag, sizeof c->tag);
    memcpy(c->client, reply->client, sizeof c->client);
    c->opened_us = sp_clock_us();
    c->ending = false;
    if (reply->kind != SP_REPLY_SILENCE && !(head_only && !one)) {
        c->camera = reply->stream.camera;
        c->generation = sp_hub_generation(c->server->options.hub, c->camera);
        c->seen = 0;
        if (sp_stream_join(c->server->options.encoder, &reply->stream, &c->stream, &err) < 0)
            return sp_http_refuse(c, 503, err.text, c->head_only);
    }
    if (one)
        snprintf(c->headers, sizeof c->headers, "%s", reply->headers);
    c->deadline_us = sp_clock_us() + FRAME_TIMEOUT_US;
    c->mode =
        one ? SP_CONNECTION_IMAGE : (c->stream ? SP_CONNECTION_STREAM : SP_CONNECTION_SILENCE);
    if (!one) {
        atomic_fetch_add(&c->server->mjpeg_count, 1);
        limit_send_buffer(c->wsi);
        if (send_head(c, reply->headers, SP_IMAGE_BOUNDARY) < 0)
            return -1;
        if (head_only) {
            sp_mjpeg_end(c);
            c->keep = false;
            return sp_http_sent(c);
        }
    }
    if (c->stream && sp_mjpeg_has_news(c))
        sp_connection_want(c);
    return 0;
}

bool sp_mjpeg_has_news(struct sp_connection *c)
{
    return sp_stream_number(c->stream) > c->seen;
}

void sp_mjpeg_end(struct sp_connection *c)
{
    if (c->mode == SP_CONNECTION_STREAM || c->mode == SP_CONNECTION_SILENCE)
        atomic_fetch_sub(&c->server->mjpeg_count, 1);
    sp_stream_leave(c->stream);
    sp_inlet_leave(c->inlet);
    c->stream = NULL;
    c->inlet = NULL;
    if (c->mode != SP_CONNECTION_WS)
        c->mode = SP_CONNECTION_IDLE;
}

static int send_image(struct sp_connection *c, struct sp_image *image)
{
    struct sp_reply reply = {.status = 200,
                             .type = "image/jpeg",
                             .fixed = image->jpeg,
                             .fixed_bytes = image->jpeg_bytes};
    char time[SP_TIME_BYTES];
    sp_time_format(image->result->wall_us, time);
    snprintf(reply.headers, sizeof reply.headers,
             "%sCache-Control: no-store\r\nX-Sequence: %llu\r\nX-Wall-Time: %s\r\n", c->headers,
             (unsigned long long)image->result->sequence, time);
    sp_mjpeg_end(c);
    int result = sp_http_send(c, &reply, c->head_only);
    sp_image_unref(image);
    return result;
}

static int send_part(struct sp_connection *c, struct sp_image *image)
{
    struct sp_server *server = c->server;
    int64_t begin_us = sp_clock_us();
    c->seen = image->number;
    int result = sp_connection_write(c, image->part, image->part_bytes);
    sp_histogram_add(&sp_hub_times(server->options.hub, c->camera)->send, sp_clock_us() - begin_us);
    sp_image_unref(image);
    return result;
}

static int end_inlet(struct sp_connection *c, const char *why)
{
    char text[400];
    if (c->begun)
        return -1;
    snprintf(text, sizeof text, "%s", why);
    sp_mjpeg_end(c);
    return sp_http_refuse(c, 503, text, false);
}

static int send_inlet(struct sp_connection *c)
{
    struct sp_inlet_message *message = sp_inlet_take(c->inlet);
    if (!message) {
        const char *why = sp_inlet_ended(c->inlet);
        return why ? end_inlet(c, why) : 0;
    }
    int result = c->begun ? 0 : send_head(c, c->headers, "");
    c->begun = true;
    if (result == 0)
        result = sp_connection_write(c, message->memory + SP_INLET_HEADROOM, message->bytes);
    free(message);
    if (result == 0 && sp_inlet_has_news(c->inlet))
        sp_connection_want(c);
    return result;
}

static bool is_stream_of(const struct sp_connection *c, const char *tag, const char *client)
{
    bool streams = c->mode == SP_CONNECTION_STREAM || c->mode == SP_CONNECTION_SILENCE;
    return streams && strcmp(c->tag, tag) == 0 && (!client || strcmp(c->client, client) == 0);
}

/* Whether the client has an earlier stream of the same camera. */
static bool is_later(const struct sp_connection *c)
{
    for (const struct sp_connection *d = c->server->connections; d; d = d->next)
        if (d != c && is_stream_of(d, c->tag, c->client) && d->mode == c->mode &&
            d->camera == c->camera && d->opened_us < c->opened_us)
            return true;
    return false;
}

void sp_server_hand_over_streams(struct sp_server *server, const char *tag, const char *client,
                                 const char *next_client, enum sp_streams_of_camera which)
{
    /* Marked first: what is handed over no longer counts as earlier. */
    for (struct sp_connection *c = server->connections; c; c = c->next)
        c->handed_over = c->mode == SP_CONNECTION_STREAM && is_stream_of(c, tag, client) &&
                         is_later(c) == (which == SP_STREAMS_LATER);
    for (struct sp_connection *c = server->connections; c; c = c->next)
        if (c->handed_over)
            snprintf(c->client, sizeof c->client, "%s", next_client);
}

void sp_server_end_streams(struct sp_server *server, const char *tag, const char *client)
{
    for (struct sp_connection *c = server->connections; c; c = c->next) {
        if (!is_stream_of(c, tag, client))
            continue;
        c->ending = true;
        sp_connection_want(c);
    }
}

int sp_mjpeg_writable(struct sp_connection *c)
{
    if (c->ending)
        return -1;
    if (c->inlet)
        return send_inlet(c);
    if (!c->stream)
        return 0;
    bool gone = sp_hub_generation(c->server->options.hub, c->camera) != c->generation;
    struct sp_image *image = gone ? NULL : sp_stream_newest(c->stream, c->seen);
    if (image && image->result->generation != c->generation) {
        /* Published by an earlier camera of the same index. */
        c->seen = image->number;
        sp_image_unref(image);
        image = NULL;
    }
    if (c->mode == SP_CONNECTION_STREAM)
        return gone ? -1 : (image ? send_part(c, image) : 0);
    if (image)
        return send_image(c, image);
    if (!gone && sp_clock_us() < c->deadline_us)
        return 0;
    sp_mjpeg_end(c);
    return sp_http_refuse(c, 503, "no image within 5 seconds; check the state of the camera",
                          c->head_only);
}
