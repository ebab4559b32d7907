/* The number of people in a zone. How often its interval holds is tested in test_analytics.c. */
#include "analytics/occupancy.h"

#include <stdlib.h>

#include "unit.h"

/* Someone on the boundary may be inside or not: both numbers are in the interval. */
static void test_people_near_the_boundary(void **state)
{
    (void)state;
    struct sp_occupancy *o = calloc(1, sizeof *o);
    assert_non_null(o);
    sp_occupancy_start(o, 5);
    for (int second = 0; second < 120; second++)
        sp_occupancy_observe(o, 5);
    struct sp_occupancy_estimate e = sp_occupancy_estimate(o, 0, 0);
    assert_true(e.low == 5 && e.now == 5 && e.high == 5);
    e = sp_occupancy_estimate(o, 0.5, 0.25); /* decided outside, and perhaps inside */
    assert_true(e.low == 5 && e.high == 6);
    e = sp_occupancy_estimate(o, -0.5, 0.25);
    assert_true(e.low == 4 && e.high == 5);
    e = sp_occupancy_estimate(o, -0.95, 0.05);
    assert_true(e.now == 4);
    sp_occupancy_start(o, 0);
    e = sp_occupancy_estimate(o, -0.9, 0.1); /* not below none */
    assert_true(e.low == 0);
    free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_people_near_the_boundary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
