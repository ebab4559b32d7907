#include "analytics/internal.h"

#include <math.h>

void sp_counting_emit(struct sp_counting *a, struct sp_counting_event *event)
{
    event->id = ++a->last_event;
    if (a->options.event)
        a->options.event(a->options.user, event);
}

/* The global id that the track has by now. */
uint32_t sp_counting_person(const struct sp_counting *a, int camera, uint32_t track,
                            uint32_t person)
{
    if (camera < 0 || !a->identities[camera])
        return person;
    const struct identity *known = &a->identities[camera][track % IDENTITIES];
    return known->track == track && known->person ? known->person : person;
}

double sp_counting_normal(double deviations)
{
    return 0.5 * erfc(-deviations * M_SQRT1_2);
}

/* The product is exact in fma, so the nearest of the decimals is chosen as printf does; dividing
 * two whole numbers rounds as reading the decimals does. */
double sp_counting_rounded(double value, int decimals)
{
    double scale = 1;
    for (int i = 0; i < decimals; i++)
        scale *= 10;
    double whole = rint(value * scale);
    if (!isfinite(value) || fabs(whole) > 1e15)
        return value;
    double rest = fma(value, scale, -whole);
    if (rest > 0.5 || (rest == 0.5 && fmod(whole, 2) != 0))
        whole += 1;
    else if (rest < -0.5 || (rest == -0.5 && fmod(whole, 2) != 0))
        whole -= 1;
    return whole == 0 ? 0 : whole / scale;
}
