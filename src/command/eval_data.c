#include "command/eval_data.h"

#include "base/lines.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { BLOCK_BYTES = 512, LABELS_BYTES_MAX = 1 << 20, NAME_AT = 0, NAME_BYTES = 100 };
enum { SIZE_AT = 124, SIZE_BYTES = 12, TYPE_AT = 156, MAGIC_AT = 257, PREFIX_AT = 345 };
enum { PREFIX_BYTES = 155 };

struct list {
    struct sp_eval_data *data;
    size_t capacity;
    /* Label files found so far. */
    struct label_file {
        char *key; /* the path without extension */
        char *text;
    } * labels;
    size_t label_count, label_capacity;
    const char *path;
};

static bool has_ending(const char *path, const char *ending)
{
    size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcasecmp(path + length - tail, ending) == 0;
}

static bool is_image(const char *path)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (has_ending(path, endings[i]))
            return true;
    return false;
}

/* A copy without extension, with the last folder "images" replaced by "labels". */
static char *key_of(const char *path)
{
    char *key = strdup(path);
    if (!key)
        return NULL;
    char *dot = strrchr(key, '.');
    if (dot && !strchr(dot, '/'))
        *dot = '\0';
    char *images = NULL;
    for (char *at = key; (at = strstr(at, "images/")); at++)
        if (at == key || at[-1] == '/')
            images = at;
    for (size_t i = 0; images && i < 6; i++)
        images[i] = "labels"[i];
    return key;
}

static int no_memory(const struct list *list, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", list->path);
}

/* `inside`: the path that pairs images with labels. Takes ownership of url. `labels` holds the key
 * until pair_labels. */
static int add_image(struct list *list, const char *inside, char *url, struct sp_error *err)
{
    struct sp_eval_data *data = list->data;
    const char *slash = strrchr(inside, '/');
    if (data->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        struct sp_eval_image *grown = realloc(data->images, capacity * sizeof *grown);
        if (grown) {
            data->images = grown;
            list->capacity = capacity;
        }
    }
    char *name = strdup(slash ? slash + 1 : inside), *key = key_of(inside);
    if (!url || !name || !key || data->count == list->capacity) {
        free(url);
        free(name);
        free(key);
        return no_memory(list, err);
    }
    char *dot = strrchr(name, '.');
    if (dot)
        *dot = '\0';
    data->images[data->count++] = (struct sp_eval_image){name, url, key};
    return SP_OK;
}

/* Takes ownership of text. */
static int add_labels(struct list *list, const char *inside, char *text, struct sp_error *err)
{
    if (list->label_count == list->label_capacity) {
        size_t capacity = list->label_capacity ? 2 * list->label_capacity : 256;
        struct label_file *grown = realloc(list->labels, capacity * sizeof *grown);
        if (grown) {
            list->labels = grown;
            list->label_capacity = capacity;
        }
    }
    char *key = key_of(inside);
    if (!text || !key || list->label_count == list->label_capacity) {
        free(text);
        free(key);
        return no_memory(list, err);
    }
    list->labels[list->label_count++] = (struct label_file){key, text};
    return SP_OK;
}

/* `bytes` of an open file as text; NULL with an error. */
static char *read_text(const struct list *list, FILE *file, size_t bytes, const char *name,
                       struct sp_error *err)
{
    if (bytes > LABELS_BYTES_MAX) {
        sp_fail(err, SP_ERR_FORMAT, "%s: %s: %zu bytes; too long for a label file", list->path,
                name, bytes);
        return NULL;
    }
    char *text = malloc(bytes + 1);
    if (!text) {
        no_memory(list, err);
        return NULL;
    }
    if (fread(text, 1, bytes, file) != bytes) {
        sp_fail(err, SP_ERR_FORMAT, "%s: truncated in %s", list->path, name);
        free(text);
        return NULL;
    }
    text[sp_lines_normalize(text, bytes)] = '\0';
    return text;
}

static int add_file(struct list *list, const char *path, struct sp_error *err)
{
    if (is_image(path))
        return add_image(list, path, strdup(path), err);
    if (!has_ending(path, ".txt"))
        return SP_OK;
    FILE *file = fopen(path, "rbe");
    struct stat status;
    if (!file || fstat(fileno(file), &status) != 0) {
        int result = sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return result;
    }
    char *text = read_text(list, file, (size_t)status.st_size, path, err);
    fclose(file);
    return text ? add_labels(list, path, text, err) : SP_ERR_IO;
}

/* One folder, not recursive. */
static int add_folder(struct list *list, const char *path, struct sp_error *err)
{
    DIR *folder = opendir(path);
    if (!folder)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
    int result = SP_OK;
    for (struct dirent *entry; result == SP_OK && (entry = readdir(folder));) {
        char file[PATH_MAX];
        struct stat status;
        int length = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (length > 0 && length < PATH_MAX && stat(file, &status) == 0 && S_ISREG(status.st_mode))
            result = add_file(list, file, err);
    }
    closedir(folder);
    return result;
}

static int read_folder(struct list *list, struct sp_error *err)
{
    static const char *const below[] = {"", "/images", "/labels"};
    int result = SP_OK;
    for (size_t i = 0; i < sizeof below / sizeof below[0] && result == SP_OK; i++) {
        char path[PATH_MAX];
        struct stat status;
        int length = snprintf(path, sizeof path, "%s%s", list->path, below[i]);
        if (length > 0 && length < PATH_MAX && stat(path, &status) == 0 && S_ISDIR(status.st_mode))
            result = add_folder(list, path, err);
    }
    return result;
}

/* The value of "path" in a pax header: lines "LENGTH path=VALUE". */
static void take_pax_path(const char *text, char out[PATH_MAX])
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        const char *key = line + strspn(line, "0123456789");
        if (strncmp(key, " path=", 6) == 0)
            snprintf(out, PATH_MAX, "%.*s", (int)strcspn(key + 6, "\n"), key + 6);
    }
}

/* One file of the archive; its data begins at `at`. */
static int take_member(struct list *list, FILE *file, const char *name, long long at,
                       long long bytes, struct sp_error *err)
{
    if (is_image(name)) {
        char *url = NULL;
        if (asprintf(&url, "subfile,,start,%lld,end,%lld,,:%s", at, at + bytes, list->path) < 0)
            url = NULL;
        return add_image(list, name, url, err);
    }
    if (!has_ending(name, ".txt"))
        return SP_OK;
    char *text = read_text(list, file, (size_t)bytes, name, err);
    return text ? add_labels(list, name, text, err) : SP_ERR_FORMAT;
}

/* POSIX.1-2008, pax: ustar headers, and the long names of pax and GNU. */
static int read_tar(struct list *list, FILE *file, struct sp_error *err)
{
    char header[BLOCK_BYTES], name[PATH_MAX], longer[PATH_MAX] = "";
    int result = SP_OK;
    while (result == SP_OK && fread(header, 1, BLOCK_BYTES, file) == BLOCK_BYTES) {
        if (header[0] == '\0')
            return SP_OK; /* the end */
        if (memcmp(header + MAGIC_AT, "ustar", 5) != 0)
            return sp_fail(err, SP_ERR_FORMAT,
                           "%s: not a tar file, or damaged; give a folder or a tar file",
                           list->path);
        char size[SIZE_BYTES + 1] = "", type = header[TYPE_AT];
        memcpy(size, header + SIZE_AT, SIZE_BYTES);
        long long bytes = strtoll(size, NULL, 8), at = ftello(file);
        if (bytes < 0 || at < 0)
            return sp_fail(err, SP_ERR_FORMAT, "%s: damaged tar file", list->path);
        if (type == 'x' || type == 'L') {
            char *text = read_text(list, file, (size_t)bytes, "a header", err);
            if (!text)
                return SP_ERR_FORMAT;
            if (type == 'x')
                take_pax_path(text, longer);
            else
                snprintf(longer, sizeof longer, "%s", text);
            free(text);
        } else if (type == '0' || type == '\0') {
            const char *prefix = header + PREFIX_AT;
            if (longer[0])
                snprintf(name, sizeof name, "%s", longer);
            else
                snprintf(name, sizeof name, "%.*s%s%.*s", PREFIX_BYTES, prefix, *prefix ? "/" : "",
                         NAME_BYTES, header + NAME_AT);
            longer[0] = '\0';
            result = take_member(list, file, name, at, bytes, err);
        }
        if (fseeko(file, at + (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES, SEEK_SET) != 0)
            return sp_fail(err, SP_ERR_IO, "%s: %s", list->path, strerror(errno));
    }
    return result;
}

static int compare_keys(const void *a, const void *b)
{
    const struct label_file *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int compare_names(const void *a, const void *b)
{
    const struct sp_eval_image *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->url, y->url);
}

/* Replaces the keys in `labels` by the texts. */
static void pair_labels(struct list *list)
{
    if (list->label_count > 0)
        qsort(list->labels, list->label_count, sizeof *list->labels, compare_keys);
    for (size_t i = 0; i < list->data->count; i++) {
        struct sp_eval_image *image = &list->data->images[i];
        struct label_file wanted = {.key = image->labels}, *found = NULL;
        if (list->label_count > 0)
            found = bsearch(&wanted, list->labels, list->label_count, sizeof *list->labels,
                            compare_keys);
        free(image->labels);
        image->labels = found ? found->text : NULL;
        if (found)
            found->text = NULL;
        list->data->unlabelled += image->labels == NULL;
    }
}

int sp_eval_data_open(struct sp_eval_data *data, const char *path, struct sp_error *err)
{
    char real[PATH_MAX];
    struct stat status;
    *data = (struct sp_eval_data){0};
    if (!realpath(path, real) || stat(real, &status) != 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s; check the path", path,
                       strerror(errno));
    struct list list = {.data = data, .path = real};
    int result;
    if (S_ISDIR(status.st_mode)) {
        result = read_folder(&list, err);
    } else if (!S_ISREG(status.st_mode)) {
        result = sp_fail(err, SP_ERR_INVALID,
                         "%s: neither a folder nor a file; give a folder or a tar file", path);
    } else {
        FILE *file = fopen(real, "rbe");
        result = file ? read_tar(&list, file, err)
                      : sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
        if (file)
            fclose(file);
    }
    pair_labels(&list);
    for (size_t i = 0; i < list.label_count; i++) {
        free(list.labels[i].key);
        free(list.labels[i].text);
    }
    free(list.labels);
    if (result < 0)
        return result;
    if (data->count == 0)
        return sp_fail(
            err, SP_ERR_INVALID,
            "%s: no images (.jpg, .png, .webp, .bmp); give a folder or tar file of labelled "
            "images",
            path);
    if (data->unlabelled == data->count)
        return sp_fail(
            err, SP_ERR_INVALID,
            "%s: none of its %zu images has labels; write NAME.txt with lines flag cx cy w h", path,
            data->count);
    qsort(data->images, data->count, sizeof *data->images, compare_names);
    return SP_OK;
}

void sp_eval_data_release(struct sp_eval_data *data)
{
    for (size_t i = 0; i < data->count; i++) {
        free(data->images[i].name);
        free(data->images[i].url);
        free(data->images[i].labels);
    }
    free(data->images);
    *data = (struct sp_eval_data){0};
}

/* "flag cx cy w h" and nothing else. */
static bool parse_label(const char *line, size_t length, double value[5])
{
    char text[256];
    if (length >= sizeof text)
        return false;
    memcpy(text, line, length);
    text[length] = '\0';
    const char *at = text;
    for (int i = 0; i < 5; i++) {
        char *end;
        value[i] = strtod(at, &end);
        if (end == at || !isfinite(value[i]))
            return false;
        at = end;
    }
    return at[strspn(at, " \t\r")] == '\0' && value[3] >= 0 && value[4] >= 0 &&
           (value[0] == 0 || value[0] == 1 || value[0] == 2);
}

int sp_eval_labels(const struct sp_eval_image *image, int width_px, int height_px, int class_id,
                   struct sp_box_label **labels, size_t *count, struct sp_error *err)
{
    const char *text = image->labels ? image->labels : "";
    size_t lines = 1, number = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    *count = 0;
    *labels = calloc(lines, sizeof **labels);
    if (!*labels)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", image->name);
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        double v[5];
        number++;
        if (strspn(line, " \t\r") < length) {
            if (!parse_label(line, length, v))
                return sp_fail(err, SP_ERR_FORMAT,
                               "labels of %s: line %zu: malformed; must be \"flag cx cy w h\" with "
                               "flag 0 or 1 "
                               "(person) or 2 (doubtful)",
                               image->name, number);
            double x = v[1] * width_px, y = v[2] * height_px;
            double half_width = v[3] * width_px / 2, half_height = v[4] * height_px / 2;
            (*labels)[(*count)++] = (struct sp_box_label){
                .box = {.x1_px = x - half_width,
                        .y1_px = y - half_height,
                        .x2_px = x + half_width,
                        .y2_px = y + half_height,
                        .class_id = class_id},
                .doubtful = v[0] == 2,
            };
        }
        line += length;
        line += *line == '\n';
    }
    return SP_OK;
}
