/* A YAML document as a tree whose nodes know their line and column.
 *
 * Data flow: bytes -> libyaml's events -> tree of struct sp_yaml_node -> walked by the caller:
 *
 *     for (const struct sp_yaml_node *zone = zones->first; zone; zone = zone->next)
 *         if (zone->kind == SP_YAML_MAP) ...
 *
 * Read-only for callers, except for sp_yaml_set_text. All nodes belong to the document and live
 * until sp_yaml_close. A document may be read by several threads at once.
 *
 * One UTF-8 document of at most SP_YAML_BYTES_MAX bytes, nested at most SP_YAML_DEPTH_MAX deep.
 * Refused with file, line and column: duplicate keys, anchors and aliases, tags other than local
 * ones (!secret), keys that are not text, tabs as indentation, NUL characters, a second document.
 * Errors have the form "FILE:LINE:COLUMN: cameras[1].frame_skip: <problem>; <what to do>". */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    SP_YAML_BYTES_MAX = 1 << 20,
    SP_YAML_DEPTH_MAX = 32,
    SP_YAML_PATH_BYTES = 160,
};

enum sp_yaml_kind {
    SP_YAML_NULL, /* nothing, ~ or null: "not set" */
    SP_YAML_SCALAR,
    SP_YAML_LIST,
    SP_YAML_MAP,
};

struct sp_yaml;

struct sp_yaml_node {
    enum sp_yaml_kind kind;
    bool plain;        /* scalars: without quotes; only these are numbers or booleans */
    bool secret;       /* not to be shown; set by sp_yaml_set_text */
    int line, column;  /* from 1, column in characters */
    size_t begin, end; /* bytes of the text; a list's or map's `end` includes its closing bracket */
    const char *tag;   /* "secret" for !secret; NULL: none */
    const char *text;  /* scalars: UTF-8 without NUL; otherwise "" */
    int count;         /* lists: items; maps: pairs */
    bool flow;         /* lists and maps: written in brackets */
    struct sp_yaml_node *key; /* of a value in a map: its key, a scalar; otherwise NULL */
    struct sp_yaml_node *first, *next, *parent; /* first item or value; next of the same parent */
    struct sp_yaml *document;
    const char *file; /* for messages: the path, of a long one its end */
};

/* Reads a file; a pipe is possible. SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_INVALID,
 * SP_ERR_NO_MEMORY. *out is set on success only. */
int sp_yaml_read_file(struct sp_yaml **out, const char *path, struct sp_error *err);

/* The same from memory: any bytes, not terminated. `name` is used in messages. */
int sp_yaml_read_text(struct sp_yaml **out, const char *text, size_t bytes, const char *name,
                      struct sp_error *err);

void sp_yaml_close(struct sp_yaml *document); /* NULL: nothing */

/* SP_YAML_NULL for an empty document; never NULL. */
const struct sp_yaml_node *sp_yaml_root(const struct sp_yaml *document);

/* The text that was read, terminated; node->begin and node->end are offsets into it. */
const char *sp_yaml_source(const struct sp_yaml *document, size_t *bytes);

/* Replaces a scalar's text by a copy of `text` (of an environment variable, of a secret). secret:
 * messages show *** instead. SP_ERR_NO_MEMORY. */
int sp_yaml_set_text(struct sp_yaml_node *node, const char *text, bool secret,
                     struct sp_error *err);

/* --- values (yaml_value.c) -------------------------------------------------------------------- */

/* The value of a key, or NULL; also NULL if `map` is no map. */
const struct sp_yaml_node *sp_yaml_get(const struct sp_yaml_node *map, const char *key);

/* "cameras[1].frame_skip"; "document" for the root. */
void sp_yaml_path(const struct sp_yaml_node *node, char out[SP_YAML_PATH_BYTES]);

/* Fills *err with "FILE:LINE:COLUMN: ..." and returns SP_ERR_INVALID. The caller's text names the
 * key (see sp_yaml_path). */
int sp_yaml_fail(const struct sp_yaml_node *node, struct sp_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The node's text for messages: printable, truncated, *** for secrets; "a list", "a map",
 * "nothing". */
void sp_yaml_show(const struct sp_yaml_node *node, char *out, size_t out_bytes);

/* SP_ERR_INVALID unless the node is of that kind: "zones: a text; must be a list". */
int sp_yaml_expect(const struct sp_yaml_node *node, enum sp_yaml_kind kind, struct sp_error *err);

/* Refuses keys that are not among `known` (NULL-terminated), naming the nearest. The node must be a
 * map. */
int sp_yaml_check_keys(const struct sp_yaml_node *map, const char *const *known,
                       struct sp_error *err);

/* Typed values; SP_ERR_INVALID names what was found and what is allowed. *out is set on success
 * only. The text belongs to the document. */
int sp_yaml_text(const struct sp_yaml_node *node, const char **out, struct sp_error *err);
int sp_yaml_number(const struct sp_yaml_node *node, double low, double high, double *out,
                   struct sp_error *err);
int sp_yaml_integer(const struct sp_yaml_node *node, int low, int high, int *out,
                    struct sp_error *err);
int sp_yaml_boolean(const struct sp_yaml_node *node, bool *out, struct sp_error *err);
