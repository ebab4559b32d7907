/* Reads stored tracks.
 *
 * Data flow: segments -> blocks of one camera (sp_block_reader) -> frames of several cameras in one
 * order (sp_track_reader): that in which they were counted live, which is by time, then by the
 * camera's name, except for frames that were late.
 *
 * Damage is skipped and counted; a block that is being written ends its day. One thread at a time
 * per reader; the segments outlive it. */
#pragma once

#include "store/segments.h"

struct sp_block_reader;

int sp_block_reader_open(struct sp_block_reader **out, struct sp_segments *segments,
                         struct sp_error *err);
void sp_block_reader_close(struct sp_block_reader *reader); /* NULL is allowed */

/* Continues with this day of a camera. */
void sp_block_reader_start(struct sp_block_reader *reader, const char *camera, int64_t day);

/* 1: the next block that ends at or after from_us, valid until the next call; 0: the end; negative:
 * an error of reading. */
int sp_block_reader_next(struct sp_block_reader *reader, int64_t from_us,
                         struct sp_block_header *header, const uint8_t **block, size_t *bytes,
                         struct sp_error *err);
int64_t sp_block_reader_damaged(const struct sp_block_reader *reader); /* bytes skipped so far */

struct sp_track_reader;

/* cameras[count]: names; NULL: all. Frames of [from_us, to_us). */
int sp_track_reader_open(struct sp_track_reader **out, struct sp_segments *segments,
                         const char *const *cameras, int count, int64_t from_us, int64_t to_us,
                         struct sp_error *err);
void sp_track_reader_close(struct sp_track_reader *reader); /* NULL is allowed */

/* The cameras that are read, in the order of their indices. */
int sp_track_reader_cameras(const struct sp_track_reader *reader, const char *const **names);

struct sp_read_frame {
    int camera;
    int64_t run_us;
    uint32_t epoch;
    int width_px, height_px;
    struct sp_stored_frame frame;
};

/* 1: the next frame, valid until the next call; 0: the end; negative: an error. */
int sp_track_reader_next(struct sp_track_reader *reader, struct sp_read_frame *frame,
                         struct sp_error *err);
int64_t sp_track_reader_damaged(const struct sp_track_reader *reader);
