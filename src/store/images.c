#include "store/images.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct waiting {
    struct sp_recorded_image image;
    uint8_t *jpeg; /* NULL: stored before */
};

struct sp_image_rows {
    int count;
    size_t bytes;
    struct waiting row[SP_IMAGE_ROWS];
};

int sp_image_rows_open(struct sp_image_rows **out, struct sp_error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
}

static void drop_oldest(struct sp_image_rows *rows, int count)
{
    for (int i = 0; i < count; i++) {
        rows->bytes -= rows->row[i].image.bytes;
        free(rows->row[i].jpeg);
    }
    rows->count -= count;
    memmove(rows->row, rows->row + count, (size_t)rows->count * sizeof rows->row[0]);
}

void sp_image_rows_clear(struct sp_image_rows *rows)
{
    drop_oldest(rows, rows->count);
}

void sp_image_rows_close(struct sp_image_rows *rows)
{
    if (rows)
        sp_image_rows_clear(rows);
    free(rows);
}

void sp_image_rows_add(struct sp_image_rows *rows, const struct sp_recorded_image *image,
                       const uint8_t *jpeg)
{
    int excess = rows->count == SP_IMAGE_ROWS;
    size_t left = rows->bytes + image->bytes;
    for (int i = 0; i < rows->count && left > SP_IMAGE_ROWS_BYTES; i++) {
        left -= rows->row[i].image.bytes;
        excess = i + 1;
    }
    drop_oldest(rows, excess);
    struct waiting *w = &rows->row[rows->count];
    *w = (struct waiting){.image = *image, .jpeg = image->bytes ? malloc(image->bytes) : NULL};
    if (image->bytes && !w->jpeg)
        return;
    if (w->jpeg)
        memcpy(w->jpeg, jpeg, image->bytes);
    rows->bytes += image->bytes;
    rows->count++;
}

bool sp_image_rows_any(const struct sp_image_rows *rows)
{
    return rows->count > 0;
}

int sp_image_rows_write(const struct sp_image_rows *rows, struct sp_store *store,
                        struct sp_error *err)
{
    static const char add_image[] = "INSERT INTO spoton_images(number,day,camera,bytes,jpeg)"
                                    " VALUES($1,$2,$3,$4,$5) ON CONFLICT(number) DO NOTHING";
    static const char connect[] = "INSERT INTO spoton_event_images(event,number) VALUES($1,$2)"
                                  " ON CONFLICT(event) DO NOTHING";
    int result = SP_OK;
    for (int i = 0; i < rows->count && result == SP_OK; i++) {
        const struct sp_recorded_image *image = &rows->row[i].image;
        const struct sp_sql_value values[] = {sp_sql_int(image->number),
                                              sp_sql_int(sp_store_day(image->number)),
                                              sp_sql_text(image->camera), sp_sql_int(image->bytes),
                                              sp_sql_blob(rows->row[i].jpeg, image->bytes)};
        const struct sp_sql_value connection[] = {sp_sql_text(image->event),
                                                  sp_sql_int(image->number)};
        if (image->bytes)
            result = sp_database_run(store->database, add_image, values, 5, err);
        if (result == SP_OK)
            result = sp_database_run(store->database, connect, connection, 2, err);
    }
    return result;
}

/* ---- reading ---- */

struct found {
    uint8_t *jpeg;
    size_t bytes;
    bool any;
};

static bool take_jpeg(void *user, const struct sp_sql_value *v, int count)
{
    struct found *found = user;
    if (count < 1 || v[0].kind != SP_SQL_BLOB || v[0].bytes == 0)
        return false;
    found->any = true;
    found->jpeg = malloc(v[0].bytes);
    found->bytes = v[0].bytes;
    if (found->jpeg)
        memcpy(found->jpeg, v[0].data, v[0].bytes);
    return false;
}

int sp_store_image_read(struct sp_store *store, int64_t number, uint8_t **jpeg, size_t *bytes,
                        struct sp_error *err)
{
    const struct sp_sql_value value = sp_sql_int(number);
    struct found found = {0};
    int result =
        store->database->api->run(store->database, "SELECT jpeg FROM spoton_images WHERE number=$1",
                                  &value, 1, take_jpeg, &found, NULL, err);
    if (result < 0) {
        free(found.jpeg);
        return result;
    }
    if (!found.any)
        return sp_fail(err, SP_ERR_NOT_FOUND,
                       "snapshot %lld: not stored, or removed by age, size or erasure",
                       (long long)number);
    if (!found.jpeg)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    *jpeg = found.jpeg;
    *bytes = found.bytes;
    return SP_OK;
}

/* ---- removal ---- */

static int run(struct sp_store *store, const char *what, const struct sp_image_filter *filter,
               sp_sql_row *row, void *user, int64_t *changed, struct sp_error *err)
{
    char sql[256];
    const struct sp_sql_value values[] = {sp_sql_int(filter->from_us), sp_sql_int(filter->to_us),
                                          sp_sql_text(filter->camera)};
    snprintf(sql, sizeof sql, "%s FROM spoton_images WHERE number>=$1 AND number<$2%s", what,
             filter->camera ? " AND camera=$3" : "");
    return store->database->api->run(store->database, sql, values, filter->camera ? 3 : 2, row,
                                     user, changed, err);
}

int sp_store_images_remove(struct sp_store *store, const struct sp_image_filter *filter,
                           int64_t *removed, struct sp_error *err)
{
    int64_t changed = 0;
    int result = run(store, "DELETE", filter, NULL, NULL, &changed, err);
    if (result == SP_OK && removed)
        *removed += changed;
    return result;
}

static bool take_totals(void *user, const struct sp_sql_value *v, int count)
{
    int64_t *totals = user;
    for (int i = 0; i < 2 && i < count; i++)
        totals[i] = v[i].number;
    return false;
}

int sp_store_images_count(struct sp_store *store, const struct sp_image_filter *filter,
                          int64_t *count, int64_t *bytes, struct sp_error *err)
{
    int64_t totals[2] = {0, 0};
    int result = run(store, "SELECT count(*),coalesce(sum(bytes),0)", filter, take_totals, totals,
                     NULL, err);
    *count = totals[0];
    if (bytes)
        *bytes = totals[1];
    return result;
}

int sp_store_images_forget(struct sp_store *store, struct sp_error *err)
{
    return sp_database_run(store->database,
                           "DELETE FROM spoton_event_images WHERE NOT EXISTS (SELECT 1 FROM "
                           "spoton_images i WHERE i.number=spoton_event_images.number)",
                           NULL, 0, err);
}

/* ---- sizes ---- */

struct sizes {
    struct sp_segment_list *list;
    struct sp_error *err;
    int result;
};

static bool take_size(void *user, const struct sp_sql_value *v, int count)
{
    struct sizes *sizes = user;
    struct sp_segment_list *list = sizes->list;
    if (count < 3)
        return false;
    for (size_t i = 0; i < list->count; i++)
        if (list->item[i].day == v[1].number &&
            strcmp(list->item[i].camera, sp_sql_string(&v[0])) == 0) {
            list->item[i].bytes += v[2].number;
            return true;
        }
    sizes->result =
        sp_segment_list_add(list, sp_sql_string(&v[0]), v[1].number, v[2].number, sizes->err);
    return sizes->result == SP_OK;
}

int sp_store_images_sizes(struct sp_store *store, struct sp_segment_list *list,
                          struct sp_error *err)
{
    struct sizes sizes = {.list = list, .err = err};
    int result = store->database->api->run(
        store->database, "SELECT camera,day,sum(bytes) FROM spoton_images GROUP BY camera,day",
        NULL, 0, take_size, &sizes, NULL, err);
    sp_segment_list_sort(list);
    return result < 0 ? result : sizes.result;
}
