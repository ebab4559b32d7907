#include "pipeline/placement.h"

int sp_placement_choose(const struct sp_device_capacity *rooms, int count, double weight)
{
    int best = -1;
    double least = 0;
    for (int i = 0; i < count; i++) {
        double power = rooms[i].power > 0 ? rooms[i].power : 1;
        double used = (rooms[i].load + weight) / power;
        if (rooms[i].usable && (best < 0 || used < least)) {
            best = i;
            least = used;
        }
    }
    return best;
}
