/* Another program, run to its end: spoton itself with other settings, or a tool in Python. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* argument: NULL-terminated, argument[0] a path. What it prints goes into the two files. *status as
 * waitpid gives it. SP_ERR_NOT_FOUND, SP_ERR_IO. */
int sp_subprocess_run(const char *const *argument, const char *out_path, const char *error_path,
                      int *status, struct sp_error *err);

/* The last line of a file that is not empty; with `sign`, what follows it in the last line that has
 * it. What went wrong stands there. */
void sp_subprocess_last_line(const char *path, const char *sign, char *out, size_t out_bytes);
