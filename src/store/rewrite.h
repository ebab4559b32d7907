/* Rewrites a segment, frame by frame.
 *
 * Data flow: blocks of the old segment -> frames -> `keep` changes or drops them -> larger,
 * deflated blocks -> the new segment, which replaces the old one at once (store/segments.h). What
 * is damaged is not carried over. One thread at a time per store. */
#pragma once

#include "store/store.h"

struct sp_rewrite {
    /* The segment's frame, of the recording process that began at run_us: false drops the frame;
     * tracks may be removed. NULL: everything is kept. */
    bool (*keep)(void *user, const struct sp_block_header *block, struct sp_stored_frame *frame);
    void *user;
};

/* On an error the old segment remains. */
int sp_store_rewrite(struct sp_store *store, const struct sp_segment *segment,
                     const struct sp_rewrite *rewrite, struct sp_error *err);

/* Calls `visit` for each frame of a segment. *damaged (may be NULL): bytes that were skipped are
 * added. */
int sp_store_visit(struct sp_store *store, const struct sp_segment *segment,
                   void (*visit)(void *user, const struct sp_block_header *block,
                                 const struct sp_stored_frame *frame),
                   void *user, int64_t *damaged, struct sp_error *err);
