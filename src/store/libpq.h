/* The functions of libpq that the store uses, opened at run time: a program without PostgreSQL
 * needs no libpq. Names and types are those of PostgreSQL's documentation, chapter "libpq". Loaded
 * once and kept; any thread. */
#pragma once

#include "base/error.h"

typedef struct pg_conn sp_pg_connection;
typedef struct pg_result sp_pg_result;

enum { SP_PG_CONNECTION_OK = 0, SP_PG_COMMAND_OK = 1, SP_PG_TUPLES_OK = 2, SP_PG_COPY_IN = 4 };

#define SP_LIBPQ(X)                                                                                \
    X(sp_pg_connection *, PQconnectdbParams,                                                       \
      (const char *const *keywords, const char *const *values, int expand))                        \
    X(int, PQstatus, (const sp_pg_connection *connection))                                         \
    X(char *, PQerrorMessage, (const sp_pg_connection *connection))                                \
    X(void, PQfinish, (sp_pg_connection * connection))                                             \
    X(sp_pg_result *, PQexec, (sp_pg_connection * connection, const char *sql))                    \
    X(sp_pg_result *, PQprepare,                                                                   \
      (sp_pg_connection * connection, const char *name, const char *sql, int count,                \
       const unsigned *types))                                                                     \
    X(sp_pg_result *, PQexecPrepared,                                                              \
      (sp_pg_connection * connection, const char *name, int count, const char *const *values,      \
       const int *lengths, const int *formats, int result_format))                                 \
    X(int, PQresultStatus, (const sp_pg_result *result))                                           \
    X(char *, PQresultErrorField, (const sp_pg_result *result, int code))                          \
    X(int, PQntuples, (const sp_pg_result *result))                                                \
    X(int, PQnfields, (const sp_pg_result *result))                                                \
    X(unsigned, PQftype, (const sp_pg_result *result, int column))                                 \
    X(char *, PQgetvalue, (const sp_pg_result *result, int row, int column))                       \
    X(int, PQgetlength, (const sp_pg_result *result, int row, int column))                         \
    X(int, PQgetisnull, (const sp_pg_result *result, int row, int column))                         \
    X(char *, PQcmdTuples, (sp_pg_result * result))                                                \
    X(void, PQclear, (sp_pg_result * result))                                                      \
    X(int, PQputCopyData, (sp_pg_connection * connection, const char *data, int bytes))            \
    X(int, PQputCopyEnd, (sp_pg_connection * connection, const char *error))                       \
    X(sp_pg_result *, PQgetResult, (sp_pg_connection * connection))

struct sp_libpq {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a type and a list of parameters cannot have them
#define X(type, name, arguments) type(*name) arguments;
    SP_LIBPQ(X)
#undef X
};

/* NULL with SP_ERR_UNSUPPORTED: the library is not installed. */
const struct sp_libpq *sp_libpq_load(struct sp_error *err);
