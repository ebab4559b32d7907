/* JSON Schema (draft 2020-12) of spoton.yaml, for editors. */
#include "base/json.h"
#include "config/table.h"

#include <string.h>

static void put_type(struct sp_json *json, const char *type)
{
    sp_json_member_string(json, "type", type);
}

static void put_number(struct sp_json *json, const struct sp_setting_row *row)
{
    sp_json_begin_object(json);
    put_type(json, row->type == SP_SETTING_INTEGER ? "integer" : "number");
    sp_json_key(json, "minimum");
    sp_json_double(json, row->low);
    sp_json_key(json, "maximum");
    sp_json_double(json, row->high);
    if (row->step)
        sp_json_member_int(json, "multipleOf", row->step);
    sp_json_end_object(json);
    if (!row->zero)
        return;
    sp_json_begin_object(json);
    sp_json_key(json, "enum");
    sp_json_begin_array(json);
    sp_json_string(json, row->zero);
    sp_json_int(json, 0);
    sp_json_end_array(json);
    sp_json_end_object(json);
}

/* Words may be in upper or lower case; editors complete them from the list. */
static void put_choice(struct sp_json *json, const struct sp_setting_row *row)
{
    sp_json_begin_object(json);
    sp_json_key(json, "enum");
    sp_json_begin_array(json);
    for (const struct sp_setting_choice *choice = row->choices; choice->word; choice++)
        sp_json_string(json, choice->word);
    sp_json_end_array(json);
    sp_json_end_object(json);
}

/* A text may look like a number: devices: 0. */
static void put_text(struct sp_json *json, const struct sp_setting_row *row)
{
    sp_json_begin_object(json);
    sp_json_key(json, "type");
    sp_json_begin_array(json);
    sp_json_string(json, "string");
    sp_json_string(json, "number");
    sp_json_end_array(json);
    sp_json_member_int(json, "minLength", row->type == SP_SETTING_TEXT ? 0 : 1);
    sp_json_member_int(json, "maxLength", (int64_t)row->bytes - 1);
    if (row->type == SP_SETTING_NAME)
        sp_json_member_string(json, "pattern",
                              "^([A-Za-z0-9_-]+|\\$\\{[A-Za-z_][A-Za-z0-9_]*\\})$");
    sp_json_end_object(json);
    if (!row->list)
        return;
    sp_json_begin_object(json);
    put_type(json, "array");
    if (row->type != SP_SETTING_TEXT)
        sp_json_member_int(json, "minItems", 1);
    sp_json_key(json, "items");
    sp_json_begin_object(json);
    sp_json_key(json, "type");
    sp_json_begin_array(json);
    sp_json_string(json, "string");
    sp_json_string(json, "number");
    sp_json_end_array(json);
    sp_json_end_object(json);
    sp_json_end_object(json);
}

static void put_setting(struct sp_json *json, const struct sp_setting_row *row, bool of_camera)
{
    sp_json_key(json, sp_setting_yaml_name(row));
    sp_json_begin_object(json);
    sp_json_member_string(json, "description", row->meaning);
    if (!of_camera && row->type != SP_SETTING_INTEGER && row->type != SP_SETTING_REAL &&
        row->type != SP_SETTING_SWITCH)
        sp_json_member_string(json, "default", row->fallback);
    sp_json_key(json, "anyOf");
    sp_json_begin_array(json);
    bool variable = true;
    switch (row->type) {
    case SP_SETTING_INTEGER:
    case SP_SETTING_REAL:
        put_number(json, row);
        break;
    case SP_SETTING_SWITCH:
        sp_json_begin_object(json);
        put_type(json, "boolean");
        sp_json_end_object(json);
        break;
    case SP_SETTING_CHOICE:
        put_choice(json, row);
        break;
    case SP_SETTING_TEXT:
    case SP_SETTING_LIST:
    case SP_SETTING_NAME:
        put_text(json, row);
        variable = false;
        break;
    }
    if (variable) {
        sp_json_begin_object(json);
        sp_json_member_string(json, "$ref", "#/$defs/variable");
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

static void begin_map(struct sp_json *json, bool may_be_empty)
{
    sp_json_begin_object(json);
    sp_json_key(json, "type");
    sp_json_begin_array(json);
    sp_json_string(json, "object");
    if (may_be_empty)
        sp_json_string(json, "null");
    sp_json_end_array(json);
    sp_json_member_bool(json, "additionalProperties", false);
    sp_json_key(json, "properties");
    sp_json_begin_object(json);
}

/* A list of maps with the options of plugins, or the next value. */
static void begin_outputs(struct sp_json *json)
{
    sp_json_begin_object(json);
    sp_json_key(json, "anyOf");
    sp_json_begin_array(json);
    sp_json_raw(json, "{\"type\":\"array\",\"maxItems\":16,\"items\":{\"type\":\"object\","
                      "\"required\":[\"type\"],\"properties\":{\"type\":{\"type\":\"string\"}},"
                      "\"additionalProperties\":{\"type\":[\"string\",\"number\",\"boolean\","
                      "\"array\"]}}}");
    json->need_comma = true;
}

static void put_section(struct sp_json *json, const char *section)
{
    bool outputs = strcmp(section, "outputs") == 0;
    sp_json_key(json, section);
    if (outputs)
        begin_outputs(json);
    begin_map(json, true);
    for (size_t i = 0; i < sp_setting_count; i++)
        if (sp_setting_is_in(&sp_setting_table[i], section))
            put_setting(json, &sp_setting_table[i], false);
    sp_json_end_object(json);
    sp_json_end_object(json);
    if (outputs) {
        sp_json_end_array(json);
        sp_json_end_object(json);
    }
}

static void put_camera_settings(struct sp_json *json, bool nested)
{
    for (size_t i = 0; i < sp_setting_count; i++)
        if (sp_setting_table[i].per_camera &&
            nested == sp_setting_is_in(&sp_setting_table[i], sp_setting_nested_section))
            put_setting(json, &sp_setting_table[i], true);
}

/* Lines and zones, whose values analytics/config.c checks. */
static void put_shapes(struct sp_json *json)
{
    static const char points[] =
        "\"type\":\"array\",\"items\":{\"type\":\"array\",\"items\":{\"type\":\"number\"},"
        "\"minItems\":2,\"maxItems\":2}";
    static const char common[] =
        "\"name\":{\"type\":\"string\",\"minLength\":1},\"unit\":{\"enum\":[\"fraction\","
        "\"px\",\"m\"]},\"anchor\":{\"enum\":[\"foot\",\"centre\",\"center\"]}";
    char text[1200];
    snprintf(text, sizeof text,
             "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\","
             "\"additionalProperties\":false,\"required\":[\"name\",\"points\"],"
             "\"properties\":{%s,\"in\":{\"type\":\"string\"},\"out\":{\"type\":\"string\"},"
             "\"points\":{%s,\"minItems\":2,\"maxItems\":2}}}}",
             common, points);
    sp_json_key(json, "lines");
    sp_json_raw(json, text);
    json->need_comma = true;
    snprintf(text, sizeof text,
             "{\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\","
             "\"additionalProperties\":false,\"required\":[\"name\",\"polygon\"],"
             "\"properties\":{%s,\"crowded\":{\"type\":\"integer\",\"minimum\":1},"
             "\"loitering_s\":{\"type\":\"number\",\"exclusiveMinimum\":0},"
             "\"polygon\":{%s,\"minItems\":3,\"maxItems\":32}}}}",
             common, points);
    sp_json_key(json, "zones");
    sp_json_raw(json, text);
    json->need_comma = true;
}

static void put_camera(struct sp_json *json)
{
    sp_json_key(json, "camera");
    begin_map(json, false);
    sp_json_key(json, "name");
    sp_json_begin_object(json);
    sp_json_member_string(json, "description", "Unique; base name of the camera's output files.");
    sp_json_key(json, "type");
    sp_json_begin_array(json);
    sp_json_string(json, "string");
    sp_json_string(json, "integer");
    sp_json_end_array(json);
    sp_json_member_string(json, "pattern", "^[A-Za-z0-9_$][A-Za-z0-9_.${}-]*$");
    sp_json_member_int(json, "maxLength", SP_CAMERA_NAME_BYTES - 1);
    sp_json_end_object(json);
    sp_json_key(json, "url");
    sp_json_begin_object(json);
    sp_json_member_string(json, "description", "A file, a device or a stream.");
    put_type(json, "string");
    sp_json_member_int(json, "minLength", 1);
    sp_json_member_int(json, "maxLength", SP_URL_BYTES - 1);
    sp_json_end_object(json);
    put_shapes(json);
    put_camera_settings(json, false);
    sp_json_key(json, sp_setting_nested_section);
    begin_map(json, false);
    put_camera_settings(json, true);
    sp_json_end_object(json);
    sp_json_end_object(json);
    sp_json_end_object(json);
    sp_json_key(json, "required");
    sp_json_begin_array(json);
    sp_json_string(json, "name");
    sp_json_string(json, "url");
    sp_json_end_array(json);
    sp_json_end_object(json);
}

bool sp_settings_print_schema(FILE *to)
{
    struct sp_json json = {0};
    const char *section;
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "$schema", "https://json-schema.org/draft/2020-12/schema");
    sp_json_member_string(&json, "title", "spoton.yaml");
    sp_json_key(&json, "type");
    sp_json_begin_array(&json);
    sp_json_string(&json, "object");
    sp_json_string(&json, "null");
    sp_json_end_array(&json);
    sp_json_member_bool(&json, "additionalProperties", false);
    sp_json_key(&json, "properties");
    sp_json_begin_object(&json);
    for (size_t i = 0; (section = sp_setting_section(i)); i++)
        put_section(&json, section);
    sp_json_key(&json, "map");
    begin_map(&json, true);
    put_shapes(&json);
    sp_json_end_object(&json);
    sp_json_end_object(&json);
    sp_json_key(&json, "cameras");
    sp_json_begin_object(&json);
    sp_json_key(&json, "type");
    sp_json_begin_array(&json);
    sp_json_string(&json, "array");
    sp_json_string(&json, "null");
    sp_json_end_array(&json);
    sp_json_member_int(&json, "maxItems", SP_CAMERAS_MAX);
    sp_json_key(&json, "items");
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "$ref", "#/$defs/camera");
    sp_json_end_object(&json);
    sp_json_end_object(&json);
    sp_json_end_object(&json);
    sp_json_key(&json, "$defs");
    sp_json_begin_object(&json);
    sp_json_key(&json, "variable");
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "description", "The value of an environment variable.");
    put_type(&json, "string");
    sp_json_member_string(&json, "pattern", "^\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}$");
    sp_json_end_object(&json);
    put_camera(&json);
    sp_json_end_object(&json);
    sp_json_end_object(&json);
    if (!json.failed)
        fprintf(to, "%s\n", json.text);
    bool printed = !json.failed;
    sp_json_release(&json);
    return printed;
}
