/* Bookkeeping of identities and their member tracks; decide.c makes the decisions. */
#include "base/json.h"
#include "space/internal.h"

#include <string.h>

static const char *const names[] = {
#define X(id, name) name,
    SP_SPACE_EVENTS(X)
#undef X
};

const char *sp_space_event_name(enum sp_space_event_kind kind)
{
    return names[kind];
}

void sp_space_event_evidence(struct sp_json *json, const struct sp_space_event *event)
{
    if (event->distance_m >= 0)
        sp_json_member_number(json, "distance_m", event->distance_m, 2);
    if (event->deviations >= 0)
        sp_json_member_number(json, "deviations", event->deviations, 1);
    sp_json_member_number(json, "time_s", event->time_s, 1);
    if (event->similarity >= -1)
        sp_json_member_number(json, "similarity", event->similarity, 2);
    sp_json_member_number(json, "log_odds", event->log_odds, 1);
    sp_json_member_int(json, "votes", event->votes);
}

int sp_identity_new(struct sp_space *s, uint32_t number)
{
    int position = NONE;
    for (int i = 0; i < SP_SPACE_PEOPLE_MAX && position == NONE; i++)
        if (s->identities[i].number == 0)
            position = i;
    if (position == NONE) { /* replace the one out of view for longest */
        for (int i = 0; i < SP_SPACE_PEOPLE_MAX; i++)
            if (s->identities[i].member_count == 0 &&
                (position == NONE || s->identities[i].seen_us < s->identities[position].seen_us))
                position = i;
        if (position == NONE) {
            s->counts.full++;
            return NONE;
        }
        sp_identity_free(s, position);
    }
    if (position >= s->identity_high)
        s->identity_high = position + 1;
    struct identity *identity = &s->identities[position];
    *identity = (struct identity){.number = number ? number : ++s->last_number,
                                  .created_us = s->ticked_us,
                                  .seen_us = s->ticked_us};
    sp_gallery_clear(s, position);
    return position;
}

void sp_identity_free(struct sp_space *s, int identity)
{
    sp_gallery_clear(s, identity);
    s->identities[identity].number = 0;
    while (s->identity_high > 0 && s->identities[s->identity_high - 1].number == 0)
        s->identity_high--;
}

bool sp_identity_conflicts(const struct sp_space *s, int identity, const struct tracklet *t)
{
    const struct identity *who = &s->identities[identity];
    for (int i = 0; i < who->member_count; i++) {
        const struct tracklet *other = &s->tracklets[who->member[i]];
        if (other != t && other->camera == t->camera &&
            common_us(s, t->camera, other->seen_raw_us) >= t->created_us)
            return true;
    }
    return false;
}

void sp_identity_add(struct sp_space *s, int identity, struct tracklet *t)
{
    struct identity *who = &s->identities[identity];
    int index = (int)(t - s->tracklets);
    if (who->member_count == MEMBERS_MAX) { /* replace the one seen least recently */
        int oldest = 0;
        for (int i = 1; i < MEMBERS_MAX; i++)
            if (s->tracklets[who->member[i]].seen_raw_us <
                s->tracklets[who->member[oldest]].seen_raw_us)
                oldest = i;
        sp_identity_remove(s, &s->tracklets[who->member[oldest]]);
    }
    who->member[who->member_count++] = index;
    t->identity = identity;
    t->merged_us = s->ticked_us;
    if (t->embeddings > 0)
        sp_gallery_take(s, identity, t);
}

void sp_identity_remove(struct sp_space *s, struct tracklet *t)
{
    if (t->identity == NONE)
        return;
    struct identity *who = &s->identities[t->identity];
    int index = (int)(t - s->tracklets);
    for (int i = 0; i < who->member_count; i++)
        if (who->member[i] == index) {
            who->member[i] = who->member[--who->member_count];
            break;
        }
    t->identity = NONE;
    t->alone_us = s->ticked_us;
}

void sp_tracklet_drop(struct sp_space *s, int tracklet)
{
    struct tracklet *t = &s->tracklets[tracklet];
    sp_identity_remove(s, t);
    if (s->tracklet_vectors && t->embeddings > 0)
        memset(sp_tracklet_vector(s, t), 0, (size_t)s->options.embedding_numbers * sizeof(float));
    t->used = false;
    s->free_tracklets[s->free_count++] = tracklet;
}

struct evidence *sp_space_evidence(struct sp_space *s, struct tracklet *t, int identity)
{
    for (int i = 0; i < t->evidence_count; i++)
        if (t->evidence[i].identity == identity &&
            t->evidence[i].number == s->identities[identity].number)
            return &t->evidence[i];
    return NULL;
}

struct belief *sp_tracklet_belief(struct tracklet *t, int identity, uint32_t number)
{
    for (int i = 0; i < BELIEFS_MAX; i++)
        if (t->belief[i].number == number && t->belief[i].identity == identity)
            return &t->belief[i];
    return NULL;
}

struct sp_space_event *sp_space_note(struct sp_space *s, enum sp_space_event_kind kind,
                                     int identity, const struct tracklet *t)
{
    struct sp_space_event *event = &s->events[s->event_serial++ % SP_SPACE_EVENTS_MAX];
    *event = (struct sp_space_event){
        .serial = s->event_serial,
        .time_us = s->ticked_us,
        .kind = kind,
        .person = s->identities[identity].number,
        .camera = t ? t->camera : -1,
        .track_id = t ? t->track_id : 0,
        .distance_m = -1,
        .deviations = -1,
        .similarity = -2,
    };
    uint64_t *const count[] = {
        [SP_SPACE_CREATED] = &s->counts.created,       [SP_SPACE_MERGED] = &s->counts.merged,
        [SP_SPACE_SPLIT] = &s->counts.split,           [SP_SPACE_REVERTED] = &s->counts.reverted,
        [SP_SPACE_REASSIGNED] = &s->counts.reassigned, [SP_SPACE_RETURNED] = &s->counts.returned,
    };
    if (kind != SP_SPACE_EXPIRED)
        ++*count[kind];
    return event;
}
