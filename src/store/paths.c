/* GET /api/v2/history/people/{id}/tracks: the path of a person in each camera. */
#include "publish/message.h"
#include "store/history.h"

#include <stdlib.h>
#include <string.h>

enum { PATHS_MAX = 500, FRAMES_A_QUESTION = 4096 };

struct path {
    char camera[SP_STORED_NAME_BYTES];
    int64_t run_us, epoch, track, first_us, last_us, boxes;
};

struct paths {
    const struct sp_history_query *query;
    int count;
    int64_t boxes; /* of all */
    struct path path[PATHS_MAX];
};

static bool take_path(void *user, const struct sp_sql_value *v, int count)
{
    struct paths *p = user;
    if (count < 7)
        return false;
    struct path *path = &p->path[p->count++];
    strncpy(path->camera, sp_sql_string(&v[0]), sizeof path->camera - 1);
    path->run_us = v[1].number;
    path->epoch = v[2].number;
    path->track = v[3].number;
    path->first_us = v[4].number;
    path->last_us = v[5].number;
    path->boxes = v[6].number;
    p->boxes += path->boxes;
    return p->count < PATHS_MAX;
}

static void put_point(struct sp_json *json, const struct path *path,
                      const struct sp_stored_frame *frame, const struct sp_stored_track *track)
{
    sp_json_begin_array(json);
    sp_json_number(json, (double)(frame->time_us - path->first_us) / 1e6, 3);
    sp_json_number(json, ((double)track->box[0] + track->box[2]) / 2 / SP_STORED_BOX_STEPS, 1);
    sp_json_number(json, (double)track->box[3] / SP_STORED_BOX_STEPS, 1);
    sp_json_end_array(json);
}

/* Adds "width", "height" and "points" to the open object. */
static int put_points(struct sp_store *store, const struct paths *p, const struct path *path,
                      struct sp_json *json, struct sp_error *err)
{
    const struct sp_history_query *q = p->query;
    const char *const cameras[] = {path->camera};
    int64_t from_us = path->first_us > q->from_us ? path->first_us : q->from_us;
    int64_t to_us = path->last_us < q->to_us ? path->last_us + 1 : q->to_us;
    int64_t every = p->boxes / SP_HISTORY_POINTS_MAX + 1, number = 0;
    struct sp_track_reader *reader;
    struct sp_read_frame read;
    int result = sp_track_reader_open(&reader, store->segments, cameras, 1, from_us, to_us, err);
    if (result < 0)
        return result;
    bool begun = false;
    for (unsigned n = 1; (result = sp_track_reader_next(reader, &read, err)) == 1; n++) {
        if (!begun) {
            sp_json_member_int(json, "width", read.width_px);
            sp_json_member_int(json, "height", read.height_px);
            sp_json_key(json, "points");
            sp_json_begin_array(json);
        }
        begun = true;
        bool same = read.run_us == path->run_us && read.epoch == path->epoch;
        for (size_t i = 0; same && i < read.frame.count; i++)
            if (read.frame.tracks[i].id == path->track && number++ % every == 0)
                put_point(json, path, &read.frame, &read.frame.tracks[i]);
        if (n % FRAMES_A_QUESTION == 0 && sp_history_is_over(q))
            break;
    }
    sp_track_reader_close(reader);
    if (!begun) { /* its segment is gone */
        sp_json_member_int(json, "width", 0);
        sp_json_member_int(json, "height", 0);
        sp_json_key(json, "points");
        sp_json_begin_array(json);
    }
    sp_json_end_array(json);
    return result < 0 ? result : SP_OK;
}

static int put_path(struct sp_store *store, const struct paths *p, const struct path *path,
                    struct sp_json *json, struct sp_error *err)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "camera", path->camera);
    sp_json_member_int(json, "track", path->track);
    sp_history_put_time(json, "first", path->first_us);
    sp_history_put_time(json, "last", path->last_us);
    int result = put_points(store, p, path, json, err);
    sp_json_end_object(json);
    return result;
}

int sp_history_paths(struct sp_store *store, const struct sp_history_query *q, struct sp_json *json,
                     struct sp_error *err)
{
    static const char sql[] =
        "SELECT camera,run_us,epoch,track,first_us,last_us,boxes FROM spoton_tracks WHERE person=$1"
        " AND last_us>=$2 AND first_us<$3 ORDER BY first_us,camera,track LIMIT 500";
    const struct sp_sql_value values[] = {sp_sql_int(q->person), sp_sql_int(q->from_us),
                                          sp_sql_int(q->to_us)};
    char name[SP_PERSON_BYTES];
    struct paths *p = calloc(1, sizeof *p);
    if (!p)
        return sp_fail(err, SP_ERR_NO_MEMORY, "history: out of memory");
    p->query = q;
    int result =
        store->database->api->run(store->database, sql, values, 3, take_path, p, NULL, err);
    sp_person_name(q->person, name);
    if (result == SP_OK && p->count == 0)
        result = sp_fail(err, SP_ERR_NOT_FOUND, "%s: not seen in this time", name);
    sp_json_begin_object(json);
    sp_json_member_string(json, "person", name);
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    for (int i = 0; i < p->count && result == SP_OK && !sp_history_is_over(q); i++)
        result = put_path(store, p, &p->path[i], json, err);
    sp_json_end_array(json);
    sp_json_end_object(json);
    free(p);
    return result;
}
