/* /api/v2/events: the newest events of all cameras; /api/v2/outputs: the output plugins. */
#include "api/events.h"

#include "api/reply.h"
#include "publish/message.h"

#include <stdlib.h>
#include <string.h>

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

void sp_events_list(struct sp_call *call)
{
    uint64_t since = 0, limit = SP_EVENT_LOG_MAX, oldest, newest;
    if (!read_number(call, "since", 999999999999999999ULL, &since) ||
        !read_number(call, "limit", SP_EVENT_LOG_MAX, &limit))
        return;
    struct sp_event *events = malloc(SP_EVENT_LOG_MAX * sizeof *events);
    if (!events) {
        sp_call_refuse(call, 503, "out of memory");
        return;
    }
    size_t count = sp_event_log_read(call->api->events, since, events, limit, &oldest, &newest);
    sp_json_begin_object(call->json);
    sp_json_key(call->json, "events");
    sp_json_begin_array(call->json);
    for (size_t i = 0; i < count; i++)
        put_event(call->json, &events[i]);
    sp_json_end_array(call->json);
    sp_json_member_int(call->json, "oldest", (int64_t)oldest);
    sp_json_member_int(call->json, "newest", (int64_t)newest);
    sp_json_end_object(call->json);
    free(events);
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
