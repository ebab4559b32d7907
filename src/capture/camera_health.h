/* What the frames themselves tell about a camera: a connection that is alive may still show
 * nothing (black) or the same frame for ever (frozen).
 *
 * Black: hardly any point of a frame lies above the darkest luma, for a while. Frozen: frames
 * are equal, point by point, for a while; sensors are noisy, so a living camera of a still scene is
 * not, unless its encoder skips everything between two key frames: the time must be longer than
 * that. Each looks at a part of the rows only. A clock that the camera itself writes into a frozen
 * frame keeps it from being noticed.
 *
 * One thread at a time; times are those at which frames came. No allocation. */
#pragma once

#include "frame.h"

enum sp_camera_health { SP_HEALTH_LIVE, SP_HEALTH_FROZEN, SP_HEALTH_BLACK };

struct sp_health_watch {
    int64_t black_after_us, frozen_after_us; /* given by the user */

    bool any;
    uint64_t hash;
    int64_t same_since_us, black_since_us; /* black_since_us -1: not black */
};

/* Looks at the next frame, which came at frame->received_us. Black comes before frozen. */
enum sp_camera_health sp_health_observe(struct sp_health_watch *watch,
                                        const struct sp_frame *frame);

/* After a new connection: what was seen before says nothing. */
void sp_health_restart(struct sp_health_watch *watch);

/* For tests. */
uint64_t sp_luma_hash(const struct sp_frame *frame);
bool sp_luma_is_black(const struct sp_frame *frame);
