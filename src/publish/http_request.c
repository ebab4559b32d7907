/* Incoming requests: http_parser parses one at a time; this file copies the parts that the site may
 * need, and refuses oversized requests before they have arrived in full. */
#include "publish/http_request.h"

#include "base/clock.h"
#include "publish/connection.h"
#include "publish/feed.h"
#include "publish/http_reply.h"
#include "publish/mjpeg.h"
#include "publish/ws.h"

#include <http_parser.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { URL_BYTES = 4096 };

struct sp_incoming {
    http_parser parser;
    struct sp_server *server;
    struct sp_request request;
    char url[URL_BYTES]; /* as received */
    size_t url_bytes;
    char field[40]; /* the name of a header; longer names are not in headers[] */
    size_t field_bytes;
    bool in_value;
    int header;    /* index into headers[] of the current value; -1: not in headers[] */
    unsigned seen; /* one bit per header */
    char upgrade[64], expect[32], key[64], version[16];
    char first; /* byte of the request */
    int status; /* of the error reply; 0: none */
    const char *detail;
    char *body;
    size_t body_room, body_bytes;
    bool complete, keep;
};

#define HEADER(header_name, member, list)                                                          \
    {                                                                                              \
        header_name, offsetof(struct sp_incoming, member),                                         \
            sizeof(((struct sp_incoming *)0)->member), list                                        \
    }

static const struct {
    const char *name;
    size_t offset, room;
    const char *list; /* separator of repeated headers; NULL: must not be repeated */
} headers[] = {
    HEADER("host", request.host, NULL),
    HEADER("origin", request.origin, NULL),
    HEADER("authorization", request.authorization, NULL),
    HEADER("cookie", request.cookie, "; "),
    HEADER("upgrade", upgrade, ", "),
    HEADER("expect", expect, ", "),
    HEADER("accept", request.accept, ", "),
    HEADER("last-event-id", request.last_event_id, NULL),
    HEADER("inference-header-content-length", request.inference_header, NULL),
    HEADER("x-spoton-node", request.node, NULL),
    HEADER("sec-websocket-key", key, NULL),
    HEADER("sec-websocket-version", version, ", "),
};

enum { HEADERS = sizeof headers / sizeof headers[0], HOST = 0 };

static int refuse(struct sp_incoming *in, int status, const char *detail)
{
    if (in->status == 0) {
        in->status = status;
        in->detail = detail;
    }
    return -1; /* stops the parser */
}

/* --- parser callbacks ------------------------------------------------------------------------- */

static int on_url(http_parser *parser, const char *at, size_t bytes)
{
    struct sp_incoming *in = parser->data;
    if (in->url_bytes + bytes >= sizeof in->url)
        return refuse(in, 414,
                      "path and query are too long; the limit is 1 KiB of path and 2 KiB of query");
    memcpy(in->url + in->url_bytes, at, bytes);
    in->url_bytes += bytes;
    return 0;
}

static int on_field(http_parser *parser, const char *at, size_t bytes)
{
    struct sp_incoming *in = parser->data;
    if (in->in_value)
        in->field_bytes = 0;
    in->in_value = false;
    if (bytes > sizeof in->field - in->field_bytes)
        bytes = sizeof in->field - in->field_bytes; /* longer than any name in headers[] */
    memcpy(in->field + in->field_bytes, at, bytes);
    in->field_bytes += bytes;
    return 0;
}

static int find_header(const struct sp_incoming *in)
{
    for (int i = 0; i < HEADERS; i++)
        if (strlen(headers[i].name) == in->field_bytes &&
            strncasecmp(headers[i].name, in->field, in->field_bytes) == 0)
            return i;
    return -1;
}

static int append_value(struct sp_incoming *in, const char *at, size_t bytes)
{
    char *value = (char *)in + headers[in->header].offset;
    size_t used = strlen(value);
    if (used + bytes >= headers[in->header].room)
        return refuse(in, 431, "a header is too long; shorten it");
    memcpy(value + used, at, bytes);
    value[used + bytes] = '\0';
    return 0;
}

static int on_value(http_parser *parser, const char *at, size_t bytes)
{
    struct sp_incoming *in = parser->data;
    if (!in->in_value) {
        in->in_value = true;
        in->header = find_header(in);
        bool again = in->header >= 0 && (in->seen >> in->header & 1);
        if (again && !headers[in->header].list)
            return refuse(
                in, 400,
                "a header that must be unique (Host, Origin, Authorization, ...) is repeated");
        if (in->header >= 0)
            in->seen |= 1U << in->header;
        if (again && append_value(in, headers[in->header].list, 2) < 0)
            return -1;
    }
    return in->header < 0 || bytes == 0 ? 0 : append_value(in, at, bytes);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes %XX and, in a query, '+' as a space. False: it does not fit, a %XX is invalid, or it
 * decodes to a zero byte. */
static bool decode(const char *text, size_t bytes, bool query, char *out, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes; i++) {
        char c = query && text[i] == '+' ? ' ' : text[i];
        if (c == '%') {
            int high = i + 2 < bytes ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0' || used + 1 >= room)
            return false;
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

/* The parts of the query, each decoded and terminated, then an empty one. */
static bool split_query(const char *text, size_t bytes, char *out, size_t room)
{
    size_t used = 0;
    for (size_t at = 0; at < bytes;) {
        const char *end = memchr(text + at, '&', bytes - at);
        size_t n = end ? (size_t)(end - text) - at : bytes - at;
        if (n > 0) {
            if (used + 2 >= room || !decode(text + at, n, true, out + used, room - used - 1))
                return false;
            used += strlen(out + used) + 1;
        }
        at += n + 1;
    }
    out[used] = '\0';
    return true;
}

static int read_url(struct sp_incoming *in)
{
    static const char wrong[] =
        "the path or the query is too long, or has a zero byte or an invalid %XX";
    struct sp_request *request = &in->request;
    const char *path = in->url;
    size_t bytes = in->url_bytes;
    struct http_parser_url parts;
    http_parser_url_init(&parts);
    /* http://host/path, the form used with proxies; the Host header counts nevertheless. */
    if (in->parser.method != HTTP_CONNECT && bytes > 0 && path[0] != '/' && path[0] != '*') {
        if (http_parser_parse_url(in->url, bytes, 0, &parts) != 0)
            return refuse(in, 400, "the path does not begin with /; send METHOD /PATH HTTP/1.1");
        bool has_path = parts.field_set & (1 << UF_PATH);
        path = has_path ? in->url + parts.field_data[UF_PATH].off : "/";
        bytes = has_path ? in->url_bytes - parts.field_data[UF_PATH].off : 1;
    }
    const char *fragment = memchr(path, '#', bytes);
    bytes = fragment ? (size_t)(fragment - path) : bytes;
    const char *query = memchr(path, '?', bytes);
    size_t path_bytes = query ? (size_t)(query - path) : bytes;
    if (!decode(path, path_bytes, false, request->path, sizeof request->path) ||
        (query &&
         !split_query(query + 1, bytes - path_bytes - 1, request->query, sizeof request->query)))
        return refuse(in, bytes > sizeof request->path ? 414 : 400, wrong);
    return 0;
}

static enum sp_method method_of(const http_parser *parser)
{
    switch ((enum http_method)parser->method) {
    case HTTP_GET:
        return SP_GET;
    case HTTP_HEAD:
        return SP_HEAD;
    case HTTP_POST:
        return SP_POST;
    case HTTP_PUT:
        return SP_PUT;
    case HTTP_DELETE:
        return SP_DELETE;
    case HTTP_OPTIONS:
        return SP_OPTIONS;
    default:
        return SP_OTHER;
    }
}

static size_t body_limit(struct sp_incoming *in)
{
    const struct sp_site *site = &in->server->options.site;
    return site->body_limit ? site->body_limit(site->user, &in->request) : SP_SERVER_BODY_BYTES;
}

static int on_head_end(http_parser *parser)
{
    struct sp_incoming *in = parser->data;
    uint64_t length = parser->flags & F_CONTENTLENGTH ? parser->content_length : 0;
    if (parser->http_major != 1 || parser->http_minor > 1)
        return refuse(in, 505, "unsupported HTTP version; use HTTP/1.1");
    if (parser->http_minor == 1 && !(in->seen >> HOST & 1))
        return refuse(in, 400, "the header Host is missing; HTTP/1.1 requires it");
    if (parser->uses_transfer_encoding)
        return refuse(in, 411, "chunked bodies are not supported; send Content-Length");
    if (in->expect[0] != '\0' && strcasecmp(in->expect, "100-continue") != 0)
        return refuse(in, 417, "unsupported Expect; only 100-continue is supported");
    in->request.method = method_of(parser);
    if (read_url(in) < 0)
        return -1;
    if (length > SP_SERVER_BODY_BYTES && length > body_limit(in))
        return refuse(in, 413, "the body is larger than 65536 bytes; send less");
    if (length == 0)
        return 0;
    in->body = malloc((size_t)length + 1);
    if (!in->body)
        return refuse(in, 503, "out of memory");
    in->body_room = (size_t)length;
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t bytes)
{
    struct sp_incoming *in = parser->data;
    if (bytes > in->body_room - in->body_bytes)
        return refuse(in, 413, "the body is longer than its Content-Length; correct it");
    memcpy(in->body + in->body_bytes, at, bytes);
    in->body_bytes += bytes;
    return 0;
}

static int on_end(http_parser *parser)
{
    struct sp_incoming *in = parser->data;
    in->keep = http_should_keep_alive(parser) != 0;
    in->complete = true;
    http_parser_pause(parser, 1); /* the remaining data belongs to the next request */
    return 0;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_head_end,
    .on_body = on_body,
    .on_message_complete = on_end,
};

/* --- one request ------------------------------------------------------------------------------ */

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

static int answer(struct sp_connection *c, struct sp_request *request)
{
    struct sp_server *server = c->server;
    struct sp_reply reply = {.status = 200};
    bool head_only = request->method == SP_HEAD;
    sp_json_clear(&server->json);
    reply.body = server->json;
    atomic_fetch_add(&server->requests, 1);
    server->options.site.request(server->options.site.user, request, &reply);
    server->json = reply.body; /* it may have grown */
    if (reply.kind == SP_REPLY_LATER) {
        request->body = NULL;
        c->mode = SP_CONNECTION_LATER;
        c->head_only = head_only;
        c->deadline_us = sp_clock_us() + SP_SERVER_LATER_S * INT64_C(1000000);
        return 0;
    }
    if (reply.kind == SP_REPLY_BODY)
        return sp_http_send(c, &reply, head_only);
    if (reply.kind == SP_REPLY_FEED)
        return sp_feed_begin(c, &reply, head_only);
    return sp_mjpeg_begin(c, &reply, head_only);
}

static void free_incoming(struct sp_incoming *in)
{
    if (in)
        free(in->body);
    free(in);
}

void sp_http_forget(struct sp_connection *c)
{
    free_incoming(c->incoming);
    c->incoming = NULL;
}

/* Errors of the parser itself. */
static void name_fault(struct sp_incoming *in)
{
    switch (HTTP_PARSER_ERRNO(&in->parser)) {
    case HPE_HEADER_OVERFLOW:
        refuse(in, 431, "the headers are larger than 8192 bytes; send fewer");
        break;
    case HPE_INVALID_METHOD:
        if (in->first >= 'A' && in->first <= 'Z') {
            refuse(in, 501, "unknown method; use GET, HEAD, POST, DELETE or OPTIONS");
            break;
        }
        refuse(in, 400, "invalid request line; send METHOD PATH HTTP/1.1");
        break;
    case HPE_INVALID_VERSION:
        refuse(in, 505, "invalid HTTP version; send METHOD PATH HTTP/1.1");
        break;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        refuse(in, 400, "Content-Length is invalid or repeated; send it once, as a number");
        break;
    case HPE_INVALID_TRANSFER_ENCODING:
        refuse(in, 411, "chunked bodies are not supported; send Content-Length");
        break;
    default:
        refuse(in, 400, "invalid HTTP/1.1 request");
        break;
    }
}

static int refuse_incoming(struct sp_connection *c)
{
    struct sp_incoming *in = c->incoming;
    c->incoming = NULL;
    name_fault(in);
    c->keep = false;
    c->input_bytes = 0; /* the start of the next request is unknown */
    bool head_only = in->url_bytes > 0 && in->parser.method == HTTP_HEAD;
    int result = sp_http_refuse(c, in->status, in->detail, head_only);
    free_incoming(in);
    return result;
}

int sp_http_late(struct sp_connection *c)
{
    if (c->incoming)
        refuse(c->incoming, 408, "the request did not arrive within 10 seconds; send it again");
    return c->incoming ? refuse_incoming(c) : -1;
}

static bool names_websocket(const char *list)
{
    static const char name[] = "websocket";
    for (const char *at = list; *at;) {
        at += strspn(at, " \t,");
        size_t n = strcspn(at, " \t,");
        if (n == sizeof name - 1 && strncasecmp(at, name, n) == 0)
            return true;
        at += n;
    }
    return false;
}

/* Any other upgrade, such as h2c, is only an offer of the client: the reply uses HTTP/1.1 (RFC
 * 9110, section 7.8). */
static bool is_websocket(const struct sp_incoming *in)
{
    return in->request.method == SP_GET && in->parser.http_minor == 1 &&
           (in->parser.flags & F_CONNECTION_UPGRADE) && names_websocket(in->upgrade);
}

static int answer_websocket(struct sp_connection *c, struct sp_incoming *in)
{
    if (strcmp(in->version, "13") != 0) {
        struct sp_reply reply = {
            .status = 426, .type = "application/json", .headers = "Sec-WebSocket-Version: 13\r\n"};
        static const char body[] = "{\"detail\":\"unsupported Sec-WebSocket-Version; use 13\"}";
        reply.fixed = body;
        reply.fixed_bytes = sizeof body - 1;
        return sp_http_send(c, &reply, false);
    }
    if (strlen(in->key) != 24)
        return sp_http_refuse(c, 400, "Sec-WebSocket-Key: not 24 characters of base64", false);
    return sp_ws_upgrade(c, &in->request, in->key);
}

static int answer_incoming(struct sp_connection *c)
{
    struct sp_incoming *in = c->incoming;
    c->incoming = NULL; /* answering may close the connection */
    c->keep = in->keep;
    if (in->body)
        in->body[in->body_bytes] = '\0';
    in->request.body = in->body ? in->body : "";
    in->request.body_bytes = in->body_bytes;
    in->request.reply = c->id = ++c->server->last_id;
    int result = is_websocket(in) ? answer_websocket(c, in) : answer(c, &in->request);
    if (!in->request.body) /* it is the site's now */
        in->body = NULL;
    free_incoming(in);
    return result;
}

static int begin_incoming(struct sp_connection *c)
{
    struct sp_incoming *in = calloc(1, sizeof *in);
    if (!in)
        return -1;
    http_parser_set_max_header_size(SP_SERVER_HEADER_BYTES);
    http_parser_init(&in->parser, HTTP_REQUEST);
    in->parser.data = in;
    in->first = c->input[0];
    in->server = c->server;
    in->header = -1;
    in->request.method = SP_OTHER;
    in->request.secure = c->secure;
    memcpy(in->request.address, c->address, sizeof in->request.address);
    if (c->over_limit)
        refuse(in, 429, "too many connections from this address; close some");
    c->incoming = in;
    c->mode = SP_CONNECTION_REQUEST;
    c->deadline_us = sp_clock_us() + SP_SERVER_REQUEST_S * INT64_C(1000000);
    return 0;
}

static void consume(struct sp_connection *c, size_t bytes)
{
    if (bytes == 0)
        return; /* without input */
    c->input_bytes -= bytes;
    memmove(c->input, c->input + bytes, c->input_bytes);
}

/* The client waits for this before it sends the body. */
static int say_continue(struct sp_connection *c, struct sp_incoming *in)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    if (in->expect[0] == '\0' || !in->body || in->body_bytes > 0)
        return 0;
    in->expect[0] = '\0';
    uint8_t *out = sp_server_scratch(c->server, sizeof text);
    if (!out)
        return -1;
    memcpy(out, text, sizeof text - 1);
    return sp_connection_write(c, out, sizeof text - 1);
}

int sp_http_run(struct sp_connection *c)
{
    if (c->mode != SP_CONNECTION_IDLE && c->mode != SP_CONNECTION_REQUEST)
        return 0;
    if (!c->incoming) {
        size_t blank = 0;
        while (blank < c->input_bytes && (c->input[blank] == '\r' || c->input[blank] == '\n'))
            blank++; /* some clients send a line break after a body */
        consume(c, blank);
    }
    if (c->input_bytes == 0)
        return 0;
    if (!c->incoming && begin_incoming(c) < 0)
        return -1;
    struct sp_incoming *in = c->incoming;
    if (in->status)
        return refuse_incoming(c);
    size_t used = http_parser_execute(&in->parser, &settings, c->input, c->input_bytes);
    if (in->complete) {
        consume(c, used);
        return answer_incoming(c);
    }
    if (HTTP_PARSER_ERRNO(&in->parser) != HPE_OK || used != c->input_bytes)
        return refuse_incoming(c);
    c->input_bytes = 0;
    return say_continue(c, in);
}
