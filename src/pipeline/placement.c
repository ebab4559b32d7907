#include "pipeline/placement.h"

int sp_placement_choose(const struct sp_device_capacity *capacities, int count, double load)
{
    int best = -1;
    double least = 0;
    for (int i = 0; i < count; i++) {
        double power = capacities[i].power > 0 ? capacities[i].power : 1;
        double used = (capacities[i].load + load) / power;
        if (capacities[i].usable && (best < 0 || used < least)) {
            best = i;
            least = used;
        }
    }
    return best;
}
