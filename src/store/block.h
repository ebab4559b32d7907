/* A block: consecutive frames of one camera, delta-coded; the unit that is written and checked.
 *
 * Data flow: frames -> sp_block_begin, sp_block_add, ... -> sp_block_end -> bytes on the disk or in
 * a database -> sp_block_parse (header, CRC) -> sp_block_open, sp_block_next -> frames.
 *
 * All numbers are little-endian. Header of SP_BLOCK_HEADER_BYTES:
 *
 *     u32 magic "SPBK"   u32 payload bytes    u32 CRC-32 of all that follows
 *     u16 flags (1: the payload is deflated)  u16 frames
 *     u32 raw payload bytes                   u32 boxes
 *     i64 time of the first frame, us         i64 of the last frame
 *     i64 start of the process that recorded it, us
 *     u32 camera epoch   u32 width   u32 height
 *
 * Payload, per frame: a byte (1 inferred, 2 mapped, 4 the sequence is the next, 8 the same track
 * ids in the same order as in the frame before, 16 late: how much in us and its turn follow as
 * varints, count << 5 with 7: a varint follows); the change of the time step (zigzag varint; the
 * first frame has none); the sequence's step unless 4; then per track: the id's step unless 8; a
 * byte (1 matched, 2 on the map, 4 class and person follow, confidence step + 15 << 3 with 31: a
 * byte follows); four coordinates, and on the map two more, as the difference from the predicted
 * value, zigzag varints. Predicted is the track's last value plus its smoothed step. A track not
 * yet seen in the block is predicted by the track before it in the frame. A block depends on no
 * other one.
 *
 * Encoder and decoder are large: not for the stack. One thread at a time. */
#pragma once

#include "base/error.h"
#include "store/frame.h"

enum {
    SP_BLOCK_HEADER_BYTES = 60,
    SP_BLOCK_PAYLOAD_MAX = 1 << 20, /* after inflating, too */
    SP_BLOCK_FRAMES_MAX = 60000,
};

struct sp_block_header {
    uint32_t payload_bytes;
    bool deflated;
    uint32_t frames, raw_bytes, boxes;
    int64_t first_us, last_us;
    int64_t run_us;
    uint32_t epoch;
    uint32_t width_px, height_px;
};

struct sp_block_encoder;
struct sp_block_decoder;

int sp_block_encoder_open(struct sp_block_encoder **out, struct sp_error *err);
void sp_block_encoder_close(struct sp_block_encoder *encoder); /* NULL is allowed */

/* Begins an empty block; of the header run_us, epoch and the size are used. */
void sp_block_begin(struct sp_block_encoder *encoder, const struct sp_block_header *header);

/* False: the block is full; end it and begin another one. */
bool sp_block_add(struct sp_block_encoder *encoder, const struct sp_stored_frame *frame);
bool sp_block_is_empty(const struct sp_block_encoder *encoder);

/* The finished block with its header, valid until the next begin. *bytes is 0 if it is empty.
 * deflate: compress it if that makes it smaller. */
const uint8_t *sp_block_end(struct sp_block_encoder *encoder, bool deflate, size_t *bytes,
                            struct sp_block_header *header);

/* 1: a valid block begins at `data`; 0: more than `bytes` bytes are needed to decide; negative: no
 * block. check: also that of the payload, otherwise of the header's plausibility only. */
int sp_block_parse(const uint8_t *data, size_t bytes, bool check, struct sp_block_header *header);

int sp_block_decoder_open(struct sp_block_decoder **out, struct sp_error *err);
void sp_block_decoder_close(struct sp_block_decoder *decoder); /* NULL is allowed */

/* A block that sp_block_parse accepts; `data` must outlive the use unless it is deflated.
 * SP_ERR_FORMAT. */
int sp_block_open(struct sp_block_decoder *decoder, const uint8_t *data,
                  const struct sp_block_header *header, struct sp_error *err);

/* 1: the next frame, whose tracks belong to the decoder; 0: the end; SP_ERR_FORMAT. */
int sp_block_next(struct sp_block_decoder *decoder, struct sp_stored_frame *frame,
                  struct sp_error *err);
