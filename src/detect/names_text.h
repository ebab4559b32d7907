/* Parsers for the formats of class names. All read text[bytes], which need not be terminated, and
 * do not change `names` if they return false. Pure functions. */
#pragma once

#include "class_names.h"

/* A Python or JSON literal at the start of the text: {0: 'a', 1: "b"}, ["a", 'b'], ('a',),
 * {"0": "a"}, {"a": 0}; with blanks, escapes of both languages, bare words. Ignores what follows.
 */
bool sp_names_literal(struct sp_class_names *names, const char *text, size_t bytes);

/* The literal after the first member "names" of a larger literal. */
bool sp_names_member(struct sp_class_names *names, const char *text, size_t bytes);

/* YAML's block or flow form of the top-level key "names". */
bool sp_names_yaml(struct sp_class_names *names, const char *text, size_t bytes);

/* One name per line, or a single line with names separated by `separator`. */
bool sp_names_list(struct sp_class_names *names, const char *text, size_t bytes, char separator);
