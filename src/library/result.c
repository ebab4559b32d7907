/* What the pipeline's threads call: results and the ends of cameras, as the caller gets them. */
#include "base/clock.h"
#include "base/json.h"
#include "library/internal.h"

#include <stdio.h>

struct spoton_detection sp_library_detection(const struct sp_detection *from,
                                             const struct sp_class_names *names)
{
    return (struct spoton_detection){
        .x1 = from->x1_px,
        .y1 = from->y1_px,
        .x2 = from->x2_px,
        .y2 = from->y2_px,
        .confidence = from->confidence,
        .class_id = from->class_id,
        .class_name = names ? sp_class_names_get(names, from->class_id) : NULL,
    };
}

struct spoton_track sp_library_track(const struct sp_track *from,
                                     const struct sp_world_position *position,
                                     const struct sp_class_names *names)
{
    struct spoton_track track = {
        .id = from->id,
        .class_id = from->class_id,
        .detection = from->detection,
        .x1 = from->x1_px,
        .y1 = from->y1_px,
        .x2 = from->x2_px,
        .y2 = from->y2_px,
        .confidence = from->confidence,
        .class_name = names ? sp_class_names_get(names, from->class_id) : NULL,
    };
    if (position) {
        track.global_id = position->person;
        track.on_map = position->on_map;
        track.map_x = position->on_map ? position->x : 0;
        track.map_y = position->on_map ? position->y : 0;
    }
    return track;
}

/* ---- which camera has an index ---- */

void sp_library_enter(struct spoton_pipeline *pipeline, int camera, const char *name)
{
    struct sp_library_entry *entry = &pipeline->entry[camera];
    pthread_mutex_lock(&pipeline->mutex);
    if (entry->epoch == 0 || strcmp(entry->name, name) != 0) {
        snprintf(entry->name, sizeof entry->name, "%s", name);
        entry->epoch = ++pipeline->last_epoch;
        if (pipeline->live)
            sp_library_live_begin(pipeline->live, camera, name, entry->epoch);
    }
    pthread_mutex_unlock(&pipeline->mutex);
}

static struct sp_library_entry entry_of(struct spoton_pipeline *pipeline, int camera)
{
    pthread_mutex_lock(&pipeline->mutex);
    struct sp_library_entry entry = pipeline->entry[camera];
    pthread_mutex_unlock(&pipeline->mutex);
    return entry;
}

uint64_t sp_library_epoch(void *user, int camera)
{
    return entry_of(user, camera).epoch;
}

/* ---- events ---- */

void sp_library_event(void *user, const struct sp_event *event)
{
    const struct spoton_pipeline *pipeline = user;
    struct spoton_event given = {
        .struct_bytes = sizeof given,
        .id = event->id,
        .kind = event->kind,
        .camera = event->camera,
        .wall_us = event->wall_us,
        .payload = event->payload,
    };
    if (pipeline->options.event)
        pipeline->options.event(pipeline->options.user, &given);
    if (pipeline->live)
        sp_library_live_event(pipeline->live, event);
}

/* ---- the sink ---- */

static void enter(struct spoton_pipeline *pipeline, int camera)
{
    struct sp_camera_report report;
    sp_pipeline_camera(atomic_load(&pipeline->running), camera, &report);
    if (report.used) /* else removed before its first result */
        sp_library_enter(pipeline, camera, report.name);
}

static int begin(void *user, int camera, const struct sp_source_info *info, struct sp_error *err)
{
    (void)info;
    (void)err;
    enter(user, camera);
    return SP_OK;
}

static void call_result(struct spoton_pipeline *pipeline, const struct sp_result *result,
                        const struct sp_result_source *source, const struct sp_library_entry *entry)
{
    const struct sp_class_names *names =
        &sp_pipeline_model(atomic_load(&pipeline->running))->class_names;
    struct spoton_detection detections[SP_DETECTIONS_MAX];
    struct spoton_track tracks[SP_TRACKS_MAX];
    for (size_t i = 0; i < source->detection_count; i++)
        detections[i] = sp_library_detection(&source->detections[i], names);
    for (size_t i = 0; i < result->track_count; i++)
        tracks[i] = sp_library_track(
            &result->tracks[i], result->has_world_positions ? &result->positions[i] : NULL, names);
    struct spoton_result given = {
        .struct_bytes = sizeof given,
        .camera = entry->name,
        .epoch = entry->epoch,
        .sequence = result->sequence,
        .time_us = result->pts_us,
        .wall_us = result->wall_us,
        .inferred = result->inferred,
        .failed = result->failed,
        .width = result->width_px,
        .height = result->height_px,
        .detection_count = source->detection_count,
        .track_count = result->track_count,
        .detections = detections,
        .tracks = tracks,
        .frame = (const struct spoton_frame *)source->frame,
    };
    pipeline->options.result(pipeline->options.user, &given);
}

static int take_result(void *user, struct sp_result *result, const struct sp_result_source *source,
                       struct sp_error *err)
{
    struct spoton_pipeline *pipeline = user;
    struct sp_library_entry entry = entry_of(pipeline, result->camera);
    (void)err;
    if (entry.epoch == 0)
        return SP_OK;
    if (pipeline->options.result)
        call_result(pipeline, result, source, &entry);
    if (pipeline->live)
        sp_library_live_result(pipeline->live, result, source->frame);
    return SP_OK;
}

static void end(void *user, int camera, const struct sp_error *why)
{
    struct spoton_pipeline *pipeline = user;
    if (entry_of(pipeline, camera).epoch == 0) /* it never opened */
        enter(pipeline, camera);
    struct sp_library_entry entry = entry_of(pipeline, camera);
    if (entry.epoch == 0)
        return;
    if (pipeline->live) /* events of its lines and zones are before the next one */
        sp_library_live_end(pipeline->live, camera);
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    if (why)
        sp_json_member_string(&json, "reason", why->text);
    sp_json_end_object(&json);
    sp_event_log_add(pipeline->events, camera, entry.name, entry.epoch, "camera.ended",
                     sp_clock_wall_us(), json.failed ? "{}" : json.text);
    sp_json_release(&json);
    pthread_mutex_lock(&pipeline->mutex);
    pipeline->entry[camera].epoch = 0;
    pthread_mutex_unlock(&pipeline->mutex);
}

struct sp_pipeline_sink sp_library_sink(struct spoton_pipeline *pipeline)
{
    return (struct sp_pipeline_sink){
        .user = pipeline, .begin = begin, .result = take_result, .end = end};
}
