/* Segments as rows of PostgreSQL: a row per block. */
#include "store/segments.h"

#include <stdlib.h>
#include <string.h>

enum { OFFSET_BITS = 21, ROWS = 128, COPY_BYTES = 1 << 20 };

struct row {
    char camera[SP_STORED_NAME_BYTES];
    int64_t day;
    const uint8_t *data; /* of the caller, valid until sync */
    size_t bytes;
};

struct tables {
    struct sp_segments base;
    struct sp_database *database;
    struct row row[ROWS];
    int rows;
    /* Being read. */
    uint8_t *out;
    size_t out_bytes;
    int64_t position;
    bool full;
    /* Being replaced. */
    char camera[SP_STORED_NAME_BYTES];
    int64_t day, last; /* serial of the last row that is replaced */
};

static int run(struct tables *t, const char *sql, const struct sp_sql_value *values, int count,
               struct sp_error *err)
{
    return sp_database_run(t->database, sql, values, count, err);
}

/* ---- appending ---- */

static int write_rows(struct tables *t, struct sp_error *err)
{
    static const char sql[] = "INSERT INTO spoton_segments(camera,day,bytes) VALUES($1,$2,$3)"
                              " ON CONFLICT(camera,day) DO UPDATE SET"
                              " bytes=spoton_segments.bytes+excluded.bytes";
    struct sp_sql_value values[ROWS * 3];
    int result = SP_OK;
    for (int i = 0; i < t->rows && result == SP_OK; i++) {
        const struct row *row = &t->row[i];
        values[3 * i] = sp_sql_int(row->day);
        values[3 * i + 1] = sp_sql_text(row->camera);
        values[3 * i + 2] = sp_sql_blob(row->data, row->bytes);
        result = t->database->api->prepare_day(t->database, row->day, err);
    }
    if (result == SP_OK)
        result = t->database->api->insert(t->database, "spoton_blocks", "day,camera,data", values,
                                          3, t->rows, err);
    for (int i = 0; i < t->rows && result == SP_OK; i++) {
        const struct sp_sql_value segment[] = {sp_sql_text(t->row[i].camera),
                                               sp_sql_int(t->row[i].day),
                                               sp_sql_int((int64_t)t->row[i].bytes)};
        result = run(t, sql, segment, 3, err);
    }
    t->rows = 0;
    return result;
}

static int append(struct sp_segments *segments, const char *camera, int64_t day,
                  const uint8_t *data, size_t bytes, struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    int result = SP_OK;
    if (t->rows == 0)
        result = run(t, "BEGIN", NULL, 0, err);
    /* Within the transaction, which sync ends. */
    if (result == SP_OK && t->rows == ROWS) {
        result = write_rows(t, err);
        if (result < 0)
            return result;
    }
    if (result < 0)
        return result;
    struct row *row = &t->row[t->rows++];
    *row = (struct row){.day = day, .data = data, .bytes = bytes};
    strncpy(row->camera, camera, sizeof row->camera - 1);
    return SP_OK;
}

static int sync_tables(struct sp_segments *segments, struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    if (t->rows == 0)
        return SP_OK;
    int result = write_rows(t, err);
    if (result == SP_OK)
        result = run(t, "COMMIT", NULL, 0, err);
    if (result < 0)
        (void)run(t, "ROLLBACK", NULL, 0, NULL);
    return result;
}

/* ---- reading ---- */

struct listing {
    struct sp_segment_list *list;
    struct sp_error *err;
    int result;
};

static bool take_segment(void *user, const struct sp_sql_value *values, int count)
{
    struct listing *listing = user;
    if (count == 3)
        listing->result = sp_segment_list_add(listing->list, sp_sql_string(&values[0]),
                                              values[1].number, values[2].number, listing->err);
    return listing->result == SP_OK;
}

static int list_tables(struct sp_segments *segments, struct sp_segment_list *out,
                       struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    struct listing listing = {.list = out, .err = err};
    int result = t->database->api->run(t->database, "SELECT camera,day,bytes FROM spoton_segments",
                                       NULL, 0, take_segment, &listing, NULL, err);
    sp_segment_list_sort(out);
    return result < 0 ? result : listing.result;
}

/* A position is a row's serial and the offset of a byte in it. */
static bool take_block(void *user, const struct sp_sql_value *values, int count)
{
    struct tables *t = user;
    if (count < 2 || t->full)
        return false;
    int64_t serial = values[0].number;
    size_t from = serial == t->position >> OFFSET_BITS
                      ? (size_t)(t->position & ((INT64_C(1) << OFFSET_BITS) - 1))
                      : 0;
    size_t left = values[1].bytes > from ? values[1].bytes - from : 0;
    size_t space = SP_SEGMENT_CHUNK_BYTES - t->out_bytes, n = left < space ? left : space;
    if (n > 0)
        memcpy(t->out + t->out_bytes, (const uint8_t *)values[1].data + from, n);
    t->out_bytes += n;
    t->full = n < left;
    t->position = (serial + !t->full) << OFFSET_BITS;
    if (t->full)
        t->position += (int64_t)(from + n);
    return !t->full;
}

static ssize_t read_tables(struct sp_segments *segments, const char *camera, int64_t day,
                           int64_t *position, uint8_t *data, struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    t->out = data;
    t->out_bytes = 0;
    t->position = *position;
    t->full = false;
    const struct sp_sql_value values[] = {sp_sql_text(camera), sp_sql_int(day),
                                          sp_sql_int(*position >> OFFSET_BITS)};
    int result = t->database->api->run(t->database,
                                       "SELECT serial,data FROM spoton_blocks WHERE camera=$1 AND"
                                       " day=$2 AND serial>=$3 ORDER BY serial LIMIT 256",
                                       values, 3, take_block, t, NULL, err);
    *position = t->position;
    return result < 0 ? result : (ssize_t)t->out_bytes;
}

/* ---- replacing ---- */

static bool take_number(void *user, const struct sp_sql_value *values, int count)
{
    if (count > 0)
        *(int64_t *)user = values[0].number;
    return false;
}

static int replace_begin(struct sp_segments *segments, const char *camera, int64_t day,
                         struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    strncpy(t->camera, camera, sizeof t->camera - 1);
    t->camera[sizeof t->camera - 1] = '\0';
    t->day = day;
    t->last = 0;
    const struct sp_sql_value values[] = {sp_sql_text(camera), sp_sql_int(day)};
    int result = run(t, "BEGIN", NULL, 0, err);
    if (result == SP_OK)
        result = run(t, "CREATE TEMP TABLE spoton_new(serial BIGSERIAL, data BYTEA) ON COMMIT DROP",
                     NULL, 0, err);
    if (result == SP_OK)
        result = t->database->api->run(t->database,
                                       "SELECT coalesce(max(serial),0) FROM spoton_blocks WHERE"
                                       " camera=$1 AND day=$2",
                                       values, 2, take_number, &t->last, NULL, err);
    return result;
}

static int replace_add(struct sp_segments *segments, const uint8_t *data, size_t bytes,
                       struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    const struct sp_sql_value value = sp_sql_blob(data, bytes);
    return t->database->api->insert(t->database, "spoton_new", "data", &value, 1, 1, err);
}

static int keep_new(struct tables *t, struct sp_error *err)
{
    const struct sp_sql_value values[] = {sp_sql_text(t->camera), sp_sql_int(t->day),
                                          sp_sql_int(t->last)};
    static const char *const statements[] = {
        "DELETE FROM spoton_blocks WHERE camera=$1 AND day=$2 AND serial<=$3",
        "INSERT INTO spoton_blocks(day,camera,data) SELECT $2,$1,data FROM spoton_new WHERE $3>=0"
        " ORDER BY serial",
        "UPDATE spoton_segments SET bytes=(SELECT coalesce(sum(length(data)),0) FROM spoton_blocks"
        " WHERE camera=$1 AND day=$2) WHERE camera=$1 AND day=$2 AND $3>=0",
        "DELETE FROM spoton_segments WHERE camera=$1 AND day=$2 AND bytes=0 AND $3>=0"};
    int result = SP_OK;
    for (int i = 0; i < 4 && result == SP_OK; i++)
        result = run(t, statements[i], values, 3, err);
    return result == SP_OK ? run(t, "COMMIT", NULL, 0, err) : result;
}

static int replace_end(struct sp_segments *segments, bool keep, struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    int result = keep ? keep_new(t, err) : SP_OK;
    if (!keep || result < 0)
        (void)run(t, "ROLLBACK", NULL, 0, NULL);
    return result;
}

static int remove_rows(struct sp_segments *segments, const char *camera, int64_t day,
                       struct sp_error *err)
{
    struct tables *t = (struct tables *)segments;
    const struct sp_sql_value values[] = {sp_sql_text(camera), sp_sql_int(day)};
    int result = run(t, "DELETE FROM spoton_blocks WHERE camera=$1 AND day=$2", values, 2, err);
    return result < 0
               ? result
               : run(t, "DELETE FROM spoton_segments WHERE camera=$1 AND day=$2", values, 2, err);
}

static void close_tables(struct sp_segments *segments)
{
    free(segments);
}

static const struct sp_segments_api api = {.close = close_tables,
                                           .append = append,
                                           .sync = sync_tables,
                                           .list = list_tables,
                                           .read = read_tables,
                                           .replace_begin = replace_begin,
                                           .replace_add = replace_add,
                                           .replace_end = replace_end,
                                           .remove = remove_rows};

int sp_segment_tables_open(struct sp_segments **out, struct sp_database *database,
                           struct sp_error *err)
{
    struct tables *t = calloc(1, sizeof *t);
    if (!t)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    t->base.api = &api;
    t->database = database;
    *out = &t->base;
    return SP_OK;
}
