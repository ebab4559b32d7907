/* A batch of messages on their way from the outbox to an output.
 *
 * Data flow: sp_messages_clear -> for each record: sp_messages_add for each of its messages,
 * sp_messages_end_record -> sp_messages_finish -> the plugin.
 *
 * Memory is kept and grows to the largest batch. One thread. */
#pragma once

#include "output/outbox_reader.h"
#include "spoton/output.h"

struct sp_messages {
    struct spoton_output_message *list; /* complete after sp_messages_finish */
    struct sp_outbox_place *places;     /* [count]: what is committed with the message */
    struct sp_outbox_place place;       /* after the last record */
    size_t count, capacity;
    char *text; /* what the list points to */
    size_t used_bytes, capacity_bytes;
    bool failed; /* out of memory */
};

struct sp_message_draft {
    const char *topic;
    const char *kind;         /* "tracks" */
    const char *content_type; /* NULL: "application/json" */
    const char *type;         /* "tracks", "line.crossed": made "dev.spoton.TYPE.v1" */
    const char *site;
    const void *payload;
    size_t payload_bytes;
    bool retain;
    int part; /* of several messages of one record, from 0: "<id>/<part>" above 0 */
};

void sp_messages_clear(struct sp_messages *messages);
void sp_messages_add(struct sp_messages *messages, const struct sp_record *record,
                     const struct sp_message_draft *draft);
void sp_messages_end_record(struct sp_messages *messages, struct sp_outbox_place place);
void sp_messages_finish(struct sp_messages *messages);
void sp_messages_release(struct sp_messages *messages);
