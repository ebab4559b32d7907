#include "output/segment.h"

#include "output/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Both copies of a pair lie in blocks of their own. */
enum { PAIR_BYTES = 28, PAIR_STRIDE = 512 };

static const char MAGIC[8] = "SPOUTBX1";

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t take(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static uint32_t checksum(const uint8_t *data, size_t bytes)
{
    return (uint32_t)crc32(crc32(0, NULL, 0), data, (uInt)bytes);
}

void sp_segment_write_header(uint8_t out[SP_SEGMENT_HEADER_BYTES],
                             const struct sp_segment_header *header)
{
    memcpy(out, MAGIC, sizeof MAGIC);
    put(out + 8, header->base, 8);
    put(out + 16, header->number, 8);
    put(out + 24, (uint64_t)header->clock_us, 8);
    put(out + 32, checksum(out, 32), 4);
}

bool sp_segment_read_header(struct sp_segment_header *header, const uint8_t *data, size_t bytes)
{
    if (bytes < SP_SEGMENT_HEADER_BYTES || memcmp(data, MAGIC, sizeof MAGIC) != 0 ||
        take(data + 32, 4) != checksum(data, 32))
        return false;
    *header = (struct sp_segment_header){
        .base = take(data + 8, 8),
        .number = take(data + 16, 8),
        .clock_us = (int64_t)take(data + 24, 8),
    };
    return true;
}

size_t sp_segment_seal_entry(uint8_t *entry, size_t record_bytes)
{
    put(entry, record_bytes, 4);
    put(entry + 4, checksum(entry + SP_ENTRY_HEADER_BYTES, record_bytes), 4);
    return SP_ENTRY_HEADER_BYTES + record_bytes;
}

enum sp_entry_state sp_segment_read_entry(const uint8_t *data, size_t bytes, const uint8_t **record,
                                          size_t *record_bytes)
{
    if (bytes < SP_ENTRY_HEADER_BYTES)
        return SP_ENTRY_INCOMPLETE;
    uint64_t length = take(data, 4);
    if (length == 0 || length > SP_RECORD_BYTES_MAX)
        return SP_ENTRY_CORRUPT;
    if (bytes - SP_ENTRY_HEADER_BYTES < length)
        return SP_ENTRY_INCOMPLETE;
    if (checksum(data + SP_ENTRY_HEADER_BYTES, length) != take(data + 4, 4))
        return SP_ENTRY_CORRUPT;
    *record = data + SP_ENTRY_HEADER_BYTES;
    *record_bytes = length;
    return SP_ENTRY_WHOLE;
}

/* ---- pairs of numbers ---- */

int sp_number_pair_open(struct sp_number_pair *pair, int folder, const char *name, uint64_t *a,
                        uint64_t *b, struct sp_error *err)
{
    *pair =
        (struct sp_number_pair){.file = openat(folder, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
    if (pair->file < 0)
        return sp_fail(err, sp_error_from_errno(errno), "outbox: %s: %s", name, strerror(errno));
    for (int i = 0; i < 2; i++) {
        uint8_t data[PAIR_BYTES];
        if (pread(pair->file, data, sizeof data, i * PAIR_STRIDE) != sizeof data ||
            take(data + 24, 4) != checksum(data, 24) || take(data, 8) <= pair->serial)
            continue;
        pair->serial = take(data, 8);
        *a = take(data + 8, 8);
        *b = take(data + 16, 8);
    }
    return SP_OK;
}

bool sp_number_pair_write(struct sp_number_pair *pair, uint64_t a, uint64_t b)
{
    uint8_t data[PAIR_BYTES];
    put(data, pair->serial + 1, 8);
    put(data + 8, a, 8);
    put(data + 16, b, 8);
    put(data + 24, checksum(data, 24), 4);
    off_t at = (off_t)((pair->serial + 1) % 2) * PAIR_STRIDE;
    if (pwrite(pair->file, data, sizeof data, at) != sizeof data)
        return false;
    pair->serial++;
    return true;
}

void sp_number_pair_close(struct sp_number_pair *pair)
{
    if (pair->file >= 0)
        close(pair->file);
    pair->file = -1;
}
