/* /api/v2/people and /api/v2/map: people, association events, calibrations. */
#include "api/people.h"

#include "api/camera_lookup.h"
#include "api/reply.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double VIEW_REACH_M = 30;

static struct sp_map *find_map(struct sp_call *call)
{
    struct sp_map *map = sp_pipeline_map(call->api->pipeline);
    if (!map)
        sp_call_refuse(call, 404, "no map; set SPATIAL_MATCH_ENABLED=true");
    return map;
}

/* Camera names by index; unused ones are empty. */
struct names {
    char name[SP_CAMERAS_MAX][SP_CAMERA_NAME_BYTES];
};

static void read_names(struct sp_api *api, struct names *names)
{
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    for (int i = 0; i < capacity; i++) {
        struct sp_camera_report report;
        sp_pipeline_camera(api->pipeline, i, &report);
        snprintf(names->name[i], sizeof names->name[i], "%s", report.used ? report.name : "");
    }
}

static void put_person_name(struct sp_json *json, const char *key, uint32_t person)
{
    char name[SP_PERSON_BYTES];
    sp_json_member_string(json, key, sp_person_name(person, name));
}

/* Unknown members are omitted. */
static void put_event(struct sp_json *json, const struct sp_space_event *event,
                      const struct names *names, int64_t now_us)
{
    sp_json_begin_object(json);
    sp_json_member_int(json, "serial", (int64_t)event->serial);
    sp_json_member_string(json, "what", sp_space_event_name(event->kind));
    put_person_name(json, "person", event->person);
    sp_json_member_number(json, "ago_s", (double)(now_us - event->time_us) / 1e6, 1);
    if (event->other)
        put_person_name(json, "other", event->other);
    if (event->camera >= 0 && names->name[event->camera][0]) {
        sp_json_member_string(json, "camera", names->name[event->camera]);
        sp_json_member_int(json, "track", event->track_id);
    }
    sp_space_event_evidence(json, event);
    sp_json_end_object(json);
}

static void put_observations(struct sp_json *json, const struct sp_person *person,
                             const struct names *names)
{
    sp_json_key(json, "observations");
    sp_json_begin_array(json);
    for (int i = 0; i < person->observation_count; i++) {
        sp_json_begin_object(json);
        sp_json_member_string(json, "camera", names->name[person->observations[i].camera]);
        sp_json_member_int(json, "track", person->observations[i].track_id);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_person(struct sp_json *json, const struct sp_person *person,
                       const struct names *names, int64_t now_us)
{
    sp_json_begin_object(json);
    put_person_name(json, "person", person->person);
    sp_json_member_number(json, "x", person->x, 2);
    sp_json_member_number(json, "y", person->y, 2);
    sp_json_member_number(json, "deviation_m", person->deviation_m, 2);
    sp_json_member_number(json, "speed_x", person->speed_x, 2);
    sp_json_member_number(json, "speed_y", person->speed_y, 2);
    sp_json_member_bool(json, "visible", person->visible);
    sp_json_member_number(json, "known_s", (double)(now_us - person->created_us) / 1e6, 1);
    sp_json_member_number(json, "unseen_s", (double)(now_us - person->seen_us) / 1e6, 1);
    put_observations(json, person, names);
    sp_json_member_int(json, "embeddings", person->embeddings);
    sp_json_key(json, "trail");
    sp_json_begin_array(json);
    for (int i = 0; i < person->trail_count; i++) {
        sp_json_begin_array(json);
        sp_json_number(json, person->trail[i].x, 1);
        sp_json_number(json, person->trail[i].y, 1);
        sp_json_number(json, (double)(now_us - person->trail[i].time_us) / 1e6, 1);
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
    sp_json_key(json, "why");
    put_event(json, &person->why, names, now_us);
    sp_json_end_object(json);
}

void sp_people_list(struct sp_call *call)
{
    struct sp_map *map = find_map(call);
    struct sp_person *people = map ? malloc(SP_SPACE_PEOPLE_MAX * sizeof *people) : NULL;
    struct names *names = people ? calloc(1, sizeof *names) : NULL;
    if (names) {
        struct sp_space *space = sp_map_space(map);
        int64_t now_us = sp_space_now_us(space);
        int count = sp_space_people(space, people, SP_SPACE_PEOPLE_MAX);
        read_names(call->api, names);
        sp_json_begin_object(call->json);
        sp_json_key(call->json, "people");
        sp_json_begin_array(call->json);
        for (int i = 0; i < count; i++)
            put_person(call->json, &people[i], names, now_us);
        sp_json_end_array(call->json);
        sp_json_end_object(call->json);
    } else if (map) {
        sp_call_refuse(call, 503, "out of memory");
    }
    free(names);
    free(people);
}

void sp_people_events(struct sp_call *call)
{
    char after[24] = "0";
    struct sp_map *map = find_map(call);
    sp_request_query(call->request, "after", after, sizeof after);
    if (map &&
        (after[0] == '\0' || strlen(after) > 18 || strspn(after, "0123456789") != strlen(after))) {
        sp_call_refuse(call, 400, "after: not an event serial; use a number from 0");
        return;
    }
    struct sp_space_event *events = map ? malloc(SP_SPACE_EVENTS_MAX * sizeof *events) : NULL;
    struct names *names = events ? calloc(1, sizeof *names) : NULL;
    if (names) {
        struct sp_space *space = sp_map_space(map);
        int count = sp_space_events(space, strtoull(after, NULL, 10), events, SP_SPACE_EVENTS_MAX);
        int64_t now_us = sp_space_now_us(space);
        read_names(call->api, names);
        sp_json_begin_object(call->json);
        sp_json_key(call->json, "events");
        sp_json_begin_array(call->json);
        for (int i = 0; i < count; i++)
            put_event(call->json, &events[i], names, now_us);
        sp_json_end_array(call->json);
        sp_json_end_object(call->json);
    } else if (map) {
        sp_call_refuse(call, 503, "out of memory");
    }
    free(names);
    free(events);
}

/* ---- the map and its calibrations ---- */

static void put_point(struct sp_json *json, struct sp_point point)
{
    sp_json_begin_array(json);
    sp_json_number(json, point.x, 2);
    sp_json_number(json, point.y, 2);
    sp_json_end_array(json);
}

static void put_fit(struct sp_json *json, const struct sp_fit *fit, const struct sp_point *image,
                    const struct sp_point *map, int count, double units_per_m)
{
    sp_json_key(json, "points");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_object(json);
        sp_json_key(json, "frame");
        put_point(json, image[i]);
        sp_json_key(json, "map");
        put_point(json, map[i]);
        sp_json_member_number(json, "error_px", fit->image_error_px[i], 2);
        sp_json_member_number(json, "error_m", fit->map_error[i] / units_per_m, 3);
        sp_json_member_bool(json, "fits", fit->inlier[i]);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_member_number(json, "rms_px", fit->rms_image_px, 2);
    sp_json_member_number(json, "rms_m", fit->rms_map / units_per_m, 3);
}

static void put_view(struct sp_json *json, const struct sp_ground *ground)
{
    struct sp_point corners[SP_VIEW_CORNERS];
    int count = sp_ground_view(ground, VIEW_REACH_M, corners);
    sp_json_key(json, "view");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++)
        put_point(json, corners[i]);
    sp_json_end_array(json);
}

static void put_calibrated(struct sp_json *json, const struct sp_calibration *calibration,
                           const struct sp_calibrated *camera)
{
    struct sp_ground ground = {0};
    sp_json_begin_object(json);
    sp_json_member_string(json, "camera", camera->name);
    sp_json_member_bool(json, "usable", camera->usable);
    if (!camera->usable)
        sp_json_member_string(json, "reason", camera->reason);
    sp_json_key(json, "image_size");
    put_point(json, (struct sp_point){camera->width_px, camera->height_px});
    if (sp_calibration_ground(calibration, camera, &ground)) {
        put_fit(json, &camera->fit, camera->image, camera->map, camera->point_count,
                calibration->units_per_m);
        put_view(json, &ground);
    }
    sp_json_end_object(json);
}

static void put_clocks(struct sp_api *api, struct sp_space *space, struct sp_json *json,
                       const struct names *names)
{
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    sp_json_key(json, "clocks");
    sp_json_begin_array(json);
    for (int a = 0; a < capacity; a++)
        for (int b = a + 1; b < capacity; b++) {
            struct sp_offset_pair pair = {0};
            if (!names->name[a][0] || !names->name[b][0] || !sp_space_pair(space, a, b, &pair))
                continue;
            sp_json_begin_object(json);
            sp_json_member_string(json, "camera", names->name[b]);
            sp_json_member_string(json, "less", names->name[a]);
            sp_json_member_number(json, "offset_ms", pair.offset_s * 1000, 1);
            sp_json_member_number(json, "deviation_ms", pair.deviation_s * 1000, 1);
            sp_json_end_object(json);
        }
    sp_json_end_array(json);
}

static void put_map(struct sp_call *call, struct sp_map *map,
                    const struct sp_calibration *calibration, const struct names *names)
{
    struct sp_json *json = call->json;
    struct sp_space_counts counts;
    sp_space_count(sp_map_space(map), &counts);
    sp_json_begin_object(json);
    sp_json_member_number(json, "width", calibration->width, 2);
    sp_json_member_number(json, "height", calibration->height, 2);
    sp_json_member_number(json, "units_per_m", calibration->units_per_m, 4);
    sp_json_member_string(json, "y_axis", calibration->y_up ? "up" : "down");
    sp_json_member_bool(json, "saved", sp_map_file(map)[0] != '\0');
    sp_json_key(json, "cameras");
    sp_json_begin_array(json);
    for (int i = 0; i < calibration->count; i++)
        put_calibrated(json, calibration, &calibration->camera[i]);
    sp_json_end_array(json);
    put_clocks(call->api, sp_map_space(map), json, names);
    sp_json_member_int(json, "people", counts.people);
    sp_json_member_int(json, "visible", counts.visible);
    sp_json_end_object(json);
}

void sp_people_map(struct sp_call *call)
{
    struct sp_map *map = find_map(call);
    struct sp_calibration *calibration = map ? malloc(sizeof *calibration) : NULL;
    struct names *names = calibration ? calloc(1, sizeof *names) : NULL;
    if (names) {
        sp_map_calibration(map, calibration);
        read_names(call->api, names);
        put_map(call, map, calibration, names);
    } else if (map) {
        sp_call_refuse(call, 503, "out of memory");
    }
    free(names);
    free(calibration);
}

static json_t *read_body(struct sp_call *call)
{
    json_error_t where;
    json_t *body =
        json_loadb(call->request->body, call->request->body_bytes, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(body)) {
        sp_call_refuse(call, 400, "invalid body: %s; send a JSON object",
                       body ? "not a JSON object" : where.text);
        json_decref(body);
        return NULL;
    }
    return body;
}

/* Errors of the calibration file are the server's, not the client's. */
static int status_of(int code)
{
    switch (code) {
    case SP_ERR_NOT_FOUND:
        return 404;
    case SP_ERR_INVALID:
        return 422;
    case SP_ERR_UNSUPPORTED:
        return 409;
    default:
        return 500;
    }
}

void sp_people_resize(struct sp_call *call)
{
    struct sp_map *map = find_map(call);
    json_t *body = map ? read_body(call) : NULL;
    struct sp_error err = {0};
    if (!body)
        return;
    const json_t *width = json_object_get(body, "width"), *height = json_object_get(body, "height");
    bool sizes = json_is_number(width) && json_is_number(height);
    /* -1 makes sp_map_resize report what is not a number. */
    int result = sp_map_resize(map, sizes ? json_number_value(width) : -1,
                               sizes ? json_number_value(height) : -1,
                               json_number_value(json_object_get(body, "units_per_m")), &err);
    json_decref(body);
    if (result < 0)
        sp_call_refuse(call, status_of(result), "%s", err.text);
    else
        sp_people_map(call);
}

static bool read_pair(const json_t *pair, struct sp_point *out)
{
    const json_t *x = json_array_get(pair, 0), *y = json_array_get(pair, 1);
    if (json_array_size(pair) != 2)
        return false;
    *out = (struct sp_point){json_number_value(x), json_number_value(y)};
    return json_is_number(x) && json_is_number(y);
}

static bool read_points(const json_t *body, struct sp_point *image, struct sp_point *map,
                        int *count)
{
    const json_t *points = json_object_get(body, "points");
    *count = 0;
    if (!json_is_array(points) || json_array_size(points) > SP_FIT_POINTS_MAX)
        return false;
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        if (!read_pair(json_object_get(point, "frame"), &image[i]) ||
            !read_pair(json_object_get(point, "map"), &map[i]))
            return false;
        ++*count;
    }
    return true;
}

static void answer_fit(struct sp_call *call, struct sp_map *map, const struct sp_map_points *points,
                       const struct sp_fit *fit)
{
    struct sp_calibration *calibration = malloc(sizeof *calibration);
    if (!calibration) {
        sp_call_refuse(call, 503, "out of memory");
        return;
    }
    sp_map_calibration(map, calibration);
    struct sp_ground ground = {.homography = fit->homography,
                               .width_px = points->width_px,
                               .height_px = points->height_px,
                               .units_per_m = calibration->units_per_m};
    sp_json_begin_object(call->json);
    sp_json_member_string(call->json, "camera", points->camera);
    sp_json_member_bool(call->json, "stored", !points->only_try);
    put_fit(call->json, fit, points->image, points->map, points->count, calibration->units_per_m);
    put_view(call->json, &ground);
    sp_json_end_object(call->json);
    free(calibration);
}

void sp_people_calibrate(struct sp_call *call)
{
    struct sp_point image[SP_FIT_POINTS_MAX], map_points[SP_FIT_POINTS_MAX], size;
    struct sp_map *map = find_map(call);
    struct sp_camera_report report;
    struct sp_error err = {0};
    struct sp_fit fit = {0};
    if (!map)
        return;
    if (sp_api_find_camera(call->api, call->name, &report) < 0) {
        sp_call_refuse(call, 404, "camera %s: not found; see /api/v2/cameras", call->name);
        return;
    }
    json_t *body = read_body(call);
    if (!body)
        return;
    struct sp_map_points points = {.camera = call->name,
                                   .image = image,
                                   .map = map_points,
                                   .only_try = json_is_true(json_object_get(body, "try"))};
    const json_t *only_try = json_object_get(body, "try");
    bool valid = read_points(body, image, map_points, &points.count) &&
                 read_pair(json_object_get(body, "image_size"), &size) &&
                 (!only_try || json_is_boolean(only_try));
    json_decref(body);
    if (!valid) {
        sp_call_refuse(call, 422,
                       "invalid body; send {\"points\": [{\"frame\": [u, v], \"map\": [x, "
                       "y]}, ...], \"image_size\": [w, h]} with at most 64 points");
        return;
    }
    points.width_px = size.x;
    points.height_px = size.y;
    int result = sp_map_calibrate(map, &points, &fit, &err);
    if (result < 0)
        sp_call_refuse(call, status_of(result), "%s", err.text);
    else
        answer_fit(call, map, &points, &fit);
}

void sp_people_forget(struct sp_call *call)
{
    struct sp_map *map = find_map(call);
    struct sp_error err = {0};
    if (!map)
        return;
    int result = sp_map_forget(map, call->name, &err);
    if (result < 0)
        sp_call_refuse(call, status_of(result), "%s", err.text);
    else
        sp_people_map(call);
}
