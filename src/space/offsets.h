/* Clock offsets between cameras, estimated from people that two cameras see at once.
 *
 * A person who walks with velocity v and is seen by two cameras whose clocks differ by d appears
 * v d apart. For each pair d is the slope of the regression of the distance on the velocity; its
 * intercept absorbs the difference of the calibrations; old samples fade. The cameras' offsets
 * follow from all pairs by least squares; in each group of linked cameras the first has offset 0.
 * The prior is a standard deviation of about 0.1 s. Not thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct sp_offsets;

int sp_offsets_open(struct sp_offsets **out, int cameras, struct sp_error *err);
void sp_offsets_close(struct sp_offsets *offsets); /* NULL is fine */

/* Resets a camera: its samples are dropped. */
void sp_offsets_forget(struct sp_offsets *offsets, int camera);

/* One person, seen by cameras a and b at the time that their corrected clocks agree on: velocity
 * (m/s) and the position in a less that in b (m). `weight` is 1 over the variance of that. */
void sp_offsets_add(struct sp_offsets *offsets, int a, int b, double vx, double vy, double dx,
                    double dy, double weight);

/* Fades by `elapsed_s` and solves again. Once a second is enough. */
void sp_offsets_solve(struct sp_offsets *offsets, double elapsed_s);

/* The offset to subtract from a camera's time. */
int64_t sp_offsets_us(const struct sp_offsets *offsets, int camera);

/* Of a pair: b's clock minus a's, its deviation, and the effective sample count. False: none. */
struct sp_offset_pair {
    double offset_s, deviation_s, samples;
};
bool sp_offsets_pair(const struct sp_offsets *offsets, int a, int b, struct sp_offset_pair *pair);
