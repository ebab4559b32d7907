/* The names of a model's classes. A value: whoever holds it may copy it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_CLASSES_MAX = 1024, SP_CLASS_TEXT_BYTES = 24576, SP_CLASS_NAME_BYTES = 128 };

struct sp_class_names {
    int count; /* highest named index + 1; 0: no class has a name */
    int named; /* classes with a name; less than count where indices are missing */
    uint16_t used_bytes;
    uint16_t at[SP_CLASSES_MAX]; /* in text; 0: no name */
    char text[SP_CLASS_TEXT_BYTES];
};

/* Names class `index`; a name that is there already is replaced. The name is made valid UTF-8 of
 * one line and cut to SP_CLASS_NAME_BYTES. False: the index is out of range, the name is empty, or
 * there is no room. */
bool sp_class_names_set(struct sp_class_names *names, int index, const char *name, size_t bytes);

/* NULL: it has none. */
const char *sp_class_names_get(const struct sp_class_names *names, int index);

/* The name, or the index as text. names may be NULL. */
const char *sp_class_name(const struct sp_class_names *names, int index, char number[16]);

/* Whether two names are the same but for upper and lower case, and '_' for ' ' (OpenVINO writes
 * names that way). */
bool sp_class_names_alike(const char *a, const char *b);
