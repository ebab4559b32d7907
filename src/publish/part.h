/* A file that appears under its name only when it is complete.
 *
 * Data flow: open makes "DIR/NAME.part" -> write (buffered, every result checked) -> sync puts it
 * on the disk -> publish renames it. close removes what was not published. The text of every error
 * begins with NAME. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct sp_part;

/* SP_ERR_INVALID (a name with '/'), SP_ERR_NO_MEMORY, else what errno says. */
int sp_part_open(struct sp_part **out, const char *dir, const char *name, struct sp_error *err);

/* The path of the .part file, for a library that writes it itself. */
const char *sp_part_path(const struct sp_part *part);
const char *sp_part_name(const struct sp_part *part);

int sp_part_write(struct sp_part *part, const char *bytes, size_t count, struct sp_error *err);
int sp_part_sync(struct sp_part *part, struct sp_error *err); /* the last call before publish */
int sp_part_publish(struct sp_part *part, struct sp_error *err);
void sp_part_close(struct sp_part *part); /* NULL is fine */

/* Fills err with "NAME: <what errno says>; <what to do>" and returns the code. */
int sp_part_fail(const struct sp_part *part, int errno_value, struct sp_error *err);
