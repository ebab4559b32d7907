/* The names of a model's classes. A plain value that can be copied. */
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

/* Sets or replaces the name of class `index`. The name is converted to one line of valid UTF-8 and
 * truncated to SP_CLASS_NAME_BYTES. False: the index is out of range, the name is empty, or the
 * text is full. */
bool sp_class_names_set(struct sp_class_names *names, int index, const char *name, size_t bytes);

/* NULL: the class has no name. */
const char *sp_class_names_get(const struct sp_class_names *names, int index);

/* The name, or the index as text. names may be NULL. */
const char *sp_class_name(const struct sp_class_names *names, int index, char number[16]);

/* Whether two names are equal, ignoring case, and '_' equal to ' ' (OpenVINO replaces blanks). */
bool sp_class_names_alike(const char *a, const char *b);
