/* The history store: tracks in segments, the rest in tables.
 *
 * Data flow: recorder.h writes -> segments (store/segments.h) and tables (store/database.h) ->
 * reader.h, queries.h read -> API, `spoton store`, `spoton count`. A location is a folder, with
 * DIR/tracks/ and DIR/history.sqlite, or a URL of PostgreSQL, with everything in tables.
 *
 * Ownership: the caller closes. A struct sp_store has one connection: one thread at a time; each
 * thread opens its own. Errors name the location without its password. */
#pragma once

#include "store/reader.h"

enum { SP_STORE_LOCATION_BYTES = 4096 };

struct sp_store {
    struct sp_database *database;
    struct sp_segments *segments;
    bool postgresql;
    char shown[SP_STORE_LOCATION_BYTES]; /* without a password */
};

bool sp_store_is_url(const char *location);

/* create: makes the folder and the tables; otherwise SP_ERR_NOT_FOUND if there is no store. */
int sp_store_open(struct sp_store **out, const char *location, bool create, struct sp_error *err);
void sp_store_close(struct sp_store *store); /* NULL is allowed */

/* Bytes of all segments and tables. */
int sp_store_bytes(struct sp_store *store, int64_t *bytes, struct sp_error *err);

/* Removes what is older than `days` (0: nothing), and then, of the camera with most bytes the
 * tracks and images of its oldest day, until at most max_bytes remain (0: no limit). Today's stay.
 * *removed (may be NULL): the number of days of cameras. */
int sp_store_retain(struct sp_store *store, int days, int64_t max_bytes, int64_t now_us,
                    int *removed, struct sp_error *err);
