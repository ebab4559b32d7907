#include "api/camera_edits.h"

#include "api/camera_lookup.h"
#include "api/reply.h"

#include <stdlib.h>
#include <string.h>

enum { WAITING_MAX = 8 };

struct waiting_edit {
    uint64_t reply; /* for sp_server_reply */
    char *body;     /* the request's */
    bool adds;
    struct sp_camera_setting camera; /* to be removed: its name only */
    struct sp_late_reply late;       /* its headers */
    struct waiting_edit *next;
};

struct sp_camera_edits {
    pthread_mutex_t mutex; /* guards the queue */
    struct waiting_edit *first;
    int waiting;
};

/* The oldest, or NULL. */
static struct waiting_edit *take(struct sp_camera_edits *edits)
{
    pthread_mutex_lock(&edits->mutex);
    struct waiting_edit *edit = edits->first;
    if (edit) {
        edits->first = edit->next;
        edits->waiting--;
    }
    pthread_mutex_unlock(&edits->mutex);
    return edit;
}

static void release(struct waiting_edit *edit)
{
    free(edit->body);
    free(edit);
}

void sp_camera_edits_ask(struct sp_call *call, const struct sp_camera_setting *add)
{
    struct sp_camera_edits *edits = call->api->edits;
    struct waiting_edit *edit = calloc(1, sizeof *edit);
    if (!edit || !atomic_load(&call->api->started)) {
        free(edit);
        sp_call_refuse(call, 503, "the server is starting or stopping; try again later");
        return;
    }
    edit->reply = call->request->reply;
    edit->adds = add != NULL;
    if (add)
        edit->camera = *add;
    else
        snprintf(edit->camera.name, sizeof edit->camera.name, "%s", call->name);
    memcpy(edit->late.headers, call->reply->headers, sizeof edit->late.headers);
    pthread_mutex_lock(&edits->mutex);
    bool taken = edits->waiting < WAITING_MAX;
    struct waiting_edit **end = &edits->first;
    while (*end)
        end = &(*end)->next;
    if (taken) {
        if (call->request->body_bytes > 0) /* otherwise it is not the request's */
            edit->body = (char *)call->request->body;
        edits->waiting++;
        *end = edit;
        call->reply->kind = SP_REPLY_LATER;
    }
    pthread_mutex_unlock(&edits->mutex);
    if (!taken) {
        free(edit);
        sp_call_refuse(call, 503, "%d other cameras wait for spoton.yaml; try again later",
                       WAITING_MAX);
    }
}

static int status_of(const struct waiting_edit *edit, int result)
{
    switch (result) {
    case SP_OK:
        return edit->adds ? 201 : 204;
    case SP_ERR_NOT_FOUND:
        return 404;
    case SP_ERR_INVALID:
    case SP_ERR_UNSUPPORTED:
    case SP_ERR_NO_SPACE:
        return 409;
    default:
        return 503;
    }
}

static void send_reply(struct sp_api *api, struct waiting_edit *edit, int result,
                       const struct sp_error *err)
{
    struct sp_camera_report report;
    struct sp_json json = {0};
    edit->late.status = status_of(edit, result);
    if (result < 0) {
        sp_json_begin_object(&json);
        sp_json_member_string(&json, "detail", err->text);
        sp_json_end_object(&json);
    } else if (edit->adds && sp_api_find_camera(api, edit->camera.name, &report) >= 0) {
        size_t used = strlen(edit->late.headers), left = sizeof edit->late.headers - used;
        int n = snprintf(edit->late.headers + used, left, "Location: /api/v2/cameras/%s\r\n",
                         edit->camera.name);
        if (n < 0 || (size_t)n >= left)
            edit->late.headers[used] = '\0'; /* a header that does not fit is omitted */
        sp_json_camera(&json, &report, NULL);
    }
    if (json.failed)
        edit->late.status = 500;
    edit->late.body = json.text;
    edit->late.bytes = json.used_bytes;
    sp_server_reply(api->server, edit->reply, &edit->late);
}

void sp_api_edit_cameras(struct sp_api *api,
                         int (*edit)(void *user, const struct sp_camera_setting *add,
                                     const char *remove, struct sp_error *err),
                         void *user)
{
    struct waiting_edit *next;
    while (api->edits && (next = take(api->edits)) != NULL) {
        struct sp_error err = {0};
        int result = edit(user, next->adds ? &next->camera : NULL,
                          next->adds ? NULL : next->camera.name, &err);
        send_reply(api, next, result, &err);
        release(next);
    }
}

int sp_camera_edits_open(struct sp_camera_edits **out, struct sp_error *err)
{
    struct sp_camera_edits *edits = calloc(1, sizeof *edits);
    if (!edits)
        return sp_fail(err, SP_ERR_NO_MEMORY, "API: out of memory");
    pthread_mutex_init(&edits->mutex, NULL);
    *out = edits;
    return SP_OK;
}

void sp_camera_edits_close(struct sp_camera_edits *edits)
{
    struct waiting_edit *edit;
    if (!edits)
        return;
    while ((edit = take(edits)) != NULL)
        release(edit);
    pthread_mutex_destroy(&edits->mutex);
    free(edits);
}
