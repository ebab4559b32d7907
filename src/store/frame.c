#include "store/frame.h"

#include <math.h>

static int32_t steps(double value, int per_unit)
{
    double whole = rint(value * per_unit);
    if (!(whole > -SP_STORED_LIMIT)) /* NaN too */
        return -SP_STORED_LIMIT;
    return whole < SP_STORED_LIMIT ? (int32_t)whole : SP_STORED_LIMIT;
}

void sp_stored_track_fill(struct sp_stored_track *out, const struct sp_track *track,
                          const struct sp_world_position *position)
{
    double confidence = rint(track->confidence * SP_STORED_CONFIDENCE);
    *out = (struct sp_stored_track){
        .id = track->id,
        .box = {steps(track->x1_px, SP_STORED_BOX_STEPS), steps(track->y1_px, SP_STORED_BOX_STEPS),
                steps(track->x2_px, SP_STORED_BOX_STEPS), steps(track->y2_px, SP_STORED_BOX_STEPS)},
        .class_id =
            track->class_id >= 0 && track->class_id < SP_STORED_CLASSES_MAX ? track->class_id : 0,
        .confidence = (uint8_t)(confidence > 0 ? fmin(confidence, SP_STORED_CONFIDENCE) : 0),
        .matched = track->detection != 0,
    };
    if (!position)
        return;
    out->person = position->person;
    out->on_map = position->on_map;
    if (!position->on_map)
        return;
    out->map[0] = steps(position->x, SP_STORED_MAP_STEPS);
    out->map[1] = steps(position->y, SP_STORED_MAP_STEPS);
}

void sp_stored_track_read(const struct sp_stored_track *stored, struct sp_track *track,
                          struct sp_world_position *position)
{
    *track = (struct sp_track){
        .id = stored->id,
        .x1_px = (double)stored->box[0] / SP_STORED_BOX_STEPS,
        .y1_px = (double)stored->box[1] / SP_STORED_BOX_STEPS,
        .x2_px = (double)stored->box[2] / SP_STORED_BOX_STEPS,
        .y2_px = (double)stored->box[3] / SP_STORED_BOX_STEPS,
        .confidence = (double)stored->confidence / SP_STORED_CONFIDENCE,
        .class_id = stored->class_id,
        .detection = stored->matched ? 1 : 0,
    };
    *position = (struct sp_world_position){
        .person = stored->person,
        .on_map = stored->on_map,
        .x = (double)stored->map[0] / SP_STORED_MAP_STEPS,
        .y = (double)stored->map[1] / SP_STORED_MAP_STEPS,
    };
}
