/* How many people are in a zone: conservation (entries less exits), corrected by how many are seen.
 *
 * A discrete Bayes filter over the number of people and the share of them that is visible. Entries
 * and exits shift the distribution by their confidence, and widen it, as each may be accompanied by
 * one that was missed. What is seen is binomial. Observations of the same people a second apart are
 * not independent, so each counts for a sixth. Only numbers that are possible cost time. Fixed
 * memory; one thread at a time per object. */
#pragma once

enum { SP_OCCUPANCY_MAX = 200, SP_OCCUPANCY_SHARES = 6 };

struct sp_occupancy {
    int low, high; /* the numbers of people that are possible */
    double p[SP_OCCUPANCY_SHARES][SP_OCCUPANCY_MAX + 1];
};

/* `seen`: how many people are seen at first. */
void sp_occupancy_start(struct sp_occupancy *occupancy, int seen);
void sp_occupancy_enter(struct sp_occupancy *occupancy, double confidence);
void sp_occupancy_leave(struct sp_occupancy *occupancy, double confidence);
/* Once a second: how many people are seen. */
void sp_occupancy_observe(struct sp_occupancy *occupancy, int seen);

struct sp_occupancy_estimate {
    int now;       /* the median */
    int low, high; /* the 90 % interval, as short as can be */
};
/* `near`, `near_variance`: of people near the boundary, who are not decided yet: the mean by which
 * the number inside differs from what was decided, and its variance. */
struct sp_occupancy_estimate sp_occupancy_estimate(const struct sp_occupancy *occupancy,
                                                   double near, double near_variance);
