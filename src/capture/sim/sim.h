/* sim:// cameras: made frames, the same at every run, with the faults of real cameras.
 *
 *     sim://PATTERN?KEY=VALUE&...
 *
 * PATTERN:
 * - walk: bright rectangles, standing people's shape, that walk across a dark floor
 * - still: the same rectangles, which stay where they are while the floor flickers a little
 * - empty: the floor alone
 * - offline: cannot be opened
 * - world: one made world as one of its cameras sees it (capture/sim/world.h); all cameras of one
 * seed and number of people in a process see the same people
 *
 * KEY, with what it is when left out:
 * - width, height (640, 360): size in pixels; 16 to 8192
 * - fps (25): frames a second; 0.1 to 1000
 * - people (3): rectangles; 0 to 32
 * - seed (0): moves where they walk
 * - frames (0): frames until the end; 0: none, it goes on for ever
 * - paced (1): 1: a camera, paced by the clock; 0: a file, as fast as it is read
 * - latency_ms (0): opening takes that long
 * - camera (0): of the world's six, 0 to 5
 * - roam (0): of the world: 1: people go from room to room
 * - gpu (0): 1: frames lie in the engine's memory, as those of a GPU's decoder, where it has such
 *
 * Faults, each AT:FOR or AT:FOR:EVERY in seconds of the stream since it was opened; without EVERY
 * once, else again each EVERY seconds. What they do is seen on frames that begin in that time:
 * stall    nothing comes; those frames are never given
 * burst    nothing comes, then all of them at once
 * jump     the presentation times are an hour ahead
 * resize   half the width and half the height
 * garbage  each second frame cannot be decoded, the others are noise
 * black    all is black
 * frozen   the frame before it again and again
 * flap=AT  the connection is lost after AT seconds, each time
 *
 * An address with anything else is refused. Only `paced=1` looks at a clock. */
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
    X(SP_SIM_FROZEN, "frozen")

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

enum sp_sim_pattern { SP_SIM_WALK, SP_SIM_STILL, SP_SIM_EMPTY, SP_SIM_OFFLINE, SP_SIM_WORLD };

struct sp_sim_plan {
    enum sp_sim_pattern pattern;
    int width_px, height_px, people;
    uint32_t seed;
    double fps;
    int camera; /* of the world: capture/sim/world.h */
    bool roam;
    bool gpu;
    int64_t frames;
    bool paced;
    int64_t latency_us;
    double flap_s; /* 0: never */
    struct sp_sim_times fault[SP_SIM_FAULT_COUNT];
};

/* SP_ERR_INVALID, with the part that is wrong. */
int sp_sim_parse(struct sp_sim_plan *plan, const char *url, struct sp_error *err);

/* Whether the fault is on at this time of the stream; *left_s (may be NULL): how long still. */
bool sp_sim_is_on(const struct sp_sim_plan *plan, enum sp_sim_fault fault, double time_s,
                  double *left_s);

enum { SP_SIM_PEOPLE_MAX = 32 };
struct sp_sim_box {
    int x_px, y_px, width_px, height_px;
};

/* Where person `index` stands in frame `number` of that size. */
struct sp_sim_box sp_sim_person(const struct sp_sim_plan *plan, int index, uint64_t number,
                                int width_px, int height_px);
