/* Detects black and frozen cameras from their frames: a working connection may still deliver
 * nothing but black, or the same frame again and again.
 *
 * Black: for some time hardly any pixel is brighter than the darkest luma. Frozen: for some time
 * all frames are equal. Sensor noise changes the frames of a working camera even in a still scene,
 * unless its encoder skips everything between two key frames, so the time must be longer than that
 * interval. Both checks sample a part of the rows. A clock that the camera writes into a frozen
 * frame prevents the detection.
 *
 * One thread at a time; times are arrival times. No allocation. */
#pragma once

#include "frame.h"

enum sp_camera_health { SP_HEALTH_LIVE, SP_HEALTH_FROZEN, SP_HEALTH_BLACK };

struct sp_health_watch {
    int64_t black_after_us, frozen_after_us; /* settings */

    bool any;
    uint64_t hash;
    int64_t same_since_us, black_since_us; /* black_since_us -1: not black */
};

/* Checks the next frame, which arrived at frame->received_us. Black has priority over frozen. */
enum sp_camera_health sp_health_observe(struct sp_health_watch *watch,
                                        const struct sp_frame *frame);

/* Call after a reconnection: earlier frames no longer count. */
void sp_health_restart(struct sp_health_watch *watch);

/* For tests. */
uint64_t sp_luma_hash(const struct sp_frame *frame);
bool sp_luma_is_black(const struct sp_frame *frame);
