/* Rows of the tables, collected by the recorder and written in one transaction: events with their
 * counts per minute, and tracks.
 *
 * While the database fails, at most SP_ROWS_EVENTS events wait, and fewer of the others; the oldest
 * are dropped. One thread
 * at a time. */
#pragma once

#include "event.h"
#include "store/block.h"
#include "store/recorder.h"
#include "store/store.h"

enum { SP_ROWS_EVENTS = 2048, SP_ROWS_HOURS = 256, SP_ROWS_FEEDBACK = 64 };

/* What a counting event's payload names; absent members are zero or empty. */
struct sp_event_subject {
    char name[SP_STORED_NAME_BYTES];      /* of the line or zone */
    char direction[SP_STORED_NAME_BYTES]; /* of a crossing */
    uint32_t person, track;
    int64_t dwell_us;
    int people;
};
void sp_event_subject_read(struct sp_event_subject *subject, const char *payload);

struct sp_rows;

int sp_rows_open(struct sp_rows **out, int64_t run_us, struct sp_error *err);
void sp_rows_close(struct sp_rows *rows); /* NULL is allowed */

void sp_rows_event(struct sp_rows *rows, const struct sp_event *event);
void sp_rows_hour(struct sp_rows *rows, const struct sp_recorded_hour *hour);
void sp_rows_feedback(struct sp_rows *rows, int64_t time_us, const char *record);
void sp_rows_image(struct sp_rows *rows, const struct sp_recorded_image *image,
                   const uint8_t *jpeg);
/* A frame of the camera with this index. */
void sp_rows_frame(struct sp_rows *rows, int index, const char *name, uint32_t epoch,
                   const struct sp_stored_frame *frame);

/* Writes what has changed; tracks that are still seen only if `all`. On an error nothing is written
 * and all is kept. *events: the number written. */
int sp_rows_write(struct sp_rows *rows, struct sp_store *store, bool all, uint64_t *events,
                  struct sp_error *err);
uint64_t sp_rows_dropped(const struct sp_rows *rows); /* events */
