/* Images of events: JPEG in a table, and which event has which.
 *
 * Data flow: recorder -> sp_image_rows_add -> sp_image_rows_write, in the transaction of rows.h ->
 * spoton_images and spoton_event_images -> sp_store_image_read (API), removal (erase.c, store.c).
 * An image has one number, its time in microseconds since the Unix epoch, and any number of events.
 *
 * While the database fails, at most SP_IMAGE_ROWS images wait, and SP_IMAGE_ROWS_BYTES of them; the
 * oldest are dropped. One thread at a time. Errors as of store/database.h. */
#pragma once

#include "store/recorder.h"
#include "store/store.h"

enum { SP_IMAGE_ROWS = 256, SP_IMAGE_ROWS_BYTES = 8 << 20 };

struct sp_image_rows;

int sp_image_rows_open(struct sp_image_rows **out, struct sp_error *err);
void sp_image_rows_close(struct sp_image_rows *rows); /* NULL is allowed */

/* jpeg[image->bytes] is copied. */
void sp_image_rows_add(struct sp_image_rows *rows, const struct sp_recorded_image *image,
                       const uint8_t *jpeg);
bool sp_image_rows_any(const struct sp_image_rows *rows);
/* Within the caller's transaction. */
int sp_image_rows_write(const struct sp_image_rows *rows, struct sp_store *store,
                        struct sp_error *err);
/* After the transaction. */
void sp_image_rows_clear(struct sp_image_rows *rows);

/* *jpeg: for the caller to free. SP_ERR_NOT_FOUND: it was not stored, or is removed. */
int sp_store_image_read(struct sp_store *store, int64_t number, uint8_t **jpeg, size_t *bytes,
                        struct sp_error *err);

struct sp_image_filter {
    int64_t from_us, to_us; /* their own times */
    const char *camera;     /* NULL: all */
};

/* *removed (may be NULL) is added to. */
int sp_store_images_remove(struct sp_store *store, const struct sp_image_filter *filter,
                           int64_t *removed, struct sp_error *err);
int sp_store_images_count(struct sp_store *store, const struct sp_image_filter *filter,
                          int64_t *count, int64_t *bytes, struct sp_error *err);
/* What still connects events with images that are gone. */
int sp_store_images_forget(struct sp_store *store, struct sp_error *err);

/* Adds their bytes to those of the segments of the same camera and day, or an item for them. */
int sp_store_images_sizes(struct sp_store *store, struct sp_segment_list *list,
                          struct sp_error *err);
