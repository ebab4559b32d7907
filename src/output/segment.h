/* The files of the outbox: segments of entries, and pairs of numbers that are replaced.
 *
 * A segment is a header of SP_SEGMENT_HEADER_BYTES and then entries; an entry is the length and the
 * CRC-32 of a record, and the record. A position counts the bytes of all segments since the first
 * one, headers included, so a segment of base B holds the positions from B on.
 *
 * sp_segment_read_header and sp_segment_read_entry accept any bytes. Any thread. */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_SEGMENT_HEADER_BYTES = 36, SP_ENTRY_HEADER_BYTES = 8 };

struct sp_segment_header {
    uint64_t base;    /* position of the header */
    uint64_t number;  /* of the first record, if there is one */
    int64_t clock_us; /* of the outbox, which counts only while the program runs */
};

void sp_segment_write_header(uint8_t out[SP_SEGMENT_HEADER_BYTES],
                             const struct sp_segment_header *header);
bool sp_segment_read_header(struct sp_segment_header *header, const uint8_t *data, size_t bytes);

/* Completes an entry whose record is at entry[SP_ENTRY_HEADER_BYTES]. Returns the entry's length.
 */
size_t sp_segment_seal_entry(uint8_t *entry, size_t record_bytes);

enum sp_entry_state { SP_ENTRY_WHOLE, SP_ENTRY_INCOMPLETE, SP_ENTRY_CORRUPT };

/* The entry at the beginning of data[bytes]. WHOLE: its record, which points into `data`. */
enum sp_entry_state sp_segment_read_entry(const uint8_t *data, size_t bytes, const uint8_t **record,
                                          size_t *record_bytes);

/* Two numbers in a file, of which a crash leaves either the old or the new ones. */
struct sp_number_pair {
    int file;        /* -1: closed */
    uint64_t serial; /* of the last write */
};

/* Opens or creates `name` in the folder. *a, *b: unchanged if the file has none. SP_ERR_IO and the
 * like. */
int sp_number_pair_open(struct sp_number_pair *pair, int folder, const char *name, uint64_t *a,
                        uint64_t *b, struct sp_error *err);
bool sp_number_pair_write(struct sp_number_pair *pair, uint64_t a, uint64_t b);
void sp_number_pair_close(struct sp_number_pair *pair);
