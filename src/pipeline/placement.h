/* Which device a camera goes to. Pure functions. */
#pragma once

#include <stdbool.h>

struct sp_device_capacity {
    bool usable;
    double power; /* beside the others; 0: not known, counts as 1 */
    double load;  /* of the cameras it has, in the unit of `weight` */
};

/* The one that a camera of this weight leaves with the most room, the first of equals; -1: none is
 * usable. */
int sp_placement_choose(const struct sp_device_capacity *rooms, int count, double weight);
