/* Hands results and events on to output plugins. Those that deliver (delivery.h) read them from the
 * outbox on disk; for each of the others there is a bounded queue and a thread.
 *
 * Data flow: sp_fan_out_frame (tracking workers) and sp_fan_out_event -> each output's queue, which
 * holds references, no copies -> its thread -> the plugin (spoton/output.h). A full queue drops the
 * new frame for this output and counts it; a quarter of the queue is reserved for events and ends
 * of cameras. Nothing here waits for a plugin. */
#pragma once

#include "base/error.h"
#include "class_names.h"
#include "event.h"
#include "output/outbox.h"
#include "output/snapshots.h"
#include "result.h"

enum { SP_OUTPUTS_MAX = 16, SP_OUTPUT_QUEUE = 256, SP_OUTPUT_NAME_BYTES = 64 };

struct sp_fan_out;

struct sp_fan_out_options {
    const char *outputs;             /* as the setting OUTPUTS */
    struct sp_outbox_options outbox; /* opened if an output delivers */
    const char *site, *node;         /* copied */
    struct sp_image_source image;    /* for outputs that send snapshots; take NULL: none */
    bool check;                      /* only for sp_fan_out_check: no thread, no outbox */
};

/* Opens all plugins. SP_ERR_INVALID and the errors of sp_output_plugin_load and sp_outbox_open; an
 * error of a plugin's open() is SP_ERR_IO with its text. */
int sp_fan_out_open(struct sp_fan_out **out, const struct sp_fan_out_options *options,
                    struct sp_error *err);

/* NULL: no output delivers. */
struct sp_outbox *sp_fan_out_outbox(const struct sp_fan_out *fan_out);

/* Before the first frame. The names are valid until the last frame. */
void sp_fan_out_set_classes(struct sp_fan_out *fan_out, const struct sp_class_names *classes);

/* Any thread; frames of one camera in order. Never blocks; takes a reference for each output. */
void sp_fan_out_frame(struct sp_fan_out *fan_out, struct sp_result *result);
void sp_fan_out_event(struct sp_fan_out *fan_out, const struct sp_event *event);

/* The camera of this index was removed: its outputs are told after its last frame. Any thread. */
void sp_fan_out_end_camera(struct sp_fan_out *fan_out, int camera);

struct sp_output_report {
    char name[SP_OUTPUT_NAME_BYTES]; /* "jsonl"; a second one is "jsonl-2" */
    uint64_t frames, events;         /* accepted by the plugin */
    uint64_t dropped;                /* frames and events that did not fit into the queue */
    uint64_t failed;                 /* calls that returned an error */
    int queued;
    bool blocked;    /* one call has lasted for more than a second */
    char error[256]; /* of the last failed call; empty: none */

    bool delivers; /* from the outbox; the next ones are valid, not frames, events and dropped */
    bool connected;
    uint64_t sent, retried, rejected, lost; /* see struct sp_delivery_report */
    uint64_t lag_messages;
    double lag_seconds;
};
int sp_fan_out_count(const struct sp_fan_out *fan_out);
/* Tries the output, if it delivers. SP_ERR_IO: the text says what is wrong. */
int sp_fan_out_check(struct sp_fan_out *fan_out, int index, struct sp_error *err);

void sp_fan_out_report(struct sp_fan_out *fan_out, int index, struct sp_output_report *report);

/* Delivers what is queued for up to a second, then closes the plugins. One that does not return is
 * abandoned: it keeps its thread and its memory. All references are released. False: one was
 * abandoned, so the process must end without exit handlers. NULL is allowed. */
bool sp_fan_out_close(struct sp_fan_out *fan_out);
