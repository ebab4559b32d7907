/* Writes calibrations to their file on a thread of its own: until the disk has it takes as long as
 * the disk likes, and neither the network nor the cameras wait for that.
 *
 * Data flow: put() copies -> the thread writes beside the file, syncs and renames. What is put
 * while it writes is written next; of several the last. */
#pragma once

#include "space/calibration.h"

struct sp_map_saver;

/* SP_ERR_NO_MEMORY. */
int sp_map_saver_open(struct sp_map_saver **out, const char *path, struct sp_error *err);

/* Writes what was put last, then ends. NULL is fine. */
void sp_map_saver_close(struct sp_map_saver *saver);

/* Any thread; waits for no disk. An error is that of an earlier write, or what can be seen of the
 * path at once; the calibration is written all the same, if that is possible by then. */
int sp_map_saver_put(struct sp_map_saver *saver, const struct sp_calibration *calibration,
                     struct sp_error *err);
