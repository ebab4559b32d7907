#include "detect/names.h"

#include "detect/names_text.h"
#include "detect/onnx_input.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, VALUE_BYTES = 1 << 17 };

typedef bool reader_fn(struct sp_class_names *names, const char *data, size_t bytes);

static bool read_file(struct sp_class_names *names, const char *path, reader_fn *read)
{
    bool found = false;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return false;
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data != MAP_FAILED) {
            found = read(names, data, size);
            munmap(data, size);
        }
    }
    close(file);
    return found;
}

bool sp_names_onnx(struct sp_class_names *names, const char *data, size_t bytes)
{
    static const char *const keys[] = {"names", "classes", "class_names", "labels"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value;
        size_t value_bytes;
        if (sp_onnx_metadata(data, bytes, keys[i], &value, &value_bytes) &&
            (sp_names_literal(names, value, value_bytes) ||
             (value_bytes > 0 && value[0] != '{' && value[0] != '[' &&
              sp_names_list(names, value, value_bytes, ','))))
            return true;
    }
    return false;
}

/* ---- OpenVINO IR ---- */

static size_t unescape(char *out, size_t capacity, const char *at, size_t bytes)
{
    static const struct {
        const char *name;
        char is;
    } entities[] = {
        {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    size_t used = 0;
    for (size_t i = 0; i < bytes && used < capacity;) {
        size_t length = 1;
        char c = at[i];
        for (size_t k = 0; c == '&' && k < sizeof entities / sizeof *entities; k++) {
            size_t n = strlen(entities[k].name);
            if (n <= bytes - i && memcmp(at + i, entities[k].name, n) == 0) {
                length = n;
                out[used] = entities[k].is;
            }
        }
        if (c == '&' && length == 1 && bytes - i > 3 && at[i + 1] == '#') {
            const char *close = memchr(at + i, ';', bytes - i < 8 ? bytes - i : 8);
            out[used] = ' '; /* a numeric reference: line breaks in practice */
            length = close ? (size_t)(close - (at + i)) + 1 : 1;
        } else if (length == 1) {
            out[used] = c;
        }
        used++;
        i += length;
    }
    return used;
}

/* The attribute "value" of the first element with this tag. Allocated with malloc(). */
static char *element_value(const char *data, size_t bytes, const char *tag, size_t *value_bytes)
{
    const char *end = data + bytes;
    size_t tag_bytes = strlen(tag);
    for (const char *at = data; (at = memmem(at, (size_t)(end - at), tag, tag_bytes));) {
        at += tag_bytes;
        const char *close = memchr(at, '>', (size_t)(end - at));
        const char *value = close ? memmem(at, (size_t)(close - at), "value=\"", 7) : NULL;
        const char *quote = value ? memchr(value + 7, '"', (size_t)(end - value - 7)) : NULL;
        size_t length = quote ? (size_t)(quote - value - 7) : 0;
        if (length == 0 || length > VALUE_BYTES)
            continue;
        char *text = malloc(length);
        if (text)
            *value_bytes = unescape(text, length, value + 7, length);
        return text;
    }
    return NULL;
}

/* The model's own rt_info follows its layers and edges, which can have one, too. */
bool sp_names_ir(struct sp_class_names *names, const char *data, size_t bytes)
{
    const char *from = data, *end = data + bytes;
    for (const char *at = data; (at = memmem(at, (size_t)(end - at), "</edges>", 8));)
        from = at += 8;
    bool found = false;
    static const char *const tags[] = {"<labels ", "<names ", "<class_names "};
    for (size_t i = 0; i < sizeof tags / sizeof *tags && !found; i++) {
        size_t length = 0;
        char *text = element_value(from, (size_t)(end - from), tags[i], &length);
        if (text)
            found =
                sp_names_literal(names, text, length) || sp_names_list(names, text, length, ' ');
        free(text);
    }
    return found;
}

/* ---- any format ---- */

static bool search(struct sp_class_names *names, const char *data, size_t bytes)
{
    const char *end = data + bytes;
    for (const char *at = data; (at = memmem(at, (size_t)(end - at), "{0: ", 4)); ++at) {
        if (sp_names_literal(names, at, (size_t)(end - at)))
            return true;
    }
    return false;
}

static bool tflite(struct sp_class_names *names, const char *data, size_t bytes)
{
    return sp_names_zip(names, data, bytes) || search(names, data, bytes);
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcasecmp(path + length - tail, suffix) == 0;
}

/* Ultralytics writes metadata.yaml beside a model, YOLOv5 NAME.yaml. */
static bool read_yaml_beside(struct sp_class_names *names, const char *path)
{
    char beside[PATH_BYTES + 16];
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    int folder = slash ? (int)(slash + 1 - path) : 0;
    snprintf(beside, sizeof beside, "%.*smetadata.yaml", folder, path);
    if (read_file(names, beside, sp_names_yaml))
        return true;
    snprintf(beside, sizeof beside, "%.*s.yaml", (int)(dot - path), path);
    return read_file(names, beside, sp_names_yaml);
}

/* OpenVINO separates labels by blanks, so names with blanks are ambiguous there: compares all names
 * as one text. */
static bool same_text(const struct sp_class_names *a, const struct sp_class_names *b)
{
    char *text[2] = {malloc(2 * SP_CLASS_TEXT_BYTES), malloc(2 * SP_CLASS_TEXT_BYTES)};
    const struct sp_class_names *names[2] = {a, b};
    bool same = false;
    for (int k = 0; k < 2 && text[0] && text[1]; k++) {
        size_t used = 0;
        text[k][0] = '\0';
        for (int i = 0; i < names[k]->count; i++) {
            const char *name = sp_class_names_get(names[k], i);
            if (name)
                used +=
                    (size_t)snprintf(text[k] + used, 2 * SP_CLASS_TEXT_BYTES - used, "%s ", name);
        }
        same = k == 1 && sp_class_names_alike(text[0], text[1]);
    }
    free(text[0]);
    free(text[1]);
    return same;
}

static void find_in_ir(struct sp_class_names *names, const char *path)
{
    struct sp_class_names *beside = calloc(1, sizeof *beside);
    bool has = read_file(names, path, sp_names_ir);
    if (beside && read_yaml_beside(beside, path) && (!has || same_text(names, beside)))
        *names = *beside;
    free(beside);
}

void sp_model_names_find(struct sp_class_names *names, const char *path)
{
    memset(names, 0, sizeof *names);
    if (strlen(path) >= PATH_BYTES)
        return;
    if (ends_with(path, ".onnx"))
        read_file(names, path, sp_names_onnx);
    else if (ends_with(path, ".xml"))
        find_in_ir(names, path);
    else if (!ends_with(path, ".tflite"))
        read_file(names, path, search);
    else if (!read_file(names, path, tflite))
        read_yaml_beside(names, path);
}
