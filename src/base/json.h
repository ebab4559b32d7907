/* JSON writer: appends to one growing buffer that is reused, so that it stops allocating after the
 * first documents.
 *
 * The writer inserts commas; the caller pairs begin and end and writes keys inside objects.
 * Numbers that are not finite become null. Bytes that are not UTF-8 are replaced.
 * A failed allocation makes the writer `failed`; further calls do nothing. Not thread-safe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_json {
    char *text; /* terminated */
    size_t used_bytes;
    size_t capacity_bytes;
    bool failed;
    bool need_comma;
};

/* Zeroed memory is an empty writer. */
void sp_json_release(struct sp_json *json);
void sp_json_clear(struct sp_json *json); /* empty again, memory kept */

void sp_json_begin_object(struct sp_json *json);
void sp_json_end_object(struct sp_json *json);
void sp_json_begin_array(struct sp_json *json);
void sp_json_end_array(struct sp_json *json);
void sp_json_key(struct sp_json *json, const char *key);

void sp_json_string(struct sp_json *json, const char *value); /* NULL becomes null */
void sp_json_int(struct sp_json *json, int64_t value);
void sp_json_bool(struct sp_json *json, bool value);
void sp_json_null(struct sp_json *json);
/* `decimals` digits after the point, without trailing zeros. */
void sp_json_number(struct sp_json *json, double value, int decimals);
/* As many digits as needed to read back the same value. */
void sp_json_double(struct sp_json *json, double value);
/* A key and its value. */
void sp_json_member_string(struct sp_json *json, const char *key, const char *value);
void sp_json_member_int(struct sp_json *json, const char *key, int64_t value);
void sp_json_member_bool(struct sp_json *json, const char *key, bool value);
void sp_json_member_number(struct sp_json *json, const char *key, double value, int decimals);
/* Appended unchanged, between values: a newline, or a value already in JSON. */
void sp_json_raw(struct sp_json *json, const char *text);
