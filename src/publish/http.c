/* Requests and replies. */
#include "publish/server_internal.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

static const int64_t SEND_TIMEOUT_US = 30000000; /* for a client to take a whole reply */

static const struct {
    enum lws_token_indexes token;
    enum sp_method method;
} methods[] = {
    {WSI_TOKEN_GET_URI, SP_GET},         {WSI_TOKEN_HEAD_URI, SP_HEAD},
    {WSI_TOKEN_POST_URI, SP_POST},       {WSI_TOKEN_DELETE_URI, SP_DELETE},
    {WSI_TOKEN_OPTIONS_URI, SP_OPTIONS}, {WSI_TOKEN_PUT_URI, SP_OTHER},
    {WSI_TOKEN_PATCH_URI, SP_OTHER},     {WSI_TOKEN_CONNECT, SP_OTHER},
};

const char *sp_http_reason(int status)
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
        {414, "URI Too Long"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

bool sp_request_query(const struct sp_request *request, const char *key, char *out,
                      size_t out_bytes)
{
    size_t key_bytes = strlen(key);
    for (const char *at = request->query; *at; at += strlen(at) + 1)
        if (strncmp(at, key, key_bytes) == 0 && (at[key_bytes] == '=' || at[key_bytes] == '\0')) {
            snprintf(out, out_bytes, "%s", at[key_bytes] ? at + key_bytes + 1 : "");
            return true;
        }
    return false;
}

/* False: it does not fit, or holds a zero byte. A header that is not there is empty. */
static bool copy_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t out_bytes)
{
    out[0] = '\0';
    if (lws_hdr_total_length(wsi, token) == 0)
        return true;
    int length = lws_hdr_copy(wsi, out, (int)out_bytes, token);
    return length >= 0 && strlen(out) == (size_t)length;
}

/* The parts of the query, each terminated, an empty one at the end. */
static bool copy_query(struct lws *wsi, char *out, size_t out_bytes)
{
    size_t used = 0;
    for (int i = 0; i < 32; i++) {
        int length = lws_hdr_copy_fragment(wsi, out + used, (int)(out_bytes - used - 1),
                                           WSI_TOKEN_HTTP_URI_ARGS, i);
        if (length < 0)
            break;
        if (length == 0)
            continue;
        used += strlen(out + used) + 1;
        if (used + 2 >= out_bytes)
            return false;
    }
    out[used] = '\0';
    return true;
}

bool sp_http_read_request(struct sp_connection *c, struct sp_request *request)
{
    struct lws *wsi = c->wsi;
    memset(request, 0, sizeof *request);
    request->method = SP_OTHER;
    request->secure = lws_is_ssl(wsi) != 0;
    bool fits = true;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (lws_hdr_total_length(wsi, methods[i].token) > 0) {
            request->method = methods[i].method;
            fits = copy_header(wsi, methods[i].token, request->path, sizeof request->path);
            break;
        }
    return fits && copy_query(wsi, request->query, sizeof request->query) &&
           copy_header(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, request->authorization,
                       sizeof request->authorization) &&
           copy_header(wsi, WSI_TOKEN_HTTP_COOKIE, request->cookie, sizeof request->cookie) &&
           copy_header(wsi, WSI_TOKEN_ORIGIN, request->origin, sizeof request->origin) &&
           copy_header(wsi, WSI_TOKEN_HOST, request->host, sizeof request->host);
}

void sp_http_forget(struct sp_connection *c)
{
    free(c->request);
    free(c->body);
    c->request = NULL;
    c->body = NULL;
    c->body_bytes = 0;
}

size_t sp_http_head(char *out, size_t out_bytes, int status, const char *type, int64_t length_bytes,
                    const char *more)
{
    char length[64] = "";
    if (length_bytes >= 0)
        snprintf(length, sizeof length, "Content-Length: %lld\r\n", (long long)length_bytes);
    int used = snprintf(out, out_bytes,
                        "HTTP/1.1 %d %s\r\nServer: spoton\r\n%s%s%s%s%s"
                        "X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
                        status, sp_http_reason(status), type ? "Content-Type: " : "",
                        type ? type : "", type ? "\r\n" : "", length, more);
    return used > 0 && (size_t)used < out_bytes ? (size_t)used : 0;
}

/* Header and body in one write; what the socket does not take is kept by the library, which sends
 * it before it closes. */
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
                               status == 204 ? -1 : (int64_t)bytes, reply->headers);
    if (head == 0)
        return -1;
    if (bytes > 0 && !head_only)
        memcpy(out + head, body, bytes);
    if (sp_connection_write(c, out, head + (head_only ? 0 : bytes), LWS_WRITE_HTTP_HEADERS) < 0)
        return -1;
    if (status >= 400)
        atomic_fetch_add(&c->server->refused, 1);
    c->mode = SP_CONNECTION_CLOSING;
    c->deadline_us = sp_clock_us() + SEND_TIMEOUT_US;
    return -1;
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

static int answer(struct sp_connection *c, const struct sp_request *request)
{
    struct sp_server *server = c->server;
    struct sp_reply reply = {.status = 200};
    bool head_only = request->method == SP_HEAD;
    sp_json_clear(&server->json);
    reply.body = server->json;
    atomic_fetch_add(&server->requests, 1);
    server->options.site.request(server->options.site.user, request, &reply);
    server->json = reply.body; /* it may have grown */
    if (reply.kind == SP_REPLY_BODY)
        return sp_http_send(c, &reply, head_only);
    return sp_mjpeg_begin(c, &reply, head_only);
}

/* A path ends for the library where a line break is written "%0A", too: the rest of it then stands
 * where the version should. */
static bool is_request_line(struct lws *wsi)
{
    char version[16];
    return copy_header(wsi, WSI_TOKEN_HTTP, version, sizeof version) &&
           (strcmp(version, "HTTP/1.1") == 0 || strcmp(version, "HTTP/1.0") == 0);
}

int sp_http_begin(struct sp_connection *c)
{
    char length_text[32], coding[32];
    sp_http_forget(c);
    if (c->over_limit)
        return sp_http_refuse(c, 429, "too many connections from this address: close some", false);
    struct sp_request *request = malloc(sizeof *request);
    if (!request)
        return -1;
    c->request = request;
    if (!is_request_line(c->wsi))
        return sp_http_refuse(c, 400, "the request begins METHOD PATH HTTP/1.1", false);
    if (!sp_http_read_request(c, request))
        return sp_http_refuse(c, 414, "the path or a header is too long, or holds a zero byte",
                              false);
    if (!copy_header(c->wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH, length_text, sizeof length_text) ||
        !copy_header(c->wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING, coding, sizeof coding) || coding[0])
        return sp_http_refuse(c, 411, "send the body with a Content-Length", false);
    if (length_text[0] &&
        (strspn(length_text, "0123456789") != strlen(length_text) || strlen(length_text) > 12))
        return sp_http_refuse(c, 400, "Content-Length is no number", false);
    long long length = atoll(length_text);
    if (length > SP_SERVER_BODY_BYTES)
        return sp_http_refuse(c, 413, "the body is larger than 65536 bytes", false);
    if (length > 0) {
        c->body = malloc((size_t)length + 1);
        if (!c->body)
            return -1;
        c->mode = SP_CONNECTION_BODY;
        return 0;
    }
    request->body = "";
    int result = answer(c, request);
    sp_http_forget(c);
    return result;
}

int sp_http_body(struct sp_connection *c, const char *data, size_t bytes)
{
    if (c->mode != SP_CONNECTION_BODY || !c->body || c->body_bytes + bytes > SP_SERVER_BODY_BYTES)
        return -1;
    /* Never more than Content-Length said: the library counts. */
    memcpy(c->body + c->body_bytes, data, bytes);
    c->body_bytes += bytes;
    return 0;
}

int sp_http_body_end(struct sp_connection *c)
{
    if (c->mode != SP_CONNECTION_BODY)
        return 0;
    c->mode = SP_CONNECTION_IDLE;
    if (c->body)
        c->body[c->body_bytes] = '\0';
    c->request->body = c->body ? c->body : "";
    c->request->body_bytes = c->body_bytes;
    int result = answer(c, c->request);
    sp_http_forget(c);
    return result;
}
