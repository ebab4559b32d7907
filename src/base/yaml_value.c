#include "base/nearest.h"
#include "base/number.h"
#include "base/redact.h"
#include "base/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SHOWN_BYTES = 96 };

int sp_yaml_fail(const struct sp_yaml_node *node, struct sp_error *err, const char *format, ...)
{
    char text[sizeof err->text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return sp_fail(err, SP_ERR_INVALID, "%s:%d:%d: %s", node->file, node->line, node->column, text);
}

const struct sp_yaml_node *sp_yaml_get(const struct sp_yaml_node *map, const char *key)
{
    if (map->kind != SP_YAML_MAP)
        return NULL;
    for (const struct sp_yaml_node *value = map->first; value; value = value->next)
        if (strcmp(value->key->text, key) == 0)
            return value;
    return NULL;
}

static void show_text(const char *text, char *out, size_t out_bytes)
{
    sp_redact_url(text, out, out_bytes);
    size_t length = strlen(out);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7F)
            out[i] = '?';
    if (length + 1 == out_bytes && out_bytes > 4)
        memcpy(out + length - 3, "...", 4);
}

/* Written from its end, as the path is known from the node upwards; "..." in front if it is long.
 */
void sp_yaml_path(const struct sp_yaml_node *node, char out[SP_YAML_PATH_BYTES])
{
    char path[SP_YAML_PATH_BYTES], part[SHOWN_BYTES];
    size_t begin = sizeof path - 1;
    path[begin] = '\0';
    if (!node->parent) {
        snprintf(out, SP_YAML_PATH_BYTES, "document");
        return;
    }
    for (; node->parent; node = node->parent) {
        size_t bytes = 0;
        if (node->key) {
            char key[SHOWN_BYTES - 1];
            show_text(node->key->text, key, sizeof key);
            bytes =
                (size_t)snprintf(part, sizeof part, "%s%s", node->parent->parent ? "." : "", key);
        } else {
            int index = 0;
            for (const struct sp_yaml_node *n = node->parent->first; n != node; n = n->next)
                index++;
            bytes = (size_t)snprintf(part, sizeof part, "[%d]", index);
        }
        if (bytes + 3 > begin) {
            begin -= 3;
            memcpy(path + begin, "...", 3);
            break;
        }
        begin -= bytes;
        memcpy(path + begin, part, bytes);
    }
    memcpy(out, path + begin, sizeof path - begin);
}

void sp_yaml_show(const struct sp_yaml_node *node, char *out, size_t out_bytes)
{
    if (node->kind == SP_YAML_LIST || node->kind == SP_YAML_MAP)
        snprintf(out, out_bytes, node->kind == SP_YAML_LIST ? "a list" : "a map");
    else if (node->secret)
        snprintf(out, out_bytes, "***");
    else if (node->kind == SP_YAML_NULL && node->text[0] == '\0')
        snprintf(out, out_bytes, "nothing");
    else
        show_text(node->text, out, out_bytes);
}

/* "cameras[1].frame_skip: FOUND; must be ALLOWED" */
static int refuse(const struct sp_yaml_node *node, const char *found, const char *allowed,
                  struct sp_error *err)
{
    char path[SP_YAML_PATH_BYTES];
    sp_yaml_path(node, path);
    return sp_yaml_fail(node, err, "%s: %s; must be %s", path, found, allowed);
}

static int refuse_value(const struct sp_yaml_node *node, const char *allowed, struct sp_error *err)
{
    char shown[SHOWN_BYTES], found[SHOWN_BYTES + 16];
    sp_yaml_show(node, shown, sizeof shown);
    snprintf(found, sizeof found, "%s%s%s",
             node->kind == SP_YAML_SCALAR && !node->plain ? "\"" : "", shown,
             node->kind == SP_YAML_SCALAR && !node->plain ? "\"" : "");
    return refuse(node, found, allowed, err);
}

int sp_yaml_expect(const struct sp_yaml_node *node, enum sp_yaml_kind kind, struct sp_error *err)
{
    static const char *const names[] = {
        [SP_YAML_NULL] = "empty",
        [SP_YAML_SCALAR] = "a text or number",
        [SP_YAML_LIST] = "a list: [a, b], or one item a line after \"- \"",
        [SP_YAML_MAP] = "a map: {key: value}, or one \"key: value\" a line",
    };
    return node->kind == kind ? SP_OK : refuse_value(node, names[kind], err);
}

int sp_yaml_check_keys(const struct sp_yaml_node *map, const char *const *known,
                       struct sp_error *err)
{
    for (const struct sp_yaml_node *value = map->first; value; value = value->next) {
        const char *key = value->key->text;
        size_t i = 0;
        while (known[i] && strcmp(known[i], key) != 0)
            i++;
        if (known[i])
            continue;
        char path[SP_YAML_PATH_BYTES];
        const char *near = sp_nearest_word(key, known);
        sp_yaml_path(value, path);
        return sp_yaml_fail(value->key, err, "%s: unknown key; %s%s%s docs/CONFIG.md", path,
                            near ? "did you mean " : "", near ? near : "", near ? "? See" : "see");
    }
    return SP_OK;
}

int sp_yaml_text(const struct sp_yaml_node *node, const char **out, struct sp_error *err)
{
    if (node->kind != SP_YAML_SCALAR)
        return refuse_value(node, "a text", err);
    *out = node->text;
    return SP_OK;
}

int sp_yaml_number(const struct sp_yaml_node *node, double low, double high, double *out,
                   struct sp_error *err)
{
    double number;
    char allowed[80], from[32], to[32];
    sp_number_format(low, from, sizeof from);
    sp_number_format(high, to, sizeof to);
    snprintf(allowed, sizeof allowed, "a number from %s to %s", from, to);
    bool is_number =
        node->kind == SP_YAML_SCALAR && node->plain && sp_number_read(node->text, &number);
    if (!is_number || !(number >= low && number <= high))
        return refuse_value(node, allowed, err);
    *out = number;
    return SP_OK;
}

int sp_yaml_integer(const struct sp_yaml_node *node, int low, int high, int *out,
                    struct sp_error *err)
{
    double number = 0;
    char allowed[80];
    snprintf(allowed, sizeof allowed, "a whole number from %d to %d", low, high);
    bool whole = node->kind == SP_YAML_SCALAR && node->plain && sp_number_is_whole(node->text) &&
                 sp_number_read(node->text, &number);
    if (!whole || !(number >= low && number <= high))
        return refuse_value(node, allowed, err);
    *out = (int)number;
    return SP_OK;
}

int sp_yaml_boolean(const struct sp_yaml_node *node, bool *out, struct sp_error *err)
{
    bool yes = strcasecmp(node->text, "true") == 0, no = strcasecmp(node->text, "false") == 0;
    if (node->kind != SP_YAML_SCALAR || !node->plain || (!yes && !no))
        return refuse_value(node, "true or false", err);
    *out = yes;
    return SP_OK;
}
