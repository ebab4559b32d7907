/* One delivering output: a thread that reads the outbox, renders messages and has a plugin deliver
 * them.
 *
 * Data flow: outbox reader -> dialects (dialect.h) -> struct sp_messages -> the plugin's deliver()
 * -> commit of the cursor. What was not delivered is repeated with a back-off from 0.2 to 10 s,
 * with jitter, so that messages of one camera stay in order.
 *
 * Images (send=snapshots) are made when they are due and sent once between two batches; what fails
 * is not repeated.
 *
 * Options that belong to the program: format, topic, prefix, send (tracks, events, people, health,
 * snapshots), rate (messages with tracks per second and camera), snapshot_s, snapshot_width, site,
 * status (the topic of "online" and "offline", or none), name, home_assistant. The plugin gets the
 * others.
 */
#pragma once

#include "output/outbox.h"
#include "output/snapshots.h"
#include "spoton/output.h"

#include <time.h>

struct sp_delivery;

struct sp_delivery_setup {
    const struct spoton_output_api *api;
    const char *name; /* unique: "mqtt-2"; also that of the cursor */
    const char *options;
    struct sp_outbox *outbox; /* NULL: only for sp_delivery_check */
    const char *site, *node;
    struct sp_image_source image; /* take NULL: no images */
};

/* Opens the plugin, without connecting. SP_ERR_INVALID, SP_ERR_IO: the text names the option. */
int sp_delivery_open(struct sp_delivery **out, const struct sp_delivery_setup *setup,
                     struct sp_error *err);

/* Starts the thread. SP_ERR_NO_MEMORY. */
int sp_delivery_start(struct sp_delivery *delivery, struct sp_error *err);

/* Requests the end; what is left for the time in between is delivered in half a second. */
void sp_delivery_stop(struct sp_delivery *delivery);

/* Waits for the thread until `until` (CLOCK_MONOTONIC) and frees. False: it does not end; the
 * thread and its memory remain. */
bool sp_delivery_close(struct sp_delivery *delivery, const struct timespec *until);

struct sp_delivery_report {
    bool connected, blocked; /* blocked: one call has lasted for more than 35 s */
    uint64_t sent;           /* messages that the other side accepted */
    uint64_t retried;        /* sent again */
    uint64_t rejected;       /* refused for good by the other side */
    uint64_t lost;           /* records that left the outbox before they were sent */
    uint64_t lag_messages;   /* records not delivered yet */
    double lag_seconds;      /* age of the oldest of them */
    uint64_t failed;         /* calls that returned an error */
    char error[256];         /* of the last failed call; empty after a success */
};
void sp_delivery_report(struct sp_delivery *delivery, struct sp_delivery_report *report);

/* Connects and delivers one message of type "check". SP_ERR_IO: the plugin's text. */
int sp_delivery_check(struct sp_delivery *delivery, struct sp_error *err);
