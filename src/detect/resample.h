/* Horizontal scaling of a row of bytes with two taps, by factors from 1/2 to 1.
 *
 * Data flow: libyuv's InterpolatePlane blends two rows into one, which is resampled here. libyuv's
 * own horizontal scaling processes two pixels at a time and took two thirds of the letterbox's
 * time; this one processes 32, from tables, with the same result: positions in 16.16, pixel centers
 * aligned, 7-bit weights. The tables are for one pair of lengths. */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum {
    SP_RESAMPLE_READS_PAST = 16, /* bytes past the row's end that must be readable */
    SP_RESAMPLE_WRITES = 32,     /* rows are written in multiples of this */
};

struct sp_resampler {
    int from, to;
    int groups;      /* each computes 8 pixels from 16 bytes */
    int capacity;    /* allocated groups */
    int32_t *offset; /* [groups] of the 16 bytes in the row */
    uint8_t *index;  /* [groups][8][2] the two taps, in the 16 bytes */
    uint8_t *weight; /* [groups][8][2] of the taps; their sum is 128 */
};

/* The taps of output pixel i: samples *first and *first + 1, the second with *weight / 65536. */
void sp_resample_position(int from, int to, int i, int *first, int *weight);

/* 1 <= to <= from <= 2 * to. All zeroes before the first call; allocates only to grow.
 * SP_ERR_NO_MEMORY: nothing is set. */
int sp_resampler_set(struct sp_resampler *resampler, int from, int to, struct sp_error *err);
void sp_resampler_release(struct sp_resampler *resampler);

/* in: [from + SP_RESAMPLE_READS_PAST]; out: [to, rounded up to SP_RESAMPLE_WRITES]. */
void sp_resample_row(const struct sp_resampler *resampler, uint8_t *out, const uint8_t *in);

/* The same without vector instructions: for other CPUs, and as the tests' reference. */
void sp_resample_row_plain(const struct sp_resampler *resampler, uint8_t *out, const uint8_t *in);
