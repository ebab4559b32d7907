/* A file that appears under its name only when it is complete.
 *
 * Data flow: open makes "DIR/NAME.part" -> write (buffered, every result checked) -> sync puts it
 * on the disk -> publish renames it. close removes what was not published. The text of every error
 * begins with NAME. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct sp_atomic_file;

/* SP_ERR_INVALID (a name with '/'), SP_ERR_NO_MEMORY, else what errno says. */
int sp_atomic_file_open(struct sp_atomic_file **out, const char *dir, const char *name,
                        struct sp_error *err);

/* The path of the .part file, for a library that writes it itself. */
const char *sp_atomic_file_path(const struct sp_atomic_file *part);
const char *sp_atomic_file_name(const struct sp_atomic_file *part);

/* After a write that failed (a full disk) what is on the disk can be kept: rescue writes as much of
 * the buffer as there is room for and returns how many bytes stand in the file; cut shortens the
 * file to the last of them that make sense. sync and publish follow. */
int64_t sp_atomic_file_rescue(struct sp_atomic_file *part);
int sp_atomic_file_cut(struct sp_atomic_file *part, int64_t bytes, struct sp_error *err);
/* The two together, for a file of lines: to the end of the last whole one. *bytes: what is kept. */
int sp_atomic_file_keep_lines(struct sp_atomic_file *part, int64_t *bytes, struct sp_error *err);

/* Of all that was given to write. */
int64_t sp_atomic_file_bytes(const struct sp_atomic_file *part);
/* Of what stands in the file. */
int64_t sp_atomic_file_written(const struct sp_atomic_file *part);

/* The file at `path` takes the place of the .part file. */
int sp_atomic_file_replace(struct sp_atomic_file *part, const char *path, struct sp_error *err);

/* Of a failed call the bytes from sp_atomic_file_written() on may be anything. */
int sp_atomic_file_write(struct sp_atomic_file *part, const char *bytes, size_t count,
                         struct sp_error *err);
int sp_atomic_file_flush(struct sp_atomic_file *part, struct sp_error *err); /* out of the buffer */
int sp_atomic_file_sync(struct sp_atomic_file *part,
                        struct sp_error *err); /* the last call before publish */
int sp_atomic_file_publish(struct sp_atomic_file *part, struct sp_error *err);
void sp_atomic_file_close(struct sp_atomic_file *part); /* NULL is fine */

/* Fills err with "NAME: <what errno says>; <what to do>" and returns the code. */
int sp_atomic_file_fail(const struct sp_atomic_file *part, int errno_value, struct sp_error *err);
