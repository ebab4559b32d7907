/* `spoton store verify`, `compact` and `erase`.
 *
 * All may run beside a server that records. One thread at a time per store. */
#pragma once

#include "store/store.h"

struct sp_store_totals {
    int64_t segments, frames, boxes, bytes;
    int64_t images, image_bytes;
    int64_t damaged; /* bytes that cannot be read */
};

/* Reads everything. SP_ERR_FORMAT: the tables are damaged; damage of segments is in *totals. */
int sp_store_verify(struct sp_store *store, struct sp_store_totals *totals, struct sp_error *err);

/* Writes the segments of days before `today` as larger, deflated blocks. *before, *after: bytes. */
int sp_store_compact(struct sp_store *store, int64_t today, int64_t *before, int64_t *after,
                     struct sp_error *err);

struct sp_store_erasure {
    int64_t from_us, to_us; /* INT64_MAX / 2: no end */
    const char *camera;     /* NULL: all */
    uint32_t person;        /* 0: all, and frames without people */
};

struct sp_store_erased {
    int64_t frames, boxes, events, tracks, images;
};

/* Erases tracks, events with their images, other images of the time and the names of tracks;
 * without camera and person also counts. Of a person all boxes of the tracks that have had this
 * global id, and the camera's images while one of them was seen. Then reads again what is left;
 * SP_ERR_IO: something of it is still there. */
int sp_store_erase(struct sp_store *store, const struct sp_store_erasure *what,
                   struct sp_store_erased *erased, struct sp_error *err);
