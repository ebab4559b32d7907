#include "store/segments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t DAY_US = INT64_C(86400000000);

int64_t sp_store_day(int64_t time_us)
{
    return time_us >= 0 ? time_us / DAY_US : (time_us - DAY_US + 1) / DAY_US;
}

void sp_segment_list_release(struct sp_segment_list *list)
{
    free(list->item);
    *list = (struct sp_segment_list){0};
}

int sp_segment_list_add(struct sp_segment_list *list, const char *camera, int64_t day,
                        int64_t bytes, struct sp_error *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 64;
        struct sp_segment *grown = realloc(list->item, capacity * sizeof *grown);
        if (!grown)
            return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
        list->item = grown;
        list->capacity = capacity;
    }
    struct sp_segment *item = &list->item[list->count++];
    *item = (struct sp_segment){.day = day, .bytes = bytes};
    snprintf(item->camera, sizeof item->camera, "%s", camera);
    return SP_OK;
}

static int compare(const void *a, const void *b)
{
    const struct sp_segment *p = a, *q = b;
    int order = strcmp(p->camera, q->camera);
    return order ? order : (p->day > q->day) - (p->day < q->day);
}

void sp_segment_list_sort(struct sp_segment_list *list)
{
    if (list->count > 0)
        qsort(list->item, list->count, sizeof *list->item, compare);
}

void sp_segments_close(struct sp_segments *segments)
{
    if (segments)
        segments->api->close(segments);
}
