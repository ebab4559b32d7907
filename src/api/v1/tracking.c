/* The messages of /ws/tracking: the tracks of one frame of one camera. */
#include "api/v1/internal.h"

#include <string.h>

/* Boxes are in pixels of an image of this size, with the camera's frame in the centre
 * (sp_downscale_plan). */
static const double WIDTH_PX = 1920, HEIGHT_PX = 1080;

struct fit {
    double x, y; /* the same factor in square pixels; frames may have others */
    double left_px, top_px;
};

static struct fit fit_of(const struct sp_result *result)
{
    double x = WIDTH_PX / result->seen_width_px, y = HEIGHT_PX / result->seen_height_px;
    double factor = x < y ? x : y;
    double width = factor * result->seen_width_px, height = factor * result->seen_height_px;
    return (struct fit){width / result->width_px, height / result->height_px,
                        (WIDTH_PX - width) / 2, (HEIGHT_PX - height) / 2};
}

struct box {
    double x1, y1, x2, y2;
};

static struct box box_of(const struct fit *fit, const struct sp_track *track)
{
    return (struct box){fit->left_px + track->x1_px * fit->x, fit->top_px + track->y1_px * fit->y,
                        fit->left_px + track->x2_px * fit->x, fit->top_px + track->y2_px * fit->y};
}

static void put_number(struct sp_json *json, const char *key, double value)
{
    sp_json_key(json, key);
    sp_json_number(json, value, 2);
}

/* Text or null: the front end crashes on a number. */
static void put_person(struct sp_json *json, const struct sp_world_position *position)
{
    char name[SP_PERSON_BYTES];
    sp_json_member_string(json, "global_id",
                          position->person ? sp_person_name(position->person, name) : NULL);
}

static void put_map_coords(struct sp_json *json, const struct sp_world_position *position)
{
    sp_json_key(json, "map_coords");
    if (!position->on_map) {
        sp_json_null(json);
        return;
    }
    sp_json_begin_object(json);
    put_number(json, "map_x", position->x);
    put_number(json, "map_y", position->y);
    sp_json_end_object(json);
}

static struct sp_world_position world_position_of(const struct sp_result *result, size_t index)
{
    return result->has_world_positions ? result->positions[index] : (struct sp_world_position){0};
}

static void put_tracks(struct sp_json *json, const struct sp_result *result,
                       const struct sp_task *task)
{
    struct fit fit = fit_of(result);
    sp_json_key(json, "camera_data");
    sp_json_begin_object(json);
    sp_json_key(json, "tracks");
    sp_json_begin_array(json);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_track *track = &result->tracks[i];
        const struct sp_world_position position = world_position_of(result, i);
        struct box box = box_of(&fit, track);
        if (!sp_focus_shows(&task->focus, result, i))
            continue;
        sp_json_begin_object(json);
        sp_json_member_int(json, "track_id", track->id);
        put_person(json, &position);
        sp_json_key(json, "bbox_xyxy");
        sp_json_begin_array(json);
        sp_json_number(json, box.x1, 2);
        sp_json_number(json, box.y1, 2);
        sp_json_number(json, box.x2, 2);
        sp_json_number(json, box.y2, 2);
        sp_json_end_array(json);
        sp_json_key(json, "confidence");
        sp_json_number(json, track->confidence, 3);
        put_map_coords(json, &position);
        sp_json_key(json, "is_focused");
        sp_json_bool(json, task->focus.active);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_end_object(json);
}

static void put_detection(struct sp_json *json, const struct sp_result *result,
                          const struct sp_track *track, const struct sp_world_position *position)
{
    struct fit fit = fit_of(result);
    struct box box = box_of(&fit, track);
    char text[SP_HUB_NAME_BYTES + 32];
    sp_json_begin_object(json);
    snprintf(text, sizeof text, "track_%03u", track->id);
    sp_json_member_string(json, "detection_id", text);
    sp_json_key(json, "confidence");
    sp_json_number(json, track->confidence, 3);
    sp_json_key(json, "bbox");
    sp_json_begin_object(json);
    put_number(json, "x1", box.x1);
    put_number(json, "y1", box.y1);
    put_number(json, "x2", box.x2);
    put_number(json, "y2", box.y2);
    put_number(json, "width", box.x2 - box.x1);
    put_number(json, "height", box.y2 - box.y1);
    put_number(json, "center_x", (box.x1 + box.x2) / 2);
    put_number(json, "center_y", (box.y1 + box.y2) / 2);
    sp_json_end_object(json);
    sp_json_member_int(json, "track_id", track->id);
    put_person(json, position);
    snprintf(text, sizeof text, "%s:track:%u", result->name, track->id);
    sp_json_member_string(json, "tracking_key", text);
    sp_json_end_object(json);
}

/* The newest point first; frame_offset counts back from it. */
static void put_trail(struct sp_api *api, struct sp_json *json, const struct sp_result *result,
                      const struct sp_world_position *position)
{
    struct sp_trail_point points[SP_SPACE_TRAIL_MAX];
    struct sp_space *space = sp_map_space(sp_pipeline_map(api->pipeline));
    int length = api->settings.trail_length;
    int count = length > 0 ? sp_space_trail(space, position->person, points, length) : 0;
    sp_json_key(json, "trail");
    sp_json_begin_array(json);
    for (int i = count - 1; i >= 0; i--) {
        char time[SP_TIME_BYTES];
        sp_time_format(result->wall_us + points[i].time_us - points[count - 1].time_us, time);
        sp_json_begin_object(json);
        put_number(json, "x", points[i].x);
        put_number(json, "y", points[i].y);
        sp_json_member_int(json, "frame_offset", count - 1 - i);
        sp_json_member_string(json, "timestamp", time);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_mapping(struct sp_api *api, struct sp_json *json, const struct sp_result *result,
                        const struct sp_task *task)
{
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_world_position position = world_position_of(result, i);
        char text[32];
        if (!position.on_map || !sp_focus_shows(&task->focus, result, i))
            continue;
        snprintf(text, sizeof text, "track_%03u", result->tracks[i].id);
        sp_json_begin_object(json);
        sp_json_member_string(json, "detection_id", text);
        put_number(json, "map_x", position.x);
        put_number(json, "map_y", position.y);
        sp_json_key(json, "projection_successful");
        sp_json_bool(json, true);
        put_trail(api, json, result, &position);
        sp_json_end_object(json);
    }
}

static void put_detections(struct sp_api *api, struct sp_json *json, const struct sp_result *result,
                           const struct sp_task *task)
{
    sp_json_key(json, "detection_data");
    sp_json_begin_object(json);
    sp_json_key(json, "detections");
    sp_json_begin_array(json);
    for (size_t i = 0; i < result->track_count; i++) {
        const struct sp_world_position position = world_position_of(result, i);
        if (sp_focus_shows(&task->focus, result, i))
            put_detection(json, result, &result->tracks[i], &position);
    }
    sp_json_end_array(json);
    put_number(json, "processing_time_ms",
               (double)(result->published_us - result->received_us) / 1000);
    sp_json_end_object(json);
    /* An empty list makes the front end clear its map. */
    sp_json_key(json, "future_pipeline_data");
    sp_json_begin_object(json);
    sp_json_key(json, "mapping_coordinates");
    sp_json_begin_array(json);
    put_mapping(api, json, result, task);
    sp_json_end_array(json);
    sp_json_end_object(json);
}

/* The frame's sequence number, made to increase also when a camera is removed and added again: the
 * front end's map ignores lower ones. */
static int64_t index_of(struct sp_v1 *v1, const struct sp_result *result)
{
    struct sp_index *index = &v1->indexes[0];
    v1->turn++;
    for (int i = 0; i < SP_INDEXES_MAX; i++) {
        struct sp_index *other = &v1->indexes[i];
        if (strcmp(other->name, result->name) == 0) {
            index = other;
            break;
        }
        if (other->used < index->used)
            index = other;
    }
    if (strcmp(index->name, result->name) != 0) {
        *index = (struct sp_index){
            .camera = result->camera, .generation = result->generation, .highest = -1};
        memcpy(index->name, result->name, sizeof index->name);
    }
    if (index->camera != result->camera || index->generation != result->generation) {
        index->camera = result->camera;
        index->generation = result->generation;
        index->base = index->highest + 1;
    }
    int64_t number = index->base + (int64_t)result->sequence;
    if (number > index->highest)
        index->highest = number;
    index->used = v1->turn;
    return number;
}

void sp_v1_format(void *user, const struct sp_ws_plan *plan, const struct sp_result *result,
                  struct sp_json *json)
{
    struct sp_api *api = user;
    const struct sp_task *task = sp_task_of(api, plan);
    char time[SP_TIME_BYTES];
    if (!task || !sp_task_is_active(api, task) ||
        !sp_environment_has(sp_environment_find(api, task->environment), result->name))
        return;
    sp_time_format(result->wall_us + (result->published_us - result->received_us), time);
    sp_json_begin_object(json);
    sp_json_member_string(json, "type", "tracking_update");
    sp_json_member_string(json, "mode", "detection_streaming");
    sp_json_member_string(json, "task_id", task->id);
    sp_json_member_string(json, "camera_id", result->name);
    sp_json_member_int(json, "global_frame_index", index_of(api->v1, result));
    sp_json_member_string(json, "timestamp_processed_utc", time);
    put_tracks(json, result, task);
    put_detections(api, json, result, task);
    sp_json_end_object(json);
}
