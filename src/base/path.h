/* Folders and files of the program, or of libspoton. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* Creates a folder and its parents. SP_ERR_INVALID: a path component is not a folder. SP_ERR_IO. */
int sp_path_make_dirs(const char *path, struct sp_error *err);

/* Locks the folder against other spoton processes while the file descriptor *lock is open, at most
 * until the process ends. -1 if the file system has no locks. SP_ERR_CLOSED: another process holds
 * the lock. */
int sp_path_lock_dir(const char *path, int *lock, struct sp_error *err);

/* Whether this code is part of a shared object, libspoton.so, whose host has a folder of its own.
 */
bool sp_path_in_library(void);

/* The folder of the running program, or of libspoton.so, without a trailing slash. */
int sp_path_program_dir(char *out, size_t out_bytes, struct sp_error *err);

/* The folders below which installed plugins are: relative to the program's folder, first to last;
 * `kind` is "engines". NULL: no more. SPOTON_..._DIR comes before them. */
const char *sp_path_plugin_dir(const char *kind, int index, char out[64]);

/* ../models/NAME or ../share/spoton/models/NAME, relative to the program's folder (source tree or
 * installation; the library may be one folder deeper). SP_ERR_NOT_FOUND names both. */
int sp_path_bundled_model(char *out, size_t out_bytes, const char *name, struct sp_error *err);

/* The demo clip that `make demo` fetches: ../.cache/demo/vtest.avi, relative to the program's
 * folder. SP_ERR_NOT_FOUND. */
int sp_path_demo_clip(char *out, size_t out_bytes, struct sp_error *err);

/* The cache folder for compiled models, created if missing: $XDG_CACHE_HOME/spoton or
 * ~/.cache/spoton. Empty if neither is writable. */
void sp_path_cache_dir(char *out, size_t out_bytes);
