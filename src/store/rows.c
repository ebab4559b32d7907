#include "store/rows.h"

#include "capacity.h"
#include "store/images.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACKS_MAX = 1024, EVENT_COLUMNS = 10 };
static const int64_t MINUTE_US = 60000000, GONE_US = 60000000;

struct track {
    uint32_t id, person;
    int64_t first_us, last_us, boxes;
    bool changed;
};

struct camera {
    char name[SP_STORED_NAME_BYTES];
    uint32_t epoch;
    int count;
    struct track track[TRACKS_MAX];
};

struct sp_rows {
    int64_t run_us;
    uint64_t dropped;
    int first, used; /* of the ring */
    struct sp_event event[SP_ROWS_EVENTS];
    struct camera *camera[SP_CAMERAS_MAX];
    int64_t day; /* prepared */
    struct sp_image_rows *images;
    int hours, feedbacks;
    struct sp_recorded_hour hour[SP_ROWS_HOURS];
    struct {
        int64_t time_us;
        char *record;
    } feedback[SP_ROWS_FEEDBACK];
};

int sp_rows_open(struct sp_rows **out, int64_t run_us, struct sp_error *err)
{
    struct sp_rows *rows = calloc(1, sizeof *rows);
    if (!rows)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    rows->run_us = run_us;
    int result = sp_image_rows_open(&rows->images, err);
    if (result < 0)
        free(rows);
    else
        *out = rows;
    return result;
}

void sp_rows_close(struct sp_rows *rows)
{
    for (int i = 0; rows && i < SP_CAMERAS_MAX; i++)
        free(rows->camera[i]);
    for (int i = 0; rows && i < rows->feedbacks; i++)
        free(rows->feedback[i].record);
    if (rows)
        sp_image_rows_close(rows->images);
    free(rows);
}

uint64_t sp_rows_dropped(const struct sp_rows *rows)
{
    return rows->dropped;
}

void sp_rows_event(struct sp_rows *rows, const struct sp_event *event)
{
    if (rows->used == SP_ROWS_EVENTS) {
        rows->first = (rows->first + 1) % SP_ROWS_EVENTS;
        rows->used--;
        rows->dropped++;
    }
    rows->event[(rows->first + rows->used++) % SP_ROWS_EVENTS] = *event;
}

void sp_rows_image(struct sp_rows *rows, const struct sp_recorded_image *image, const uint8_t *jpeg)
{
    sp_image_rows_add(rows->images, image, jpeg);
}

/* The newest totals of an hour replace those before. */
void sp_rows_hour(struct sp_rows *rows, const struct sp_recorded_hour *hour)
{
    int at = 0;
    while (at < rows->hours &&
           (rows->hour[at].hour != hour->hour || strcmp(rows->hour[at].camera, hour->camera) != 0))
        at++;
    if (at == SP_ROWS_HOURS) {
        memmove(&rows->hour[0], &rows->hour[1], (SP_ROWS_HOURS - 1) * sizeof rows->hour[0]);
        at--;
    } else if (at == rows->hours) {
        rows->hours++;
    }
    rows->hour[at] = *hour;
}

void sp_rows_feedback(struct sp_rows *rows, int64_t time_us, const char *record)
{
    char *copy = strdup(record);
    if (!copy || rows->feedbacks == SP_ROWS_FEEDBACK) {
        rows->dropped++;
        free(copy);
        return;
    }
    rows->feedback[rows->feedbacks].time_us = time_us;
    rows->feedback[rows->feedbacks++].record = copy;
}

static int write_statistics(struct sp_rows *rows, struct sp_store *store, struct sp_error *err)
{
    static const char sql[] =
        "INSERT INTO spoton_hours(hour,camera,boxes,tracks,confidence_milli,on_ms,up_ms)"
        " VALUES($1,$2,$3,$4,$5,$6,$7) ON CONFLICT(hour,camera) DO UPDATE SET boxes=excluded.boxes,"
        "tracks=excluded.tracks,confidence_milli=excluded.confidence_milli,on_ms=excluded.on_ms,"
        "up_ms=excluded.up_ms";
    int result = SP_OK;
    for (int i = 0; i < rows->hours && result == SP_OK; i++) {
        const struct sp_recorded_hour *h = &rows->hour[i];
        const struct sp_sql_value values[] = {sp_sql_int(h->hour),
                                              sp_sql_text(h->camera),
                                              sp_sql_int((int64_t)h->boxes),
                                              sp_sql_int((int64_t)h->tracks),
                                              sp_sql_int((int64_t)h->confidence_milli),
                                              sp_sql_int((int64_t)h->on_ms),
                                              sp_sql_int((int64_t)h->up_ms)};
        result = sp_database_run(store->database, sql, values, 7, err);
    }
    for (int i = 0; i < rows->feedbacks && result == SP_OK; i++) {
        const struct sp_sql_value values[] = {sp_sql_int(rows->feedback[i].time_us),
                                              sp_sql_text(rows->feedback[i].record)};
        result = sp_database_run(store->database,
                                 "INSERT INTO spoton_feedback(time_us,record) VALUES($1,$2)",
                                 values, 2, err);
    }
    return result;
}

static void clear_statistics(struct sp_rows *rows)
{
    for (int i = 0; i < rows->feedbacks; i++)
        free(rows->feedback[i].record);
    rows->hours = rows->feedbacks = 0;
}

/* ---- tracks ---- */

static struct track *track_of(struct camera *camera, uint32_t id)
{
    struct track *oldest = &camera->track[0];
    for (int i = camera->count - 1; i >= 0; i--) { /* the newest tracks are last */
        struct track *track = &camera->track[i];
        if (track->id == id)
            return track;
        if (track->last_us < oldest->last_us)
            oldest = track;
    }
    struct track *track = camera->count < TRACKS_MAX ? &camera->track[camera->count++] : oldest;
    *track = (struct track){.id = id};
    return track;
}

void sp_rows_frame(struct sp_rows *rows, int index, const char *name, uint32_t epoch,
                   const struct sp_stored_frame *frame)
{
    struct camera *camera = rows->camera[index];
    if (!camera)
        camera = rows->camera[index] = calloc(1, sizeof *camera);
    if (!camera || !frame->inferred)
        return;
    if (camera->epoch != epoch || strcmp(camera->name, name) != 0) {
        camera->count = 0;
        camera->epoch = epoch;
        snprintf(camera->name, sizeof camera->name, "%s", name);
    }
    for (size_t i = 0; i < frame->count; i++) {
        struct track *track = track_of(camera, frame->tracks[i].id);
        if (track->boxes++ == 0)
            track->first_us = frame->time_us;
        track->last_us = frame->time_us;
        if (frame->tracks[i].person)
            track->person = frame->tracks[i].person;
        track->changed = true;
    }
}

static int write_tracks(struct sp_rows *rows, struct sp_store *store, struct camera *camera,
                        struct sp_error *err)
{
    static const char sql[] =
        "INSERT INTO spoton_tracks(camera,run_us,epoch,track,person,first_us,last_us,boxes)"
        " VALUES($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT(camera,run_us,epoch,track) DO UPDATE SET"
        " person=excluded.person,last_us=excluded.last_us,boxes=excluded.boxes";
    int result = SP_OK;
    for (int i = 0; i < camera->count && result == SP_OK; i++) {
        const struct track *t = &camera->track[i];
        const struct sp_sql_value values[] = {sp_sql_text(camera->name), sp_sql_int(rows->run_us),
                                              sp_sql_int(camera->epoch), sp_sql_int(t->id),
                                              sp_sql_int(t->person),     sp_sql_int(t->first_us),
                                              sp_sql_int(t->last_us),    sp_sql_int(t->boxes)};
        if (t->changed)
            result = sp_database_run(store->database, sql, values, 8, err);
    }
    return result;
}

/* Written tracks that are no longer seen are forgotten. */
static void settle(struct camera *camera)
{
    int64_t newest_us = 0;
    int kept = 0;
    for (int i = 0; i < camera->count; i++)
        if (camera->track[i].last_us > newest_us)
            newest_us = camera->track[i].last_us;
    for (int i = 0; i < camera->count; i++) {
        camera->track[i].changed = false;
        if (newest_us - camera->track[i].last_us < GONE_US)
            camera->track[kept++] = camera->track[i];
    }
    camera->count = kept;
}

/* ---- events ---- */

static void copy_text(char *out, size_t bytes, const json_t *value)
{
    const char *text = json_string_value(value);
    snprintf(out, bytes, "%s", text ? text : "");
}

void sp_event_subject_read(struct sp_event_subject *s, const char *payload)
{
    *s = (struct sp_event_subject){0};
    json_t *object = json_loads(payload, 0, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        return;
    }
    const json_t *line = json_object_get(object, "line");
    copy_text(s->name, sizeof s->name, line ? line : json_object_get(object, "zone"));
    copy_text(s->direction, sizeof s->direction, json_object_get(object, "direction"));
    const char *person = json_string_value(json_object_get(object, "person"));
    if (person && person[0] == 'P')
        s->person = (uint32_t)strtoul(person + 1, NULL, 10);
    s->track = (uint32_t)json_integer_value(json_object_get(object, "track"));
    double dwell_s = json_number_value(json_object_get(object, "dwell_s"));
    if (dwell_s > 0 && dwell_s < 1e9)
        s->dwell_us = llrint(dwell_s * 1e6);
    s->people = (int)json_integer_value(json_object_get(object, "people"));
    json_decref(object);
}

static int count_minute(struct sp_store *store, const struct sp_event *event,
                        const struct sp_event_subject *s, struct sp_error *err)
{
    static const char sql[] =
        "INSERT INTO spoton_minutes(minute,kind,name,direction,count,dwell_us,people_max)"
        " VALUES($1,$2,$3,$4,$5,$6,$7) ON CONFLICT(minute,kind,name,direction) DO UPDATE SET"
        " count=spoton_minutes.count+excluded.count,"
        " dwell_us=spoton_minutes.dwell_us+excluded.dwell_us,"
        " people_max=CASE WHEN spoton_minutes.people_max>excluded.people_max"
        " THEN spoton_minutes.people_max ELSE excluded.people_max END";
    bool line = strcmp(event->kind, "line.crossed") == 0;
    bool left = strcmp(event->kind, "zone.left") == 0;
    if (!s->name[0] || (!line && !left && strcmp(event->kind, "zone.occupancy") != 0))
        return SP_OK;
    const struct sp_sql_value values[] = {sp_sql_int(event->wall_us / MINUTE_US),
                                          sp_sql_text(line ? "line" : "zone"),
                                          sp_sql_text(s->name),
                                          sp_sql_text(s->direction),
                                          sp_sql_int(line || left),
                                          sp_sql_int(s->dwell_us),
                                          sp_sql_int(s->people)};
    return sp_database_run(store->database, sql, values, 7, err);
}

static struct sp_sql_value number_or_null(int64_t number)
{
    return number ? sp_sql_int(number) : sp_sql_text(NULL);
}

static int write_event(struct sp_rows *rows, struct sp_store *store, const struct sp_event *event,
                       struct sp_error *err)
{
    struct sp_event_subject s;
    int64_t day = sp_store_day(event->wall_us);
    sp_event_subject_read(&s, event->payload);
    const struct sp_sql_value values[EVENT_COLUMNS] = {sp_sql_int(day),
                                                       sp_sql_int(event->wall_us),
                                                       sp_sql_text(event->id),
                                                       sp_sql_text(event->kind),
                                                       sp_sql_text(event->camera),
                                                       sp_sql_text(s.name[0] ? s.name : NULL),
                                                       number_or_null(s.person),
                                                       number_or_null(s.track),
                                                       number_or_null(s.dwell_us),
                                                       sp_sql_text(event->payload)};
    int result = SP_OK;
    if (rows->day != day)
        result = store->database->api->prepare_day(store->database, day, err);
    if (result == SP_OK) {
        rows->day = day;
        result = store->database->api->insert(
            store->database, "spoton_events",
            "day,time_us,id,kind,camera,name,person,track,dwell_us,payload", values, EVENT_COLUMNS,
            1, err);
    }
    return result == SP_OK ? count_minute(store, event, &s, err) : result;
}

/* ---- the transaction ---- */

static bool has_changed(const struct sp_rows *rows)
{
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        for (int k = 0; rows->camera[i] && k < rows->camera[i]->count; k++)
            if (rows->camera[i]->track[k].changed)
                return true;
    return false;
}

int sp_rows_write(struct sp_rows *rows, struct sp_store *store, bool all, uint64_t *events,
                  struct sp_error *err)
{
    *events = 0;
    bool tracks = all && has_changed(rows);
    if (rows->used == 0 && !tracks && rows->hours == 0 && rows->feedbacks == 0 &&
        !sp_image_rows_any(rows->images))
        return SP_OK;
    int result = sp_database_run(store->database, "BEGIN", NULL, 0, err);
    for (int i = 0; i < rows->used && result == SP_OK; i++)
        result = write_event(rows, store, &rows->event[(rows->first + i) % SP_ROWS_EVENTS], err);
    for (int i = 0; tracks && i < SP_CAMERAS_MAX && result == SP_OK; i++)
        if (rows->camera[i])
            result = write_tracks(rows, store, rows->camera[i], err);
    if (result == SP_OK)
        result = sp_image_rows_write(rows->images, store, err);
    if (result == SP_OK)
        result = write_statistics(rows, store, err);
    if (result == SP_OK)
        result = sp_database_run(store->database, "COMMIT", NULL, 0, err);
    if (result < 0) {
        rows->day = 0;
        (void)sp_database_run(store->database, "ROLLBACK", NULL, 0, NULL);
        return result;
    }
    *events = (uint64_t)rows->used;
    rows->first = rows->used = 0;
    sp_image_rows_clear(rows->images);
    clear_statistics(rows);
    for (int i = 0; tracks && i < SP_CAMERAS_MAX; i++)
        if (rows->camera[i])
            settle(rows->camera[i]);
    return SP_OK;
}
