#include "store/database.h"

#include <string.h>

struct sp_sql_value sp_sql_text(const char *text)
{
    if (!text)
        return (struct sp_sql_value){.kind = SP_SQL_NULL};
    return (struct sp_sql_value){.kind = SP_SQL_TEXT, .data = text, .bytes = strlen(text)};
}

struct sp_sql_value sp_sql_blob(const void *data, size_t bytes)
{
    return (struct sp_sql_value){.kind = SP_SQL_BLOB, .data = data, .bytes = bytes};
}

const char *sp_sql_string(const struct sp_sql_value *value)
{
    return value->kind == SP_SQL_TEXT ? value->data : "";
}

int sp_database_run(struct sp_database *database, const char *sql,
                    const struct sp_sql_value *values, int count, struct sp_error *err)
{
    return database->api->run(database, sql, values, count, NULL, NULL, NULL, err);
}

void sp_database_close(struct sp_database *database)
{
    if (database)
        database->api->close(database);
}
