/* Requests and WebSocket messages as the network hands them to the API: any method, path, query,
 * headers and body. An input reads like HTTP, "?a=1&b=2" undecoded; after a line "ws" the body is a
 * message of a WebSocket client at that path. Replies are well formed, JSON where they say so, and
 * hold no secret. */
#include "site.h"

#include <jansson.h>

static struct site site;
static char task[64];

/* Now and then anew, so that removed cameras come back and tasks do not pile up. */
static void prepare(unsigned mode)
{
    static unsigned calls;
    static int open_mode = -1;
    if (calls++ % 500 != 0 && open_mode == (int)mode)
        return;
    if (open_mode >= 0)
        site_close(&site);
    site_open(&site, mode == 1);
    site_start_task(&site, task);
    open_mode = (int)mode;
}

static void check_headers(const char *headers)
{
    while (*headers) {
        const char *end = strstr(headers, "\r\n");
        FUZZ_CHECK(end && end > headers);
        for (const char *c = headers; c < end; c++)
            FUZZ_CHECK((unsigned char)*c >= 0x20 && *c != 0x7F);
        FUZZ_CHECK(memchr(headers, ':', (size_t)(end - headers)) != NULL);
        headers = end + 2;
    }
}

static void check_json(const struct sp_json *body)
{
    json_error_t where;
    FUZZ_CHECK(!body->failed && body->text);
    json_t *value = json_loadb(body->text, body->used_bytes, JSON_ALLOW_NUL, &where);
    if (!value)
        (void)fprintf(stderr, "%s in: %s\n", where.text, body->text);
    FUZZ_CHECK(value != NULL);
    json_decref(value);
}

static void check_reply(const struct sp_request *request, const struct sp_reply *reply)
{
    FUZZ_CHECK(reply->status >= 200 && reply->status < 600);
    FUZZ_CHECK(reply->status != 500);
    check_headers(reply->headers);
    if (reply->kind == SP_REPLY_BODY && !reply->fixed && !reply->type && reply->status != 204)
        check_json(&reply->body);
    if (reply->status >= 400)
        FUZZ_CHECK(strstr(reply->body.text, "\"detail\":") || reply->status == 503);
    /* What the client itself sent may come back in an error's text. */
    if (reply->kind == SP_REPLY_BODY && reply->body.text && !strstr(request->path, SITE_SECRET) &&
        !strstr(request->body, SITE_SECRET))
        FUZZ_CHECK(!strstr(reply->body.text, SITE_SECRET));
}

static void watch(struct sp_request *request, struct sp_reply *reply, const char *message,
                  size_t bytes)
{
    struct sp_ws_plan *plan = calloc(1, sizeof *plan);
    FUZZ_CHECK(plan != NULL);
    if (site.calls.upgrade(site.calls.user, request, plan, reply)) {
        struct sp_result *update = NULL;
        struct sp_frame *frame = NULL;
        sp_json_clear(&reply->body);
        site.calls.opened(site.calls.user, plan, &reply->body);
        if (reply->body.used_bytes > 0)
            check_json(&reply->body);
        site.calls.message(site.calls.user, plan, message, bytes);
        FUZZ_CHECK(sp_hub_latest(site.hub, 0, &update, &frame));
        sp_json_clear(&reply->body);
        if (plan->format == SP_WS_SITE)
            site.calls.format(site.calls.user, plan, update, &reply->body);
        if (reply->body.used_bytes > 0)
            check_json(&reply->body);
        sp_result_unref(update);
        sp_frame_unref(frame);
        site.calls.closed(site.calls.user, plan);
    } else {
        FUZZ_CHECK(reply->status >= 400);
        check_reply(request, reply);
    }
    free(plan);
}

/* "METHOD PATH?QUERY" */
static void read_line(struct sp_request *request, char *line)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"};
    char *path = strchr(line, ' ');
    if (path)
        *path++ = '\0';
    request->method = SP_OTHER;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(line, names[i]) == 0)
            request->method = (enum sp_method)i;
    char *query = path ? strchr(path, '?') : NULL;
    if (query)
        *query++ = '\0';
    snprintf(request->path, sizeof request->path, "%s", path ? path : "/");
    if (!query)
        return;
    snprintf(request->query, sizeof request->query - 1, "%s", query);
    for (char *c = request->query; *c; c++) /* parts, each terminated, an empty one at the end */
        if (*c == '&')
            *c = c[1] == '&' || c[1] == '\0' ? ' ' : '\0';
    request->query[sizeof request->query - 1] = '\0';
}

static void read_header(struct sp_request *request, const char *line)
{
    const struct {
        const char *name;
        char *to;
        size_t bytes;
    } known[] = {
        {"Authorization: ", request->authorization, sizeof request->authorization},
        {"Cookie: ", request->cookie, sizeof request->cookie},
        {"Origin: ", request->origin, sizeof request->origin},
        {"Host: ", request->host, sizeof request->host},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strncmp(line, known[i].name, strlen(known[i].name)) == 0)
            snprintf(known[i].to, known[i].bytes, "%s", line + strlen(known[i].name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sp_request request;
    static struct sp_json body; /* the network's, used again and again */
    bool socket = false;
    size_t left;
    if (bytes == 0)
        return 0;
    prepare(data[0] == '!');
    char *text = site_expand(data, bytes, task, &left), *at = text + (data[0] == '!');
    memset(&request, 0, sizeof request);
    left -= data[0] == '!';
    for (int line = 0;; line++) {
        char *end = memchr(at, '\n', left);
        if (!end || end == at) {
            at = end ? end + 1 : at + left;
            left = end ? left - 1 : 0;
            break;
        }
        *end = '\0';
        if (line == 0)
            read_line(&request, at);
        else
            read_header(&request, at);
        socket = socket || strcmp(at, "ws") == 0;
        left -= (size_t)(end + 1 - at);
        at = end + 1;
    }
    request.body = at;
    request.body_bytes = left;
    sp_json_clear(&body);
    struct sp_reply reply = {.status = 200, .body = body};
    if (socket) {
        reply.status = 400;
        watch(&request, &reply, at, left);
    } else {
        site.calls.request(site.calls.user, &request, &reply);
        check_reply(&request, &reply);
    }
    body = reply.body;
    if (data[bytes - 1] == '~')
        site.calls.tick(site.calls.user);
    free(text);
    return 0;
}
