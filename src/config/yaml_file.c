/* spoton.yaml: sections of settings, and cameras as a list of maps. */
#include "base/log.h"
#include "base/nearest.h"
#include "base/redact.h"
#include "base/yaml.h"
#include "config/table.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    WORDS_MAX = 128,
    SHOWN_BYTES = 96,
    WHERE_BYTES = 320,
    NAME_BYTES = 64,
};

static const char secrets_name[] = "secrets.yaml";

struct reader {
    struct sp_settings *settings;
    char *const *environment;
    struct sp_error *err;
    char folder[SP_PATH_BYTES]; /* of the file, ending in a slash, or empty */
    struct sp_yaml *secrets;    /* NULL: not read yet */
    bool holds_secrets;         /* the file itself contains a password or a token */
    char value[SP_PATH_BYTES];
};

/* "FILE:LINE:COLUMN: cameras[1].frame_skip: " and the text. */
static int refuse(const struct reader *reader, const struct sp_yaml_node *node, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));

static int refuse(const struct reader *reader, const struct sp_yaml_node *node, const char *format,
                  ...)
{
    char path[SP_YAML_PATH_BYTES], text[sizeof reader->err->text];
    va_list arguments;
    sp_yaml_path(node, path);
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return sp_yaml_fail(node, reader->err, "%s: %s", path, text);
}

/* --- ${NAME} and !secret NAME ----------------------------------------------------------------- */

static const char *find_variable(const struct reader *reader, const char *name, size_t bytes)
{
    for (char *const *at = reader->environment; at && *at; at++)
        if (strncmp(*at, name, bytes) == 0 && (*at)[bytes] == '=' && (*at)[bytes + 1] != '\0')
            return *at + bytes + 1;
    return NULL;
}

static size_t name_bytes(const char *text)
{
    size_t n = 0;
    if (isdigit((unsigned char)text[0]))
        return 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_')
        n++;
    return n;
}

/* Replaces ${NAME} by the variable; $${ is a literal ${. */
static int expand_variables(struct reader *reader, struct sp_yaml_node *node)
{
    char text[SP_PATH_BYTES];
    size_t used = 0;
    bool secret = false;
    for (const char *at = node->text; *at;) {
        const char *piece = at;
        size_t bytes = 1;
        if (strncmp(at, "$${", 3) == 0) {
            piece = "${";
            bytes = 2;
            at += 3;
        } else if (strncmp(at, "${", 2) == 0) {
            size_t n = name_bytes(at + 2);
            if (n == 0 || n >= NAME_BYTES || at[2 + n] != '}')
                return refuse(reader, node,
                              "${ without NAME}; write ${NAME} for an environment variable, $${ "
                              "for a literal ${");
            piece = find_variable(reader, at + 2, n);
            if (!piece)
                return refuse(reader, node,
                              "environment variable %.*s: not set; export it before the start",
                              (int)n, at + 2);
            bytes = strlen(piece);
            secret = true;
            at += n + 3;
        } else {
            at++;
        }
        if (used + bytes >= sizeof text)
            return refuse(reader, node, "value too long; the limit is %d bytes", SP_PATH_BYTES - 1);
        memcpy(text + used, piece, bytes);
        used += bytes;
    }
    text[used] = '\0';
    return sp_yaml_set_text(node, text, secret, reader->err);
}

static void warn_if_readable(const char *path)
{
    struct stat about;
    if (stat(path, &about) == 0 && (about.st_mode & S_IROTH))
        sp_log(SP_LOG_WARNING,
               "%s: contains secrets and is readable by all users (mode %03o); run chmod o-r on it",
               path, (unsigned)(about.st_mode & 0777));
}

static int read_secret(struct reader *reader, struct sp_yaml_node *node)
{
    char path[SP_PATH_BYTES + sizeof secrets_name];
    snprintf(path, sizeof path, "%s%s", reader->folder, secrets_name);
    if (!reader->secrets) {
        struct sp_error why = {0};
        if (sp_yaml_read_file(&reader->secrets, path, &why) < 0)
            return refuse(reader, node, "!secret: %s", why.text);
        warn_if_readable(path);
    }
    const struct sp_yaml_node *root = sp_yaml_root(reader->secrets);
    const struct sp_yaml_node *found = sp_yaml_get(root, node->text);
    if (found && found->kind == SP_YAML_SCALAR)
        return sp_yaml_set_text(node, found->text, true, reader->err);
    const char *words[WORDS_MAX + 1];
    int count = 0;
    for (const struct sp_yaml_node *one = root->first; one && count < WORDS_MAX; one = one->next)
        words[count++] = one->key->text;
    words[count] = NULL;
    char shown[SHOWN_BYTES];
    const char *near = sp_nearest_word(node->text, words);
    sp_yaml_show(node, shown, sizeof shown);
    return refuse(reader, node, "!secret %s: not a text of %s; %s%s%s", shown, path,
                  near ? "did you mean " : "add it", near ? near : "", near ? "?" : "");
}

/* All values below the node. */
static int expand(struct reader *reader, struct sp_yaml_node *node)
{
    int result = SP_OK;
    if (node->tag && (strcmp(node->tag, "secret") != 0 || node->kind != SP_YAML_SCALAR))
        return refuse(reader, node, "tag !%.40s: not supported here; use !secret NAME or remove it",
                      node->tag);
    if (node->tag)
        result = read_secret(reader, node);
    else if (node->kind == SP_YAML_SCALAR && strstr(node->text, "${"))
        result = expand_variables(reader, node);
    for (struct sp_yaml_node *child = node->first; child && result == SP_OK; child = child->next)
        result = expand(reader, child);
    return result;
}

/* --- values ----------------------------------------------------------------------------------- */

static int refuse_value(const struct reader *reader, const struct sp_setting_row *row,
                        const struct sp_yaml_node *node)
{
    char allowed[SP_ALLOWED_BYTES], shown[SHOWN_BYTES], suggestion[64] = "";
    bool quoted = node->kind == SP_YAML_SCALAR && !node->plain;
    sp_setting_allowed(row, allowed);
    if (row->secret && node->kind == SP_YAML_SCALAR)
        snprintf(shown, sizeof shown, "***");
    else
        sp_yaml_show(node, shown, sizeof shown);
    if (node->kind == SP_YAML_SCALAR && !node->secret)
        sp_setting_suggest(row, node->text, suggestion, sizeof suggestion);
    return refuse(reader, node, "%s%s%s; must be %s%s", quoted ? "\"" : "", shown,
                  quoted ? "\"" : "", allowed, suggestion);
}

static int join_list(struct reader *reader, const struct sp_setting_row *row,
                     const struct sp_yaml_node *list)
{
    size_t used = 0;
    reader->value[0] = '\0';
    for (const struct sp_yaml_node *item = list->first; item; item = item->next) {
        size_t bytes = strlen(item->text);
        if (item->kind != SP_YAML_SCALAR || bytes == 0)
            return refuse_value(reader, row, item);
        if (used + bytes + 2 > sizeof reader->value)
            return refuse(reader, list, "value too long; the limit is %zu bytes", row->bytes - 1);
        used += (size_t)sprintf(reader->value + used, "%s%s", used ? "," : "", item->text);
    }
    return SP_OK;
}

/* Numbers and switches have no quotes in YAML, except for those around ${NAME}; words may. */
static bool has_right_form(const struct sp_setting_row *row, const struct sp_yaml_node *node)
{
    if (node->kind != SP_YAML_SCALAR)
        return false;
    if (row->type == SP_SETTING_SWITCH)
        return (node->plain || node->secret) &&
               (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0);
    bool number = row->type == SP_SETTING_INTEGER || row->type == SP_SETTING_REAL;
    return node->plain || node->secret || !number ||
           (row->zero && strcmp(node->text, row->zero) == 0);
}

static bool is_secret(const struct sp_setting_row *row, const char *value)
{
    char shown[SP_URL_BYTES];
    if (!row->secret || !*value)
        return false;
    if (row->secret_in_url)
        sp_redact_url(value, shown, sizeof shown);
    return !row->secret_in_url || strcmp(shown, value) != 0;
}

static int set_field(struct reader *reader, const struct sp_setting_row *row,
                     const struct sp_yaml_node *node, void *field)
{
    const char *value = node->text;
    if (node->kind == SP_YAML_LIST && row->list) {
        int result = join_list(reader, row, node);
        if (result < 0)
            return result;
        value = reader->value;
    } else if (!has_right_form(row, node)) {
        return refuse_value(reader, row, node);
    }
    if (sp_setting_parse_field(row, value, field) != SP_VALUE_GOOD)
        return refuse_value(reader, row, node);
    reader->holds_secrets |= !node->secret && is_secret(row, value);
    return SP_OK;
}

/* --- keys ------------------------------------------------------------------------------------- */

static const struct sp_setting_row *find_row(const char *section, const char *name)
{
    for (size_t i = 0; i < sp_setting_count; i++)
        if ((!section || sp_setting_is_in(&sp_setting_table[i], section)) &&
            strcmp(sp_setting_yaml_name(&sp_setting_table[i]), name) == 0)
            return &sp_setting_table[i];
    return NULL;
}

/* words: the keys of this map. A key of another map, and a setting's name, are recognized too. */
static int refuse_key(const struct reader *reader, const struct sp_yaml_node *value,
                      const char *const *words)
{
    const char *key = value->key->text, *near = NULL;
    char path[SP_YAML_PATH_BYTES];
    const struct sp_setting_row *row = find_row(NULL, key);
    if (!row)
        row = sp_setting_find(key, strlen(key));
    near = row ? row->yaml : sp_nearest_word(key, words);
    sp_yaml_path(value, path);
    return sp_yaml_fail(value->key, reader->err, "%s: unknown key; %s%s%s docs/CONFIG.md", path,
                        near ? "did you mean " : "", near ? near : "", near ? "? See" : "see");
}

static int refuse_key_of(const struct reader *reader, const struct sp_yaml_node *value,
                         const char *section)
{
    const char *words[WORDS_MAX + 1];
    int count = 0;
    for (size_t i = 0; i < sp_setting_count && count < WORDS_MAX; i++)
        if (sp_setting_is_in(&sp_setting_table[i], section))
            words[count++] = sp_setting_yaml_name(&sp_setting_table[i]);
    words[count] = NULL;
    return refuse_key(reader, value, words);
}

static int read_section(struct reader *reader, const struct sp_yaml_node *map, const char *section)
{
    if (map->kind == SP_YAML_NULL)
        return SP_OK;
    int result = sp_yaml_expect(map, SP_YAML_MAP, reader->err);
    for (const struct sp_yaml_node *value = map->first; value && result == SP_OK;
         value = value->next) {
        const struct sp_setting_row *row = find_row(section, value->key->text);
        result = row ? set_field(reader, row, value, (char *)reader->settings + row->offset)
                     : refuse_key_of(reader, value, section);
    }
    return result;
}

/* --- cameras ---------------------------------------------------------------------------------- */

static int refuse_camera_key(const struct reader *reader, const struct sp_yaml_node *value,
                             bool nested)
{
    const char *words[WORDS_MAX + 1];
    int count = sp_setting_camera_keys(nested, words, WORDS_MAX - 5);
    const struct sp_setting_row *row = find_row(NULL, value->key->text);
    if (row && !row->per_camera) {
        char path[SP_YAML_PATH_BYTES];
        sp_yaml_path(value, path);
        return sp_yaml_fail(value->key, reader->err,
                            "%s: not a setting of one camera; set %s for all of them", path,
                            row->yaml);
    }
    if (!nested) {
        words[count++] = "name";
        words[count++] = "url";
        words[count++] = "lines";
        words[count++] = "zones";
        words[count++] = sp_setting_nested_section;
    }
    words[count] = NULL;
    char path[SP_YAML_PATH_BYTES];
    const char *near = sp_nearest_word(value->key->text, words);
    sp_yaml_path(value, path);
    return sp_yaml_fail(value->key, reader->err, "%s: unknown key; %s%s%s docs/CONFIG.md", path,
                        near ? "did you mean " : "", near ? near : "", near ? "? See" : "see");
}

static int read_camera_keys(struct reader *reader, const struct sp_yaml_node *map, bool nested,
                            struct sp_camera_setting *camera)
{
    int result = SP_OK;
    for (const struct sp_yaml_node *value = map->first; value && result == SP_OK;
         value = value->next) {
        const char *key = value->key->text;
        const struct sp_setting_row *row = NULL;
        if (!nested && (strcmp(key, "name") == 0 || strcmp(key, "url") == 0 ||
                        strcmp(key, "lines") == 0 || strcmp(key, "zones") == 0))
            continue; /* lines and zones: analytics/config.c */
        if (!nested && strcmp(key, sp_setting_nested_section) == 0) {
            result = sp_yaml_expect(value, SP_YAML_MAP, reader->err);
            if (result == SP_OK)
                result = read_camera_keys(reader, value, true, camera);
            continue;
        }
        for (size_t i = 0; i < sp_setting_count && !row; i++)
            if (sp_setting_table[i].per_camera &&
                nested == sp_setting_is_in(&sp_setting_table[i], sp_setting_nested_section) &&
                strcmp(sp_setting_yaml_name(&sp_setting_table[i]), key) == 0)
                row = &sp_setting_table[i];
        if (!row)
            return refuse_camera_key(reader, value, nested);
        result = set_field(reader, row, value, (char *)camera + row->camera_offset);
        camera->own |= sp_setting_camera_bit(row);
    }
    return result;
}

static int read_camera(struct reader *reader, const struct sp_yaml_node *map)
{
    struct sp_settings *settings = reader->settings;
    int result = sp_yaml_expect(map, SP_YAML_MAP, reader->err);
    if (result < 0)
        return result;
    const struct sp_yaml_node *name = sp_yaml_get(map, "name"), *url = sp_yaml_get(map, "url");
    if (!name || name->kind != SP_YAML_SCALAR)
        return refuse(reader, name ? name : map, "no name; add name: NAME");
    if (!url || url->kind != SP_YAML_SCALAR)
        return refuse(reader, url ? url : map, "no URL; add url: URL, a file or a stream");
    char where[WHERE_BYTES], path[SP_YAML_PATH_BYTES], shown[SP_URL_BYTES];
    sp_yaml_path(map, path);
    snprintf(where, sizeof where, "%s:%d:%d: %s", name->file, name->line, name->column, path);
    result = sp_settings_add_camera(settings, name->text, url->text, false, where, reader->err);
    if (result < 0)
        return result;
    sp_redact_url(url->text, shown, sizeof shown);
    reader->holds_secrets |= !url->secret && strcmp(shown, url->text) != 0;
    return read_camera_keys(reader, map, false, &settings->camera[settings->camera_count - 1]);
}

static int read_cameras(struct reader *reader, const struct sp_yaml_node *list)
{
    if (list->kind == SP_YAML_NULL)
        return SP_OK;
    int result = sp_yaml_expect(list, SP_YAML_LIST, reader->err);
    for (const struct sp_yaml_node *item = list->first; item && result == SP_OK; item = item->next)
        result = read_camera(reader, item);
    return result;
}

/* --- outputs ---------------------------------------------------------------------------------- */

/* Appends to the setting OUTPUTS; false: it is full. `encode`: what separates options is
 * percent-encoded. */
static bool append_output(struct reader *reader, const char *text, bool encode)
{
    char *out = reader->settings->outputs;
    size_t used = strlen(out), most = sizeof reader->settings->outputs - 4;
    for (; *text && used < most; text++) {
        if (encode && strchr("&% \t\n", *text))
            used += (size_t)sprintf(out + used, "%%%02X", (unsigned)(unsigned char)*text);
        else
            out[used++] = *text;
    }
    out[used] = '\0';
    return *text == '\0';
}

static int read_option(struct reader *reader, const struct sp_yaml_node *value, bool first)
{
    bool fits = append_output(reader, first ? "?" : "&", false) &&
                append_output(reader, value->key->text, false) && append_output(reader, "=", false);
    if (value->kind == SP_YAML_SCALAR)
        fits = fits && append_output(reader, value->text, true);
    else if (value->kind != SP_YAML_LIST)
        return refuse(reader, value, "must be a value or a list of values");
    for (const struct sp_yaml_node *item = value->first; item; item = item->next) {
        if (item->kind != SP_YAML_SCALAR)
            return refuse(reader, item, "must be a value");
        fits = fits && (item == value->first || append_output(reader, ",", false)) &&
               append_output(reader, item->text, true);
    }
    return fits ? SP_OK : refuse(reader, value, "the outputs are too long; remove some");
}

/* A list of maps with `type` and the options of that plugin: made the text of OUTPUTS. */
static int read_outputs(struct reader *reader, const struct sp_yaml_node *list)
{
    int result = SP_OK;
    reader->settings->outputs[0] = '\0';
    for (const struct sp_yaml_node *map = list->first; map && result == SP_OK; map = map->next) {
        result = sp_yaml_expect(map, SP_YAML_MAP, reader->err);
        const struct sp_yaml_node *type = sp_yaml_get(map, "type");
        if (result < 0)
            return result;
        if (!type || type->kind != SP_YAML_SCALAR || strpbrk(type->text, "? \t"))
            return refuse(reader, type ? type : map, "no type; add type: mqtt");
        if ((map != list->first && !append_output(reader, " ", false)) ||
            !append_output(reader, type->text, false))
            return refuse(reader, map, "the outputs are too long; remove some");
        bool first = true;
        for (const struct sp_yaml_node *value = map->first; value && result == SP_OK;
             value = value->next) {
            if (value == type)
                continue;
            result = read_option(reader, value, first);
            first = false;
        }
    }
    return result;
}

/* --- the file --------------------------------------------------------------------------------- */

static int read_root_key(struct reader *reader, const struct sp_yaml_node *value)
{
    const char *words[WORDS_MAX + 1], *section;
    const char *key = value->key->text;
    int count = 0;
    for (size_t i = 0; (section = sp_setting_section(i)); i++) {
        words[count++] = section;
        if (strcmp(section, key) == 0)
            return value->kind == SP_YAML_LIST && strcmp(key, "outputs") == 0
                       ? read_outputs(reader, value)
                       : read_section(reader, value, section);
    }
    if (strcmp(key, "cameras") == 0)
        return read_cameras(reader, value);
    if (strcmp(key, "map") == 0)
        return SP_OK; /* analytics/config.c */
    words[count++] = "cameras";
    words[count++] = "map";
    words[count] = NULL;
    return refuse_key(reader, value, words);
}

static int read_document(struct reader *reader, const struct sp_yaml *document)
{
    const struct sp_yaml_node *root = sp_yaml_root(document);
    int result = SP_OK;
    if (root->kind == SP_YAML_NULL)
        return SP_OK;
    if (root->kind != SP_YAML_MAP)
        return sp_yaml_fail(root, reader->err,
                            "not a map of sections; write server:, detector:, cameras:, see "
                            "docs/CONFIG.md");
    for (struct sp_yaml_node *value = root->first; value && result == SP_OK; value = value->next)
        result = expand(reader, value);
    for (const struct sp_yaml_node *value = root->first; value && result == SP_OK;
         value = value->next)
        result = read_root_key(reader, value);
    return result;
}

/* Closes the document. */
static int read_and_close(struct reader *reader, struct sp_yaml *document, const char *path)
{
    const char *slash = strrchr(path, '/');
    snprintf(reader->folder, sizeof reader->folder, "%.*s", slash ? (int)(slash + 1 - path) : 0,
             path);
    int result = read_document(reader, document);
    if (reader->secrets)
        sp_yaml_close(reader->secrets);
    sp_yaml_close(document);
    return result;
}

int sp_settings_read_yaml_text(struct sp_settings *settings, const char *text, size_t bytes,
                               const char *name, char *const *environment, struct sp_error *err)
{
    struct reader reader = {.settings = settings, .environment = environment, .err = err};
    struct sp_yaml *document;
    int result = sp_yaml_read_text(&document, text, bytes, name, err);
    return result < 0 ? result : read_and_close(&reader, document, name);
}

int sp_settings_read_yaml_file(struct sp_settings *settings, const char *path,
                               char *const *environment, struct sp_error *err)
{
    struct reader reader = {.settings = settings, .environment = environment, .err = err};
    struct sp_yaml *document;
    int result = sp_yaml_read_file(&document, path, err);
    if (result == SP_OK)
        result = read_and_close(&reader, document, path);
    if (result < 0)
        return result;
    if (reader.holds_secrets)
        warn_if_readable(path);
    snprintf(settings->folder, sizeof settings->folder, "%s", reader.folder);
    snprintf(settings->yaml_path, sizeof settings->yaml_path, "%s", path);
    return SP_OK;
}
