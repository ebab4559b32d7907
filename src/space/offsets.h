/* How far the cameras' clocks are apart, learnt from people that two of them see.
 *
 * A person who walks with velocity v and is seen by two cameras whose clocks differ by d appears
 * v d apart. For each pair the regression of the distance on the velocity, with an intercept that
 * takes up what the calibrations differ by, gives d; old samples fade. The cameras' offsets follow
 * from all pairs by least squares; in each group of cameras that are linked the first is 0. What is
 * known before counts as a sample: clocks are the same to within about 0.1 s. Not thread-safe. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

struct sp_offsets;

int sp_offsets_open(struct sp_offsets **out, int cameras, struct sp_error *err);
void sp_offsets_close(struct sp_offsets *offsets); /* NULL is fine */

/* A camera begins anew: what was learnt of it is forgotten. */
void sp_offsets_forget(struct sp_offsets *offsets, int camera);

/* One person, seen by cameras a and b at the time that their corrected clocks agree on: velocity
 * (m/s) and the position in a less that in b (m). `weight` is 1 over the variance of that. */
void sp_offsets_add(struct sp_offsets *offsets, int a, int b, double vx, double vy, double dx,
                    double dy, double weight);

/* Fades by `elapsed_s` and solves again. Once a second will do. */
void sp_offsets_solve(struct sp_offsets *offsets, double elapsed_s);

/* What to take off a camera's time. */
int64_t sp_offsets_us(const struct sp_offsets *offsets, int camera);

/* Of a pair: b's clock less a's, its deviation, and how many samples count. False: no samples. */
struct sp_offset_pair {
    double offset_s, deviation_s, samples;
};
bool sp_offsets_pair(const struct sp_offsets *offsets, int a, int b, struct sp_offset_pair *pair);
