/* Writes calibrations to their file on a thread of its own, so that neither the network nor the
 * cameras wait for the disk.
 *
 * Data flow: put() copies -> the thread writes beside the file, syncs and renames. A calibration
 * put during a write is written next; of several, the last. */
#pragma once

#include "space/calibration.h"

struct sp_map_saver;

/* SP_ERR_NO_MEMORY. */
int sp_map_saver_open(struct sp_map_saver **out, const char *path, struct sp_error *err);

/* Writes the last calibration, then ends. NULL is allowed. */
void sp_map_saver_close(struct sp_map_saver *saver);

/* Any thread; never waits for the disk. Returns the error of the previous write, or one that is
 * visible from the path at once; the write is attempted in any case. */
int sp_map_saver_put(struct sp_map_saver *saver, const struct sp_calibration *calibration,
                     struct sp_error *err);
