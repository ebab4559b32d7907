#include "command/people.h"

#include "base/log.h"
#include "command/counter.h"
#include "pipeline/map.h"
#include "publish/atomic_file.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    uint64_t sequence;
    int64_t pts_us;
    int width_px, height_px;
    bool inferred;
    size_t count;
    struct sp_track tracks[]; /* [2 * count]: as tracked; with measured boxes */
};

struct queue {
    bool ended;
    struct entry *first, *last;
};

struct sp_people {
    pthread_mutex_t mutex;
    const struct sp_settings *settings;
    struct sp_map *map;             /* NULL: no association */
    struct sp_atomic_file *file;    /* likewise */
    struct sp_counter *counter;     /* NULL: no lines or zones */
    int counted_as[SP_CAMERAS_MAX]; /* the camera's index there: by name, as in `spoton count` */
    struct sp_json line;
    struct sp_error failure;
    uint64_t event; /* last one written */
    struct queue queue[SP_CAMERAS_MAX];
    int waiting, waiting_most; /* over all queues */
    struct sp_world_position positions[SP_TRACKS_MAX];
};

static bool any_calibrated(struct sp_people *people, struct sp_error *err)
{
    struct sp_calibration *calibration = malloc(sizeof *calibration);
    bool any = false;
    if (!calibration) {
        sp_fail(err, SP_ERR_NO_MEMORY, "people: out of memory");
        return false;
    }
    sp_map_calibration(people->map, calibration);
    for (int i = 0; i < people->settings->camera_count; i++) {
        const struct sp_calibrated *found =
            sp_calibration_find(calibration, people->settings->camera[i].name);
        any = any || (found && found->usable);
    }
    free(calibration);
    return any;
}

/* people->map stays NULL if there is nothing to associate. */
static int open_association(struct sp_people *people, const char *dir, struct sp_error *err)
{
    const struct sp_settings *settings = people->settings;
    struct sp_error why = {0};
    if (!settings->spatial_match || !settings->homography_file[0])
        return SP_OK;
    int result = sp_map_open(&people->map, settings, settings->camera_count, 0, err);
    for (int i = 0; result == SP_OK && i < settings->camera_count; i++)
        sp_map_camera(people->map, i, settings->camera[i].name);
    if (result == SP_OK && !any_calibrated(people, &why)) {
        sp_map_close(people->map);
        people->map = NULL;
        if (why.code == SP_OK)
            sp_log(SP_LOG_WARNING,
                   "HOMOGRAPHY_FILE_PATH=%s: none of the cameras is calibrated; people.jsonl is "
                   "not written",
                   settings->homography_file);
        if (err && why.code != SP_OK)
            *err = why;
        return why.code;
    }
    return result == SP_OK ? sp_atomic_file_open(&people->file, dir, "people.jsonl", err) : result;
}

static int open_counter(struct sp_people *people, const char *dir, struct sp_error *err)
{
    const struct sp_settings *settings = people->settings;
    const char *names[SP_CAMERAS_MAX];
    for (int i = 0; i < settings->camera_count; i++) {
        int before = 0;
        for (int k = 0; k < settings->camera_count; k++)
            before += strcmp(settings->camera[k].name, settings->camera[i].name) < 0;
        people->counted_as[i] = before; /* names are unique */
        names[before] = settings->camera[i].name;
    }
    return sp_counter_open(&people->counter, settings, names, settings->camera_count, dir, err);
}

int sp_people_open(struct sp_people **out, const struct sp_settings *settings, const char *dir,
                   struct sp_error *err)
{
    *out = NULL;
    struct sp_people *people = calloc(1, sizeof *people);
    if (!people)
        return sp_fail(err, SP_ERR_NO_MEMORY, "people: out of memory");
    pthread_mutex_init(&people->mutex, NULL);
    people->settings = settings;
    int result = open_counter(people, dir, err);
    if (result == SP_OK)
        result = open_association(people, dir, err);
    if (result < 0 || (!people->map && !people->counter)) {
        sp_people_close(people);
        return result;
    }
    *out = people;
    return SP_OK;
}

void sp_people_close(struct sp_people *people)
{
    if (!people)
        return;
    for (int c = 0; c < SP_CAMERAS_MAX; c++)
        for (struct entry *p = people->queue[c].first, *next; p; p = next) {
            next = p->next;
            free(p);
        }
    sp_counter_close(people->counter);
    sp_map_close(people->map);
    sp_atomic_file_close(people->file);
    sp_json_release(&people->line);
    pthread_mutex_destroy(&people->mutex);
    free(people);
}

/* ---- lines ---- */

static void write_line(struct sp_people *people)
{
    struct sp_json *json = &people->line;
    sp_json_raw(json, "\n");
    if (people->failure.code == SP_OK && json->failed)
        sp_fail(&people->failure, SP_ERR_NO_MEMORY, "people.jsonl: out of memory");
    if (people->failure.code == SP_OK)
        sp_atomic_file_write(people->file, json->text, json->used_bytes, &people->failure);
    sp_json_clear(json);
}

/* Unknown members are omitted, as in /api/v2/people/events. */
static void write_event(struct sp_people *people, const struct sp_space_event *event)
{
    struct sp_json *json = &people->line;
    sp_json_begin_object(json);
    sp_json_member_string(json, "what", sp_space_event_name(event->kind));
    sp_json_member_int(json, "time_us", event->time_us);
    sp_json_member_int(json, "person", event->person);
    if (event->other)
        sp_json_member_int(json, "other", event->other);
    if (event->camera >= 0) {
        sp_json_member_string(json, "camera", people->settings->camera[event->camera].name);
        sp_json_member_int(json, "track", event->track_id);
    }
    sp_space_event_evidence(json, event);
    sp_json_end_object(json);
    write_line(people);
}

static void write_entry(struct sp_people *people, int camera, const struct entry *entry)
{
    struct sp_json *json = &people->line;
    sp_json_begin_object(json);
    sp_json_key(json, "camera");
    sp_json_string(json, people->settings->camera[camera].name);
    sp_json_member_int(json, "sequence", (int64_t)entry->sequence);
    sp_json_member_int(json, "pts_us", entry->pts_us);
    sp_json_key(json, "people"); /* [track, person or null, x or null, y or null] */
    sp_json_begin_array(json);
    for (size_t i = 0; i < entry->count; i++) {
        const struct sp_world_position *position = &people->positions[i];
        sp_json_begin_array(json);
        sp_json_int(json, entry->tracks[i].id);
        if (position->person)
            sp_json_int(json, position->person);
        else
            sp_json_null(json);
        for (int k = 0; k < 2; k++) {
            if (position->on_map)
                sp_json_number(json, k ? position->y : position->x, 2);
            else
                sp_json_null(json);
        }
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
    write_line(people);
}

/* ---- in order ---- */

/* False: the camera has no map. */
static bool associate(struct sp_people *people, int camera, const struct entry *entry)
{
    if (!people->map)
        return false;
    struct sp_space *space = sp_map_space(people->map);
    struct sp_space_frame frame = {.time_us = entry->pts_us,
                                   .width_px = entry->width_px,
                                   .height_px = entry->height_px,
                                   .tracks = &entry->tracks[entry->count],
                                   .count = entry->count};
    bool mapped = entry->inferred ? sp_space_update(space, camera, &frame, people->positions)
                                  : sp_space_positions(space, camera, &frame, people->positions);
    struct sp_space_event event;
    while (sp_space_events(space, people->event, &event, 1) == 1) {
        people->event = event.serial;
        write_event(people, &event);
    }
    if (mapped)
        write_entry(people, camera, entry);
    return mapped;
}

static void take_entry(struct sp_people *people, int camera, const struct entry *entry)
{
    bool mapped = associate(people, camera, entry);
    struct sp_counting_frame frame = {.camera = people->counted_as[camera],
                                      .time_us = entry->pts_us,
                                      .width_px = entry->width_px,
                                      .height_px = entry->height_px,
                                      .inferred = entry->inferred,
                                      .tracks = entry->tracks,
                                      .positions = mapped ? people->positions : NULL,
                                      .count = entry->count};
    sp_counter_frame(people->counter, &frame);
}

static bool is_earlier(const struct sp_people *people, int a, int b)
{
    int64_t a_us = people->queue[a].first->pts_us, b_us = people->queue[b].first->pts_us;
    const struct sp_camera_setting *camera = people->settings->camera;
    return a_us != b_us ? a_us < b_us : strcmp(camera[a].name, camera[b].name) < 0;
}

/* The camera with the earliest frame, or -1 if a camera may still deliver an earlier one. */
static int next_camera(const struct sp_people *people)
{
    int next = -1;
    for (int c = 0; c < people->settings->camera_count; c++) {
        const struct queue *q = &people->queue[c];
        if (!q->first && !q->ended)
            return -1;
        if (q->first && (next < 0 || is_earlier(people, c, next)))
            next = c;
    }
    return next;
}

static void associate_ready(struct sp_people *people)
{
    int camera;
    while ((camera = next_camera(people)) >= 0) {
        struct queue *q = &people->queue[camera];
        struct entry *entry = q->first;
        q->first = entry->next;
        if (!q->first)
            q->last = NULL;
        people->waiting--;
        take_entry(people, camera, entry);
        free(entry);
    }
}

static struct entry *copy_of(const struct sp_result *result, const struct sp_detection *detections)
{
    struct entry *entry = malloc(sizeof *entry + 2 * result->track_count * sizeof entry->tracks[0]);
    if (!entry)
        return NULL;
    *entry = (struct entry){.sequence = result->sequence,
                            .pts_us = result->pts_us,
                            .width_px = result->width_px,
                            .height_px = result->height_px,
                            .inferred = result->inferred,
                            .count = result->track_count};
    for (size_t i = 0; i < result->track_count; i++) {
        struct sp_track *track = &entry->tracks[result->track_count + i];
        *track = entry->tracks[i] = result->tracks[i];
        if (!result->inferred || track->detection == 0)
            continue;
        const struct sp_detection *d = &detections[track->detection - 1];
        track->x1_px = d->x1_px;
        track->y1_px = d->y1_px;
        track->x2_px = d->x2_px;
        track->y2_px = d->y2_px;
    }
    return entry;
}

void sp_people_add(struct sp_people *people, const struct sp_result *result,
                   const struct sp_detection *detections)
{
    if (!people)
        return;
    struct entry *entry = copy_of(result, detections);
    pthread_mutex_lock(&people->mutex);
    struct queue *q = &people->queue[result->camera];
    if (!entry) {
        if (people->failure.code == SP_OK)
            sp_fail(&people->failure, SP_ERR_NO_MEMORY, "people.jsonl: out of memory");
    } else {
        if (q->last)
            q->last->next = entry;
        else
            q->first = entry;
        q->last = entry;
        people->waiting++;
        if (people->waiting > people->waiting_most)
            people->waiting_most = people->waiting;
        associate_ready(people);
    }
    pthread_mutex_unlock(&people->mutex);
}

void sp_people_end(struct sp_people *people, int camera)
{
    if (!people)
        return;
    pthread_mutex_lock(&people->mutex);
    people->queue[camera].ended = true;
    associate_ready(people);
    pthread_mutex_unlock(&people->mutex);
}

static int finish_association(struct sp_people *people, struct sp_error *err)
{
    if (!people->map)
        return SP_OK;
    int64_t kept = 0;
    if (people->failure.code == SP_OK)
        (void)sp_atomic_file_flush(people->file, &people->failure);
    int result = SP_OK;
    if (people->failure.code < 0) /* complete lines are kept */
        result = sp_atomic_file_keep_lines(people->file, &kept, err);
    if (result == SP_OK && (kept > 0 || people->failure.code == SP_OK))
        result = sp_atomic_file_sync(people->file, err);
    if (result == SP_OK && (kept > 0 || people->failure.code == SP_OK))
        result = sp_atomic_file_publish(people->file, err);
    if (people->failure.code < 0 && err)
        *err = people->failure;
    return people->failure.code < 0 ? people->failure.code : result;
}

int sp_people_finish(struct sp_people *people, struct sp_error *err)
{
    if (!people)
        return SP_OK;
    int result = finish_association(people, err);
    int counted = sp_counter_finish(people->counter, result == SP_OK ? err : NULL);
    return result < 0 ? result : counted;
}

bool sp_people_associates(const struct sp_people *people)
{
    return people && people->map;
}

bool sp_people_counts(const struct sp_people *people)
{
    return people && people->counter;
}

void sp_people_save(struct sp_people *people)
{
    if (people && pthread_mutex_trylock(&people->mutex) == 0)
        (void)sp_people_finish(people, NULL);
}

void sp_people_report(struct sp_people *people, struct sp_json *json)
{
    struct sp_space_counts counts;
    sp_json_key(json, "people");
    if (!sp_people_associates(people)) {
        sp_json_null(json);
        return;
    }
    sp_space_count(sp_map_space(people->map), &counts);
    sp_json_begin_object(json);
    sp_json_member_int(json, "created", (int64_t)counts.created);
    sp_json_member_int(json, "merged", (int64_t)counts.merged);
    sp_json_member_int(json, "returned", (int64_t)counts.returned);
    sp_json_member_int(json, "reassigned", (int64_t)counts.reassigned);
    sp_json_member_int(json, "split", (int64_t)counts.split);
    sp_json_member_int(json, "reverted", (int64_t)counts.reverted);
    sp_json_member_int(json, "frames_waiting_most", people->waiting_most);
    sp_json_end_object(json);
}
