/* Replies and request validation of API v1. */
#include "api/v1/internal.h"

#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void sp_data_begin(struct sp_json *json)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "status", "success");
    sp_json_key(json, "data");
    sp_json_begin_object(json);
}

void sp_json_member_time(struct sp_json *json, const char *key, int64_t wall_us)
{
    char time[SP_TIME_BYTES];
    sp_time_format(wall_us, time);
    sp_json_member_string(json, key, time);
}

void sp_data_end(struct sp_json *json)
{
    sp_json_end_object(json);
    sp_json_member_time(json, "timestamp", sp_clock_wall_us());
    sp_json_end_object(json);
}

void sp_invalid_add(struct sp_invalid *invalid, const char *where, const char *name,
                    const char *type, const char *format, ...)
{
    struct sp_json *json = invalid->call->json;
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (invalid->count++ == 0) {
        sp_json_clear(json);
        invalid->call->reply->status = 422;
        sp_json_begin_object(json);
        sp_json_key(json, "detail");
        sp_json_begin_array(json);
    }
    sp_json_begin_object(json);
    sp_json_key(json, "loc");
    sp_json_begin_array(json);
    sp_json_string(json, where);
    if (name)
        sp_json_string(json, name);
    sp_json_end_array(json);
    sp_json_member_string(json, "msg", text);
    sp_json_member_string(json, "type", type);
    sp_json_end_object(json);
}

int sp_invalid_query_int(struct sp_invalid *invalid, const char *name, int low, int high, int value)
{
    char text[32], *end;
    if (!sp_request_query(invalid->call->request, name, text, sizeof text))
        return value;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (text[0] == '\0' || *end || errno)
        sp_invalid_add(invalid, "query", name, "int_parsing",
                       "Input should be a valid integer, unable to parse string as an integer");
    else if (number < low)
        sp_invalid_add(invalid, "query", name, "greater_than_equal",
                       "Input should be greater than or equal to %d", low);
    else if (number > high)
        sp_invalid_add(invalid, "query", name, "less_than_equal",
                       "Input should be less than or equal to %d", high);
    return (int)number;
}

bool sp_invalid_end(struct sp_invalid *invalid)
{
    if (invalid->count == 0)
        return false;
    sp_json_end_array(invalid->call->json);
    sp_json_end_object(invalid->call->json);
    return true;
}

json_t *sp_invalid_body(struct sp_invalid *invalid)
{
    const struct sp_request *request = invalid->call->request;
    json_error_t where;
    if (request->body_bytes == 0) {
        sp_invalid_add(invalid, "body", NULL, "missing", "Field required");
        return NULL;
    }
    json_t *body = json_loadb(request->body, request->body_bytes, 0, &where);
    if (json_is_object(body))
        return body;
    if (body)
        sp_invalid_add(invalid, "body", NULL, "model_attributes_type",
                       "Input should be a valid dictionary or object to extract fields from");
    else
        sp_invalid_add(invalid, "body", NULL, "json_invalid", "JSON decode error: %s", where.text);
    json_decref(body);
    return NULL;
}

void sp_uuid_make(char id[SP_UUID_BYTES])
{
    unsigned char r[16] = {0};
    if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
        memcpy(r, &(int64_t){sp_clock_wall_us()}, 8);
    r[6] = (unsigned char)((r[6] & 0x0F) | 0x40); /* RFC 9562, version 4 */
    r[8] = (unsigned char)((r[8] & 0x3F) | 0x80);
    size_t used = 0;
    for (int i = 0; i < 16; i++)
        used += (size_t)snprintf(id + used, SP_UUID_BYTES - used, "%s%02x",
                                 i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", r[i]);
}

bool sp_uuid_is(const char *text)
{
    for (int i = 0; i < SP_UUID_BYTES - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? text[i] != '-' : !isxdigit((unsigned char)text[i]))
            return false;
    }
    return text[SP_UUID_BYTES - 1] == '\0';
}

bool sp_call_has_task_id(struct sp_call *call)
{
    struct sp_invalid invalid = {call, 0};
    if (!sp_uuid_is(call->name))
        sp_invalid_add(&invalid, "path", "task_id", "uuid_parsing", "Input should be a valid UUID");
    return !sp_invalid_end(&invalid);
}
