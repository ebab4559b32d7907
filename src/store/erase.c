#include "store/maintenance.h"

#include "publish/message.h"
#include "store/images.h"
#include "store/rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t DAY_US = INT64_C(86400000000), MINUTE_US = 60000000;

/* Images have the time of decoding, which may differ from that of counting. */
static const int64_t NEAR_US = 2000000;

enum { SQL_BYTES = 512, VALUES_MAX = 6 };

/* A track that has had the person's id. */
struct key {
    int64_t run_us;
    uint32_t epoch, track;
};

/* While a person was seen by the segment's camera. */
struct span {
    int64_t from_us, to_us;
};

struct erasure {
    const struct sp_store_erasure *what;
    struct sp_store_erased *erased;
    struct key *key; /* of the segment's camera */
    size_t count, capacity;
    struct span *span;
    size_t spans, span_capacity;
    bool failed;   /* out of memory */
    int64_t found; /* boxes or frames that are still there */
};

static void add_key(struct erasure *e, int64_t run_us, uint32_t epoch, uint32_t track)
{
    for (size_t i = e->count; i > 0; i--)
        if (e->key[i - 1].track == track && e->key[i - 1].epoch == epoch &&
            e->key[i - 1].run_us == run_us)
            return;
    if (e->count == e->capacity) {
        size_t capacity = e->capacity ? 2 * e->capacity : 64;
        struct key *grown = realloc(e->key, capacity * sizeof *grown);
        if (!grown) {
            e->failed = true;
            return;
        }
        e->key = grown;
        e->capacity = capacity;
    }
    e->key[e->count++] = (struct key){run_us, epoch, track};
}

static void add_span(struct erasure *e, int64_t time_us)
{
    struct span *last = e->spans ? &e->span[e->spans - 1] : NULL;
    if (last && time_us >= last->from_us - NEAR_US && time_us <= last->to_us + NEAR_US) {
        last->from_us = time_us < last->from_us ? time_us : last->from_us;
        last->to_us = time_us > last->to_us ? time_us : last->to_us;
        return;
    }
    if (!e->span || e->spans == e->span_capacity) {
        size_t capacity = e->span_capacity ? 2 * e->span_capacity : 64;
        struct span *grown = realloc(e->span, capacity * sizeof *grown);
        if (!grown) {
            e->failed = true;
            return;
        }
        e->span = grown;
        e->span_capacity = capacity;
    }
    e->span[e->spans++] = (struct span){time_us, time_us};
}

static bool is_of_person(const struct erasure *e, const struct sp_block_header *block,
                         const struct sp_stored_track *track)
{
    if (track->person == e->what->person)
        return true;
    for (size_t i = 0; i < e->count; i++)
        if (e->key[i].track == track->id && e->key[i].epoch == block->epoch &&
            e->key[i].run_us == block->run_us)
            return true;
    return false;
}

static bool is_in_time(const struct erasure *e, const struct sp_stored_frame *frame)
{
    return frame->time_us >= e->what->from_us && frame->time_us < e->what->to_us;
}

/* ---- segments ---- */

static void note_person(void *user, const struct sp_block_header *block,
                        const struct sp_stored_frame *frame)
{
    struct erasure *e = user;
    for (size_t i = 0; i < frame->count; i++)
        if (frame->tracks[i].person == e->what->person)
            add_key(e, block->run_us, block->epoch, frame->tracks[i].id);
}

static bool keep(void *user, const struct sp_block_header *block, struct sp_stored_frame *frame)
{
    struct erasure *e = user;
    if (!is_in_time(e, frame))
        return true;
    if (!e->what->person) {
        e->erased->frames++;
        e->erased->boxes += (int64_t)frame->count;
        return false;
    }
    size_t kept = 0;
    for (size_t i = 0; i < frame->count; i++)
        if (!is_of_person(e, block, &frame->tracks[i]))
            frame->tracks[kept++] = frame->tracks[i];
    if (kept < frame->count)
        add_span(e, frame->time_us);
    e->erased->boxes += (int64_t)(frame->count - kept);
    frame->count = kept;
    return true;
}

static void look_for_rest(void *user, const struct sp_block_header *block,
                          const struct sp_stored_frame *frame)
{
    struct erasure *e = user;
    if (!is_in_time(e, frame))
        return;
    e->found += !e->what->person;
    for (size_t i = 0; e->what->person && i < frame->count; i++)
        e->found += is_of_person(e, block, &frame->tracks[i]);
}

static bool take_key(void *user, const struct sp_sql_value *v, int count)
{
    struct erasure *e = user;
    if (count == 3)
        add_key(e, v[0].number, (uint32_t)v[1].number, (uint32_t)v[2].number);
    return count == 3 && !e->failed;
}

static int find_keys(struct sp_store *store, struct erasure *e, const struct sp_segment *segment,
                     struct sp_error *err)
{
    const struct sp_sql_value values[] = {sp_sql_text(segment->camera),
                                          sp_sql_int(e->what->person)};
    e->count = 0;
    int result = store->database->api->run(
        store->database,
        "SELECT run_us,epoch,track FROM spoton_tracks WHERE camera=$1 AND person=$2", values, 2,
        take_key, e, NULL, err);
    if (result == SP_OK)
        result = sp_store_visit(store, segment, note_person, e, NULL, err);
    return result == SP_OK && e->failed ? sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory")
                                        : result;
}

/* The camera's images that may show the person. */
static int erase_images(struct sp_store *store, struct erasure *e, const struct sp_segment *segment,
                        struct sp_error *err)
{
    int result = e->failed ? sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory") : SP_OK;
    for (size_t i = 0; i < e->spans && result == SP_OK; i++) {
        const struct sp_image_filter filter = {.from_us = e->span[i].from_us - NEAR_US,
                                               .to_us = e->span[i].to_us + NEAR_US + 1,
                                               .camera = segment->camera};
        int64_t left = 0;
        result = sp_store_images_remove(store, &filter, &e->erased->images, err);
        if (result == SP_OK)
            result = sp_store_images_count(store, &filter, &left, NULL, err);
        e->found += left;
    }
    return result;
}

static int erase_segment(struct sp_store *store, struct erasure *e,
                         const struct sp_segment *segment, struct sp_error *err)
{
    const struct sp_rewrite rewrite = {.keep = keep, .user = e};
    struct sp_store_erased before = *e->erased;
    e->spans = 0;
    if (e->what->person) {
        int result = find_keys(store, e, segment, err);
        if (result < 0)
            return result;
        if (e->count == 0)
            return SP_OK;
    }
    int result = sp_store_rewrite(store, segment, &rewrite, err);
    if (result < 0) {
        *e->erased = before;
        return result;
    }
    result = erase_images(store, e, segment, err);
    return result < 0 ? result : sp_store_visit(store, segment, look_for_rest, e, NULL, err);
}

static int erase_segments(struct sp_store *store, struct erasure *e, struct sp_error *err)
{
    struct sp_segment_list list = {0};
    int result = store->segments->api->list(store->segments, &list, err);
    for (size_t i = 0; i < list.count && result == SP_OK; i++) {
        const struct sp_segment *s = &list.item[i];
        /* A block belongs to the day in which it begins. */
        bool in_time = (s->day + 2) * DAY_US > e->what->from_us && s->day * DAY_US < e->what->to_us;
        bool of_camera = !e->what->camera || strcmp(e->what->camera, s->camera) == 0;
        if (in_time && of_camera)
            result = erase_segment(store, e, s, err);
    }
    sp_segment_list_release(&list);
    return result;
}

/* ---- tables ---- */

struct statement {
    char sql[SQL_BYTES];
    struct sp_sql_value value[VALUES_MAX];
    int values;
};

static void add(struct statement *s, const char *condition, struct sp_sql_value value)
{
    size_t used = strlen(s->sql);
    s->value[s->values++] = value;
    snprintf(s->sql + used, sizeof s->sql - used, "%s$%d", condition, s->values);
}

static void where_events(struct statement *s, const struct sp_store_erasure *what,
                         const char *mention, const char *close)
{
    add(s, " FROM spoton_events WHERE time_us>=", sp_sql_int(what->from_us));
    add(s, " AND time_us<", sp_sql_int(what->to_us));
    if (what->camera)
        add(s, " AND camera=", sp_sql_text(what->camera));
    if (what->person) {
        add(s, " AND (person=", sp_sql_int(what->person));
        add(s, " OR payload LIKE ", sp_sql_text(mention));
        strncat(s->sql, close, sizeof s->sql - strlen(s->sql) - 1);
    }
}

/* Images of the events that are erased. */
static void where_images(struct statement *s, const struct sp_store_erasure *what,
                         const char *mention)
{
    char close[] = ")))";
    s->values = 0;
    snprintf(s->sql, sizeof s->sql,
             "DELETE FROM spoton_images WHERE number IN (SELECT number FROM spoton_event_images"
             " WHERE event IN (SELECT id");
    where_events(s, what, mention, close);
    if (!what->person)
        strncat(s->sql, "))", sizeof s->sql - strlen(s->sql) - 1);
}

static void where_tracks(struct statement *s, const struct sp_store_erasure *what)
{
    add(s, " FROM spoton_tracks WHERE last_us>=", sp_sql_int(what->from_us));
    add(s, " AND first_us<", sp_sql_int(what->to_us));
    if (what->camera)
        add(s, " AND camera=", sp_sql_text(what->camera));
    if (what->person)
        add(s, " AND person=", sp_sql_int(what->person));
}

static bool take_number(void *user, const struct sp_sql_value *v, int count)
{
    if (count > 0)
        *(int64_t *)user += v[0].number;
    return false;
}

static int run(struct sp_store *store, const struct statement *s, int64_t *changed, int64_t *found,
               struct sp_error *err)
{
    return store->database->api->run(store->database, s->sql, s->value, s->values,
                                     found ? take_number : NULL, found, changed, err);
}

static int erase_counts(struct sp_store *store, const struct sp_store_erasure *what,
                        struct sp_error *err)
{
    struct statement minutes = {.sql = "DELETE FROM spoton_minutes WHERE"};
    struct statement hours = {.sql = "DELETE FROM spoton_hours WHERE"};
    add(&minutes, " minute>=", sp_sql_int(what->from_us / MINUTE_US));
    add(&minutes, " AND minute<", sp_sql_int((what->to_us + MINUTE_US - 1) / MINUTE_US));
    add(&hours, " hour>=", sp_sql_int(what->from_us / (60 * MINUTE_US)));
    add(&hours, " AND hour<", sp_sql_int(what->to_us / (60 * MINUTE_US)));
    int result = run(store, &minutes, NULL, NULL, err);
    return result == SP_OK ? run(store, &hours, NULL, NULL, err) : result;
}

static int erase_rows(struct sp_store *store, struct erasure *e, struct sp_error *err)
{
    char person[SP_PERSON_BYTES], mention[SP_PERSON_BYTES + 8], close[] = ")";
    snprintf(mention, sizeof mention, "%%\"%s\"%%", sp_person_name(e->what->person, person));
    struct statement events = {.sql = "DELETE"}, tracks = {.sql = "DELETE"};
    struct statement left[2] = {{.sql = "SELECT count(*)"}, {.sql = "SELECT count(*)"}};
    where_events(&events, e->what, mention, close);
    where_tracks(&tracks, e->what);
    where_events(&left[0], e->what, mention, close);
    where_tracks(&left[1], e->what);
    struct statement of_events;
    where_images(&of_events, e->what, mention);
    const struct sp_image_filter images = {e->what->from_us, e->what->to_us, e->what->camera};
    int64_t removed = 0, found = 0;
    int result = sp_database_run(store->database, "BEGIN", NULL, 0, err);
    if (result == SP_OK)
        result = run(store, &of_events, &removed, NULL, err);
    e->erased->images += removed;
    if (result == SP_OK && !e->what->person)
        result = sp_store_images_remove(store, &images, &e->erased->images, err);
    if (result == SP_OK)
        result = sp_store_images_forget(store, err);
    if (result == SP_OK)
        result = run(store, &events, &e->erased->events, NULL, err);
    if (result == SP_OK)
        result = run(store, &tracks, &e->erased->tracks, NULL, err);
    if (result == SP_OK && !e->what->camera && !e->what->person)
        result = erase_counts(store, e->what, err);
    if (result == SP_OK)
        result = sp_database_run(store->database, "COMMIT", NULL, 0, err);
    else
        (void)sp_database_run(store->database, "ROLLBACK", NULL, 0, NULL);
    if (result == SP_OK)
        result = store->database->api->vacuum(store->database, err);
    for (int i = 0; i < 2 && result == SP_OK; i++)
        result = run(store, &left[i], NULL, &e->found, err);
    if (result == SP_OK && !e->what->person)
        result = sp_store_images_count(store, &images, &found, NULL, err);
    e->found += found;
    return result;
}

/* The segments first: they need the rows to know a person's tracks. */
int sp_store_erase(struct sp_store *store, const struct sp_store_erasure *what,
                   struct sp_store_erased *erased, struct sp_error *err)
{
    struct erasure e = {.what = what, .erased = erased};
    *erased = (struct sp_store_erased){0};
    int result = erase_segments(store, &e, err);
    if (result == SP_OK)
        result = erase_rows(store, &e, err);
    if (result == SP_OK && e.found > 0)
        result = sp_fail(err, SP_ERR_IO,
                         "store: %lld rows or boxes are still there, recorded meanwhile; erase "
                         "again",
                         (long long)e.found);
    free(e.key);
    free(e.span);
    return result;
}
