#include "config/settings.h"

#include "base/log.h"
#include "base/nearest.h"
#include "config/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char camera_prefix[] = "CAMERA_";

enum {
    PREFIX_LENGTH = sizeof camera_prefix - 1,
    SHOWN_BYTES = 96,
    WHERE_BYTES = 160,
};

void sp_settings_default(struct sp_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    for (size_t i = 0; i < sp_setting_count; i++) {
        enum sp_setting_verdict verdict =
            sp_setting_parse(&sp_setting_table[i], sp_setting_table[i].fallback, settings);
        assert(verdict == SP_VALUE_GOOD);
        (void)verdict;
    }
}

void sp_setting_suggest(const struct sp_setting_row *row, const char *value, char *out,
                        size_t out_bytes)
{
    const char *words[32];
    size_t count = 0;
    out[0] = '\0';
    if (row->type != SP_SETTING_CHOICE)
        return;
    for (const struct sp_setting_choice *choice = row->choices; choice->word && count < 31;
         choice++)
        if (!choice->alias)
            words[count++] = choice->word;
    words[count] = NULL;
    const char *near = sp_nearest_word(value, words);
    if (near)
        snprintf(out, out_bytes, "; did you mean %s?", near);
}

/* "SUBJECT=VALUE: out of range; must be a whole number from 1 to 100" */
static int refuse_value(const struct sp_setting_row *row, enum sp_setting_verdict verdict,
                        const char *value, const char *subject, char between, struct sp_error *err)
{
    char allowed[SP_ALLOWED_BYTES], shown[SHOWN_BYTES], suggestion[64];
    sp_setting_allowed(row, allowed);
    if (row->secret)
        snprintf(shown, sizeof shown, "***");
    else
        sp_setting_show(value, shown, sizeof shown);
    if (verdict == SP_VALUE_EMPTY)
        return sp_fail(err, SP_ERR_INVALID, "%s: empty; must be %s", subject, allowed);
    if (verdict == SP_VALUE_TOO_LONG)
        return sp_fail(err, SP_ERR_INVALID, "%s: too long (%zu bytes); must be %s", subject,
                       strlen(value), allowed);
    if (verdict == SP_VALUE_OUT_OF_RANGE)
        return sp_fail(err, SP_ERR_INVALID, "%s%c%s: out of range; must be %s", subject, between,
                       shown, allowed);
    sp_setting_suggest(row, value, suggestion, sizeof suggestion);
    return sp_fail(err, SP_ERR_INVALID, "%s%c%s: invalid; must be %s%s", subject, between, shown,
                   allowed, suggestion);
}

static int set_row(struct sp_settings *settings, const struct sp_setting_row *row,
                   const char *value, const char *subject, char between, struct sp_error *err)
{
    enum sp_setting_verdict verdict = sp_setting_parse(row, value, settings);
    if (verdict == SP_VALUE_GOOD)
        return SP_OK;
    return refuse_value(row, verdict, value, subject, between, err);
}

static int refuse_unknown(const char *key, const char *where, struct sp_error *err)
{
    const char *keys[SP_SETTING_ROWS_MAX + 1];
    char shown[SHOWN_BYTES];
    assert(sp_setting_count <= SP_SETTING_ROWS_MAX);
    for (size_t i = 0; i < sp_setting_count; i++)
        keys[i] = sp_setting_table[i].key;
    keys[sp_setting_count] = NULL;
    const char *near = sp_nearest_word(key, keys);
    sp_setting_show(key, shown, sizeof shown);
    return sp_fail(err, SP_ERR_INVALID, "%s: %s: unknown setting; %s%s%s docs/CONFIG.md", where,
                   shown, near ? "did you mean " : "", near ? near : "", near ? "? See" : "see");
}

int sp_settings_set(struct sp_settings *settings, const char *key, const char *value,
                    const char *where, struct sp_error *err)
{
    if (strncmp(key, camera_prefix, PREFIX_LENGTH) == 0)
        return sp_settings_add_camera(settings, key + PREFIX_LENGTH, value, true, where, err);
    const struct sp_setting_row *row = sp_setting_find(key, strlen(key));
    if (!row)
        return refuse_unknown(key, where, err);
    char subject[WHERE_BYTES + SP_FLAG_BYTES];
    snprintf(subject, sizeof subject, "%.*s: %s", WHERE_BYTES - 4, where, row->key);
    return set_row(settings, row, value, subject, '=', err);
}

static int compare_entries(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, so that the order of cameras does not depend on the shell. */
static int read_cameras(struct sp_settings *settings, char **entries, size_t count,
                        struct sp_error *err)
{
    qsort(entries, count, sizeof entries[0], compare_entries);
    for (size_t i = 0; i < count; i++) {
        const char *name = entries[i] + PREFIX_LENGTH;
        const char *equals = strchr(name, '=');
        char key[SP_CAMERA_NAME_BYTES +
                 1]; /* one more, so that a name that is too long is refused */
        snprintf(key, sizeof key, "%.*s", (int)(equals - name), name);
        int result =
            sp_settings_add_camera(settings, key, equals + 1, true, "the environment", err);
        if (result != SP_OK)
            return result;
    }
    return SP_OK;
}

int sp_settings_read_environment(struct sp_settings *settings, char *const *environment,
                                 struct sp_error *err)
{
    char *cameras[SP_CAMERAS_MAX + 1]; /* one more is refused by sp_settings_add_camera */
    size_t camera_count = 0;
    for (; environment && *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        if (!equals || equals[1] == '\0')
            continue; /* an empty variable counts as not set */
        size_t key_bytes = (size_t)(equals - *environment);
        if (key_bytes > PREFIX_LENGTH && strncmp(*environment, camera_prefix, PREFIX_LENGTH) == 0) {
            if (camera_count < SP_CAMERAS_MAX + 1)
                cameras[camera_count++] = *environment;
            continue;
        }
        const struct sp_setting_row *row = sp_setting_find(*environment, key_bytes);
        int result =
            row ? sp_settings_set(settings, row->key, equals + 1, "the environment", err) : SP_OK;
        if (result != SP_OK)
            return result;
    }
    return read_cameras(settings, cameras, camera_count, err);
}

/* "--frame-skip" is FRAME_SKIP. */
static const struct sp_setting_row *row_of_flag(const char *word, size_t word_bytes)
{
    char key[SP_FLAG_BYTES];
    size_t used = 0;
    if (word_bytes < 3 || word_bytes - 2 > sizeof key || strncmp(word, "--", 2) != 0)
        return NULL;
    for (const char *c = word + 2; c < word + word_bytes; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return NULL;
        key[used++] = *c == '-' ? '_' : (char)(*c >= 'a' ? *c - 'a' + 'A' : *c);
    }
    return sp_setting_find(key, used);
}

int sp_settings_take_flag(struct sp_settings *settings, int argc, char **argv, int *at,
                          struct sp_error *err)
{
    const char *word = argv[*at];
    size_t flag_bytes = strcspn(word, "=");
    const struct sp_setting_row *row = row_of_flag(word, flag_bytes);
    if (!row)
        return 0;
    char flag[SP_FLAG_BYTES];
    sp_setting_flag(row, flag);

    const char *next = *at + 1 < argc ? argv[*at + 1] : NULL;
    int result = 0;
    if (word[flag_bytes] == '=') {
        result = set_row(settings, row, word + flag_bytes + 1, flag, ' ', err);
    } else if (row->type == SP_SETTING_SWITCH) {
        /* The value is optional: the next word is consumed only if it is a boolean. */
        if (next && sp_setting_parse(row, next, settings) == SP_VALUE_GOOD)
            ++*at;
        else
            result = set_row(settings, row, "true", flag, ' ', err);
    } else if (!next || strncmp(next, "--", 2) == 0) {
        char allowed[SP_ALLOWED_BYTES], shown[SHOWN_BYTES];
        sp_setting_allowed(row, allowed);
        sp_setting_show(next ? next : "the end of the command line", shown, sizeof shown);
        return sp_fail(err, SP_ERR_INVALID, "%s: no value, found %s; must be %s", flag, shown,
                       allowed);
    } else {
        ++*at;
        result = set_row(settings, row, next, flag, ' ', err);
    }
    return result < 0 ? result : 1;
}

int sp_setting_camera(const struct sp_settings *settings, const char *name)
{
    for (int i = 0; i < settings->camera_count; i++)
        if (strcmp(settings->camera[i].name, name) == 0)
            return i;
    return -1;
}

static bool is_camera_name(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= SP_CAMERA_NAME_BYTES || name[0] == '.' || name[0] == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
           length;
}

int sp_settings_check_camera(const char *name, const char *url, const char *where,
                             struct sp_error *err)
{
    char shown[SHOWN_BYTES];
    sp_setting_show(name, shown, sizeof shown);
    if (!is_camera_name(name))
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: \"%s\": invalid camera name; use 1 to %d letters, digits, '_', '-' and "
                       "'.', not starting with '-' or '.'",
                       where, shown, SP_CAMERA_NAME_BYTES - 1);
    size_t url_bytes = strlen(url);
    if (url_bytes == 0)
        return sp_fail(err, SP_ERR_INVALID, "%s: camera %s: no URL; set a file or a stream", where,
                       name);
    if (url_bytes >= SP_URL_BYTES)
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: camera %s: URL too long (%zu bytes); the limit is %d", where, name,
                       url_bytes, SP_URL_BYTES - 1);
    for (size_t i = 0; i < url_bytes; i++)
        if ((unsigned char)url[i] < 0x20 || url[i] == 0x7F)
            return sp_fail(
                err, SP_ERR_INVALID,
                "%s: camera %s: control character in the URL (byte %zu is 0x%02x); remove it",
                where, name, i + 1, (unsigned)(unsigned char)url[i]);
    return SP_OK;
}

int sp_settings_add_camera(struct sp_settings *settings, const char *name, const char *url,
                           bool replace, const char *where, struct sp_error *err)
{
    int result = sp_settings_check_camera(name, url, where, err);
    if (result < 0)
        return result;
    int index = sp_setting_camera(settings, name);
    if (index >= 0 && !replace)
        return sp_fail(err, SP_ERR_INVALID, "%s: camera %s: duplicate name; choose another name",
                       where, name);
    if (index < 0 && settings->camera_count == SP_CAMERAS_MAX)
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: camera %s: too many cameras; the limit is %d per process", where, name,
                       SP_CAMERAS_MAX);
    struct sp_camera_setting *camera =
        &settings->camera[index < 0 ? settings->camera_count : index];
    if (index < 0) {
        memset(camera, 0, sizeof *camera);
        memcpy(camera->name, name, strlen(name));
        settings->camera_count++;
    }
    camera->replaced = index >= 0;
    memset(camera->url, 0, sizeof camera->url);
    memcpy(camera->url, url, strlen(url));
    return SP_OK;
}

int sp_camera_setting_set(struct sp_camera_setting *camera, const char *key, const char *value,
                          const char *where, struct sp_error *err)
{
    const struct sp_setting_row *row = sp_setting_find(key, strlen(key));
    for (size_t i = 0; !row && i < sp_setting_count; i++)
        if (sp_setting_table[i].per_camera &&
            strcmp(sp_setting_yaml_name(&sp_setting_table[i]), key) == 0)
            row = &sp_setting_table[i];
    if (!row)
        return refuse_unknown(key, where, err);
    if (!row->per_camera)
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: %s: not a setting of a single camera; set it for all", where, row->key);
    char subject[WHERE_BYTES + SP_FLAG_BYTES];
    snprintf(subject, sizeof subject, "%.*s: %s", WHERE_BYTES - 4, where, row->key);
    enum sp_setting_verdict verdict =
        sp_setting_parse_field(row, value, (char *)camera + row->camera_offset);
    if (verdict != SP_VALUE_GOOD)
        return refuse_value(row, verdict, value, subject, '=', err);
    camera->own |= sp_setting_camera_bit(row);
    return SP_OK;
}

void sp_camera_setting_complete(struct sp_camera_setting *camera,
                                const struct sp_settings *settings)
{
    if (camera->complete)
        return;
    camera->complete = true;
    for (const struct sp_setting_row *row = sp_setting_table;
         row < sp_setting_table + sp_setting_count; row++)
        if (row->per_camera && !(camera->own & sp_setting_camera_bit(row)))
            memcpy((char *)camera + row->camera_offset, (const char *)settings + row->offset,
                   row->bytes);
}

bool sp_camera_setting_equal(const struct sp_camera_setting *a, const struct sp_camera_setting *b)
{
    for (const struct sp_setting_row *row = sp_setting_table;
         row < sp_setting_table + sp_setting_count; row++)
        if (row->per_camera && memcmp((const char *)a + row->camera_offset,
                                      (const char *)b + row->camera_offset, row->bytes) != 0)
            return false;
    return strcmp(a->url, b->url) == 0;
}

/* What a camera sets itself: "CAMERA_gate FRAME_SKIP". */
static void each_of_camera(const struct sp_camera_setting *camera,
                           void (*visit)(void *user, const char *key, const char *value),
                           void *user)
{
    char key[PREFIX_LENGTH + SP_CAMERA_NAME_BYTES + SP_FLAG_BYTES], value[SP_PATH_BYTES];
    for (const struct sp_setting_row *row = sp_setting_table;
         row < sp_setting_table + sp_setting_count; row++) {
        if (!row->per_camera || !(camera->own & sp_setting_camera_bit(row)))
            continue;
        snprintf(key, sizeof key, "%s%s %s", camera_prefix, camera->name, row->key);
        sp_setting_format_field(row, (const char *)camera + row->camera_offset, value,
                                sizeof value);
        visit(user, key, value);
    }
}

void sp_settings_each(const struct sp_settings *settings,
                      void (*visit)(void *user, const char *key, const char *value), void *user)
{
    char value[SP_PATH_BYTES], shown[SP_PATH_BYTES + SP_FLAG_BYTES];
    for (size_t i = 0; i < sp_setting_count; i++) {
        sp_setting_format(&sp_setting_table[i], settings, value, sizeof value);
        if (sp_setting_table[i].secret && value[0] != '\0')
            snprintf(shown, sizeof shown, "***");
        else
            sp_setting_show(value, shown, sizeof shown);
        visit(user, sp_setting_table[i].key, shown);
    }
    for (int i = 0; i < settings->camera_count; i++) {
        char key[PREFIX_LENGTH + SP_CAMERA_NAME_BYTES];
        snprintf(key, sizeof key, "%s%s", camera_prefix, settings->camera[i].name);
        sp_setting_show(settings->camera[i].url, shown, sizeof shown);
        visit(user, key, shown);
        each_of_camera(&settings->camera[i], visit, user);
    }
}

/* "auto", or "0,1,1" */
static bool is_device_list(const char *list)
{
    if (strcmp(list, "auto") == 0)
        return true;
    for (;;) {
        size_t digits = strspn(list, "0123456789");
        if (digits < 1 || digits > 4)
            return false;
        list += digits;
        if (*list == '\0')
            return true;
        if (*list++ != ',')
            return false;
        list += strspn(list, " ");
    }
}

/* "*", or a list of "https://host:port" as in the Origin header: without a path. */
static bool is_origin_list(const char *list)
{
    while (*list) {
        list += strspn(list, " ,");
        size_t n = strcspn(list, " ,");
        const char *scheme = strstr(list, "://");
        const char *host = scheme && scheme < list + n ? scheme + 3 : NULL;
        bool named = host && host > list + 3 && host < list + n &&
                     strcspn(host, "/?#@ ,") == (size_t)(list + n - host);
        if (n > 0 && !named && (n != 1 || *list != '*'))
            return false;
        list += n;
    }
    return true;
}

int sp_camera_setting_check(const struct sp_camera_setting *setting,
                            const struct sp_settings *settings, struct sp_error *err)
{
    struct sp_camera_setting camera = *setting;
    sp_camera_setting_complete(&camera, settings);
    if (camera.track_low_thresh < camera.track_high_thresh)
        return SP_OK;
    return sp_fail(
        err, SP_ERR_INVALID,
        "camera %s: tracker.low_threshold=%g: not below tracker.high_threshold=%g; lower "
        "it, as the second association uses the detections in between",
        camera.name, camera.track_low_thresh, camera.track_high_thresh);
}

int sp_settings_check(const struct sp_settings *settings, struct sp_error *err)
{
    for (int i = 0; i < settings->camera_count; i++)
        if (settings->camera[i].own != 0 &&
            sp_camera_setting_check(&settings->camera[i], settings, err) < 0)
            return SP_ERR_INVALID;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        char value[SP_PATH_BYTES];
        sp_setting_format(row, settings, value, sizeof value);
        enum sp_setting_verdict verdict = sp_setting_parse(row, value, NULL);
        if (verdict != SP_VALUE_GOOD)
            return refuse_value(row, verdict, value, row->key, '=', err);
    }
    if (!is_device_list(settings->devices))
        return sp_fail(err, SP_ERR_INVALID,
                       "DEVICES=%s: invalid; must be auto or numbers from 0, separated by commas",
                       settings->devices);
    if (!is_origin_list(settings->allowed_origins))
        return sp_fail(
            err, SP_ERR_INVALID,
            "ALLOWED_ORIGINS=%.200s: invalid; must be * or origins without a path, separated by "
            "commas, such as https://front.example.com,http://192.0.2.7:8080",
            settings->allowed_origins);
    if (settings->track_low_thresh >= settings->track_high_thresh)
        return sp_fail(
            err, SP_ERR_INVALID,
            "TRACK_LOW_THRESHOLD=%g: not below TRACK_HIGH_THRESHOLD=%g; lower it, as the second "
            "association uses the detections in between",
            settings->track_low_thresh, settings->track_high_thresh);
    if ((settings->tls_cert[0] == '\0') != (settings->tls_key[0] == '\0'))
        return sp_fail(err, SP_ERR_INVALID,
                       "%s: set without %s; https requires both the certificate and its key",
                       settings->tls_cert[0] ? "TLS_CERT" : "TLS_KEY",
                       settings->tls_cert[0] ? "TLS_KEY" : "TLS_CERT");
    if (settings->track_new_thresh < settings->track_high_thresh)
        sp_log(SP_LOG_WARNING,
               "TRACK_NEW_THRESHOLD=%g: below TRACK_HIGH_THRESHOLD=%g; new tracks start at the "
               "higher threshold",
               settings->track_new_thresh, settings->track_high_thresh);
    return SP_OK;
}
