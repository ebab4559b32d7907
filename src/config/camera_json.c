/* A camera's own settings from JSON, as the API takes them. */
#include "base/json.h"
#include "base/nearest.h"
#include "config/table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 64, SHOWN_BYTES = 96, KEY_BYTES = 64 };

static const struct sp_setting_row *find_row(const char *key, bool nested)
{
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        if (row->per_camera && nested == sp_setting_is_in(row, sp_setting_nested_section) &&
            strcmp(sp_setting_yaml_name(row), key) == 0)
            return row;
    }
    return NULL;
}

static int refuse_key(const char *key, bool nested, struct sp_error *err)
{
    const char *words[WORDS_MAX + 1];
    char shown[SHOWN_BYTES];
    int count = sp_setting_camera_keys(nested, words, WORDS_MAX - 3);
    if (!nested) {
        words[count++] = "name";
        words[count++] = "url";
        words[count++] = sp_setting_nested_section;
    }
    words[count] = NULL;
    const char *near = sp_nearest_word(key, words);
    sp_setting_show(key, shown, sizeof shown);
    return sp_fail(err, SP_ERR_INVALID, "%s%s%s: unknown key; %s%s%s docs/CONFIG.md",
                   nested ? sp_setting_nested_section : "", nested ? "." : "", shown,
                   near ? "did you mean " : "", near ? near : "", near ? "? See" : "see");
}

static int refuse_value(const struct sp_setting_row *row, const char *key, const json_t *value,
                        struct sp_error *err)
{
    char allowed[SP_ALLOWED_BYTES], shown[SHOWN_BYTES], suggestion[64] = "";
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    sp_setting_allowed(row, allowed);
    sp_setting_show(text ? text : "", shown, sizeof shown);
    if (json_is_string(value))
        sp_setting_suggest(row, json_string_value(value), suggestion, sizeof suggestion);
    free(text);
    return sp_fail(err, SP_ERR_INVALID, "%s: %s; must be %s%s", key, shown, allowed, suggestion);
}

/* Whether the text of the value may be that of the row: numbers and switches have no quotes. */
static bool has_right_form(const struct sp_setting_row *row, const json_t *value)
{
    switch (row->type) {
    case SP_SETTING_INTEGER:
    case SP_SETTING_REAL:
        return json_is_number(value) || (row->zero && json_is_string(value) &&
                                         strcmp(json_string_value(value), row->zero) == 0);
    case SP_SETTING_SWITCH:
        return json_is_boolean(value);
    case SP_SETTING_CHOICE:
    case SP_SETTING_TEXT:
    case SP_SETTING_LIST:
    case SP_SETTING_NAME:
        break;
    }
    return json_is_string(value) || json_is_number(value);
}

/* Appends the value as the text of a setting. False: it has none, or it does not fit. */
static bool append(const json_t *value, char out[SP_PATH_BYTES])
{
    size_t used = strlen(out), room = SP_PATH_BYTES - used;
    char *number = NULL;
    const char *text = json_string_value(value);
    if (json_is_boolean(value))
        text = json_is_true(value) ? "true" : "false";
    if (json_is_number(value))
        text = number = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(12));
    bool fits = text && strlen(text) < room;
    if (fits)
        memcpy(out + used, text, strlen(text) + 1);
    free(number);
    return fits;
}

/* The items, joined by commas. */
static bool append_list(const json_t *list, char out[SP_PATH_BYTES])
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        size_t used = strlen(out);
        bool takes = json_is_string(item) || json_is_number(item);
        if (!takes || used + 2 > SP_PATH_BYTES)
            return false;
        if (i > 0)
            memcpy(out + used, ",", 2);
        used = strlen(out);
        if (!append(item, out) || strlen(out) == used)
            return false;
    }
    return true;
}

static int set(struct sp_camera_setting *camera, const struct sp_setting_row *row, const char *key,
               const json_t *value, struct sp_error *err)
{
    char text[SP_PATH_BYTES] = "";
    bool list = row->list && json_is_array(value);
    bool good = list ? append_list(value, text) : has_right_form(row, value) && append(value, text);
    if (!good ||
        sp_setting_parse_field(row, text, (char *)camera + row->camera_offset) != SP_VALUE_GOOD)
        return refuse_value(row, key, value, err);
    camera->own |= sp_setting_camera_bit(row);
    return SP_OK;
}

static int read_nested(struct sp_camera_setting *camera, const json_t *object, struct sp_error *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return sp_fail(err, SP_ERR_INVALID, "%s: not an object; send {\"KEY\": VALUE, ...}",
                       sp_setting_nested_section);
    json_object_foreach((json_t *)object, key, value)
    {
        char path[KEY_BYTES];
        const struct sp_setting_row *row = find_row(key, true);
        if (!row)
            return refuse_key(key, true, err);
        snprintf(path, sizeof path, "%s.%s", sp_setting_nested_section, key);
        int result = set(camera, row, path, value, err);
        if (result < 0)
            return result;
    }
    return SP_OK;
}

int sp_camera_setting_read_json(struct sp_camera_setting *camera, const struct json_t *object,
                                struct sp_error *err)
{
    const char *key;
    json_t *value;
    int result = SP_OK;
    json_object_foreach((json_t *)object, key, value)
    {
        const struct sp_setting_row *row = find_row(key, false);
        if (strcmp(key, "name") == 0 || strcmp(key, "url") == 0)
            continue;
        if (strcmp(key, "lines") == 0 || strcmp(key, "zones") == 0)
            return sp_fail(err, SP_ERR_INVALID,
                           "%s: not part of this request; send them with PUT "
                           "/api/v2/cameras/NAME/analytics afterwards",
                           key);
        if (strcmp(key, sp_setting_nested_section) == 0)
            result = read_nested(camera, value, err);
        else if (row)
            result = set(camera, row, key, value, err);
        else
            result = refuse_key(key, false, err);
        if (result < 0)
            return result;
    }
    return SP_OK;
}

static void put_value(struct sp_json *json, const struct sp_setting_row *row, const void *field)
{
    char text[SP_PATH_BYTES];
    sp_setting_format_field(row, field, text, sizeof text);
    bool word = row->zero && strcmp(text, row->zero) == 0;
    sp_json_key(json, sp_setting_yaml_name(row));
    if (row->secret && text[0])
        sp_json_string(json, "***");
    else if (row->type == SP_SETTING_REAL && !word)
        sp_json_double(json, *(const double *)field);
    else if (row->type == SP_SETTING_INTEGER && !word)
        sp_json_int(json, *(const int *)field);
    else if (row->type == SP_SETTING_SWITCH)
        sp_json_bool(json, *(const bool *)field);
    else
        sp_json_string(json, text);
}

static void put_own(struct sp_json *json, const struct sp_camera_setting *camera, bool nested)
{
    bool any = false;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        if (!row->per_camera || !(camera->own & sp_setting_camera_bit(row)) ||
            nested != sp_setting_is_in(row, sp_setting_nested_section))
            continue;
        if (nested && !any) {
            sp_json_key(json, sp_setting_nested_section);
            sp_json_begin_object(json);
        }
        any = true;
        put_value(json, row, (const char *)camera + row->camera_offset);
    }
    if (nested && any)
        sp_json_end_object(json);
}

void sp_camera_setting_write_json(struct sp_json *json, const struct sp_camera_setting *camera)
{
    sp_json_begin_object(json);
    put_own(json, camera, false);
    put_own(json, camera, true);
    sp_json_end_object(json);
}
