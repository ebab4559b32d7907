/* The choice of a device for a camera. Pure functions. */
#pragma once

#include <stdbool.h>

struct sp_device_capacity {
    bool usable;
    double power; /* relative to the others; 0: unknown, counts as 1 */
    double load;  /* of the cameras assigned to it */
};

/* The device that has the most free capacity left with this load added, the first of equals; -1:
 * none is usable. */
int sp_placement_choose(const struct sp_device_capacity *capacities, int count, double load);
