/* Counts by line or zone and by bucket of time.
 *
 * Data flow: rows of counts per minute, or counting events -> sp_count_table_add -> JSON of
 * /api/v2/history/counts (docs/HISTORY.md). Memory is bounded by SP_COUNT_SERIES_MAX times the
 * number of buckets. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { SP_COUNT_SERIES_MAX = 512, SP_COUNT_BUCKETS_MAX = 10000 };

struct sp_json;
struct sp_count_table;

/* Buckets begin at multiples of bucket_us. SP_ERR_INVALID: too many. */
int sp_count_table_open(struct sp_count_table **out, int64_t from_us, int64_t to_us,
                        int64_t bucket_us, struct sp_error *err);
void sp_count_table_close(struct sp_count_table *table); /* NULL is allowed */

struct sp_count_addition {
    const char *name, *direction; /* direction NULL: a zone */
    int64_t time_us;              /* others than [from_us, to_us) are ignored */
    int64_t count, dwell_us;
    int people_max;
};
/* SP_ERR_NO_MEMORY; SP_ERR_INVALID: too many names. */
int sp_count_table_add(struct sp_count_table *table, const struct sp_count_addition *addition,
                       struct sp_error *err);

/* Adds "from", "to", "bucket_s", "lines" and "zones" to the open object. */
void sp_count_table_json(const struct sp_count_table *table, int64_t to_us, struct sp_json *json);
