#include "publish/http_reply.h"

#include "base/clock.h"
#include "publish/connection.h"

#include <libwebsockets.h>
#include <string.h>

static const int64_t SEND_TIMEOUT_US = 30000000; /* for a client to read a whole reply */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {409, "Conflict"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {408, "Request Timeout"},
        {414, "URI Too Long"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

size_t sp_http_head(char *out, size_t out_bytes, int status, const char *type, int64_t length_bytes,
                    bool keep, const char *more)
{
    char length[64] = "";
    if (length_bytes >= 0)
        snprintf(length, sizeof length, "Content-Length: %lld\r\n", (long long)length_bytes);
    int used = snprintf(out, out_bytes,
                        "HTTP/1.1 %d %s\r\nServer: spoton\r\n%s%s%s%s%s"
                        "X-Content-Type-Options: nosniff\r\nConnection: %s\r\n\r\n",
                        status, reason_of(status), type ? "Content-Type: " : "", type ? type : "",
                        type ? "\r\n" : "", length, more, keep ? "keep-alive" : "close");
    return used > 0 && (size_t)used < out_bytes ? (size_t)used : 0;
}

int sp_http_sent(struct sp_connection *c)
{
    int64_t now_us = sp_clock_us();
    c->waiting_since_us = 0;
    if (lws_partial_buffered(c->wsi)) {
        c->mode = SP_CONNECTION_SENDING;
        c->deadline_us = now_us + SEND_TIMEOUT_US;
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    if (!c->keep)
        return sp_connection_finish(c);
    c->mode = SP_CONNECTION_IDLE;
    c->deadline_us = now_us + SP_SERVER_IDLE_S * INT64_C(1000000);
    return 0;
}

/* Header and body in one write. */
int sp_http_send(struct sp_connection *c, const struct sp_reply *reply, bool head_only)
{
    const void *body = reply->fixed ? reply->fixed : reply->body.text;
    size_t bytes = reply->fixed ? reply->fixed_bytes : reply->body.used_bytes;
    int status = reply->body.failed ? 500 : reply->status;
    if (status == 204 || reply->body.failed)
        bytes = 0;
    const char *type = reply->type ? reply->type : "application/json";
    uint8_t *out = sp_server_scratch(c->server, 2048 + bytes);
    if (!out)
        return -1;
    size_t head = sp_http_head((char *)out, 2048, status, status == 204 ? NULL : type,
                               status == 204 ? -1 : (int64_t)bytes, c->keep, reply->headers);
    if (head == 0)
        return -1;
    if (bytes > 0 && !head_only)
        memcpy(out + head, body, bytes);
    if (sp_connection_write(c, out, head + (head_only ? 0 : bytes)) < 0)
        return -1;
    if (status >= 400)
        atomic_fetch_add(&c->server->refused, 1);
    return sp_http_sent(c);
}

int sp_http_refuse(struct sp_connection *c, int status, const char *detail, bool head_only)
{
    struct sp_reply reply = {.status = status};
    sp_json_clear(&c->server->json);
    reply.body = c->server->json;
    sp_json_begin_object(&reply.body);
    sp_json_key(&reply.body, "detail");
    sp_json_string(&reply.body, detail);
    sp_json_end_object(&reply.body);
    c->server->json = reply.body;
    snprintf(reply.headers, sizeof reply.headers, "Access-Control-Allow-Origin: *\r\n");
    return sp_http_send(c, &reply, head_only);
}
