/* /ws/focus: the person that the viewers of a task focus on. With a focus, /ws/tracking sends only
 * that person. */
#include "api/v1/internal.h"

#include <stdlib.h>
#include <string.h>

/* "P3": 3; 0: not a global id. */
static uint32_t person_of(const char *id)
{
    char name[SP_PERSON_BYTES];
    if (!id || id[0] != 'P' || strlen(id) > 10)
        return 0;
    uint32_t person = (uint32_t)strtoul(id + 1, NULL, 10);
    return person > 0 && strcmp(sp_person_name(person, name), id) == 0 ? person : 0;
}

bool sp_focus_shows(const struct sp_focus *focus, const struct sp_result *result, size_t track)
{
    uint32_t person = result->has_world_positions ? result->positions[track].person : 0;
    if (!focus->active)
        return true;
    if (focus->person && person)
        return person == focus->person;
    return focus->track == (int64_t)result->tracks[track].id &&
           strcmp(focus->camera, result->name) == 0;
}

void sp_focus_message(const struct sp_focus *focus, struct sp_json *json)
{
    char name[SP_PERSON_BYTES];
    sp_json_begin_object(json);
    sp_json_member_string(json, "type", "focus_update");
    sp_json_key(json, "payload");
    sp_json_begin_object(json);
    sp_json_member_string(json, "focused_person_id",
                          focus->person ? sp_person_name(focus->person, name) : NULL);
    sp_json_member_bool(json, "is_active", focus->active);
    sp_json_key(json, "person_details");
    if (focus->details[0])
        sp_json_raw(json, focus->details);
    else
        sp_json_null(json);
    sp_json_end_object(json);
    sp_json_end_object(json);
}

/* Details that are too long are reduced to the members that identify the track. */
static void keep_details(struct sp_focus *focus, json_t *details)
{
    size_t bytes = json_dumpb(details, focus->details, sizeof focus->details - 1, JSON_COMPACT);
    if (bytes == 0 || bytes >= sizeof focus->details) {
        json_t *less = json_pack("{s:s, s:I}", "camera_id", focus->camera, "track_id",
                                 (json_int_t)focus->track);
        bytes =
            less ? json_dumpb(less, focus->details, sizeof focus->details - 1, JSON_COMPACT) : 0;
        json_decref(less);
    }
    focus->details[bytes < sizeof focus->details ? bytes : 0] = '\0';
}

/* False: the message names neither a person nor a track. */
static bool read_focus(const json_t *message, struct sp_focus *focus)
{
    json_t *details = json_object_get(message, "person_details");
    const char *camera = json_string_value(json_object_get(details, "camera_id"));
    const json_t *track = json_object_get(details, "track_id");
    *focus = (struct sp_focus){.active = true, .track = -1};
    focus->person = person_of(json_string_value(json_object_get(message, "person_id")));
    if (camera && strlen(camera) < sizeof focus->camera && json_is_integer(track)) {
        snprintf(focus->camera, sizeof focus->camera, "%s", camera);
        focus->track = json_integer_value(track);
    }
    if (json_is_object(details))
        keep_details(focus, details);
    return focus->person || focus->track >= 0;
}

/* A change of focus is sent to all viewers of the task. */
void sp_v1_message(void *user, const struct sp_ws_plan *plan, const char *text, size_t bytes)
{
    struct sp_api *api = user;
    struct sp_task *task = sp_task_of(api, plan);
    struct sp_focus focus = {.track = -1};
    struct sp_json reply = {0};
    if (plan->format != SP_WS_MAIL || !task)
        return; /* "subscribe_tracking": always subscribed */
    json_t *message = json_loadb(text, bytes, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    bool sets = type && strcmp(type, "set_focus") == 0 && read_focus(message, &focus);
    if (sets || (type && strcmp(type, "clear_focus") == 0)) {
        task->focus = focus;
        sp_focus_message(&task->focus, &reply);
        if (!reply.failed)
            sp_server_mail(api->server, plan->tag, reply.text, reply.used_bytes);
    }
    sp_json_release(&reply);
    json_decref(message);
}
