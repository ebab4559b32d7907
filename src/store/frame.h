/* A frame and its tracks as stored: whole numbers only.
 *
 * Boxes are in eighths of a pixel and positions in hundredths of a map unit, the grid to which
 * analytics round their input: counting stored frames gives the same events as counting live ones.
 * Values only; any thread. */
#pragma once

#include "track.h"
#include "world_position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SP_STORED_NAME_BYTES = 64,
    SP_STORED_BOX_STEPS = 8,    /* of a pixel */
    SP_STORED_MAP_STEPS = 100,  /* of a map unit */
    SP_STORED_LIMIT = 1 << 24,  /* of a coordinate's number of steps */
    SP_STORED_CONFIDENCE = 100, /* steps */
    SP_STORED_CLASSES_MAX = 1 << 16,
    SP_STORED_SIDE_MAX = 1 << 16,
};

struct sp_stored_track {
    uint32_t id;
    uint32_t person;  /* global id; 0: not known */
    int32_t box[4];   /* x1, y1, x2, y2 */
    int32_t map[2];   /* if on_map */
    int32_t class_id; /* 0 to SP_STORED_CLASSES_MAX - 1 */
    uint8_t confidence;
    bool matched; /* a detection of this frame; otherwise predicted */
    bool on_map;
};

struct sp_stored_frame {
    int64_t time_us; /* since the Unix epoch */
    /* Of a frame that was counted after a later or simultaneous one of any camera: the difference
     * to the latest time counted before, and 1, 2, ... for the frames since that one. turn 0: it
     * was in time. */
    int64_t late_us;
    uint32_t turn;
    uint64_t sequence;
    bool inferred;
    bool mapped; /* the camera has a calibration */
    size_t count;
    struct sp_stored_track *tracks; /* [SP_TRACKS_MAX], memory of the caller */
};

void sp_stored_track_fill(struct sp_stored_track *out, const struct sp_track *track,
                          const struct sp_world_position *position); /* NULL: none */
void sp_stored_track_read(const struct sp_stored_track *stored, struct sp_track *track,
                          struct sp_world_position *position);
