/* Scaling of bytes by two taps, down to a half: what the letterbox does to most cameras' images.
 *
 * Data flow: two rows are blended into one (libyuv's InterpolatePlane), which then is resampled
 * here. libyuv's own way along a row takes two pixels at a time and was two thirds of the whole
 * letterbox; this one takes 32, from tables, and gives the same bytes: positions in 16.16, centres
 * on centres, 7 bits of weight. The tables belong to one pair of lengths. */
#pragma once

#include "base/error.h"

#include <stdint.h>

enum {
    SP_RESAMPLE_READS_PAST = 16, /* bytes after the row's end that must be readable; any value */
    SP_RESAMPLE_WRITES = 32,     /* a row is written in pieces of so many bytes */
};

struct sp_resampler {
    int from, to;
    int groups;      /* of 8 pixels that come out of 16 bytes */
    int capacity;    /* groups that there is memory for */
    int32_t *offset; /* [groups] of the 16 bytes in the row */
    uint8_t *index;  /* [groups][8][2] which two of the 16 bytes */
    uint8_t *weight; /* [groups][8][2] of them; 128 together */
};

/* Where pixel i comes from: sample *first and the one behind it, that with *weight of 65536. */
void sp_resample_position(int from, int to, int i, int *first, int *weight);

/* 1 <= to <= from <= 2 * to. All zeroes before the first call; allocates only to grow.
 * SP_ERR_NO_MEMORY: nothing is set. */
int sp_resampler_set(struct sp_resampler *resampler, int from, int to, struct sp_error *err);
void sp_resampler_release(struct sp_resampler *resampler);

/* in: [from + SP_RESAMPLE_READS_PAST]; out: [to, rounded up to SP_RESAMPLE_WRITES]. */
void sp_resample_row(const struct sp_resampler *resampler, uint8_t *out, const uint8_t *in);

/* The same without vector instructions: for other processors, and to test the first against. */
void sp_resample_row_plain(const struct sp_resampler *resampler, uint8_t *out, const uint8_t *in);
