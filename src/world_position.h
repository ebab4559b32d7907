/* A track's position on the map and its global id. Values only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sp_world_position {
    uint32_t
        person;  /* global id, the same in all cameras, from 1, shown as "P1"; 0: not yet known */
    bool on_map; /* false: x, y are invalid */
    double x, y; /* in map units */
};
