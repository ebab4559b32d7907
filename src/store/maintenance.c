#include "store/maintenance.h"

#include "store/images.h"
#include "store/rewrite.h"

static void add_frame(void *user, const struct sp_block_header *block,
                      const struct sp_stored_frame *frame)
{
    struct sp_store_totals *totals = user;
    (void)block;
    totals->frames++;
    totals->boxes += (int64_t)frame->count;
}

int sp_store_verify(struct sp_store *store, struct sp_store_totals *totals, struct sp_error *err)
{
    struct sp_segment_list list = {0};
    *totals = (struct sp_store_totals){0};
    const struct sp_image_filter all = {.from_us = 0, .to_us = INT64_MAX};
    int result = store->database->api->verify(store->database, err);
    if (result == SP_OK)
        result = sp_store_images_count(store, &all, &totals->images, &totals->image_bytes, err);
    if (result == SP_OK)
        result = store->segments->api->list(store->segments, &list, err);
    for (size_t i = 0; i < list.count && result == SP_OK; i++) {
        totals->segments++;
        totals->bytes += list.item[i].bytes;
        result = sp_store_visit(store, &list.item[i], add_frame, totals, &totals->damaged, err);
    }
    sp_segment_list_release(&list);
    return result;
}

static int bytes_before(struct sp_store *store, int64_t today, int64_t *bytes, struct sp_error *err)
{
    struct sp_segment_list list = {0};
    int result = store->segments->api->list(store->segments, &list, err);
    *bytes = 0;
    for (size_t i = 0; i < list.count; i++)
        if (list.item[i].day < today)
            *bytes += list.item[i].bytes;
    sp_segment_list_release(&list);
    return result;
}

int sp_store_compact(struct sp_store *store, int64_t today, int64_t *before, int64_t *after,
                     struct sp_error *err)
{
    const struct sp_rewrite rewrite = {0};
    struct sp_segment_list list = {0};
    int result = bytes_before(store, today, before, err);
    if (result == SP_OK)
        result = store->segments->api->list(store->segments, &list, err);
    for (size_t i = 0; i < list.count && result == SP_OK; i++)
        if (list.item[i].day < today)
            result = sp_store_rewrite(store, &list.item[i], &rewrite, err);
    sp_segment_list_release(&list);
    return result == SP_OK ? bytes_before(store, today, after, err) : result;
}
