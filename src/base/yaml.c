#include "base/yaml.h"

#include "base/lines.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

enum { NAME_BYTES = 96, BLOCK_BYTES = 16384 };

static const char alias[] =
    "alias *: not supported; write the value out (quote a text that begins with *)";

struct block {
    struct block *before;
    size_t used, capacity;
    _Alignas(max_align_t) char bytes[];
};

struct sp_yaml {
    char name[NAME_BYTES]; /* of a long path the end */
    char *text;
    size_t bytes, mark_bytes; /* mark_bytes: byte order mark, not seen by libyaml */
    struct block *blocks;     /* nodes and texts */
    struct sp_yaml_node *root;
};

/* One position in the text, moved forward only: libyaml counts characters, nodes count bytes. */
struct cursor {
    size_t byte, character;
};

struct builder {
    struct sp_yaml *document;
    struct sp_error *err;
    struct cursor cursor;
    struct sp_yaml_node *open[SP_YAML_DEPTH_MAX], *last[SP_YAML_DEPTH_MAX];
    struct sp_yaml_node *key[SP_YAML_DEPTH_MAX]; /* of a map: the key whose value follows */
    int depth;
    int documents;
};

static void *take(struct sp_yaml *document, size_t bytes)
{
    bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct block *block = document->blocks;
    if (!block || block->capacity - block->used < bytes) {
        size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = malloc(sizeof *block + capacity);
        if (!block)
            return NULL;
        block->before = document->blocks;
        block->used = 0;
        block->capacity = capacity;
        document->blocks = block;
    }
    void *at = block->bytes + block->used;
    block->used += bytes;
    return at;
}

static char *copy_text(struct sp_yaml *document, const char *text, size_t bytes)
{
    char *copy = take(document, bytes + 1);
    if (copy) {
        memcpy(copy, text, bytes);
        copy[bytes] = '\0';
    }
    return copy;
}

static int refuse_memory(const struct sp_yaml *document, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", document->name);
}

/* line, column: from 0, as libyaml counts. */
static int refuse_at(const struct builder *builder, size_t line, size_t column, const char *problem)
{
    return sp_fail(builder->err, SP_ERR_INVALID, "%s:%zu:%zu: %s", builder->document->name,
                   line + 1, column + 1, problem);
}

static int refuse_mark(const struct builder *builder, const yaml_mark_t *mark, const char *problem)
{
    return refuse_at(builder, mark->line, mark->column, problem);
}

/* --- nodes ------------------------------------------------------------------------------------ */

/* Byte offset of a character that is not before the previous one; continuation bytes are 10xxxxxx.
 */
static size_t byte_of(struct builder *builder, size_t character)
{
    struct cursor *at = &builder->cursor;
    const struct sp_yaml *document = builder->document;
    if (character < at->character)
        *at = (struct cursor){.byte = document->mark_bytes};
    for (; at->character < character && at->byte < document->bytes; at->character++)
        do
            at->byte++;
        while (at->byte < document->bytes && (document->text[at->byte] & 0xC0) == 0x80);
    return at->byte;
}

static bool is_null_word(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0)
            return true;
    return false;
}

/* Appends the node to the open list or map, or makes it the pending key. */
static int place(struct builder *builder, struct sp_yaml_node *node)
{
    if (builder->depth == 0) {
        builder->document->root = node;
        return SP_OK;
    }
    int top = builder->depth - 1;
    struct sp_yaml_node *parent = builder->open[top];
    node->parent = parent;
    if (parent->kind == SP_YAML_MAP && !builder->key[top]) {
        if (node->kind == SP_YAML_LIST || node->kind == SP_YAML_MAP)
            return sp_yaml_fail(node, builder->err,
                                "key that is a list or a map; write KEY: VALUE");
        if (strcmp(node->text, "<<") == 0 && node->plain)
            return sp_yaml_fail(node, builder->err,
                                "<<: merge keys are not supported; write the values out");
        builder->key[top] = node;
        return SP_OK;
    }
    node->key = builder->key[top];
    builder->key[top] = NULL;
    if (builder->last[top])
        builder->last[top]->next = node;
    else
        parent->first = node;
    builder->last[top] = node;
    parent->count++;
    return SP_OK;
}

static int set_tag(struct builder *builder, struct sp_yaml_node *node, const yaml_char_t *tag)
{
    const char *name = (const char *)tag;
    if (!name)
        return SP_OK;
    if (name[0] != '!' || name[1] == '\0')
        return sp_yaml_fail(node, builder->err, "tag %.40s: not supported; remove it", name);
    node->tag = copy_text(builder->document, name + 1, strlen(name + 1));
    return node->tag ? SP_OK : refuse_memory(builder->document, builder->err);
}

static struct sp_yaml_node *add_node(struct builder *builder, enum sp_yaml_kind kind,
                                     const yaml_event_t *event)
{
    struct sp_yaml_node *node = take(builder->document, sizeof *node);
    if (!node)
        return NULL;
    *node = (struct sp_yaml_node){.kind = kind,
                                  .line = (int)event->start_mark.line + 1,
                                  .column = (int)event->start_mark.column + 1,
                                  .begin = byte_of(builder, event->start_mark.index),
                                  .end = byte_of(builder, event->end_mark.index),
                                  .text = "",
                                  .document = builder->document,
                                  .file = builder->document->name};
    return node;
}

static int add_scalar(struct builder *builder, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t bytes = event->data.scalar.length;
    struct sp_yaml_node *node = add_node(builder, SP_YAML_SCALAR, event);
    if (!node)
        return refuse_memory(builder->document, builder->err);
    if (event->data.scalar.anchor)
        return sp_yaml_fail(node, builder->err,
                            "anchor &%.40s: not supported; write the value out where it is used",
                            (const char *)event->data.scalar.anchor);
    if (memchr(text, '\0', bytes))
        return sp_yaml_fail(node, builder->err, "NUL character in a text; remove it");
    node->text = copy_text(builder->document, text, bytes);
    if (!node->text)
        return refuse_memory(builder->document, builder->err);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    int result = set_tag(builder, node, event->data.scalar.tag);
    if (result == SP_OK && node->plain && !node->tag && is_null_word(text))
        node->kind = SP_YAML_NULL;
    return result == SP_OK ? place(builder, node) : result;
}

static int open_collection(struct builder *builder, const yaml_event_t *event)
{
    bool map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *anchor =
        map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    struct sp_yaml_node *node = add_node(builder, map ? SP_YAML_MAP : SP_YAML_LIST, event);
    if (!node)
        return refuse_memory(builder->document, builder->err);
    node->flow = map ? event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE
                     : event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE;
    if (anchor)
        return sp_yaml_fail(node, builder->err,
                            "anchor &%.40s: not supported; write the value out where it is used",
                            (const char *)anchor);
    if (builder->depth == SP_YAML_DEPTH_MAX)
        return sp_yaml_fail(node, builder->err, "nested deeper than %d levels; flatten it",
                            SP_YAML_DEPTH_MAX);
    int result = set_tag(builder, node,
                         map ? event->data.mapping_start.tag : event->data.sequence_start.tag);
    if (result == SP_OK)
        result = place(builder, node);
    if (result < 0)
        return result;
    builder->open[builder->depth] = node;
    builder->last[builder->depth] = NULL;
    builder->key[builder->depth++] = NULL;
    return SP_OK;
}

static int compare_keys(const void *a, const void *b)
{
    const struct sp_yaml_node *x = *(struct sp_yaml_node *const *)a,
                              *y = *(struct sp_yaml_node *const *)b;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->begin > y->begin) - (x->begin < y->begin);
}

static int check_duplicates(struct builder *builder, const struct sp_yaml_node *map)
{
    struct sp_yaml_node **keys = malloc(((size_t)map->count + 1) * sizeof(void *));
    int count = 0, result = SP_OK;
    if (!keys)
        return refuse_memory(builder->document, builder->err);
    for (struct sp_yaml_node *value = map->first; value; value = value->next)
        keys[count++] = value->key;
    if (count > 1)
        qsort((void *)keys, (size_t)count, sizeof(void *), compare_keys);
    for (int i = 1; i < count && result == SP_OK; i++)
        if (strcmp(keys[i - 1]->text, keys[i]->text) == 0) {
            char shown[64];
            sp_yaml_show(keys[i], shown, sizeof shown);
            result = sp_yaml_fail(keys[i], builder->err,
                                  "%s: duplicate key; already in line %d, remove one of the two",
                                  shown, keys[i - 1]->line);
        }
    free((void *)keys);
    return result;
}

static int close_collection(struct builder *builder, const yaml_event_t *event)
{
    struct sp_yaml_node *node = builder->open[--builder->depth];
    assert(node); /* libyaml closes only what it opened */
    node->end = byte_of(builder, event->end_mark.index);
    return node->kind == SP_YAML_MAP ? check_duplicates(builder, node) : SP_OK;
}

static int take_event(struct builder *builder, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->documents++ > 0)
            return refuse_mark(builder, &event->start_mark,
                               "a second document; keep only one, without ---");
        return SP_OK;
    case YAML_ALIAS_EVENT:
        return refuse_mark(builder, &event->start_mark, alias);
    case YAML_SCALAR_EVENT:
        return add_scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
    case YAML_MAPPING_START_EVENT:
        return open_collection(builder, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_collection(builder, event);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return SP_OK;
}

/* --- errors of libyaml ------------------------------------------------------------------------ */

static int refuse_bytes(const struct builder *builder, const yaml_parser_t *parser)
{
    const struct sp_yaml *document = builder->document;
    size_t line = 0, start = document->mark_bytes;
    size_t end = document->mark_bytes + parser->problem_offset;
    size_t column = 0;
    if (strstr(parser->problem, "trailing")) /* name the place of the character, not of its byte */
        do
            end--;
        while (end > start && (document->text[end] & 0xC0) == 0x80);
    for (size_t i = start; i < end && i < document->bytes; i++) {
        bool new_line = document->text[i] == '\n';
        column = new_line ? 0 : column + ((document->text[i] & 0xC0) != 0x80);
        line += new_line;
    }
    bool control = strstr(parser->problem, "control") != NULL;
    return refuse_at(builder, line, column,
                     control ? "control character; remove it" : "not UTF-8; save it as UTF-8");
}

static int refuse_syntax(struct builder *builder, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return refuse_memory(builder->document, builder->err);
    if (parser->error == YAML_READER_ERROR)
        return refuse_bytes(builder, parser);
    size_t at = byte_of(builder, parser->problem_mark.index);
    const struct sp_yaml *document = builder->document;
    if (at < document->bytes && document->text[at] == '\t')
        return refuse_mark(builder, &parser->problem_mark, "tab; indent with blanks");
    if (parser->context && strstr(parser->context, "alias"))
        return refuse_mark(builder, &parser->context_mark, alias);
    char text[256], context[96] = "";
    if (parser->context && parser->context_mark.line != parser->problem_mark.line)
        snprintf(context, sizeof context, " %s of line %zu", parser->context,
                 parser->context_mark.line + 1);
    snprintf(text, sizeof text,
             "invalid YAML: %s%s; check indentation, quotes and brackets, and quote texts with "
             "': ', '#', '%%' or '@'",
             parser->problem ? parser->problem : "syntax error", context);
    return refuse_mark(builder, &parser->problem_mark, text);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int parse(struct builder *builder)
{
    const struct sp_yaml *document = builder->document;
    yaml_parser_t parser;
    yaml_event_t event;
    bool end = false;
    int result = SP_OK;
    if (!yaml_parser_initialize(&parser))
        return refuse_memory(document, builder->err);
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser,
                                 (const unsigned char *)document->text + document->mark_bytes,
                                 document->bytes - document->mark_bytes);
    while (!end && result == SP_OK) {
        if (!yaml_parser_parse(&parser, &event)) {
            result = refuse_syntax(builder, &parser);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        result = take_event(builder, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return result;
}

static int set_empty_root(struct sp_yaml *document, struct sp_error *err)
{
    document->root = take(document, sizeof *document->root);
    if (!document->root)
        return refuse_memory(document, err);
    *document->root = (struct sp_yaml_node){.kind = SP_YAML_NULL,
                                            .text = "",
                                            .line = 1,
                                            .column = 1,
                                            .document = document,
                                            .file = document->name};
    return SP_OK;
}

static void set_name(struct sp_yaml *document, const char *name)
{
    size_t bytes = strlen(name);
    if (bytes < sizeof document->name)
        memcpy(document->name, name, bytes + 1);
    else
        snprintf(document->name, sizeof document->name, "...%s",
                 name + bytes - (sizeof document->name - 4));
}

/* Takes ownership of `text`, malloc'ed. */
static int read_owned(struct sp_yaml **out, char *text, size_t bytes, const char *name,
                      struct sp_error *err)
{
    struct sp_yaml *document = calloc(1, sizeof *document);
    if (!document) {
        free(text);
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    }
    set_name(document, name);
    document->text = text;
    document->bytes = bytes;
    document->mark_bytes = sp_line_mark_bytes(text, bytes);
    struct builder builder = {
        .document = document, .err = err, .cursor = {.byte = document->mark_bytes}};
    int result = SP_OK;
    if (bytes >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0))
        result = sp_fail(err, SP_ERR_INVALID, "%s: UTF-16; save it as UTF-8", document->name);
    if (result == SP_OK)
        result = parse(&builder);
    if (result == SP_OK && !document->root)
        result = set_empty_root(document, err);
    if (result == SP_OK)
        *out = document;
    else
        sp_yaml_close(document);
    return result;
}

static int refuse_size(const char *name, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_INVALID, "%s: larger than %d MB; give a settings file", name,
                   SP_YAML_BYTES_MAX >> 20);
}

int sp_yaml_read_text(struct sp_yaml **out, const char *text, size_t bytes, const char *name,
                      struct sp_error *err)
{
    if (bytes > SP_YAML_BYTES_MAX)
        return refuse_size(name, err);
    char *copy = malloc(bytes + 1);
    if (!copy)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    if (bytes > 0)
        memcpy(copy, text, bytes);
    copy[bytes] = '\0';
    return read_owned(out, copy, bytes, name, err);
}

/* Reads to the end, since a pipe has no size; stops behind the limit. -1: errno. */
static ssize_t read_whole(int file, char *text, size_t capacity)
{
    size_t used = 0;
    while (used < capacity) {
        ssize_t n = read(file, text + used, capacity - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

int sp_yaml_read_file(struct sp_yaml **out, const char *path, struct sp_error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    if (file < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be opened: %s; check the path",
                       path, strerror(errno));
    if (fstat(file, &about) == 0 && S_ISDIR(about.st_mode)) {
        close(file);
        return sp_fail(err, SP_ERR_INVALID, "%s: is a directory; give a YAML file", path);
    }
    char *text = malloc(SP_YAML_BYTES_MAX + 2);
    ssize_t bytes = text ? read_whole(file, text, SP_YAML_BYTES_MAX + 1) : 0;
    int code = errno;
    close(file);
    if (!text)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", path);
    if (bytes < 0 || bytes > SP_YAML_BYTES_MAX) {
        free(text);
        return bytes < 0 ? sp_fail(err, SP_ERR_IO, "%s: cannot be read: %s", path, strerror(code))
                         : refuse_size(path, err);
    }
    text[bytes] = '\0';
    char *fitted = realloc(text, (size_t)bytes + 1);
    return read_owned(out, fitted ? fitted : text, (size_t)bytes, path, err);
}

void sp_yaml_close(struct sp_yaml *document)
{
    if (!document)
        return;
    while (document->blocks) {
        struct block *before = document->blocks->before;
        free(document->blocks);
        document->blocks = before;
    }
    free(document->text);
    free(document);
}

const struct sp_yaml_node *sp_yaml_root(const struct sp_yaml *document)
{
    return document->root;
}

const char *sp_yaml_source(const struct sp_yaml *document, size_t *bytes)
{
    *bytes = document->bytes;
    return document->text;
}

int sp_yaml_set_text(struct sp_yaml_node *node, const char *text, bool secret, struct sp_error *err)
{
    const char *copy = copy_text(node->document, text, strlen(text));
    if (!copy)
        return refuse_memory(node->document, err);
    node->text = copy;
    node->secret = node->secret || secret;
    node->kind = SP_YAML_SCALAR;
    return SP_OK;
}
