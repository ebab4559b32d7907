/* Writes a text to a file on a thread of its own, so that neither the network nor the cameras wait
 * for the disk.
 *
 * Data flow: put() copies -> the thread writes beside the file, syncs and renames. A text put
 * during a write is written next; of several, the last. */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct sp_file_saver;

/* `what` begins messages: "ANALYTICS_FILE"; it and `path` outlive the saver. SP_ERR_NO_MEMORY. */
int sp_file_saver_open(struct sp_file_saver **out, const char *what, const char *path,
                       struct sp_error *err);

/* Writes the last text, then ends. NULL is allowed. */
void sp_file_saver_close(struct sp_file_saver *saver);

/* Any thread; never waits for the disk. Returns the error of the previous write, or one that is
 * visible from the path at once; the write is attempted in any case. */
int sp_file_saver_put(struct sp_file_saver *saver, const char *text, size_t bytes,
                      struct sp_error *err);
