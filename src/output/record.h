/* One entry of the outbox: a frame's tracks or an event, as bytes.
 *
 * Data flow: sp_result or sp_event -> sp_record_frame, sp_record_event -> bytes of a segment ->
 * sp_record_read -> struct sp_record, whose strings point into these bytes.
 *
 * Little-endian on every machine; strings are terminated. sp_record_read accepts any bytes. Any
 * thread. */
#pragma once

#include "class_names.h"
#include "event.h"
#include "result.h"
#include "spoton/output.h"

#include <stdbool.h>

enum { SP_RECORD_BYTES_MAX = 96 << 10, SP_RECORD_ID_BYTES = SP_RESULT_NAME_BYTES + 48 };

enum sp_record_type { SP_RECORD_FRAME = 1, SP_RECORD_EVENT = 2 };

/* What the outbox adds to a frame or an event. */
struct sp_record_head {
    uint64_t number;   /* over all cameras and starts; what is missing was lost */
    uint64_t epoch;    /* never used by an earlier start of the program */
    uint64_t sequence; /* of the camera in this epoch, from 1 */
};

struct sp_record {
    enum sp_record_type type;
    struct sp_record_head head;
    const char *camera; /* empty: of the program */
    int64_t wall_us;
    struct spoton_output_frame frame; /* FRAME; `tracks` points to the next member */
    struct spoton_output_track tracks[SP_TRACKS_MAX];
    struct spoton_output_event event; /* EVENT */
};

/* Write into out[SP_RECORD_BYTES_MAX] and return the length. */
size_t sp_record_frame(uint8_t *out, const struct sp_record_head *head,
                       const struct sp_result *result, const struct sp_class_names *names);
size_t sp_record_event(uint8_t *out, const struct sp_record_head *head,
                       const struct sp_event *event);

/* False: the bytes are not a record. The record is valid while the bytes are. */
bool sp_record_read(struct sp_record *record, const uint8_t *data, size_t bytes);

/* "<camera>/<epoch>/<sequence>"; the program's camera is "server". */
void sp_record_id(const struct sp_record *record, char out[SP_RECORD_ID_BYTES]);
