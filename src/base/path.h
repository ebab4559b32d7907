/* Folders and files of the program's own. */
#pragma once

#include "base/error.h"

#include <stddef.h>

/* Makes a folder and its parents. SP_ERR_INVALID when something else stands there; SP_ERR_IO. */
int sp_path_make_dirs(const char *path, struct sp_error *err);

/* Keeps other processes from writing into the folder for as long as *lock, a file descriptor, is
 * open; it ends with the process, whatever becomes of it. -1 where the file system has no locks.
 * SP_ERR_CLOSED: another one has it. */
int sp_path_lock_dir(const char *path, int *lock, struct sp_error *err);

/* The folder the running program lies in, without a slash at the end. */
int sp_path_program_dir(char *out, size_t out_bytes, struct sp_error *err);

/* The first that exists of models/NAME beside the program's folder, share/spoton/models/NAME of its
 * prefix, and models/NAME here. SP_ERR_NOT_FOUND names all three. */
int sp_path_bundled_model(char *out, size_t out_bytes, const char *name, struct sp_error *err);

/* The demo clip that `make demo` fetched: .cache/demo/vtest.avi beside the program's folder or
 * here. SP_ERR_NOT_FOUND. */
int sp_path_demo_clip(char *out, size_t out_bytes, struct sp_error *err);

/* Where compiled models are kept: $XDG_CACHE_HOME/spoton or ~/.cache/spoton, made if missing.
 * An empty text when there is no such place: then nothing is kept. */
void sp_path_cache_dir(char *out, size_t out_bytes);
