/* Runs another program to its end: spoton with other settings, or a Python tool. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* argument: NULL-terminated, argument[0] a path. stdout and stderr go to the two files. *status is
 * that of waitpid. SP_ERR_NOT_FOUND, SP_ERR_IO. */
int sp_subprocess_run(const char *const *argument, const char *out_path, const char *error_path,
                      int *status, struct sp_error *err);

/* The last non-empty line of a file, which names the failure; with `sign`, the text behind it in
 * the last line that contains it. */
void sp_subprocess_last_line(const char *path, const char *sign, char *out, size_t out_bytes);
