/* Where a track stands on the map of all cameras, and who it is there. Values only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sp_world_position {
    uint32_t person; /* the same in all cameras, from 1, shown as "P1"; 0: not known (yet) */
    bool on_map;     /* else x, y say nothing */
    double x, y;     /* in units of the map */
};
