/* A cursor in the outbox, kept on disk under the output's name.
 *
 * Data flow: segments -> sp_outbox_read -> the output -> sp_outbox_commit -> the cursor, which is
 * saved with the outbox's next sync. After a crash, records are read again from the saved cursor
 * on: at least once. A new reader begins with the newest record.
 *
 * Each reader belongs to one thread; sp_outbox_lag may be called by any. */
#pragma once

#include "output/outbox.h"
#include "output/record.h"

struct sp_outbox_reader;

/* `name`: of a file. SP_ERR_INVALID: too many readers. */
int sp_outbox_reader_open(struct sp_outbox_reader **out, struct sp_outbox *outbox, const char *name,
                          struct sp_error *err);
void sp_outbox_reader_close(struct sp_outbox_reader *reader); /* NULL is allowed */

/* Waits up to wait_us for a record. False: none. The record is valid until the next call. */
bool sp_outbox_read(struct sp_outbox_reader *reader, struct sp_record *record, int64_t wait_us);

/* A place between two records. */
struct sp_outbox_place {
    uint64_t position, number;
};

/* After the last record that was read. */
struct sp_outbox_place sp_outbox_place(const struct sp_outbox_reader *reader);

/* All records before the place are delivered. */
void sp_outbox_commit(struct sp_outbox_reader *reader, const struct sp_outbox_place *place);

/* Records that are not committed; *lost: those that were deleted before they were read, since the
 * start. */
uint64_t sp_outbox_lag(struct sp_outbox_reader *reader, uint64_t *lost);
