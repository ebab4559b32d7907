/* A small SQL interface, for what the store keeps in tables: SQLite and PostgreSQL.
 *
 * Data flow: queries.c, recorder.c -> struct sp_database -> sqlite.c or postgresql.c. Statements
 * are in the dialect that both understand, with parameters $1, $2, ...; what differs (tables,
 * partitions) is in `schema` and `prepare_day`. libpq is opened at run time, so that the program
 * needs it only for PostgreSQL.
 *
 * Ownership: the connection belongs to the caller until close. Values given to a row function are
 * valid during the call. One thread at a time per connection. Errors: one line without the
 * password; SP_ERR_NO_SPACE where the disk is full. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sp_sql_kind { SP_SQL_NULL, SP_SQL_INT, SP_SQL_TEXT, SP_SQL_BLOB };

struct sp_sql_value {
    enum sp_sql_kind kind;
    int64_t number;
    const void *data; /* text is terminated */
    size_t bytes;
};

static inline struct sp_sql_value sp_sql_int(int64_t number)
{
    return (struct sp_sql_value){.kind = SP_SQL_INT, .number = number};
}

/* NULL: the SQL null. */
struct sp_sql_value sp_sql_text(const char *text);
struct sp_sql_value sp_sql_blob(const void *data, size_t bytes);
const char *sp_sql_string(const struct sp_sql_value *value); /* "" for null */

/* Returns false to stop. */
typedef bool sp_sql_row(void *user, const struct sp_sql_value *values, int count);

struct sp_database;

struct sp_database_api {
    void (*close)(struct sp_database *database);
    /* One statement; `row` may be NULL. *changed (may be NULL): the rows that it changed. */
    int (*run)(struct sp_database *database, const char *sql, const struct sp_sql_value *values,
               int count, sp_sql_row *row, void *user, int64_t *changed, struct sp_error *err);
    /* Adds rows[row_count][column_count] to a table: by COPY where there is one. */
    int (*insert)(struct sp_database *database, const char *table, const char *columns,
                  const struct sp_sql_value *rows, int column_count, int row_count,
                  struct sp_error *err);
    /* Makes the tables accept this day (days since 1970). */
    int (*prepare_day)(struct sp_database *database, int64_t day, struct sp_error *err);
    /* Removes rows of days before this one that can be removed as a whole. */
    int (*drop_days)(struct sp_database *database, int64_t before, struct sp_error *err);
    /* Removes the remains of deleted rows from the disk. */
    int (*vacuum)(struct sp_database *database, struct sp_error *err);
    /* Returns the space of removed rows to the file system, without rewriting the rest. */
    int (*trim)(struct sp_database *database, struct sp_error *err);
    int (*verify)(struct sp_database *database, struct sp_error *err);
    int64_t (*bytes)(struct sp_database *database);
};

struct sp_database {
    const struct sp_database_api *api;
    bool broken; /* the connection is lost: close it and open another */
};

/* Creates the tables that are missing. SP_ERR_NOT_FOUND: there is no file, and none is to be made.
 */
int sp_sqlite_open(struct sp_database **out, const char *path, bool must_exist,
                   struct sp_error *err);
int sp_postgresql_open(struct sp_database **out, const char *url, struct sp_error *err);

/* For statements without results. */
int sp_database_run(struct sp_database *database, const char *sql,
                    const struct sp_sql_value *values, int count, struct sp_error *err);
void sp_database_close(struct sp_database *database); /* NULL is allowed */
