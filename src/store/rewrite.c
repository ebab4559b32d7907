#include "store/rewrite.h"

#include <string.h>

enum { BLOCK_FRAMES = 25 * 120 }; /* of two minutes: small enough to be found by time */

struct copy {
    struct sp_store *store;
    struct sp_block_reader *reader;
    struct sp_block_decoder *decoder;
    struct sp_block_encoder *encoder;
    struct sp_block_header block; /* being written */
    uint32_t frames;
    bool begun;
};

static int end_block(struct copy *c, struct sp_error *err)
{
    size_t bytes;
    if (!c->begun)
        return SP_OK;
    c->begun = false;
    const uint8_t *data = sp_block_end(c->encoder, true, &bytes, NULL);
    return bytes > 0 ? c->store->segments->api->replace_add(c->store->segments, data, bytes, err)
                     : SP_OK;
}

static int add_frame(struct copy *c, const struct sp_block_header *from,
                     const struct sp_stored_frame *frame, struct sp_error *err)
{
    bool same = c->begun && from->run_us == c->block.run_us && from->epoch == c->block.epoch &&
                from->width_px == c->block.width_px && from->height_px == c->block.height_px &&
                c->frames < BLOCK_FRAMES;
    if (same && sp_block_add(c->encoder, frame)) {
        c->frames++;
        return SP_OK;
    }
    int result = end_block(c, err);
    if (result < 0)
        return result;
    c->block = *from;
    c->begun = true;
    c->frames = 1;
    sp_block_begin(c->encoder, from);
    sp_block_add(c->encoder, frame);
    return SP_OK;
}

static int copy_all(struct copy *c, const struct sp_segment *segment,
                    const struct sp_rewrite *rewrite, struct sp_error *err)
{
    struct sp_block_header header;
    const uint8_t *block;
    size_t bytes;
    int result;
    sp_block_reader_start(c->reader, segment->camera, segment->day);
    while ((result = sp_block_reader_next(c->reader, 0, &header, &block, &bytes, err)) == 1) {
        struct sp_stored_frame frame;
        if (sp_block_open(c->decoder, block, &header, NULL) < 0)
            continue;
        while (sp_block_next(c->decoder, &frame, NULL) == 1) {
            if (rewrite->keep && !rewrite->keep(rewrite->user, &header, &frame))
                continue;
            result = add_frame(c, &header, &frame, err);
            if (result < 0)
                return result;
        }
    }
    return result < 0 ? result : end_block(c, err);
}

static int open_copy(struct copy *c, struct sp_store *store, struct sp_error *err)
{
    c->store = store;
    int result = sp_block_reader_open(&c->reader, store->segments, err);
    if (result == SP_OK)
        result = sp_block_decoder_open(&c->decoder, err);
    if (result == SP_OK)
        result = sp_block_encoder_open(&c->encoder, err);
    return result;
}

static void close_copy(struct copy *c)
{
    sp_block_reader_close(c->reader);
    sp_block_decoder_close(c->decoder);
    sp_block_encoder_close(c->encoder);
}

int sp_store_rewrite(struct sp_store *store, const struct sp_segment *segment,
                     const struct sp_rewrite *rewrite, struct sp_error *err)
{
    const struct sp_segments_api *api = store->segments->api;
    struct copy copy = {0};
    int result = open_copy(&copy, store, err);
    if (result == SP_OK) {
        result = api->replace_begin(store->segments, segment->camera, segment->day, err);
        if (result == SP_OK)
            result = copy_all(&copy, segment, rewrite, err);
        int ended =
            api->replace_end(store->segments, result == SP_OK, result == SP_OK ? err : NULL);
        result = result == SP_OK ? ended : result;
    }
    close_copy(&copy);
    return result;
}

int sp_store_visit(struct sp_store *store, const struct sp_segment *segment,
                   void (*visit)(void *user, const struct sp_block_header *block,
                                 const struct sp_stored_frame *frame),
                   void *user, int64_t *damaged, struct sp_error *err)
{
    struct copy copy = {0};
    struct sp_block_header header;
    const uint8_t *block;
    size_t bytes;
    int64_t lost = 0;
    int result = open_copy(&copy, store, err);
    if (result == SP_OK)
        sp_block_reader_start(copy.reader, segment->camera, segment->day);
    while (result >= 0 &&
           (result = sp_block_reader_next(copy.reader, 0, &header, &block, &bytes, err)) == 1) {
        struct sp_stored_frame frame;
        int state = sp_block_open(copy.decoder, block, &header, NULL);
        while (state >= 0 && (state = sp_block_next(copy.decoder, &frame, NULL)) == 1)
            visit(user, &header, &frame);
        if (state < 0)
            lost += (int64_t)bytes;
    }
    if (damaged && copy.reader)
        *damaged += lost + sp_block_reader_damaged(copy.reader);
    close_copy(&copy);
    return result < 0 ? result : SP_OK;
}
