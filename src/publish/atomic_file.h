/* A file that appears under its name only when it is complete.
 *
 * Data flow: open creates "DIR/NAME.part" -> write (buffered, every result checked) -> sync flushes
 * it to the disk -> publish renames it. close removes an unpublished file. Every error text begins
 * with NAME. One thread at a time. */
#pragma once

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

struct sp_atomic_file;

/* SP_ERR_INVALID (a name with '/'), SP_ERR_NO_MEMORY, else derived from errno. */
int sp_atomic_file_open(struct sp_atomic_file **out, const char *dir, const char *name,
                        struct sp_error *err);

/* The path of the .part file, for libraries that write it themselves. */
const char *sp_atomic_file_path(const struct sp_atomic_file *part);
const char *sp_atomic_file_name(const struct sp_atomic_file *part);

/* After a failed write (disk full) the data on the disk can be kept: rescue writes as much of the
 * buffer as fits and returns the size of the file; cut truncates the file to its last valid byte.
 * Then call sync and publish. */
int64_t sp_atomic_file_rescue(struct sp_atomic_file *part);
int sp_atomic_file_cut(struct sp_atomic_file *part, int64_t bytes, struct sp_error *err);
/* Both, for a file of lines: truncates after the last complete line. *bytes: the new size. */
int sp_atomic_file_keep_lines(struct sp_atomic_file *part, int64_t *bytes, struct sp_error *err);

/* Bytes passed to write so far. */
int64_t sp_atomic_file_bytes(const struct sp_atomic_file *part);
/* Bytes in the file so far. */
int64_t sp_atomic_file_written(const struct sp_atomic_file *part);

/* Replaces the .part file by the file at `path`. */
int sp_atomic_file_replace(struct sp_atomic_file *part, const char *path, struct sp_error *err);

/* After a failed call the bytes from sp_atomic_file_written() on are undefined. */
int sp_atomic_file_write(struct sp_atomic_file *part, const char *bytes, size_t count,
                         struct sp_error *err);
int sp_atomic_file_flush(struct sp_atomic_file *part, struct sp_error *err); /* writes the buffer */
int sp_atomic_file_sync(struct sp_atomic_file *part,
                        struct sp_error *err); /* the last call before publish */
int sp_atomic_file_publish(struct sp_atomic_file *part, struct sp_error *err);
void sp_atomic_file_close(struct sp_atomic_file *part); /* NULL is allowed */

/* Fills err with "NAME: <strerror>; <what to do>" and returns the code. */
int sp_atomic_file_fail(const struct sp_atomic_file *part, int errno_value, struct sp_error *err);
