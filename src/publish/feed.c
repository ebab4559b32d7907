#include "publish/feed.h"

#include "base/clock.h"
#include "publish/connection.h"
#include "publish/http_reply.h"

#include <stdio.h>
#include <string.h>

static const int64_t KEEP_ALIVE_US = 15000000; /* proxies end a reply that is silent for a minute */
static const char comment[] = ":\n\n";

static int write_text(struct sp_connection *c, const char *text, size_t bytes)
{
    uint8_t *out = sp_server_scratch(c->server, bytes);
    if (!out)
        return -1;
    memcpy(out, text, bytes);
    c->fed_us = sp_clock_us();
    return sp_connection_write(c, out, bytes);
}

static int send_stream_head(struct sp_connection *c, const char *headers)
{
    char more[1200], head[2048];
    snprintf(more, sizeof more, "%sCache-Control: no-store, no-transform\r\n", headers);
    size_t bytes = sp_http_head(head, sizeof head, 200, "text/event-stream", -1, false, more);
    return bytes > 0 ? write_text(c, head, bytes) : -1;
}

int sp_feed_begin(struct sp_connection *c, const struct sp_reply *reply, bool head_only)
{
    c->feed = reply->feed;
    if (c->feed.wait_us > 0) {
        snprintf(c->headers, sizeof c->headers, "%s", reply->headers);
        c->mode = SP_CONNECTION_WAIT;
        c->deadline_us = sp_clock_us() + c->feed.wait_us;
    } else {
        if (send_stream_head(c, reply->headers) < 0)
            return -1;
        c->mode = SP_CONNECTION_FEED;
    }
    if (head_only) {
        c->keep = false;
        return sp_http_sent(c);
    }
    sp_connection_want(c);
    return 0;
}

static int send_part(struct sp_connection *c, bool found)
{
    const struct sp_json *json = &c->server->json;
    int result = 0;
    if (found && !json->failed)
        result = write_text(c, json->text, json->used_bytes);
    else if (sp_clock_us() - c->fed_us >= KEEP_ALIVE_US)
        result = write_text(c, comment, sizeof comment - 1);
    if (found && result == 0)
        sp_connection_want(c); /* for what follows */
    return result;
}

int sp_feed_writable(struct sp_connection *c)
{
    const struct sp_site *site = &c->server->options.site;
    struct sp_json *json = &c->server->json;
    bool waits = c->mode == SP_CONNECTION_WAIT;
    bool last = waits && sp_clock_us() >= c->deadline_us;
    c->waiting_since_us = 0;
    sp_json_clear(json);
    bool found = site->feed(site->user, &c->feed, last, json);
    if (!waits)
        return send_part(c, found);
    if (!found)
        return 0;
    struct sp_reply reply = {.status = 200, .body = *json};
    memcpy(reply.headers, c->headers, sizeof c->headers);
    return sp_http_send(c, &reply, false);
}

int sp_feed_check(struct sp_connection *c, int64_t now_us)
{
    bool due = c->mode == SP_CONNECTION_WAIT ? now_us >= c->deadline_us
                                             : now_us - c->fed_us >= KEEP_ALIVE_US;
    if (due)
        sp_connection_want(c);
    return 0;
}

void sp_feed_wake(struct sp_server *server)
{
    for (struct sp_connection *c = server->connections; c; c = c->next)
        if (c->mode == SP_CONNECTION_FEED || c->mode == SP_CONNECTION_WAIT)
            sp_connection_want(c);
}
