/* The frames of a store for `spoton count`.
 *
 * Data flow: store -> ordered frames -> sp_counter_frame, and sp_counter_restart where the
 * recording process was started again. One thread. */
#pragma once

#include "command/counter.h"

struct sp_count_store;

/* Whether a path or URL names a store. */
bool sp_count_store_is(const char *path);

/* from, to: as --from and --to; NULL: no limit. */
int sp_count_store_open(struct sp_count_store **out, const char *location, const char *from,
                        const char *to, struct sp_error *err);
void sp_count_store_close(struct sp_count_store *store); /* NULL is allowed */

int sp_count_store_cameras(const struct sp_count_store *store, const char *const **names);
int sp_count_store_run(struct sp_count_store *store, struct sp_counter *counter,
                       struct sp_error *err);
