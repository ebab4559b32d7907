/* What dialects share: topics, messages, members of payloads. */
#include "output/dialect.h"

#include <ctype.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_BYTES = 512 };

static const char *const variables[] = {"{site}", "{camera}", "{kind}", "{prefix}"};

const char *sp_dialect_kind(const struct sp_record *r)
{
    if (r->type == SP_RECORD_FRAME)
        return "tracks";
    if (strncmp(r->event.kind, "camera.", 7) == 0 || strncmp(r->event.kind, "outbox.", 7) == 0)
        return "health";
    if (strcmp(r->event.kind, "snapshot") == 0)
        return "snapshots";
    return strncmp(r->event.kind, "person.", 7) == 0 ? "people" : "events";
}

void sp_dialect_topic(const struct sp_dialect *d, const char *pattern, const char *camera,
                      const char *kind, char *out, size_t out_bytes)
{
    const char *const values[] = {d->site, camera[0] ? camera : "server", kind, d->prefix};
    size_t used = 0;
    while (*pattern && used + 1 < out_bytes) {
        size_t i = 0, length = 0;
        if (*pattern != '{') {
            out[used++] = *pattern++;
            continue;
        }
        for (; i < sizeof variables / sizeof variables[0]; i++) {
            length = strlen(variables[i]);
            if (strncmp(pattern, variables[i], length) == 0)
                break;
        }
        if (i == sizeof variables / sizeof variables[0]) {
            out[used++] = *pattern++;
            continue;
        }
        bool levels = i == 3; /* a prefix may have several */
        for (const char *at = values[i]; *at && used + 1 < out_bytes; at++)
            out[used++] =
                strchr("#+", *at) || (!levels && *at == '/') || iscntrl((unsigned char)*at) ? '_'
                                                                                            : *at;
        pattern += length;
    }
    out[used] = '\0';
}

/* Completes the draft; topic NULL: the one that the output's setting gives. */
static void add_draft(struct sp_dialect *d, const struct sp_record *r, const char *topic,
                      struct sp_message_draft draft, struct sp_messages *out)
{
    char made[TOPIC_BYTES];
    draft.kind = sp_dialect_kind(r);
    draft.site = d->site;
    draft.topic = topic;
    if (!topic) {
        sp_dialect_topic(d, d->topic, r->camera, draft.kind, made, sizeof made);
        draft.topic = made;
    }
    sp_messages_add(out, r, &draft);
}

void sp_dialect_add(struct sp_dialect *d, const struct sp_record *r, const char *topic, bool retain,
                    int part, struct sp_messages *out)
{
    const struct sp_message_draft draft = {
        .type = r->type == SP_RECORD_FRAME ? "tracks" : r->event.kind,
        .payload = d->json.text,
        .payload_bytes = d->json.used_bytes,
        .retain = retain,
        .part = part,
    };
    out->failed |= d->json.failed;
    if (!d->json.failed)
        add_draft(d, r, topic, draft, out);
    sp_json_clear(&d->json);
}

void sp_dialect_add_image(struct sp_dialect *d, const struct sp_record *r, const char *topic,
                          bool retain, const struct sp_still *still, struct sp_messages *out)
{
    const struct sp_message_draft draft = {
        .content_type = "image/jpeg",
        .type = "snapshot",
        .payload = still->jpeg,
        .payload_bytes = still->bytes,
        .retain = retain,
    };
    add_draft(d, r, topic, draft, out);
}

void sp_dialect_put_image(struct sp_dialect *d, const char *key, const struct sp_still *still)
{
    unsigned char *text = malloc((still->bytes + 2) / 3 * 4 + 1);
    d->json.failed |= text == NULL;
    if (!text)
        return;
    EVP_EncodeBlock(text, still->jpeg, (int)still->bytes);
    sp_json_member_string(&d->json, key, (const char *)text);
    free(text);
}

bool sp_dialect_member(const char *payload, const char *key, char *out, size_t out_bytes)
{
    json_t *root = json_loads(payload, 0, NULL);
    const json_t *value = json_object_get(root, key);
    out[0] = '\0';
    if (json_is_string(value))
        snprintf(out, out_bytes, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, out_bytes, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, out_bytes, "%.6g", json_real_value(value));
    bool found = value != NULL;
    json_decref(root);
    return found;
}
