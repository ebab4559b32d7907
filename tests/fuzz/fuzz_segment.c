/* A segment of tracks: bytes of the disk, after damage of any kind. */
#include "store/block.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_block(struct sp_block_decoder *decoder, const uint8_t *block,
                       const struct sp_block_header *header)
{
    struct sp_stored_frame frame;
    if (sp_block_open(decoder, block, header, NULL) < 0)
        return;
    while (sp_block_next(decoder, &frame, NULL) == 1)
        for (size_t i = 0; i < frame.count; i++) {
            struct sp_track track;
            struct sp_world_position position;
            if (frame.tracks[i].confidence > SP_STORED_CONFIDENCE)
                abort();
            sp_stored_track_read(&frame.tracks[i], &track, &position);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sp_block_decoder *decoder;
    struct sp_block_header header;
    if (!decoder && sp_block_decoder_open(&decoder, NULL) < 0)
        abort();
    (void)sp_block_parse(data, size, true, &header);
    /* Without the checksum, which no random change passes. */
    for (size_t at = 0; at + SP_BLOCK_HEADER_BYTES <= size; at++) {
        if (sp_block_parse(data + at, size - at, false, &header) != 1)
            continue;
        if (header.payload_bytes <= size - at - SP_BLOCK_HEADER_BYTES)
            read_block(decoder, data + at, &header);
    }
    return 0;
}
