#include "onvif/xml.h"

#include <expat.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 16 };

/* Nodes and texts are allocated from blocks, which are freed together. */
struct block {
    struct block *next;
    size_t used, bytes;
    max_align_t data[];
};

struct sp_xml {
    struct block *blocks;
    struct sp_xml_node *root;
};

struct reader {
    struct sp_xml *document;
    XML_Parser parser;
    struct sp_xml_node *open, *last[SP_XML_DEPTH_MAX + 1]; /* the last child at each depth */
    char *text; /* of all open elements, one after the other */
    size_t text_bytes, text_begin[SP_XML_DEPTH_MAX + 1];
    int depth, nodes;
    const char *refused; /* why parsing was stopped */
    bool no_memory;
};

static void *allocate(struct sp_xml *document, size_t bytes)
{
    struct block *block = document->blocks;
    bytes = (bytes + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!block || block->bytes - block->used < bytes) {
        size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = malloc(sizeof *block + size);
        if (!block)
            return NULL;
        *block = (struct block){.next = document->blocks, .bytes = size};
        document->blocks = block;
    }
    void *memory = (char *)block->data + block->used;
    block->used += bytes;
    return memory;
}

static char *copy(struct sp_xml *document, const char *text, size_t bytes)
{
    char *to = allocate(document, bytes + 1);
    if (to) {
        if (bytes > 0)
            memcpy(to, text, bytes);
        to[bytes] = '\0';
    }
    return to;
}

static void stop(struct reader *reader, const char *why)
{
    reader->refused = why;
    reader->no_memory = !why;
    XML_StopParser(reader->parser, XML_FALSE);
}

static const char *const *copy_attributes(struct sp_xml *document, const char **from)
{
    static const char *const none[] = {NULL};
    size_t count = 0;
    while (from[count])
        count++;
    if (count == 0)
        return none;
    const char **to = allocate(document, (count + 1) * sizeof *to);
    for (size_t i = 0; to && i < count; i++) {
        to[i] = copy(document, from[i], strlen(from[i]));
        if (!to[i])
            return NULL;
    }
    if (to)
        to[count] = NULL;
    return to;
}

static void XMLCALL begin_element(void *user, const char *name, const char **attributes)
{
    struct reader *reader = user;
    const char *colon = strrchr(name, ':');
    if (reader->refused || reader->no_memory)
        return;
    if (reader->depth == SP_XML_DEPTH_MAX || reader->nodes == SP_XML_NODES_MAX) {
        stop(reader, reader->depth == SP_XML_DEPTH_MAX ? "nested too deep" : "too many elements");
        return;
    }
    name = colon ? colon + 1 : name;
    struct sp_xml_node *node = allocate(reader->document, sizeof *node);
    if (node) {
        *node = (struct sp_xml_node){.name = copy(reader->document, name, strlen(name)),
                                     .text = "",
                                     .parent = reader->open,
                                     .attributes = copy_attributes(reader->document, attributes)};
    }
    if (!node || !node->name || !node->attributes) {
        stop(reader, NULL);
        return;
    }
    struct sp_xml_node *before = reader->last[reader->depth];
    if (before)
        before->next = node;
    else if (reader->open)
        reader->open->first = node;
    else
        reader->document->root = node;
    reader->last[reader->depth++] = node;
    reader->last[reader->depth] = NULL;
    reader->text_begin[reader->depth] = reader->text_bytes;
    reader->open = node;
    reader->nodes++;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void XMLCALL end_element(void *user, const char *name)
{
    struct reader *reader = user;
    (void)name;
    if (reader->refused || reader->no_memory || !reader->open)
        return;
    size_t begin = reader->text_begin[reader->depth], end = reader->text_bytes;
    reader->text_bytes = begin;
    while (begin < end && is_blank(reader->text[begin]))
        begin++;
    while (begin < end && is_blank(reader->text[end - 1]))
        end--;
    reader->open->text =
        begin == end ? "" : copy(reader->document, reader->text + begin, end - begin);
    if (!reader->open->text) {
        reader->open->text = "";
        stop(reader, NULL);
    }
    reader->open = reader->open->parent;
    reader->depth--;
}

static void XMLCALL add_text(void *user, const char *text, int bytes)
{
    struct reader *reader = user;
    size_t count = (size_t)bytes;
    if (reader->refused || reader->no_memory)
        return;
    if (count > SP_XML_BYTES_MAX - reader->text_bytes) {
        stop(reader, "too long");
        return;
    }
    memcpy(reader->text + reader->text_bytes, text, count);
    reader->text_bytes += count;
}

static void XMLCALL refuse_doctype(void *user, const char *name, const char *system_id,
                                   const char *public_id, int internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)internal;
    stop(user, "has a document type");
}

static int parse(struct reader *reader, const char *bytes, size_t count, const char *name,
                 struct sp_error *err)
{
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, begin_element, end_element);
    XML_SetCharacterDataHandler(reader->parser, add_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, refuse_doctype);
    enum XML_Status status = XML_Parse(reader->parser, bytes, (int)count, XML_TRUE);
    if (reader->no_memory || XML_GetErrorCode(reader->parser) == XML_ERROR_NO_MEMORY)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    if (reader->refused)
        return sp_fail(err, SP_ERR_FORMAT, "%s: %s; the device does not follow ONVIF", name,
                       reader->refused);
    if (status != XML_STATUS_OK || !reader->document->root)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: not XML, %s in line %lu; the device does not follow ONVIF", name,
                       XML_ErrorString(XML_GetErrorCode(reader->parser)),
                       (unsigned long)XML_GetCurrentLineNumber(reader->parser));
    return SP_OK;
}

int sp_xml_read(struct sp_xml **out, const char *bytes, size_t count, const char *name,
                struct sp_error *err)
{
    if (count > SP_XML_BYTES_MAX)
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: longer than %d bytes; the device does not follow ONVIF", name,
                       SP_XML_BYTES_MAX);
    struct reader *reader = calloc(1, sizeof *reader);
    struct sp_xml *document = calloc(1, sizeof *document);
    int result = SP_ERR_NO_MEMORY;
    if (reader && document) {
        reader->document = document;
        reader->text = malloc(SP_XML_BYTES_MAX);
        reader->parser = XML_ParserCreate(NULL);
    }
    if (reader && reader->text && reader->parser)
        result = parse(reader, bytes, count, name, err);
    else
        sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", name);
    if (reader) {
        if (reader->parser)
            XML_ParserFree(reader->parser);
        free(reader->text);
        free(reader);
    }
    if (result == SP_OK)
        *out = document;
    else
        sp_xml_close(document);
    return result;
}

void sp_xml_close(struct sp_xml *document)
{
    if (!document)
        return;
    while (document->blocks) {
        struct block *next = document->blocks->next;
        free(document->blocks);
        document->blocks = next;
    }
    free(document);
}

const struct sp_xml_node *sp_xml_root(const struct sp_xml *document)
{
    return document->root;
}

/* The node after `node` in document order, inside `top`, or NULL. */
static const struct sp_xml_node *after(const struct sp_xml_node *node,
                                       const struct sp_xml_node *top)
{
    if (node->first)
        return node->first;
    while (node != top && !node->next)
        node = node->parent;
    return node == top ? NULL : node->next;
}

const struct sp_xml_node *sp_xml_find(const struct sp_xml_node *node, const char *name)
{
    const struct sp_xml_node *at = node ? after(node, node) : NULL;
    while (at && strcmp(at->name, name) != 0)
        at = after(at, node);
    return at;
}

const char *sp_xml_text(const struct sp_xml_node *node, const char *name)
{
    const struct sp_xml_node *found = sp_xml_find(node, name);
    return found ? found->text : "";
}

const char *sp_xml_attribute(const struct sp_xml_node *node, const char *name)
{
    for (const char *const *at = node->attributes; at[0]; at += 2)
        if (strcmp(at[0], name) == 0)
            return at[1];
    return "";
}
