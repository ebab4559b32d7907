/* /api/v2/events: the newest events of all cameras; /api/v2/outputs: the output plugins. */
#include "api/events.h"

#include "api/reply.h"
#include "publish/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CURSOR_BYTES = 48, WAIT_MOST_S = 60 };

/* False: the reply is an error. */
static bool read_number(struct sp_call *call, const char *key, uint64_t most, uint64_t *out)
{
    char text[24];
    if (!sp_request_query(call->request, key, text, sizeof text))
        return true;
    size_t length = strlen(text);
    uint64_t value = strtoull(text, NULL, 10);
    if (length == 0 || length > 18 || strspn(text, "0123456789") != length || value > most) {
        sp_call_refuse(call, 400, "%s: not a whole number from 0 to %llu", key,
                       (unsigned long long)most);
        return false;
    }
    *out = value;
    return true;
}

const char sp_events_tag[] = "/api/v2/events";

static void put_members(struct sp_json *json, const struct sp_event *event)
{
    char time[SP_TIME_BYTES];
    sp_time_format(event->wall_us, time);
    sp_json_member_int(json, "serial", (int64_t)event->serial);
    sp_json_member_string(json, "id", event->id);
    sp_json_member_string(json, "kind", event->kind);
    sp_json_member_string(json, "camera", event->camera);
    sp_json_member_string(json, "time", time);
    sp_json_key(json, "payload");
    sp_json_raw(json, event->payload);
    json->need_comma = true;
}

static void put_event(struct sp_json *json, const struct sp_event *event)
{
    sp_json_begin_object(json);
    put_members(json, event);
    sp_json_end_object(json);
}

void sp_events_mail(void *user)
{
    struct sp_api *api = user;
    struct sp_json json = {0};
    uint64_t oldest, newest;
    size_t count;
    do {
        count = sp_event_log_read(api->events, api->event_sent, api->events_out, SP_EVENTS_MAIL,
                                  &oldest, &newest);
        for (size_t i = 0; i < count; i++) {
            sp_json_clear(&json);
            sp_json_begin_object(&json);
            sp_json_member_int(&json, "schema", SP_MESSAGE_SCHEMA);
            sp_json_member_string(&json, "type", "event");
            put_members(&json, &api->events_out[i]);
            sp_json_end_object(&json);
            api->event_sent = api->events_out[i].serial;
            if (!json.failed)
                sp_server_mail(api->server, sp_events_tag, json.text, json.used_bytes);
        }
    } while (count == SP_EVENTS_MAIL);
    sp_json_release(&json);
}

/* "START-SERIAL": a serial of this start of the server. */
static void format_cursor(const struct sp_api *api, uint64_t serial, char out[CURSOR_BYTES])
{
    snprintf(out, CURSOR_BYTES, "%lld-%llu", (long long)api->started_wall_us,
             (unsigned long long)serial);
}

/* Serials begin again with each start, so one of another start is before all events. False: not a
 * cursor. */
static bool read_cursor(const struct sp_api *api, const char *text, uint64_t *serial)
{
    size_t start = strspn(text, "0123456789");
    size_t end = text[start] == '-' ? strspn(text + start + 1, "0123456789") : 0;
    if (start == 0 || start > 18 || end == 0 || end > 18 || text[start + 1 + end] != '\0')
        return false;
    bool same = strtoll(text, NULL, 10) == api->started_wall_us;
    *serial = same ? strtoull(text + start + 1, NULL, 10) : 0;
    return true;
}

static uint64_t newest_serial(const struct sp_api *api)
{
    uint64_t oldest, newest;
    sp_event_log_read(api->events, 0, NULL, 0, &oldest, &newest);
    return newest;
}

/* False: the reply is an error. */
static bool read_since(struct sp_call *call, uint64_t *since)
{
    char text[CURSOR_BYTES];
    if (!sp_request_query(call->request, "since", text, sizeof text))
        return true;
    if (read_cursor(call->api, text, since))
        return true;
    if (strcmp(text, "now") != 0)
        return read_number(call, "since", 999999999999999999ULL, since);
    *since = newest_serial(call->api);
    return true;
}

/* At most `limit` events after `since`, which becomes the last one's serial. */
static void put_list(struct sp_json *json, const struct sp_api *api, uint64_t *since,
                     uint64_t limit)
{
    uint64_t oldest, newest;
    char cursor[CURSOR_BYTES];
    struct sp_event *events = malloc(SP_EVENT_LOG_MAX * sizeof *events);
    if (!events) {
        json->failed = true;
        return;
    }
    size_t count = sp_event_log_read(api->events, *since, events, limit, &oldest, &newest);
    if (count > 0)
        *since = events[count - 1].serial;
    sp_json_begin_object(json);
    sp_json_key(json, "events");
    sp_json_begin_array(json);
    for (size_t i = 0; i < count; i++)
        put_event(json, &events[i]);
    sp_json_end_array(json);
    sp_json_member_int(json, "oldest", (int64_t)oldest);
    sp_json_member_int(json, "newest", (int64_t)newest);
    format_cursor(api, *since, cursor);
    sp_json_member_string(json, "cursor", cursor);
    sp_json_end_object(json);
    free(events);
}

/* In the format of server-sent events (HTML Living Standard, section 9.2). */
static bool put_stream(struct sp_json *json, const struct sp_api *api, struct sp_feed *feed)
{
    uint64_t oldest, newest;
    char cursor[CURSOR_BYTES];
    size_t count = sp_event_log_read(api->events, feed->after, api->events_out, SP_EVENTS_MAIL,
                                     &oldest, &newest);
    for (size_t i = 0; i < count; i++) {
        feed->after = api->events_out[i].serial;
        format_cursor(api, feed->after, cursor);
        sp_json_raw(json, "id: ");
        sp_json_raw(json, cursor);
        sp_json_raw(json, "\ndata: ");
        json->need_comma = false;
        put_event(json, &api->events_out[i]);
        sp_json_raw(json, "\n\n");
    }
    return count > 0;
}

bool sp_events_feed(void *user, struct sp_feed *feed, bool last, struct sp_json *json)
{
    const struct sp_api *api = user;
    if (feed->wait_us == 0)
        return put_stream(json, api, feed);
    if (!last && newest_serial(api) <= feed->after)
        return false;
    put_list(json, api, &feed->after, feed->limit);
    return true;
}

/* Whether the client prefers server-sent events, as EventSource does. */
static bool accepts_stream(const struct sp_request *request)
{
    static const char type[] = "text/event-stream";
    return strncasecmp(request->accept, type, sizeof type - 1) == 0;
}

void sp_events_list(struct sp_call *call)
{
    const struct sp_request *request = call->request;
    struct sp_feed feed = {.limit = SP_EVENT_LOG_MAX};
    uint64_t wait_s = 0;
    if (!read_since(call, &feed.after) ||
        !read_number(call, "limit", SP_EVENT_LOG_MAX, &feed.limit) ||
        !read_number(call, "wait", WAIT_MOST_S, &wait_s))
        return;
    bool stream = accepts_stream(request);
    /* A client that continues sends the query of its first request again. */
    if (stream && request->last_event_id[0] &&
        !read_cursor(call->api, request->last_event_id, &feed.after))
        feed.after = 0;
    feed.wait_us = stream ? 0 : (int64_t)wait_s * 1000000;
    bool waits = wait_s > 0 && request->method == SP_GET && newest_serial(call->api) <= feed.after;
    if (stream || waits) {
        call->reply->kind = SP_REPLY_FEED;
        call->reply->feed = feed;
    } else {
        put_list(call->json, call->api, &feed.after, feed.limit);
    }
}

static void put_delivery(struct sp_json *json, const struct sp_output_report *report)
{
    sp_json_member_bool(json, "connected", report->connected);
    sp_json_member_int(json, "sent", (int64_t)report->sent);
    sp_json_member_int(json, "retried", (int64_t)report->retried);
    sp_json_member_int(json, "rejected", (int64_t)report->rejected);
    sp_json_member_int(json, "lost", (int64_t)report->lost);
    sp_json_member_int(json, "lag_messages", (int64_t)report->lag_messages);
    sp_json_member_number(json, "lag_seconds", report->lag_seconds, 3);
}

static void put_outbox(struct sp_json *json, struct sp_outbox *outbox)
{
    static const char *const states[] = {"working", "full", "failing"};
    struct sp_outbox_report report;
    sp_outbox_report(outbox, &report);
    sp_json_key(json, "outbox");
    sp_json_begin_object(json);
    sp_json_member_string(json, "state", states[report.state]);
    sp_json_member_int(json, "bytes", (int64_t)report.bytes);
    sp_json_member_int(json, "appended", (int64_t)report.appended);
    sp_json_member_int(json, "dropped", (int64_t)report.dropped);
    sp_json_member_string(json, "error", report.error[0] ? report.error : NULL);
    sp_json_end_object(json);
}

void sp_events_outputs(struct sp_call *call)
{
    struct sp_json *json = call->json;
    sp_json_begin_object(json);
    sp_json_key(json, "outputs");
    sp_json_begin_array(json);
    for (int i = 0; i < sp_fan_out_count(call->api->outputs); i++) {
        struct sp_output_report report;
        sp_fan_out_report(call->api->outputs, i, &report);
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", report.name);
        sp_json_member_int(json, "frames", (int64_t)report.frames);
        sp_json_member_int(json, "events", (int64_t)report.events);
        sp_json_member_int(json, "dropped", (int64_t)report.dropped);
        sp_json_member_int(json, "failed", (int64_t)report.failed);
        sp_json_member_int(json, "queued", report.queued);
        sp_json_member_bool(json, "blocked", report.blocked);
        sp_json_member_string(json, "error", report.error[0] ? report.error : NULL);
        if (report.delivers)
            put_delivery(json, &report);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    struct sp_outbox *outbox = sp_fan_out_outbox(call->api->outputs);
    if (outbox)
        put_outbox(json, outbox);
    sp_json_end_object(json);
}
