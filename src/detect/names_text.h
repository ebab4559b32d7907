/* The forms that exporters write class names in. All read text[bytes], which need not be
 * terminated, and leave `names` as it was when they return false. Pure functions. */
#pragma once

#include "class_names.h"

/* Python or JSON at the beginning of the text: {0: 'a', 1: "b"}, ["a", 'b'], ('a',), {"0": "a"},
 * {"a": 0}; blanks anywhere, escapes of both languages, bare words. What follows is not read. */
bool sp_names_literal(struct sp_class_names *names, const char *text, size_t bytes);

/* The literal behind the first member "names" of a larger one. */
bool sp_names_member(struct sp_class_names *names, const char *text, size_t bytes);

/* YAML's block or flow form of the top-level key "names". */
bool sp_names_yaml(struct sp_class_names *names, const char *text, size_t bytes);

/* A name a line; on a single line, separated by `separator`. */
bool sp_names_list(struct sp_class_names *names, const char *text, size_t bytes, char separator);
