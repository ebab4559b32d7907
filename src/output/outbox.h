/* The outbox: results and events on disk until every delivering output has delivered them.
 *
 * Data flow: sp_outbox_frame (tracking workers), sp_outbox_event -> one of two buffers in memory ->
 * the outbox's thread, which writes it to the newest segment and syncs every sync_us -> a reader
 * for each output (outbox_reader.h), each with a cursor on disk.
 *
 * Each record has a sequence of its camera, and an epoch that no earlier start of the program used,
 * so that "<camera>/<epoch>/<sequence>" never repeats, whatever happens to the clock. A segment is
 * deleted once all readers have committed it, or when the outbox exceeds max_bytes or the segment
 * max_age_us; what a reader then misses is counted as lost. Ages count only while the program runs.
 *
 * A full disk: the thread repeats the write every second, and up to two buffers are kept in memory;
 * what does not fit is dropped and counted as lost by all readers. `state` reports both changes.
 *
 * Memory: two buffers of at most 4 MiB. Appending never waits for the disk. */
#pragma once

#include "base/error.h"
#include "class_names.h"
#include "event.h"
#include "result.h"

#include <stdbool.h>
#include <stdint.h>

enum { SP_OUTBOX_BYTES_MIN = 1 << 20 };

struct sp_outbox;

enum sp_outbox_state { SP_OUTBOX_WORKING, SP_OUTBOX_FULL_DISK, SP_OUTBOX_FAILING };

struct sp_outbox_options {
    const char *dir;    /* created if missing */
    uint64_t max_bytes; /* at least SP_OUTBOX_BYTES_MIN */
    int64_t max_age_us;
    int64_t sync_us;
};

/* SP_ERR_CLOSED: another process uses the folder. SP_ERR_IO, SP_ERR_NO_SPACE, ... */
int sp_outbox_open(struct sp_outbox **out, const struct sp_outbox_options *options,
                   struct sp_error *err);

/* Called on the outbox's thread, without locks, at each change of the state; `text` describes it.
 */
void sp_outbox_listen(struct sp_outbox *outbox,
                      void (*state)(void *user, enum sp_outbox_state state, const char *text),
                      void *user);

/* Writes and syncs what was appended; nothing may be appended afterwards. Readers continue. NULL is
 * allowed. */
void sp_outbox_end(struct sp_outbox *outbox);

/* The same, and frees it. Readers must be closed. NULL is allowed. */
void sp_outbox_close(struct sp_outbox *outbox);

/* The epoch of this start, above all epochs of earlier ones. Epochs of cameras are above it. */
uint64_t sp_outbox_epoch(const struct sp_outbox *outbox);

/* Chosen at random when the folder was created. */
unsigned sp_outbox_identity(const struct sp_outbox *outbox);

/* Before the first frame. The names outlive the outbox; NULL: none. */
void sp_outbox_set_classes(struct sp_outbox *outbox, const struct sp_class_names *classes);

/* Any thread; frames of one camera in order. Never block. */
void sp_outbox_frame(struct sp_outbox *outbox, const struct sp_result *result);
void sp_outbox_event(struct sp_outbox *outbox, const struct sp_event *event);

struct sp_outbox_report {
    enum sp_outbox_state state;
    char error[256];   /* empty: none */
    uint64_t bytes;    /* on disk */
    uint64_t dropped;  /* not written since the start: the disk was full or too slow */
    uint64_t appended; /* since the start */
};
void sp_outbox_report(struct sp_outbox *outbox, struct sp_outbox_report *report);
