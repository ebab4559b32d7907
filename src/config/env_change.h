/* Sets keys of an .env file and keeps all other lines and comments. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct sp_env_line {
    const char *key, *value; /* value NULL: remove the key */
};

/* Checks that the file can be written, to be called before long work. SP_ERR_* by errno. */
int sp_env_check_place(const char *path, struct sp_error *err);

/* Removes existing lines of these keys and appends the new ones in this order. Atomic; creates a
 * missing file. SP_ERR_* by errno; the file is then unchanged. */
int sp_env_change(const char *path, const struct sp_env_line *lines, size_t count,
                  struct sp_error *err);
