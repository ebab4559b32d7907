#include "output/messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 256, FIRST_MESSAGES = 64, FIRST_BYTES = 64 << 10 };

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

void sp_messages_add(struct sp_messages *m, const struct sp_record *r,
                     const struct sp_message_draft *draft)
{
    char id[TEXT_BYTES], type[TEXT_BYTES], source[TEXT_BYTES], part[16] = "";
    const char *content_type = draft->content_type ? draft->content_type : "application/json";
    if (draft->part > 0)
        snprintf(part, sizeof part, "/%d", draft->part);
    int n = snprintf(id, sizeof id, "%s/%llu/%llu%s", r->camera[0] ? r->camera : "server",
                     (unsigned long long)r->head.epoch, (unsigned long long)r->head.sequence, part);
    n += snprintf(type, sizeof type, "dev.spoton.%s.v1", draft->type);
    n +=
        snprintf(source, sizeof source, "/%s%s%s", draft->site, r->camera[0] ? "/" : "", r->camera);
    size_t bytes = (size_t)n + strlen(draft->topic) + strlen(draft->kind) + strlen(content_type) +
                   strlen(r->camera) + draft->payload_bytes + 16;
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
    message->id = add_text(m, id);
    message->camera = add_text(m, r->camera);
    message->kind = add_text(m, draft->kind);
    message->topic = add_text(m, draft->topic);
    message->content_type = add_text(m, content_type);
    message->type = add_text(m, type);
    message->source = add_text(m, source);
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
