#include "api/metrics_store.h"

#include "api/metrics.h"
#include "store/recorder.h"

#include <stdio.h>

static void put(struct sp_json *out, const char *name, const char *type, const char *help,
                double value)
{
    char text[400];
    snprintf(text, sizeof text, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type,
             name, value);
    sp_json_raw(out, text);
}

static void put_all(struct sp_recorder *recorder, struct sp_json *out)
{
    struct sp_recorder_report report;
    char text[128];
    sp_recorder_report(recorder, &report);
    sp_json_raw(out, "# HELP spoton_store_state 1 for the state that the history store has.\n"
                     "# TYPE spoton_store_state gauge\n");
    for (int i = SP_RECORDER_RECORDING; i <= SP_RECORDER_FAILED; i++) {
        snprintf(text, sizeof text, "spoton_store_state{state=\"%s\"} %d\n",
                 sp_recorder_state_name((enum sp_recorder_state)i), (int)report.state == i);
        sp_json_raw(out, text);
    }
    put(out, "spoton_store_frames_total", "counter", "Frames whose tracks were stored.",
        (double)report.frames);
    put(out, "spoton_store_dropped_frames_total", "counter",
        "Frames whose tracks could not be stored.", (double)report.dropped);
    put(out, "spoton_store_events_total", "counter", "Events that were stored.",
        (double)report.events);
    put(out, "spoton_store_written_bytes_total", "counter", "Bytes of tracks that were stored.",
        (double)report.bytes);
    put(out, "spoton_store_waiting_bytes", "gauge", "Bytes of tracks that wait to be stored.",
        (double)report.waiting_bytes);
    put(out, "spoton_store_bytes", "gauge", "Size of the history store.",
        (double)report.store_bytes);
}

void sp_metrics_with_store(struct sp_call *call)
{
    sp_metrics(call);
    if (call->reply->status == 200 && call->api->recorder)
        put_all(call->api->recorder, call->json);
}
