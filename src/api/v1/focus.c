/* Which person the viewers of a task look at: /ws/focus. */
#include "api/v1/internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { FOCUS_BYTES = 128 };

/* Whom one viewer looks at, all others of the task are told. */
void sp_v1_message(void *user, const struct sp_ws_plan *plan, const char *text, size_t bytes)
{
    struct sp_api *api = user;
    if (plan->format != SP_WS_MAIL)
        return; /* "subscribe_tracking": what is asked for comes anyway */
    json_t *message = json_loadb(text, bytes, 0, NULL);
    const char *type = json_string_value(json_object_get(message, "type"));
    const char *person = json_string_value(json_object_get(message, "person_id"));
    bool set = type && strcmp(type, "set_focus") == 0 && person && strlen(person) < FOCUS_BYTES;
    if (set || (type && strcmp(type, "clear_focus") == 0)) {
        struct sp_task *task = sp_task_of(api, plan);
        if (task)
            snprintf(task->focus, sizeof task->focus, "%s", set ? person : "");
        json_t *details = set ? json_object_get(message, "person_details") : NULL;
        json_t *reply = json_pack("{s:s, s:{s:s?, s:b, s:O?}}", "type", "focus_update", "payload",
                                  "focused_person_id", set ? person : NULL, "is_active", set,
                                  "person_details", details);
        char *line = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
        if (line)
            sp_server_mail(api->server, plan->tag, line, strlen(line));
        free(line);
        json_decref(reply);
    }
    json_decref(message);
}
