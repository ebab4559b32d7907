/* sim:// cameras: synthetic frames, the same at every run, with the faults of real cameras.
 *
 *     sim://PATTERN?KEY=VALUE&...
 *
 * PATTERN:
 * - walk: bright rectangles with the proportions of a standing person, walking on a dark floor
 * - still: the same rectangles standing still, while the floor flickers a little
 * - empty: the floor alone
 * - visit: people cross the frame from left to right, each in 8 s of every 20 s, the first from
 *   3 s on; with few people it is empty in between
 * - offline: cannot be opened
 * - world: a synthetic scene as one of its cameras sees it (capture/sim/world.h); all cameras with
 * the same seed and number of people in a process see the same people
 *
 * KEY (default):
 * - width, height (640, 360): size in pixels; 16 to 8192
 * - fps (25): frames per second; 0.1 to 1000
 * - people (3): rectangles; 0 to 32
 * - seed (0): changes where they walk
 * - frames (0): frames until the end; 0: endless
 * - paced (1): 1: a camera, paced by the clock; 0: a file, as fast as it is read
 * - latency_ms (0): duration of opening
 * - camera (0): camera of the scene, 0 to 5
 * - roam (0): in the scene, 1: people walk from room to room
 * - tiles (0): 1: a floor of tiles of different brightness, which shows that a camera moves
 * - gpu (0): 1: frames in the engine's memory, as from a GPU decoder, where the engine has such
 *
 * Faults, each AT:FOR or AT:FOR:EVERY in seconds of the stream since it was opened; without EVERY
 * once, else repeated every EVERY seconds. A fault applies to the frames that begin in that time:
 * stall    no data; these frames are never returned
 * burst    no data, then all of them at once
 * jump     the presentation times are an hour ahead
 * resize   half the width and half the height
 * garbage  every other frame cannot be decoded, the rest are noise
 * black    all frames are black
 * frozen   the previous frame is repeated
 * rain     bright streaks all over the frame
 * flicker  the left half is brighter in every second frame, as below a failing lamp
 * infrared the floor has other brightnesses, as when a camera switches to infrared and back
 * pan      the camera turns to the right, and back in the second half of the time
 * shake    the camera shakes by up to 4 pixels
 * flap=AT  the connection is lost after AT seconds, each time
 *
 * A scene's people are not moved, so pan and shake are refused for it.
 *
 * An address with anything else is refused. Only `paced=1` reads a clock. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define SP_SIM_FAULTS(X)                                                                           \
    X(SP_SIM_STALL, "stall")                                                                       \
    X(SP_SIM_BURST, "burst")                                                                       \
    X(SP_SIM_JUMP, "jump")                                                                         \
    X(SP_SIM_RESIZE, "resize")                                                                     \
    X(SP_SIM_GARBAGE, "garbage")                                                                   \
    X(SP_SIM_BLACK, "black")                                                                       \
    X(SP_SIM_FROZEN, "frozen")                                                                     \
    X(SP_SIM_RAIN, "rain")                                                                         \
    X(SP_SIM_FLICKER, "flicker")                                                                   \
    X(SP_SIM_INFRARED, "infrared")                                                                 \
    X(SP_SIM_PAN, "pan")                                                                           \
    X(SP_SIM_SHAKE, "shake")

enum sp_sim_fault {
#define X(id, name) id,
    SP_SIM_FAULTS(X)
#undef X
        SP_SIM_FAULT_COUNT
};

struct sp_sim_times {
    double at_s, for_s; /* for_s 0: never */
    double every_s;     /* 0: once */
};

enum sp_sim_pattern {
    SP_SIM_WALK,
    SP_SIM_STILL,
    SP_SIM_EMPTY,
    SP_SIM_OFFLINE,
    SP_SIM_WORLD,
    SP_SIM_VISIT,
};

struct sp_sim_plan {
    enum sp_sim_pattern pattern;
    int width_px, height_px, people;
    uint32_t seed;
    double fps;
    int camera; /* of the scene: capture/sim/world.h */
    bool roam;
    bool tiles;
    bool gpu;
    int64_t frames;
    bool paced;
    int64_t latency_us;
    double flap_s; /* 0: never */
    struct sp_sim_times fault[SP_SIM_FAULT_COUNT];
};

/* SP_ERR_INVALID names the invalid part. */
int sp_sim_parse(struct sp_sim_plan *plan, const char *url, struct sp_error *err);

/* Whether the fault is active at this stream time; *left_s (may be NULL): for how much longer. */
bool sp_sim_is_on(const struct sp_sim_plan *plan, enum sp_sim_fault fault, double time_s,
                  double *left_s);

enum { SP_SIM_PEOPLE_MAX = 32 };
struct sp_sim_box {
    int x_px, y_px, width_px, height_px;
};

/* The position of person `index` in frame `number` of that size, as a camera sees it that does not
 * move. Of a visitor it may extend beyond the frame; its width is 0 while it is away. */
struct sp_sim_box sp_sim_person(const struct sp_sim_plan *plan, int index, uint64_t number,
                                int width_px, int height_px);

enum { SP_SIM_FLOOR_LUMA = 60, SP_SIM_PERSON_LUMA = 235 };

/* The floor and the plan's people in frame `number`, in luma [height][width]. */
void sp_sim_draw(const struct sp_sim_plan *plan, uint64_t number, int width_px, int height_px,
                 uint8_t *luma);

/* What rain and flicker make of the whole frame. */
void sp_sim_disturb(const struct sp_sim_plan *plan, uint64_t number, int width_px, int height_px,
                    uint8_t *luma);
