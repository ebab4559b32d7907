/* Folders and files of the program. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* Creates a folder and its parents. SP_ERR_INVALID: a path component is not a folder. SP_ERR_IO. */
int sp_path_make_dirs(const char *path, struct sp_error *err);

/* Locks the folder against other spoton processes while the file descriptor *lock is open, at most
 * until the process ends. -1 if the file system has no locks. SP_ERR_CLOSED: another process holds
 * the lock. */
int sp_path_lock_dir(const char *path, int *lock, struct sp_error *err);

/* The folder of the running program, without a trailing slash. */
int sp_path_program_dir(char *out, size_t out_bytes, struct sp_error *err);

/* ../models/NAME or ../share/spoton/models/NAME, relative to the program's folder (source tree or
 * installation). SP_ERR_NOT_FOUND names both. */
int sp_path_bundled_model(char *out, size_t out_bytes, const char *name, struct sp_error *err);

/* The demo clip that `make demo` fetches: ../.cache/demo/vtest.avi, relative to the program's
 * folder. SP_ERR_NOT_FOUND. */
int sp_path_demo_clip(char *out, size_t out_bytes, struct sp_error *err);

/* The cache folder for compiled models, created if missing: $XDG_CACHE_HOME/spoton or
 * ~/.cache/spoton. Empty if neither is writable. */
void sp_path_cache_dir(char *out, size_t out_bytes);
