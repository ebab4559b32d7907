#include "base/lines.h"
#include "base/log.h"
#include "config/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_BYTES_MAX = 8 << 20,
    NAME_SHOWN_BYTES = 96,
    KEY_BYTES = 128,
};

struct reader {
    struct sp_settings *settings;
    struct sp_error *err;
    char name[NAME_SHOWN_BYTES];
    char where[NAME_SHOWN_BYTES + 24]; /* ".env line 3" */
    int line;
    int row_line[SP_SETTING_ROWS_MAX]; /* line that set each row; 0: none */
    int camera_line[SP_CAMERAS_MAX];
    int no_line; /* stays 0: for a camera that is not set yet */
    char value[SP_PATH_BYTES];
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_key_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* A malformed line may hold a password: only the start of a word is shown. */
static int refuse_line(const struct reader *reader, const char *at, const char *end)
{
    int shown = 0;
    while (at + shown < end && shown < 40 && is_key_character(at[shown]))
        shown++;
    if (shown == 0)
        return sp_fail(reader->err, SP_ERR_INVALID,
                       "%s: not KEY=VALUE, a comment or empty; see docs/CONFIG.md", reader->where);
    return sp_fail(reader->err, SP_ERR_INVALID,
                   "%s: no '=' after \"%.*s\"; write KEY=VALUE, see docs/CONFIG.md", reader->where,
                   shown, at);
}

static int refuse_long_value(const struct reader *reader, const char *key)
{
    return sp_fail(reader->err, SP_ERR_INVALID, "%s: %s: value too long; the limit is %d bytes",
                   reader->where, key, SP_PATH_BYTES - 1);
}

/* 'literal' or "with \" \\ \$ \` as escapes"; only a comment may follow. */
static int read_quoted(struct reader *reader, const char *key, const char *at, const char *end)
{
    char quote = *at++;
    size_t used = 0;
    for (; at < end && *at != quote; at++) {
        if (quote == '"' && *at == '\\' && at + 1 < end && strchr("\"\\$`", at[1]))
            at++;
        if (used + 1 == sizeof reader->value)
            return refuse_long_value(reader, key);
        reader->value[used++] = *at;
    }
    reader->value[used] = '\0';
    if (at == end)
        return sp_fail(reader->err, SP_ERR_INVALID,
                       "%s: %s: opening %c without a closing %c; add it", reader->where, key, quote,
                       quote);
    const char *rest = skip_blanks(++at, end);
    if (rest < end && (*rest != '#' || rest == at))
        return sp_fail(reader->err, SP_ERR_INVALID,
                       "%s: text after the closing %c of %s; move it inside the quotes",
                       reader->where, quote, key);
    return SP_OK;
}

/* Up to a '#' after a blank, trimmed. `at` is behind the '='. */
static int read_plain(struct reader *reader, const char *key, const char *at, const char *end)
{
    const char *start = skip_blanks(at, end);
    const char *stop = start;
    for (; stop < end; stop++)
        if (*stop == '#' && stop > at && is_blank(stop[-1]))
            break;
    while (stop > start && is_blank(stop[-1]))
        stop--;
    size_t n = (size_t)(stop - start);
    if (n >= sizeof reader->value)
        return refuse_long_value(reader, key);
    memcpy(reader->value, start, n);
    reader->value[n] = '\0';
    return SP_OK;
}

/* Where the reader stores the line that set the key; NULL for an unknown key. */
static int *line_of_key(struct reader *reader, const char *key)
{
    if (strncmp(key, "CAMERA_", 7) == 0) {
        int camera = sp_setting_camera(reader->settings, key + 7);
        return camera < 0 ? &reader->no_line : &reader->camera_line[camera];
    }
    const struct sp_setting_row *row = sp_setting_find(key, strlen(key));
    return row ? &reader->row_line[row - sp_setting_table] : NULL;
}

static int set_key(struct reader *reader, const char *key, const char *at, const char *end)
{
    const char *advice = sp_setting_legacy(key);
    const int *before = line_of_key(reader, key);
    if (!before && advice) {
        sp_log(SP_LOG_WARNING, "%s: %s: no effect in spoton; %s", reader->where, key, advice);
        return SP_OK;
    }
    reader->value[0] = '\0';
    if (before && *before > 0)
        return sp_fail(reader->err, SP_ERR_INVALID,
                       "%s: %s: already set in line %d; remove one of the two", reader->where, key,
                       *before);
    if (before) {
        const char *start = skip_blanks(at, end);
        int result = start < end && (*start == '"' || *start == '\'')
                         ? read_quoted(reader, key, start, end)
                         : read_plain(reader, key, at, end);
        if (result != SP_OK)
            return result;
    }
    int result = sp_settings_set(reader->settings, key, reader->value, reader->where, reader->err);
    int *line = line_of_key(reader, key);
    if (result == SP_OK && line)
        *line = reader->line;
    return result;
}

static int read_line(struct reader *reader, const char *at, const char *end)
{
    snprintf(reader->where, sizeof reader->where, "%s line %d", reader->name, reader->line);
    while (end > at && is_blank(end[-1]))
        end--;
    at = skip_blanks(at, end);
    if (at == end || *at == '#')
        return SP_OK;
    if (memchr(at, '\0', (size_t)(end - at)))
        return sp_fail(reader->err, SP_ERR_INVALID, "%s: NUL byte; save the file as UTF-8 text",
                       reader->where);
    if (end - at > 7 && memcmp(at, "export", 6) == 0 && is_blank(at[6]))
        at = skip_blanks(at + 6, end);
    const char *key_end = at;
    while (key_end < end && is_key_character(*key_end))
        key_end++;
    const char *equals = skip_blanks(key_end, end);
    if (key_end == at || equals == end || *equals != '=')
        return refuse_line(reader, at, end);

    char key[KEY_BYTES];
    size_t key_bytes = (size_t)(key_end - at);
    if (key_bytes >= sizeof key)
        return sp_fail(reader->err, SP_ERR_INVALID,
                       "%s: %.40s...: unknown setting; see docs/CONFIG.md", reader->where, at);
    memcpy(key, at, key_bytes);
    key[key_bytes] = '\0';
    return set_key(reader, key, equals + 1, end);
}

int sp_settings_read_env_text(struct sp_settings *settings, const char *text, size_t bytes,
                              const char *name, struct sp_error *err)
{
    struct reader reader = {.settings = settings, .err = err};
    size_t name_bytes = strlen(name);
    if (name_bytes < sizeof reader.name) /* of a long path the end is shown */
        memcpy(reader.name, name, name_bytes);
    else
        snprintf(reader.name, sizeof reader.name, "...%s",
                 name + name_bytes - (sizeof reader.name - 4));
    if (bytes >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0))
        return sp_fail(err, SP_ERR_INVALID, "%s: UTF-16; save it as UTF-8", reader.name);
    const char *at = text + sp_line_mark_bytes(text, bytes), *end = text + bytes;
    while (at < end) {
        size_t next, length = sp_line_bytes(at, (size_t)(end - at), &next);
        reader.line++;
        int result = read_line(&reader, at, at + length);
        if (result != SP_OK)
            return result;
        at += next;
    }
    return SP_OK;
}

/* Reads to the end, since a pipe has no size. The caller frees *out. */
static int read_whole(int fd, const char *path, char **out, size_t *out_bytes, struct sp_error *err)
{
    size_t capacity = 16384, used = 0;
    char *text = malloc(capacity);
    for (;;) {
        if (text && used == capacity) {
            char *grown = capacity > FILE_BYTES_MAX ? NULL : realloc(text, capacity * 2);
            if (!grown && capacity > FILE_BYTES_MAX) {
                free(text);
                return sp_fail(err, SP_ERR_INVALID, "%s: larger than %d MB; give a settings file",
                               path, FILE_BYTES_MAX >> 20);
            }
            if (!grown)
                free(text);
            text = grown;
            capacity *= 2;
        }
        if (!text)
            return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", path);
        ssize_t n = read(fd, text + used, capacity - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int code = errno;
            free(text);
            return sp_fail(err, SP_ERR_IO, "%s: cannot be read: %s", path, strerror(code));
        }
        if (n == 0)
            break;
        used += (size_t)n;
    }
    *out = text;
    *out_bytes = used;
    return SP_OK;
}

int sp_settings_read_env_file(struct sp_settings *settings, const char *path, struct sp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be opened: %s; check the path",
                       path, strerror(errno));
    struct stat about;
    if (fstat(fd, &about) == 0 && S_ISDIR(about.st_mode)) {
        close(fd);
        return sp_fail(err, SP_ERR_INVALID, "%s: is a directory; give a file of KEY=VALUE lines",
                       path);
    }
    char *text = NULL;
    size_t bytes = 0;
    int result = read_whole(fd, path, &text, &bytes, err);
    close(fd);
    if (result == SP_OK)
        result = sp_settings_read_env_text(settings, text, bytes, path, err);
    free(text);
    const char *slash = strrchr(path, '/');
    snprintf(settings->folder, sizeof settings->folder, "%.*s", slash ? (int)(slash + 1 - path) : 0,
             path);
    return result;
}
