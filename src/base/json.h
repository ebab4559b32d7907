/* JSON out: appends to one growing buffer that is reused, so that the healthy state allocates
 * nothing.
 *
 * The writer puts the commas; the caller pairs begin and end and names members inside objects.
 * Numbers that are not finite become null. Text that is not UTF-8 has its bad bytes replaced.
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
/* `decimals` digits after the point, trailing zeros cut. */
void sp_json_number(struct sp_json *json, double value, int decimals);
/* As many digits as reading it back exactly takes. */
void sp_json_double(struct sp_json *json, double value);
/* A key and its value. */
void sp_json_member_string(struct sp_json *json, const char *key, const char *value);
void sp_json_member_int(struct sp_json *json, const char *key, int64_t value);
void sp_json_member_bool(struct sp_json *json, const char *key, bool value);
void sp_json_member_number(struct sp_json *json, const char *key, double value, int decimals);
/* Appended as it is, between values: a newline, or a value already in JSON. */
void sp_json_raw(struct sp_json *json, const char *text);
