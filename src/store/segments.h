/* Where blocks are kept: a file per camera and day, or rows of PostgreSQL.
 *
 * Data flow: recorder -> append, sync; readers -> list, read; erasure, compaction and retention ->
 * replace, remove. A day is counted from 1970 in UTC. In a folder:
 *
 *     DIR/tracks/CAMERA/2026-11-30.seg    header, then blocks (store/block.h)
 *
 * Header of a file, SP_SEGMENT_HEADER_BYTES: "SPOTSEG1", u32 version 1, u32 CRC-32 of the rest, i64
 * day, char camera[64]. Appending removes what an interrupted write left behind the last whole
 * block. DIR/tracks/.lock is locked while files are appended to or replaced, so erasure works
 * beside a running server.
 *
 * Ownership: the caller closes. One thread at a time per object; several objects and processes may
 * use one store. Errors: SP_ERR_NO_SPACE when the disk is full; what was appended before is kept.
 */
#pragma once

#include "base/error.h"
#include "store/block.h"
#include "store/database.h"

#include <sys/types.h>

enum { SP_SEGMENT_HEADER_BYTES = 88, SP_SEGMENT_CHUNK_BYTES = 256 << 10 };

int64_t sp_store_day(int64_t time_us); /* since 1970 */

struct sp_segment {
    char camera[SP_STORED_NAME_BYTES];
    int64_t day;
    int64_t bytes;
};

struct sp_segment_list {
    struct sp_segment *item; /* ordered by camera and day */
    size_t count, capacity;
};
void sp_segment_list_release(struct sp_segment_list *list);
/* SP_ERR_NO_MEMORY. */
int sp_segment_list_add(struct sp_segment_list *list, const char *camera, int64_t day,
                        int64_t bytes, struct sp_error *err);
void sp_segment_list_sort(struct sp_segment_list *list);

struct sp_segments;

struct sp_segments_api {
    void (*close)(struct sp_segments *segments);
    /* Whole blocks. On the disk after sync. */
    int (*append)(struct sp_segments *segments, const char *camera, int64_t day,
                  const uint8_t *data, size_t bytes, struct sp_error *err);
    int (*sync)(struct sp_segments *segments, struct sp_error *err);
    int (*list)(struct sp_segments *segments, struct sp_segment_list *out, struct sp_error *err);
    /* Bytes of blocks from *position (0: the begin) on, at most SP_SEGMENT_CHUNK_BYTES; advances
     * *position. A block may be split over calls. 0: the end. */
    ssize_t (*read)(struct sp_segments *segments, const char *camera, int64_t day,
                    int64_t *position, uint8_t *data, struct sp_error *err);
    /* begin locks the segment; the caller reads it, and adds the blocks of the new one; end with
     * `keep` replaces it (removes it if nothing was added), otherwise leaves it as it was. */
    int (*replace_begin)(struct sp_segments *segments, const char *camera, int64_t day,
                         struct sp_error *err);
    int (*replace_add)(struct sp_segments *segments, const uint8_t *data, size_t bytes,
                       struct sp_error *err);
    int (*replace_end)(struct sp_segments *segments, bool keep, struct sp_error *err);
    int (*remove)(struct sp_segments *segments, const char *camera, int64_t day,
                  struct sp_error *err);
};

struct sp_segments {
    const struct sp_segments_api *api;
};

int sp_segment_files_open(struct sp_segments **out, const char *dir, struct sp_error *err);
/* The database outlives it. */
int sp_segment_tables_open(struct sp_segments **out, struct sp_database *database,
                           struct sp_error *err);
void sp_segments_close(struct sp_segments *segments); /* NULL is allowed */
