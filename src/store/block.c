#include "store/block.h"

#include "store/codec.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAGIC = 0x4b425053, DEFLATED = 1, CRC_AT = 8, FRAME_BYTES_MAX = 64 + SP_TRACKS_MAX * 48 };

struct sp_block_encoder {
    struct sp_block_header header;
    struct sp_codec codec;
    size_t used;
    uint8_t out[SP_BLOCK_HEADER_BYTES + SP_BLOCK_PAYLOAD_MAX];
    uint8_t packed[SP_BLOCK_HEADER_BYTES + SP_BLOCK_PAYLOAD_MAX];
};

struct sp_block_decoder {
    struct sp_codec codec;
    struct sp_codec_input input;
    uint32_t frames; /* left */
    uint8_t raw[SP_BLOCK_PAYLOAD_MAX];
    struct sp_stored_track tracks[SP_TRACKS_MAX];
};

int sp_block_encoder_open(struct sp_block_encoder **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
}

void sp_block_encoder_close(struct sp_block_encoder *encoder)
{
    free(encoder);
}

void sp_block_begin(struct sp_block_encoder *e, const struct sp_block_header *header)
{
    e->header = (struct sp_block_header){.run_us = header->run_us,
                                         .epoch = header->epoch,
                                         .width_px = header->width_px,
                                         .height_px = header->height_px};
    e->used = 0;
}

bool sp_block_add(struct sp_block_encoder *e, const struct sp_stored_frame *frame)
{
    if (e->used + FRAME_BYTES_MAX > SP_BLOCK_PAYLOAD_MAX || e->header.frames == SP_BLOCK_FRAMES_MAX)
        return false;
    if (e->header.frames == 0) {
        e->header.first_us = frame->time_us;
        sp_codec_start(&e->codec, frame->time_us);
    }
    e->header.frames++;
    e->header.boxes += (uint32_t)frame->count;
    e->header.last_us = frame->time_us;
    e->used += sp_codec_write(&e->codec, frame, e->out + SP_BLOCK_HEADER_BYTES + e->used);
    return true;
}

bool sp_block_is_empty(const struct sp_block_encoder *e)
{
    return e->header.frames == 0;
}

static void put(uint8_t **at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t **at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t) * (*at)++ << 8 * i;
    return value;
}

static uint32_t checksum(const uint8_t *block, size_t payload_bytes)
{
    size_t from = CRC_AT + 4;
    return (uint32_t)crc32_z(crc32(0, NULL, 0), block + from,
                             SP_BLOCK_HEADER_BYTES - from + payload_bytes);
}

static void put_header(uint8_t *block, const struct sp_block_header *h)
{
    uint8_t *at = block;
    put(&at, MAGIC, 4);
    put(&at, h->payload_bytes, 4);
    put(&at, 0, 4);
    put(&at, h->deflated ? DEFLATED : 0, 2);
    put(&at, h->frames, 2);
    put(&at, h->raw_bytes, 4);
    put(&at, h->boxes, 4);
    put(&at, (uint64_t)h->first_us, 8);
    put(&at, (uint64_t)h->last_us, 8);
    put(&at, (uint64_t)h->run_us, 8);
    put(&at, h->epoch, 4);
    put(&at, h->width_px, 4);
    put(&at, h->height_px, 4);
    uint32_t crc = checksum(block, h->payload_bytes);
    at = block + CRC_AT;
    put(&at, crc, 4);
}

const uint8_t *sp_block_end(struct sp_block_encoder *e, bool deflate, size_t *bytes,
                            struct sp_block_header *header)
{
    struct sp_block_header *h = &e->header;
    uint8_t *block = e->out;
    *bytes = 0;
    h->raw_bytes = h->payload_bytes = (uint32_t)e->used;
    h->deflated = false;
    uLongf packed = h->raw_bytes;
    if (deflate && h->raw_bytes > 0 &&
        compress2(e->packed + SP_BLOCK_HEADER_BYTES, &packed, e->out + SP_BLOCK_HEADER_BYTES,
                  h->raw_bytes, 6) == Z_OK &&
        packed < h->raw_bytes) {
        h->deflated = true;
        h->payload_bytes = (uint32_t)packed;
        block = e->packed;
    }
    if (h->frames > 0) {
        put_header(block, h);
        *bytes = SP_BLOCK_HEADER_BYTES + h->payload_bytes;
    }
    if (header)
        *header = *h;
    return block;
}

int sp_block_parse(const uint8_t *data, size_t bytes, bool check, struct sp_block_header *h)
{
    const uint8_t *at = data;
    if (bytes < SP_BLOCK_HEADER_BYTES)
        return 0;
    if (get(&at, 4) != MAGIC)
        return SP_ERR_FORMAT;
    h->payload_bytes = (uint32_t)get(&at, 4);
    uint32_t crc = (uint32_t)get(&at, 4);
    uint64_t flags = get(&at, 2);
    h->deflated = flags & DEFLATED;
    h->frames = (uint32_t)get(&at, 2);
    h->raw_bytes = (uint32_t)get(&at, 4);
    h->boxes = (uint32_t)get(&at, 4);
    h->first_us = (int64_t)get(&at, 8);
    h->last_us = (int64_t)get(&at, 8);
    h->run_us = (int64_t)get(&at, 8);
    h->epoch = (uint32_t)get(&at, 4);
    h->width_px = (uint32_t)get(&at, 4);
    h->height_px = (uint32_t)get(&at, 4);
    if (flags > DEFLATED || h->payload_bytes == 0 || h->payload_bytes > h->raw_bytes ||
        h->raw_bytes > SP_BLOCK_PAYLOAD_MAX || h->frames == 0 || h->frames > SP_BLOCK_FRAMES_MAX ||
        h->width_px > SP_STORED_SIDE_MAX || h->height_px > SP_STORED_SIDE_MAX ||
        h->boxes > h->frames * SP_TRACKS_MAX || (!h->deflated && h->payload_bytes != h->raw_bytes))
        return SP_ERR_FORMAT;
    if (!check)
        return 1;
    if (bytes < SP_BLOCK_HEADER_BYTES + (size_t)h->payload_bytes)
        return 0;
    return checksum(data, h->payload_bytes) == crc ? 1 : SP_ERR_FORMAT;
}

int sp_block_decoder_open(struct sp_block_decoder **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
}

void sp_block_decoder_close(struct sp_block_decoder *decoder)
{
    free(decoder);
}

int sp_block_open(struct sp_block_decoder *d, const uint8_t *data, const struct sp_block_header *h,
                  struct sp_error *err)
{
    const uint8_t *payload = data + SP_BLOCK_HEADER_BYTES;
    if (h->deflated) {
        uLongf raw = h->raw_bytes;
        if (uncompress(d->raw, &raw, payload, h->payload_bytes) != Z_OK || raw != h->raw_bytes)
            return sp_fail(err, SP_ERR_FORMAT, "block: its compressed data is damaged");
        payload = d->raw;
    }
    d->input = (struct sp_codec_input){.at = payload, .end = payload + h->raw_bytes};
    d->frames = h->frames;
    sp_codec_start(&d->codec, h->first_us);
    return SP_OK;
}

int sp_block_next(struct sp_block_decoder *d, struct sp_stored_frame *frame, struct sp_error *err)
{
    if (d->frames == 0)
        return 0;
    frame->tracks = d->tracks;
    d->frames--;
    if (!sp_codec_read(&d->codec, &d->input, frame)) {
        d->frames = 0;
        return sp_fail(err, SP_ERR_FORMAT, "block: a frame is damaged");
    }
    return 1;
}
