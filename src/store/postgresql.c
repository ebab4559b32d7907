/* The tables of a store in PostgreSQL. Events and blocks are partitioned by day. */
#include "store/database.h"

#include "store/libpq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATEMENTS = 48, COLUMNS_MAX = 16, NUMBER_BYTES = 24, INT2 = 21, INT4 = 23, INT8 = 20 };
enum { BYTEA = 17, NUMERIC = 1700, SQLSTATE = 'C', PREPARED_DAYS = 4 };

struct postgresql {
    struct sp_database base;
    const struct sp_libpq *pq;
    sp_pg_connection *connection;
    char *prepared[STATEMENTS]; /* statement "s<index>" */
    int count;
    int64_t days[PREPARED_DAYS];
    unsigned day_turn;
    char *copy;
    size_t copy_bytes, copy_capacity;
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS spoton_events(serial BIGSERIAL, day BIGINT NOT NULL,"
    " time_us BIGINT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, camera TEXT NOT NULL,"
    " name TEXT, person BIGINT, track BIGINT, dwell_us BIGINT, payload TEXT NOT NULL)"
    " PARTITION BY RANGE(day);"
    "CREATE INDEX IF NOT EXISTS spoton_events_time ON spoton_events(time_us, serial);"
    "CREATE INDEX IF NOT EXISTS spoton_events_name ON spoton_events(kind, name, time_us);"
    "CREATE TABLE IF NOT EXISTS spoton_blocks(serial BIGSERIAL, day BIGINT NOT NULL,"
    " camera TEXT NOT NULL, data BYTEA NOT NULL) PARTITION BY RANGE(day);"
    "ALTER TABLE spoton_blocks ALTER COLUMN data SET STORAGE EXTERNAL;"
    "CREATE INDEX IF NOT EXISTS spoton_blocks_camera ON spoton_blocks(camera, day, serial);"
    "CREATE TABLE IF NOT EXISTS spoton_segments(camera TEXT NOT NULL, day BIGINT NOT NULL,"
    " bytes BIGINT NOT NULL, PRIMARY KEY(camera, day));"
    "CREATE TABLE IF NOT EXISTS spoton_minutes(minute BIGINT NOT NULL, kind TEXT NOT NULL,"
    " name TEXT NOT NULL, direction TEXT NOT NULL, count BIGINT NOT NULL, dwell_us BIGINT NOT NULL,"
    " people_max BIGINT NOT NULL, PRIMARY KEY(minute, kind, name, direction));"
    "CREATE TABLE IF NOT EXISTS spoton_tracks(run_us BIGINT NOT NULL, camera TEXT NOT NULL,"
    " epoch BIGINT NOT NULL, track BIGINT NOT NULL, person BIGINT NOT NULL,"
    " first_us BIGINT NOT NULL, last_us BIGINT NOT NULL, boxes BIGINT NOT NULL,"
    " PRIMARY KEY(camera, run_us, epoch, track));"
    "CREATE INDEX IF NOT EXISTS spoton_tracks_person ON spoton_tracks(person, last_us);"
    "CREATE INDEX IF NOT EXISTS spoton_tracks_time ON spoton_tracks(last_us);"
    "CREATE TABLE IF NOT EXISTS spoton_hours(hour BIGINT NOT NULL, camera TEXT NOT NULL,"
    " boxes BIGINT NOT NULL, tracks BIGINT NOT NULL, confidence_milli BIGINT NOT NULL,"
    " on_ms BIGINT NOT NULL, up_ms BIGINT NOT NULL, PRIMARY KEY(hour, camera));"
    "CREATE TABLE IF NOT EXISTS spoton_feedback(serial BIGSERIAL PRIMARY KEY,"
    " time_us BIGINT NOT NULL, record TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS spoton_images(number BIGINT PRIMARY KEY, day BIGINT NOT NULL,"
    " camera TEXT NOT NULL, bytes BIGINT NOT NULL, jpeg BYTEA NOT NULL);"
    "ALTER TABLE spoton_images ALTER COLUMN jpeg SET STORAGE EXTERNAL;"
    "CREATE INDEX IF NOT EXISTS spoton_images_day ON spoton_images(camera, day, bytes);"
    "CREATE TABLE IF NOT EXISTS spoton_event_images(event TEXT PRIMARY KEY, number BIGINT NOT "
    "NULL);"
    "CREATE INDEX IF NOT EXISTS spoton_event_images_number ON spoton_event_images(number);";

/* ---- errors and results ---- */

/* The first line of libpq's message, which names host and user, but no password. */
static int fail(struct postgresql *p, const sp_pg_result *result, struct sp_error *err)
{
    const char *text = p->pq->PQerrorMessage(p->connection);
    const char *state = result ? p->pq->PQresultErrorField(result, SQLSTATE) : NULL;
    p->base.broken = p->base.broken || p->pq->PQstatus(p->connection) != SP_PG_CONNECTION_OK;
    bool full = state && strcmp(state, "53100") == 0;
    return sp_fail(err, full ? SP_ERR_NO_SPACE : SP_ERR_IO, "PostgreSQL: %.*s",
                   (int)strcspn(text, "\n"), text);
}

static int finish(struct postgresql *p, sp_pg_result *result, struct sp_error *err)
{
    int status = p->pq->PQresultStatus(result), code = SP_OK;
    if (status != SP_PG_COMMAND_OK && status != SP_PG_TUPLES_OK)
        code = fail(p, result, err);
    p->pq->PQclear(result);
    return code;
}

static int execute(struct postgresql *p, const char *sql, struct sp_error *err)
{
    return finish(p, p->pq->PQexec(p->connection, sql), err);
}

static int statement_of(struct postgresql *p, const char *sql, char name[16], struct sp_error *err)
{
    int at = 0;
    while (at < p->count && strcmp(p->prepared[at], sql) != 0)
        at++;
    snprintf(name, 16, "s%d", at % STATEMENTS);
    if (at < p->count)
        return SP_OK;
    if (at == STATEMENTS) { /* statements with filters come in many forms */
        int result = execute(p, "DEALLOCATE ALL", err);
        if (result < 0)
            return result;
        for (int i = 0; i < p->count; i++)
            free(p->prepared[i]);
        p->count = 0;
    }
    snprintf(name, 16, "s%d", p->count);
    int result = finish(p, p->pq->PQprepare(p->connection, name, sql, 0, NULL), err);
    if (result < 0)
        return result;
    p->prepared[p->count] = strdup(sql);
    if (!p->prepared[p->count])
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    p->count++;
    return SP_OK;
}

static int hex(char c)
{
    return c >= 'a' ? c - 'a' + 10 : c - '0';
}

/* "\x0102" in place. */
static size_t decode_bytes(char *text, int length)
{
    size_t bytes = length > 2 ? (size_t)(length - 2) / 2 : 0;
    for (size_t i = 0; i < bytes; i++)
        text[i] = (char)(hex(text[2 + 2 * i]) << 4 | hex(text[3 + 2 * i]));
    return bytes;
}

static void read_row(struct postgresql *p, const sp_pg_result *result, int row, int columns,
                     struct sp_sql_value *values)
{
    for (int i = 0; i < columns; i++) {
        unsigned type = p->pq->PQftype(result, i);
        char *text = p->pq->PQgetvalue(result, row, i);
        if (p->pq->PQgetisnull(result, row, i))
            values[i] = sp_sql_text(NULL);
        else if (type == BYTEA)
            values[i] = sp_sql_blob(text, decode_bytes(text, p->pq->PQgetlength(result, row, i)));
        else if (type == INT2 || type == INT4 || type == INT8 || type == NUMERIC)
            values[i] = sp_sql_int(strtoll(text, NULL, 10));
        else
            values[i] = sp_sql_text(text);
    }
}

static int run(struct sp_database *database, const char *sql, const struct sp_sql_value *values,
               int count, sp_sql_row *row, void *user, int64_t *changed, struct sp_error *err)
{
    struct postgresql *p = (struct postgresql *)database;
    char name[16], number[COLUMNS_MAX][NUMBER_BYTES];
    const char *text[COLUMNS_MAX];
    int length[COLUMNS_MAX], format[COLUMNS_MAX];
    struct sp_sql_value columns[COLUMNS_MAX];
    int code = statement_of(p, sql, name, err);
    if (code < 0)
        return code;
    for (int i = 0; i < count && i < COLUMNS_MAX; i++) {
        snprintf(number[i], NUMBER_BYTES, "%lld", (long long)values[i].number);
        text[i] = values[i].kind == SP_SQL_INT    ? number[i]
                  : values[i].kind == SP_SQL_NULL ? NULL
                                                  : values[i].data;
        length[i] = (int)values[i].bytes;
        format[i] = values[i].kind == SP_SQL_BLOB;
    }
    sp_pg_result *result =
        p->pq->PQexecPrepared(p->connection, name, count, text, length, format, 0);
    int status = p->pq->PQresultStatus(result);
    if (status == SP_PG_TUPLES_OK) {
        int rows = p->pq->PQntuples(result), width = p->pq->PQnfields(result);
        width = width < COLUMNS_MAX ? width : COLUMNS_MAX;
        for (int i = 0; row && i < rows; i++) {
            read_row(p, result, i, width, columns);
            if (!row(user, columns, width))
                break;
        }
    }
    if (changed)
        *changed = strtoll(p->pq->PQcmdTuples(result), NULL, 10);
    return finish(p, result, err);
}

/* ---- COPY ---- */

static bool grow(struct postgresql *p, size_t more)
{
    if (p->copy_bytes + more <= p->copy_capacity)
        return true;
    size_t capacity = 2 * (p->copy_bytes + more);
    char *grown = realloc(p->copy, capacity);
    if (grown) {
        p->copy = grown;
        p->copy_capacity = capacity;
    }
    return grown;
}

static bool copy_value(struct postgresql *p, const struct sp_sql_value *value, char end)
{
    static const char digits[] = "0123456789abcdef";
    if (!grow(p, NUMBER_BYTES + 8 + 2 * value->bytes))
        return false;
    char *at = p->copy + p->copy_bytes;
    const uint8_t *data = value->data;
    if (value->kind == SP_SQL_NULL) {
        at = stpcpy(at, "\\N");
    } else if (value->kind == SP_SQL_INT) {
        at += snprintf(at, NUMBER_BYTES, "%lld", (long long)value->number);
    } else if (value->kind == SP_SQL_BLOB) {
        at = stpcpy(at, "\\\\x");
        for (size_t i = 0; i < value->bytes; i++) {
            *at++ = digits[data[i] >> 4];
            *at++ = digits[data[i] & 15];
        }
    } else {
        for (size_t i = 0; i < value->bytes; i++) {
            char c = (char)data[i];
            bool special = c == '\\' || c == '\n' || c == '\r' || c == '\t';
            if (special)
                *at++ = '\\';
            *at++ = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c;
        }
    }
    *at++ = end;
    p->copy_bytes = (size_t)(at - p->copy);
    return true;
}

static int insert(struct sp_database *database, const char *table, const char *columns,
                  const struct sp_sql_value *rows, int column_count, int row_count,
                  struct sp_error *err)
{
    struct postgresql *p = (struct postgresql *)database;
    char sql[512];
    p->copy_bytes = 0;
    for (int i = 0; i < row_count; i++)
        for (int k = 0; k < column_count; k++)
            if (!copy_value(p, &rows[i * column_count + k], k + 1 < column_count ? '\t' : '\n'))
                return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    snprintf(sql, sizeof sql, "COPY %s(%s) FROM STDIN", table, columns);
    sp_pg_result *result = p->pq->PQexec(p->connection, sql);
    if (p->pq->PQresultStatus(result) != SP_PG_COPY_IN)
        return finish(p, result, err);
    p->pq->PQclear(result);
    bool sent = p->pq->PQputCopyData(p->connection, p->copy, (int)p->copy_bytes) == 1;
    sent = p->pq->PQputCopyEnd(p->connection, NULL) == 1 && sent;
    int code = sent ? SP_OK : fail(p, NULL, err);
    while ((result = p->pq->PQgetResult(p->connection))) {
        int ended = finish(p, result, code == SP_OK ? err : NULL);
        code = code == SP_OK ? ended : code;
    }
    return code;
}

/* ---- partitions ---- */

static int prepare_day(struct sp_database *database, int64_t day, struct sp_error *err)
{
    struct postgresql *p = (struct postgresql *)database;
    char sql[512];
    for (int i = 0; i < PREPARED_DAYS; i++)
        if (p->days[i] == day)
            return SP_OK;
    int used = 0;
    static const char *const tables[] = {"spoton_events", "spoton_blocks"};
    for (int i = 0; i < 2; i++)
        used += snprintf(sql + used, sizeof sql - (size_t)used,
                         "CREATE TABLE IF NOT EXISTS %s_%lld PARTITION OF %s FOR VALUES FROM (%lld)"
                         " TO (%lld);",
                         tables[i], (long long)day, tables[i], (long long)day, (long long)day + 1);
    int result = execute(p, sql, err);
    if (result == SP_OK)
        p->days[p->day_turn++ % PREPARED_DAYS] = day;
    return result;
}

struct partitions {
    int64_t before;
    int count;
    char name[256][64];
};

static bool take_partition(void *user, const struct sp_sql_value *values, int count)
{
    struct partitions *found = user;
    const char *name = count > 0 ? sp_sql_string(&values[0]) : "";
    const char *number = strrchr(name, '_');
    if (number && strtoll(number + 1, NULL, 10) < found->before)
        snprintf(found->name[found->count++], 64, "%s", name);
    return found->count < 256;
}

static int drop_days(struct sp_database *database, int64_t before, struct sp_error *err)
{
    struct partitions *found = calloc(1, sizeof *found);
    if (!found)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    found->before = before;
    const struct sp_sql_value value = sp_sql_int(before);
    int result = run(database,
                     "SELECT c.relname::text FROM pg_inherits i"
                     " JOIN pg_class c ON c.oid = i.inhrelid"
                     " WHERE i.inhparent IN ('spoton_events'::regclass, 'spoton_blocks'::regclass)"
                     " AND c.relkind = 'r'",
                     NULL, 0, take_partition, found, NULL, err);
    for (int i = 0; i < found->count && result == SP_OK; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "DROP TABLE IF EXISTS %s", found->name[i]);
        result = execute((struct postgresql *)database, sql, err);
    }
    memset(((struct postgresql *)database)->days, 0, sizeof((struct postgresql *)database)->days);
    if (result == SP_OK)
        result = run(database, "DELETE FROM spoton_segments WHERE day < $1", &value, 1, NULL, NULL,
                     NULL, err);
    free(found);
    return result;
}

static int vacuum(struct sp_database *database, struct sp_error *err)
{
    static const char *const statements[] = {
        "VACUUM FULL spoton_events", "VACUUM FULL spoton_blocks", "VACUUM FULL spoton_tracks",
        "VACUUM FULL spoton_images", "VACUUM FULL spoton_event_images"};
    int result = SP_OK;
    for (int i = 0; i < 5 && result == SP_OK; i++)
        result = execute((struct postgresql *)database, statements[i], err);
    return result;
}

/* The server's own business. */
static int trim(struct sp_database *database, struct sp_error *err)
{
    (void)database;
    (void)err;
    return SP_OK;
}

static int verify(struct sp_database *database, struct sp_error *err)
{
    return execute((struct postgresql *)database, "SELECT count(*) FROM spoton_events", err);
}

static int64_t bytes_of(struct sp_database *database)
{
    (void)database;
    return 0; /* the server's own business; segments are counted */
}

/* ---- open and close ---- */

static void close_database(struct sp_database *database)
{
    struct postgresql *p = (struct postgresql *)database;
    if (p->connection)
        p->pq->PQfinish(p->connection);
    for (int i = 0; i < p->count; i++)
        free(p->prepared[i]);
    free(p->copy);
    free(p);
}

static const struct sp_database_api api = {.close = close_database,
                                           .run = run,
                                           .insert = insert,
                                           .prepare_day = prepare_day,
                                           .drop_days = drop_days,
                                           .vacuum = vacuum,
                                           .trim = trim,
                                           .verify = verify,
                                           .bytes = bytes_of};

int sp_postgresql_open(struct sp_database **out, const char *url, struct sp_error *err)
{
    const struct sp_libpq *pq = sp_libpq_load(err);
    if (!pq)
        return SP_ERR_UNSUPPORTED;
    struct postgresql *p = calloc(1, sizeof *p);
    if (!p)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    p->base.api = &api;
    p->pq = pq;
    static const char *const keywords[] = {"dbname",  "connect_timeout", "application_name",
                                           "options", "client_encoding", NULL};
    const char *const values[] = {url, "5", "spoton", "-c client_min_messages=error", "UTF8", NULL};
    p->connection = pq->PQconnectdbParams(keywords, values, 1);
    int result = SP_OK;
    if (!p->connection)
        result = sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    else if (pq->PQstatus(p->connection) != SP_PG_CONNECTION_OK)
        result = fail(p, NULL, err);
    /* Two processes that create the tables at once would collide. */
    if (result == SP_OK)
        result = execute(p, "SELECT pg_advisory_lock(1936747375)", err);
    if (result == SP_OK)
        result = execute(p, schema, err);
    if (result == SP_OK)
        result = execute(p, "SELECT pg_advisory_unlock(1936747375)", err);
    if (result < 0)
        close_database(&p->base);
    else
        *out = &p->base;
    return result;
}
