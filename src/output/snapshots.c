#include "output/snapshots.h"

#include <stdio.h>
#include <string.h>

static const int64_t REQUEST_US = 1000000;

static int find(const struct sp_snapshots *s, const char *camera)
{
    int i = 0;
    while (i < s->count && strcmp(s->list[i].camera, camera) != 0)
        i++;
    return i;
}

void sp_snapshots_see(struct sp_snapshots *s, const char *camera)
{
    int i = find(s, camera);
    if (i < s->count || s->count == SP_CAMERAS_MAX || camera[0] == '\0')
        return;
    memset(&s->list[i], 0, sizeof s->list[i]);
    snprintf(s->list[i].camera, sizeof s->list[i].camera, "%s", camera);
    s->list[i].taken_us = INT64_MIN;
    s->count++;
}

void sp_snapshots_forget(struct sp_snapshots *s, const char *camera)
{
    int i = find(s, camera);
    if (i < s->count)
        s->list[i] = s->list[--s->count];
}

void sp_snapshots_request(struct sp_snapshots *s, int index)
{
    s->list[index].requested = true;
}

const char *sp_snapshots_next(struct sp_snapshots *s, int64_t now_us)
{
    for (int i = 0; i < s->count; i++) {
        bool first = s->list[i].taken_us == INT64_MIN;
        int64_t since_us = first ? INT64_MAX : now_us - s->list[i].taken_us;
        bool due = s->interval_us > 0 && since_us >= s->interval_us;
        if (!due && !(s->list[i].requested && since_us >= REQUEST_US))
            continue;
        s->list[i].taken_us = now_us;
        s->list[i].requested = false;
        return s->list[i].camera;
    }
    return NULL;
}
