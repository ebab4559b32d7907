/* The tables of a store in a folder: SQLite with a write-ahead log. */
#include "store/database.h"

#include <errno.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STATEMENTS = 48, BUSY_MS = 5000, COLUMNS_MAX = 16 };

struct cached {
    char *sql;
    sqlite3_stmt *statement;
};

struct sqlite {
    struct sp_database base;
    sqlite3 *handle;
    char path[PATH_MAX];
    struct cached cached[STATEMENTS];
    int count;
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS spoton_events(serial INTEGER PRIMARY KEY AUTOINCREMENT,"
    " day INTEGER NOT NULL, time_us INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,"
    " camera TEXT NOT NULL, name TEXT, person INTEGER, track INTEGER, dwell_us INTEGER,"
    " payload TEXT NOT NULL);"
    "CREATE INDEX IF NOT EXISTS spoton_events_time ON spoton_events(time_us, serial);"
    "CREATE INDEX IF NOT EXISTS spoton_events_name ON spoton_events(kind, name, time_us);"
    "CREATE TABLE IF NOT EXISTS spoton_minutes(minute INTEGER NOT NULL, kind TEXT NOT NULL,"
    " name TEXT NOT NULL, direction TEXT NOT NULL, count INTEGER NOT NULL, dwell_us INTEGER NOT "
    "NULL,"
    " people_max INTEGER NOT NULL, PRIMARY KEY(minute, kind, name, direction)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS spoton_tracks(run_us INTEGER NOT NULL, camera TEXT NOT NULL,"
    " epoch INTEGER NOT NULL, track INTEGER NOT NULL, person INTEGER NOT NULL, first_us INTEGER "
    "NOT NULL,"
    " last_us INTEGER NOT NULL, boxes INTEGER NOT NULL,"
    " PRIMARY KEY(camera, run_us, epoch, track)) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS spoton_tracks_person ON spoton_tracks(person, last_us);"
    "CREATE INDEX IF NOT EXISTS spoton_tracks_time ON spoton_tracks(last_us);"
    "CREATE TABLE IF NOT EXISTS spoton_hours(hour INTEGER NOT NULL, camera TEXT NOT NULL,"
    " boxes INTEGER NOT NULL, tracks INTEGER NOT NULL, confidence_milli INTEGER NOT NULL,"
    " on_ms INTEGER NOT NULL, up_ms INTEGER NOT NULL, PRIMARY KEY(hour, camera)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS spoton_feedback(serial INTEGER PRIMARY KEY AUTOINCREMENT,"
    " time_us INTEGER NOT NULL, record TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS spoton_images(number INTEGER PRIMARY KEY, day INTEGER NOT NULL,"
    " camera TEXT NOT NULL, bytes INTEGER NOT NULL, jpeg BLOB NOT NULL);"
    "CREATE INDEX IF NOT EXISTS spoton_images_day ON spoton_images(camera, day, bytes);"
    "CREATE TABLE IF NOT EXISTS spoton_event_images(event TEXT PRIMARY KEY, number INTEGER NOT "
    "NULL)"
    " WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS spoton_event_images_number ON spoton_event_images(number);";

static int fail(struct sqlite *s, struct sp_error *err)
{
    int code = sqlite3_errcode(s->handle), extended = sqlite3_extended_errcode(s->handle);
    bool full = code == SQLITE_FULL ||
                (extended == SQLITE_IOERR_WRITE && sqlite3_system_errno(s->handle) != EIO);
    return sp_fail(err, full ? SP_ERR_NO_SPACE : SP_ERR_IO, "%s: %s", s->path,
                   sqlite3_errmsg(s->handle));
}

static sqlite3_stmt *prepare(struct sqlite *s, const char *sql, struct sp_error *err)
{
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->cached[i].sql, sql) == 0)
            return s->cached[i].statement;
    if (s->count == STATEMENTS) { /* statements with filters come in many forms */
        sqlite3_finalize(s->cached[0].statement);
        free(s->cached[0].sql);
        memmove(&s->cached[0], &s->cached[1], (STATEMENTS - 1) * sizeof s->cached[0]);
        s->count--;
    }
    struct cached *cached = &s->cached[s->count];
    cached->sql = strdup(sql);
    if (!cached->sql || sqlite3_prepare_v3(s->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                           &cached->statement, NULL) != SQLITE_OK) {
        free(cached->sql);
        fail(s, err);
        return NULL;
    }
    s->count++;
    return cached->statement;
}

static void bind(sqlite3_stmt *statement, int at, const struct sp_sql_value *value)
{
    switch (value->kind) {
    case SP_SQL_NULL:
        sqlite3_bind_null(statement, at);
        break;
    case SP_SQL_INT:
        sqlite3_bind_int64(statement, at, value->number);
        break;
    case SP_SQL_TEXT:
        sqlite3_bind_text(statement, at, value->data, (int)value->bytes, SQLITE_STATIC);
        break;
    case SP_SQL_BLOB:
        sqlite3_bind_blob(statement, at, value->data, (int)value->bytes, SQLITE_STATIC);
        break;
    }
}

static int read_row(sqlite3_stmt *statement, struct sp_sql_value values[COLUMNS_MAX])
{
    int count = sqlite3_column_count(statement);
    count = count < COLUMNS_MAX ? count : COLUMNS_MAX;
    for (int i = 0; i < count; i++) {
        int type = sqlite3_column_type(statement, i);
        if (type == SQLITE_NULL)
            values[i] = (struct sp_sql_value){.kind = SP_SQL_NULL};
        else if (type == SQLITE_INTEGER)
            values[i] = sp_sql_int(sqlite3_column_int64(statement, i));
        else if (type == SQLITE_BLOB)
            values[i] = sp_sql_blob(sqlite3_column_blob(statement, i),
                                    (size_t)sqlite3_column_bytes(statement, i));
        else
            values[i] = sp_sql_text((const char *)sqlite3_column_text(statement, i));
    }
    return count;
}

static int run(struct sp_database *database, const char *sql, const struct sp_sql_value *values,
               int count, sp_sql_row *row, void *user, int64_t *changed, struct sp_error *err)
{
    struct sqlite *s = (struct sqlite *)database;
    sqlite3_stmt *statement = prepare(s, sql, err);
    if (!statement)
        return SP_ERR_IO;
    for (int i = 0; i < count; i++) {
        char name[8];
        snprintf(name, sizeof name, "$%d", i + 1);
        int at = sqlite3_bind_parameter_index(statement, name);
        if (at > 0)
            bind(statement, at, &values[i]);
    }
    int code, result = SP_OK;
    struct sp_sql_value columns[COLUMNS_MAX];
    while ((code = sqlite3_step(statement)) == SQLITE_ROW)
        if (row && !row(user, columns, read_row(statement, columns)))
            break;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        result = fail(s, err);
    if (changed)
        *changed = sqlite3_changes(s->handle);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result;
}

static int insert(struct sp_database *database, const char *table, const char *columns,
                  const struct sp_sql_value *rows, int column_count, int row_count,
                  struct sp_error *err)
{
    char sql[512];
    int used = snprintf(sql, sizeof sql, "INSERT INTO %s(%s) VALUES(", table, columns);
    for (int i = 0; i < column_count; i++)
        used += snprintf(sql + used, sizeof sql - (size_t)used, i ? ",$%d" : "$%d", i + 1);
    snprintf(sql + used, sizeof sql - (size_t)used, ")");
    int result = SP_OK;
    for (int i = 0; i < row_count && result == SP_OK; i++)
        result = run(database, sql, &rows[(size_t)i * (size_t)column_count], column_count, NULL,
                     NULL, NULL, err);
    return result;
}

static int prepare_day(struct sp_database *database, int64_t day, struct sp_error *err)
{
    (void)database;
    (void)day;
    (void)err;
    return SP_OK;
}

static int drop_days(struct sp_database *database, int64_t before, struct sp_error *err)
{
    const struct sp_sql_value value = sp_sql_int(before);
    return run(database, "DELETE FROM spoton_events WHERE day < $1", &value, 1, NULL, NULL, NULL,
               err);
}

static int vacuum(struct sp_database *database, struct sp_error *err)
{
    int result = run(database, "VACUUM", NULL, 0, NULL, NULL, NULL, err);
    return result < 0
               ? result
               : run(database, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, 0, NULL, NULL, NULL, err);
}

static bool take_text(void *user, const struct sp_sql_value *values, int count)
{
    if (count > 0)
        snprintf(user, 200, "%s", sp_sql_string(&values[0]));
    return false;
}

static int verify(struct sp_database *database, struct sp_error *err)
{
    char text[200] = "";
    int result = run(database, "PRAGMA quick_check", NULL, 0, take_text, text, NULL, err);
    if (result == SP_OK && strcmp(text, "ok") != 0)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: damaged: %s; restore it from a backup, or remove it",
                       ((struct sqlite *)database)->path, text);
    return result;
}

static int trim(struct sp_database *database, struct sp_error *err)
{
    return run(database, "PRAGMA incremental_vacuum", NULL, 0, NULL, NULL, NULL, err);
}

static int64_t number_of(struct sqlite *s, const char *pragma)
{
    int64_t number = 0;
    sqlite3_stmt *statement = prepare(s, pragma, NULL);
    if (statement && sqlite3_step(statement) == SQLITE_ROW)
        number = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return number;
}

/* Free pages are used again before the file grows. */
static int64_t bytes_of(struct sp_database *database)
{
    struct sqlite *s = (struct sqlite *)database;
    return (number_of(s, "PRAGMA page_count") - number_of(s, "PRAGMA freelist_count")) *
           number_of(s, "PRAGMA page_size");
}

static void close_database(struct sp_database *database)
{
    struct sqlite *s = (struct sqlite *)database;
    for (int i = 0; i < s->count; i++) {
        sqlite3_finalize(s->cached[i].statement);
        free(s->cached[i].sql);
    }
    sqlite3_close(s->handle);
    free(s);
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

/* In WAL mode a power cut loses what was not synchronised, and nothing else; FULL synchronises
 * each transaction. secure_delete: erased rows are overwritten. auto_vacuum is before what writes
 * the file's header. */
static const char settings[] =
    "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
    "PRAGMA secure_delete=ON; PRAGMA journal_size_limit=16777216;";

int sp_sqlite_open(struct sp_database **out, const char *path, bool must_exist,
                   struct sp_error *err)
{
    struct sqlite *s = calloc(1, sizeof *s);
    if (!s)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    s->base.api = &api;
    snprintf(s->path, sizeof s->path, "%s", path);
    if (must_exist && access(path, F_OK) != 0) {
        free(s);
        return sp_fail(err, SP_ERR_NOT_FOUND, "%s: no such file; give the folder of STORE", path);
    }
    /* A reader of a write-ahead log needs the right to write, too. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (must_exist ? 0 : SQLITE_OPEN_CREATE);
    int result = sqlite3_open_v2(path, &s->handle, flags, NULL) == SQLITE_OK ? SP_OK : fail(s, err);
    if (result == SP_OK) {
        sqlite3_extended_result_codes(s->handle, 1);
        sqlite3_busy_timeout(s->handle, BUSY_MS);
        if (sqlite3_exec(s->handle, settings, NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(s->handle, schema, NULL, NULL, NULL) != SQLITE_OK)
            result = fail(s, err);
    }
    if (result < 0)
        close_database(&s->base);
    else
        *out = &s->base;
    return result;
}
