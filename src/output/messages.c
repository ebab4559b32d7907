#include "output/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* OVERHEAD_BYTES: what is added to the parts, and their ends. */
enum { OVERHEAD_BYTES = 64, FIRST_MESSAGES = 64, FIRST_BYTES = 64 << 10 };

void sp_messages_clear(struct sp_messages *m)
{
    m->count = m->used_bytes = 0;
}

void sp_messages_release(struct sp_messages *m)
{
    free(m->list);
    free(m->places);
    free(m->text);
    *m = (struct sp_messages){0};
}

static bool reserve(struct sp_messages *m, size_t bytes)
{
    if (m->count == m->capacity) {
        size_t more = m->capacity ? m->capacity * 2 : FIRST_MESSAGES;
        struct spoton_output_message *list = realloc(m->list, more * sizeof *list);
        if (list)
            m->list = list;
        struct sp_outbox_place *places = realloc(m->places, more * sizeof *places);
        if (places)
            m->places = places;
        if (!list || !places)
            return false;
        m->capacity = more;
    }
    if (m->used_bytes + bytes > m->capacity_bytes) {
        size_t more = m->capacity_bytes ? m->capacity_bytes : FIRST_BYTES;
        while (more < m->used_bytes + bytes)
            more *= 2;
        char *text = realloc(m->text, more);
        if (!text)
            return false;
        m->text = text;
        m->capacity_bytes = more;
    }
    return true;
}

/* Until sp_messages_finish, pointers are offsets + 1, as the text may move. */
static const char *add_bytes(struct sp_messages *m, const void *data, size_t bytes)
{
    size_t at = m->used_bytes;
    if (bytes > 0)
        memcpy(m->text + at, data, bytes);
    m->text[at + bytes] = '\0';
    m->used_bytes += bytes + 1;
    return (const char *)(uintptr_t)(at + 1); /* NOLINT(performance-no-int-to-ptr) */
}

static const char *add_text(struct sp_messages *m, const char *text)
{
    return add_bytes(m, text, strlen(text));
}

/* The texts one after another; ended by NULL. */
static const char *add_joined(struct sp_messages *m, const char *const *texts)
{
    size_t begin = m->used_bytes;
    for (; *texts; texts++) {
        size_t bytes = strlen(*texts);
        memcpy(m->text + m->used_bytes, *texts, bytes);
        m->used_bytes += bytes;
    }
    m->text[m->used_bytes++] = '\0';
    return (const char *)(uintptr_t)(begin + 1); /* NOLINT(performance-no-int-to-ptr) */
}

void sp_messages_add(struct sp_messages *m, const struct sp_record *r,
                     const struct sp_message_draft *draft)
{
    char id[SP_RECORD_ID_BYTES], part[16] = "";
    const char *content_type = draft->content_type ? draft->content_type : "application/json";
    sp_record_id(r, id);
    if (draft->part > 0)
        snprintf(part, sizeof part, "/%d", draft->part);
    size_t bytes = strlen(id) + strlen(part) + strlen(draft->topic) + strlen(draft->kind) +
                   strlen(draft->type) + strlen(draft->site) + strlen(content_type) +
                   2 * strlen(r->camera) + draft->payload_bytes + OVERHEAD_BYTES;
    if (!reserve(m, bytes)) {
        m->failed = true;
        return;
    }
    m->places[m->count] = m->place;
    struct spoton_output_message *message = &m->list[m->count++];
    *message = (struct spoton_output_message){
        .struct_bytes = sizeof *message,
        .payload_bytes = draft->payload_bytes,
        .wall_us = r->wall_us,
        .retain = draft->retain,
    };
    message->id = add_joined(m, (const char *const[]){id, part, NULL});
    message->camera = add_text(m, r->camera);
    message->kind = add_text(m, draft->kind);
    message->topic = add_text(m, draft->topic);
    message->content_type = add_text(m, content_type);
    message->type = add_joined(m, (const char *const[]){"dev.spoton.", draft->type, ".v1", NULL});
    message->source = add_joined(
        m, (const char *const[]){"/", draft->site, r->camera[0] ? "/" : "", r->camera, NULL});
    message->payload = add_bytes(m, draft->payload, draft->payload_bytes);
}

void sp_messages_end_record(struct sp_messages *m, struct sp_outbox_place place)
{
    m->place = place;
    if (m->count > 0)
        m->places[m->count - 1] = place;
}

static void resolve(const struct sp_messages *m, const char **pointer)
{
    *pointer = m->text + (uintptr_t)*pointer - 1;
}

void sp_messages_finish(struct sp_messages *m)
{
    for (size_t i = 0; i < m->count; i++) {
        struct spoton_output_message *message = &m->list[i];
        const char *payload = message->payload;
        resolve(m, &message->id);
        resolve(m, &message->camera);
        resolve(m, &message->kind);
        resolve(m, &message->topic);
        resolve(m, &message->content_type);
        resolve(m, &message->type);
        resolve(m, &message->source);
        resolve(m, &payload);
        message->payload = payload;
    }
}
