#include "store/store.h"

#include "base/path.h"
#include "base/redact.h"
#include "store/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const int64_t DAY_US = INT64_C(86400000000), MINUTE_US = 60000000;

bool sp_store_is_url(const char *location)
{
    return strncmp(location, "postgresql://", 13) == 0 || strncmp(location, "postgres://", 11) == 0;
}

static int open_folder(struct sp_store *store, const char *dir, bool create, struct sp_error *err)
{
    char path[SP_STORE_LOCATION_BYTES + 32];
    struct stat status;
    int result = SP_OK;
    if (create)
        result = sp_path_make_dirs(dir, err);
    else if (stat(dir, &status) < 0 || !S_ISDIR(status.st_mode))
        result =
            sp_fail(err, SP_ERR_NOT_FOUND, "%s: no such folder; give the folder of STORE", dir);
    snprintf(path, sizeof path, "%s/history.sqlite", dir);
    if (result == SP_OK)
        result = sp_sqlite_open(&store->database, path, !create, err);
    if (result == SP_OK)
        result = sp_segment_files_open(&store->segments, dir, err);
    return result;
}

int sp_store_open(struct sp_store **out, const char *location, bool create, struct sp_error *err)
{
    struct sp_store *store = calloc(1, sizeof *store);
    if (!store)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    int result;
    store->postgresql = sp_store_is_url(location);
    sp_redact_url(location, store->shown, sizeof store->shown);
    if (store->postgresql) {
        result = sp_postgresql_open(&store->database, location, err);
        if (result == SP_OK)
            result = sp_segment_tables_open(&store->segments, store->database, err);
    } else if (strstr(location, "://")) {
        result = sp_fail(err, SP_ERR_INVALID,
                         "STORE: %s: unknown kind of URL; use a folder or postgresql://...",
                         store->shown);
    } else {
        result = open_folder(store, location, create, err);
    }
    if (result < 0)
        sp_store_close(store);
    else
        *out = store;
    return result;
}

void sp_store_close(struct sp_store *store)
{
    if (!store)
        return;
    sp_segments_close(store->segments);
    sp_database_close(store->database);
    free(store);
}

int sp_store_bytes(struct sp_store *store, int64_t *bytes, struct sp_error *err)
{
    struct sp_segment_list list = {0};
    int result = store->segments->api->list(store->segments, &list, err);
    if (result == SP_OK && store->postgresql)
        result = sp_store_images_sizes(store, &list, err);
    *bytes = store->postgresql ? 0 : store->database->api->bytes(store->database);
    for (size_t i = 0; i < list.count; i++)
        *bytes += list.item[i].bytes;
    sp_segment_list_release(&list);
    return result;
}

/* ---- retention ---- */

static int forget_rows(struct sp_store *store, int64_t before_us, struct sp_error *err)
{
    static const char *const statements[] = {
        "DELETE FROM spoton_tracks WHERE last_us < $1",
        "DELETE FROM spoton_minutes WHERE minute < $1",
        "DELETE FROM spoton_hours WHERE hour < $1",
        "DELETE FROM spoton_feedback WHERE time_us < $1",
        "DELETE FROM spoton_images WHERE number < $1",
    };
    const struct sp_sql_value limits[] = {sp_sql_int(before_us), sp_sql_int(before_us / MINUTE_US),
                                          sp_sql_int(before_us / (60 * MINUTE_US)),
                                          sp_sql_int(before_us), sp_sql_int(before_us)};
    int result = store->database->api->drop_days(store->database, sp_store_day(before_us), err);
    for (int i = 0; i < 5 && result == SP_OK; i++)
        result = sp_database_run(store->database, statements[i], &limits[i], 1, err);
    return result;
}

/* The oldest day of the camera that occupies most; NULL: only today's are left. */
static struct sp_segment *choose(struct sp_segment_list *list, int64_t today)
{
    struct sp_segment *best = NULL;
    int64_t most = -1;
    for (size_t i = 0; i < list->count;) {
        size_t begin = i;
        int64_t sum = 0;
        struct sp_segment *oldest = NULL;
        for (; i < list->count && strcmp(list->item[i].camera, list->item[begin].camera) == 0;
             i++) {
            sum += list->item[i].bytes;
            if (!oldest && list->item[i].bytes > 0 && list->item[i].day < today)
                oldest = &list->item[i];
        }
        if (oldest && sum > most) {
            most = sum;
            best = oldest;
        }
    }
    return best;
}

/* A day of a camera: its tracks and its images. */
static int remove_day(struct sp_store *store, const struct sp_segment *segment,
                      struct sp_error *err)
{
    const struct sp_image_filter images = {.from_us = segment->day * DAY_US,
                                           .to_us = (segment->day + 1) * DAY_US,
                                           .camera = segment->camera};
    int result = store->segments->api->remove(store->segments, segment->camera, segment->day, err);
    return result < 0 ? result : sp_store_images_remove(store, &images, NULL, err);
}

static int retain_size(struct sp_store *store, struct sp_segment_list *list, int64_t max_bytes,
                       int64_t today, int *count, struct sp_error *err)
{
    int64_t total = store->postgresql ? 0 : store->database->api->bytes(store->database);
    for (size_t i = 0; !store->postgresql && i < list->count; i++)
        total += list->item[i].bytes;
    int result = sp_store_images_sizes(store, list, err);
    for (size_t i = 0; store->postgresql && i < list->count; i++)
        total += list->item[i].bytes;
    while (result == SP_OK && total > max_bytes) {
        struct sp_segment *oldest = choose(list, today);
        if (!oldest)
            break;
        result = remove_day(store, oldest, err);
        total -= oldest->bytes;
        oldest->bytes = 0;
        ++*count;
    }
    return result;
}

int sp_store_retain(struct sp_store *store, int days, int64_t max_bytes, int64_t now_us,
                    int *removed, struct sp_error *err)
{
    struct sp_segment_list list = {0};
    struct sp_segments *segments = store->segments;
    int64_t today = sp_store_day(now_us);
    int count = 0, result = segments->api->list(segments, &list, err);
    for (size_t i = 0; i < list.count && result == SP_OK; i++) {
        if (days > 0 && list.item[i].day < today - days) {
            result = segments->api->remove(segments, list.item[i].camera, list.item[i].day, err);
            list.item[i].bytes = 0;
            count++;
        }
    }
    if (result == SP_OK && days > 0)
        result = forget_rows(store, (today - days) * DAY_US, err);
    if (result == SP_OK && max_bytes > 0)
        result = retain_size(store, &list, max_bytes, today, &count, err);
    if (result == SP_OK)
        result = sp_store_images_forget(store, err);
    if (result == SP_OK)
        result = store->database->api->trim(store->database, err);
    sp_segment_list_release(&list);
    if (removed)
        *removed = count;
    return result;
}
