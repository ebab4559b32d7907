/* Queries on people and events. */
#include "space/internal.h"

#include <math.h>

static int copy_trail(const struct identity *who, double units, struct sp_trail_point *points,
                      int max)
{
    int count = who->trail_count < max ? who->trail_count : max;
    for (int i = 0; i < count; i++) {
        int at = (who->trail_next - count + i + SP_SPACE_TRAIL_MAX) % SP_SPACE_TRAIL_MAX;
        points[i] = who->trail[at];
        points[i].x *= units;
        points[i].y *= units;
    }
    return count;
}

/* All cameras share the map and its unit. */
static double units_of(const struct sp_space *s)
{
    for (int c = 0; c < s->options.cameras; c++)
        if (s->cameras[c].used)
            return s->cameras[c].ground.units_per_m;
    return 1;
}

static void describe(const struct sp_space *s, const struct identity *who, double units,
                     struct sp_person *person)
{
    person->person = who->number;
    person->x = who->spot.x * units;
    person->y = who->spot.y * units;
    person->speed_x = who->vx;
    person->speed_y = who->vy;
    person->deviation_m = sqrt(fmax(who->spot.xx, who->spot.yy));
    person->created_us = who->created_us;
    person->seen_us = who->seen_us;
    person->visible = who->live_count > 0;
    person->why = who->why;
    person->observation_count = person->embeddings = 0;
    for (int m = 0; m < who->member_count; m++) {
        const struct tracklet *t = &s->tracklets[who->member[m]];
        if (t->live)
            person->observations[person->observation_count++] =
                (struct sp_observation){t->camera, t->track_id};
    }
    for (int i = 0; i < GALLERY_MAX; i++)
        person->embeddings += who->gallery[i].at_us != 0;
    person->trail_count = copy_trail(who, units, person->trail, SP_SPACE_TRAIL_MAX);
}

int sp_space_people(struct sp_space *space, struct sp_person *people, int max)
{
    int count = 0;
    pthread_mutex_lock(&space->mutex);
    double units = units_of(space);
    for (int i = 0; i < space->identity_high && count < max; i++)
        if (space->identities[i].number)
            describe(space, &space->identities[i], units, &people[count++]);
    pthread_mutex_unlock(&space->mutex);
    return count;
}

int sp_space_trail(struct sp_space *space, uint32_t person, struct sp_trail_point *points, int max)
{
    int count = 0;
    pthread_mutex_lock(&space->mutex);
    for (int i = 0; i < space->identity_high && person; i++)
        if (space->identities[i].number == person)
            count = copy_trail(&space->identities[i], units_of(space), points, max);
    pthread_mutex_unlock(&space->mutex);
    return count;
}

int sp_space_events(struct sp_space *space, uint64_t serial, struct sp_space_event *events, int max)
{
    int count = 0;
    pthread_mutex_lock(&space->mutex);
    uint64_t last = space->event_serial;
    uint64_t first = last > SP_SPACE_EVENTS_MAX ? last - SP_SPACE_EVENTS_MAX : 0;
    for (uint64_t i = serial > first ? serial : first; i < last && count < max; i++)
        events[count++] = space->events[i % SP_SPACE_EVENTS_MAX];
    pthread_mutex_unlock(&space->mutex);
    return count;
}

int64_t sp_space_now_us(struct sp_space *space)
{
    pthread_mutex_lock(&space->mutex);
    int64_t now_us = space->now_us;
    pthread_mutex_unlock(&space->mutex);
    return now_us;
}

int64_t sp_space_offset_us(struct sp_space *space, int camera)
{
    pthread_mutex_lock(&space->mutex);
    int64_t offset_us = sp_offsets_us(space->offsets, camera);
    pthread_mutex_unlock(&space->mutex);
    return offset_us;
}

bool sp_space_pair(struct sp_space *space, int a, int b, struct sp_offset_pair *pair)
{
    pthread_mutex_lock(&space->mutex);
    bool known = sp_offsets_pair(space->offsets, a, b, pair);
    pthread_mutex_unlock(&space->mutex);
    return known;
}

void sp_space_count(struct sp_space *space, struct sp_space_counts *counts)
{
    pthread_mutex_lock(&space->mutex);
    *counts = space->counts;
    for (int i = 0; i < space->identity_high; i++) {
        counts->people += space->identities[i].number != 0;
        counts->visible += space->identities[i].number != 0 && space->identities[i].live_count > 0;
    }
    for (int c = 0; c < space->options.cameras; c++)
        counts->tracks += space->cameras[c].tracklet_count;
    pthread_mutex_unlock(&space->mutex);
}
