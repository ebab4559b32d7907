/* Reads stored tracks for `spoton count`: results logs of several cameras, merged by time, and
 * people.jsonl.
 *
 * One line of each file is in memory at a time. One thread. */
#pragma once

#include "analytics/analytics.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_count_input;

/* paths: NAME.jsonl of cameras NAME. Those named people.jsonl hold the global ids; without one,
 * that beside the first path is read, if there is one. Those named events.jsonl are ignored. */
int sp_count_input_open(struct sp_count_input **out, const char *const *paths, int count,
                        struct sp_error *err);
void sp_count_input_close(struct sp_count_input *input); /* NULL is allowed */

/* The cameras' names, in order. */
int sp_count_input_cameras(const struct sp_count_input *input, const char *const **names);

struct sp_count_frame {
    int camera;
    int64_t pts_us;
    int width_px, height_px;
    bool inferred, mapped;
    size_t count;
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_world_position positions[SP_TRACKS_MAX]; /* if mapped */
};

/* 1: the next frame, by time and then by name; 0: the end; negative: an error with file and line.
 */
int sp_count_input_next(struct sp_count_input *input, struct sp_count_frame *frame,
                        struct sp_error *err);
