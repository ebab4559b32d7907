/* The delta coding of frames within a block; store/block.h describes the format.
 *
 * Encoder and decoder keep the same state: the last values of each track. One thread at a time. */
#pragma once

#include "store/frame.h"

enum { SP_CODEC_VALUES = 6, SP_CODEC_ENTRIES = 2 * SP_TRACKS_MAX };

struct sp_codec_track {
    uint32_t id; /* 0: free */
    uint32_t person;
    int32_t class_id;
    int32_t confidence;
    bool on_map;
    int32_t value[SP_CODEC_VALUES]; /* box, map */
    int32_t step[SP_CODEC_VALUES];  /* smoothed, in sixteenths */
};

struct sp_codec {
    int64_t time_us, step_us;
    uint64_t sequence;
    bool first;
    size_t count;                                  /* of the frame before */
    uint32_t ids[SP_TRACKS_MAX];                   /* of the frame before */
    size_t tracks;                                 /* used entries */
    struct sp_codec_track track[SP_CODEC_ENTRIES]; /* a hash table */
};

struct sp_codec_input {
    const uint8_t *at, *end;
    bool failed;
};

void sp_codec_start(struct sp_codec *codec, int64_t first_us);

/* Writes at most 64 + 48 * count bytes; returns their number. */
size_t sp_codec_write(struct sp_codec *codec, const struct sp_stored_frame *frame, uint8_t *out);

/* False: damaged. frame->tracks has space for SP_TRACKS_MAX. */
bool sp_codec_read(struct sp_codec *codec, struct sp_codec_input *input,
                   struct sp_stored_frame *frame);
