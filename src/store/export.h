/* `spoton store export`: stored tracks as files.
 *
 * csv: a row per box, with the names of the columns in the first line. mot: rows of MOT Challenge
 * (docs/TRACKING.md); frames are numbered from 1 and ids of a later run follow those of the one
 * before. Writes DIR/CAMERA.csv or DIR/CAMERA.txt. One thread. */
#pragma once

#include "store/store.h"

enum sp_export_format { SP_EXPORT_CSV, SP_EXPORT_MOT };

struct sp_store_export {
    enum sp_export_format format;
    const char *dir;    /* exists */
    const char *camera; /* NULL: all */
    int64_t from_us, to_us;
};

/* *cameras, *boxes: what was written. */
int sp_store_export(struct sp_store *store, const struct sp_store_export *what, int *cameras,
                    int64_t *boxes, struct sp_error *err);
