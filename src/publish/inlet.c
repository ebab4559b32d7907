#include "publish/inlet.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sp_inlet {
    struct sp_inlet_options options;
    pthread_mutex_t mutex;
    struct sp_inlet_message *first, *last;
    int count;
    bool viewer, source, ended;
    char why[300];
};

int sp_inlet_open(struct sp_inlet **out, const struct sp_inlet_options *options,
                  struct sp_error *err)
{
    struct sp_inlet *inlet = calloc(1, sizeof *inlet);
    if (!inlet)
        return sp_fail(err, SP_ERR_NO_MEMORY, "viewer: out of memory");
    inlet->options = *options;
    inlet->viewer = inlet->source = true;
    pthread_mutex_init(&inlet->mutex, NULL);
    *out = inlet;
    return SP_OK;
}

/* Of one side; frees the inlet if the other one has left, too. */
static void leave(struct sp_inlet *inlet, bool *side)
{
    pthread_mutex_lock(&inlet->mutex);
    *side = false;
    bool last = !inlet->viewer && !inlet->source;
    pthread_mutex_unlock(&inlet->mutex);
    if (!last)
        return;
    for (struct sp_inlet_message *message = inlet->first, *next; message; message = next) {
        next = message->next;
        free(message);
    }
    pthread_mutex_destroy(&inlet->mutex);
    free(inlet);
}

/* ---- the source ---- */

bool sp_inlet_has_viewer(struct sp_inlet *inlet)
{
    pthread_mutex_lock(&inlet->mutex);
    bool viewer = inlet->viewer;
    pthread_mutex_unlock(&inlet->mutex);
    return viewer;
}

bool sp_inlet_has_room(struct sp_inlet *inlet)
{
    pthread_mutex_lock(&inlet->mutex);
    bool room = inlet->viewer && inlet->count < SP_INLET_MESSAGES;
    pthread_mutex_unlock(&inlet->mutex);
    return room;
}

int sp_inlet_put(struct sp_inlet *inlet, const void *data, size_t bytes, bool text)
{
    struct sp_inlet_message *message = malloc(sizeof *message + SP_INLET_HEADROOM + bytes);
    if (!message)
        return SP_ERR_NO_MEMORY;
    message->next = NULL;
    message->bytes = bytes;
    message->text = text;
    memcpy(message->memory + SP_INLET_HEADROOM, data, bytes);
    pthread_mutex_lock(&inlet->mutex);
    if (inlet->last)
        inlet->last->next = message;
    else
        inlet->first = message;
    inlet->last = message;
    inlet->count++;
    pthread_mutex_unlock(&inlet->mutex);
    inlet->options.news(inlet->options.news_user);
    return SP_OK;
}

void sp_inlet_end(struct sp_inlet *inlet, const char *why)
{
    pthread_mutex_lock(&inlet->mutex);
    if (!inlet->ended)
        snprintf(inlet->why, sizeof inlet->why, "%s", why);
    inlet->ended = true;
    pthread_mutex_unlock(&inlet->mutex);
    inlet->options.news(inlet->options.news_user);
}

void sp_inlet_close(struct sp_inlet *inlet)
{
    leave(inlet, &inlet->source);
}

/* ---- the viewer ---- */

bool sp_inlet_has_news(struct sp_inlet *inlet)
{
    pthread_mutex_lock(&inlet->mutex);
    bool news = inlet->count > 0 || inlet->ended;
    pthread_mutex_unlock(&inlet->mutex);
    return news;
}

struct sp_inlet_message *sp_inlet_take(struct sp_inlet *inlet)
{
    pthread_mutex_lock(&inlet->mutex);
    struct sp_inlet_message *message = inlet->first;
    if (message) {
        inlet->first = message->next;
        if (!inlet->first)
            inlet->last = NULL;
        inlet->count--;
    }
    bool source = inlet->source;
    pthread_mutex_unlock(&inlet->mutex);
    if (message && source)
        inlet->options.taken(inlet->options.user);
    return message;
}

const char *sp_inlet_ended(struct sp_inlet *inlet)
{
    pthread_mutex_lock(&inlet->mutex);
    const char *why = inlet->ended && inlet->count == 0 ? inlet->why : NULL;
    pthread_mutex_unlock(&inlet->mutex);
    return why;
}

void sp_inlet_leave(struct sp_inlet *inlet)
{
    if (!inlet)
        return;
    struct sp_inlet_options options = inlet->options;
    leave(inlet, &inlet->viewer);
    options.taken(options.user);
}
