/* Setting keys of an .env file, which stays the user's: other lines and comments are kept. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct sp_env_line {
    const char *key, *value; /* value NULL: no line of this key stays */
};

/* Whether the file could be written now: to be told before long work, not after it. SP_ERR_*: of
 * its folder's rights, or that there is none. */
int sp_env_check_place(const char *path, struct sp_error *err);

/* The lines stand at the end, in this order; what the file had of their keys is gone. Written
 * beside and renamed; a file that is not there yet is new. SP_ERR_*: by errno, and the file is as
 * it was. */
int sp_env_change(const char *path, const struct sp_env_line *lines, size_t count,
                  struct sp_error *err);
