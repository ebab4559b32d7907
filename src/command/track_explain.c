#include "command/track_explain.h"

#include "command/track.h"
#include "command/track_input.h"

#include <stdio.h>

struct explaining {
    uint32_t id, highest_id;
    bool found;
};

static void take(void *user, uint64_t sequence, const struct sp_track *tracks, size_t count)
{
    struct explaining *e = user;
    (void)sequence;
    for (size_t i = 0; i < count; i++)
        if (tracks[i].id > e->highest_id)
            e->highest_id = tracks[i].id;
}

static void print_candidate(const struct sp_track_candidate *c)
{
    if (c->detection)
        printf("    box %d", c->detection);
    else
        printf("    track %u, lost for %.2f s", c->id, c->lost_s);
    if (c->detection && c->id)
        printf(", of track %u", c->id);
    if (c->low)
        printf(", low confidence %.2f: overlap %.2f x height %.2f %+.2f", c->confidence, c->overlap,
               c->height_ratio, c->bonus);
    else
        printf(": (overlap %.2f x height %.2f %+.2f) x confidence %.2f", c->overlap,
               c->height_ratio, c->bonus, c->confidence);
    printf(" = %.2f, limit %.2f\n", c->value, c->limit);
}

static const char *name_of(enum sp_track_association by)
{
    switch (by) {
    case SP_TRACK_BY_LOW_CONFIDENCE:
        return "overlap with a low-confidence box";
    case SP_TRACK_BY_FOOT_POINT:
        return "foot point";
    case SP_TRACK_BY_PLACE:
        return "place, after long";
    case SP_TRACK_BY_OVERLAP:
        break;
    }
    return "overlap";
}

static void print_event(void *user, uint64_t sequence, const struct sp_track_explanation *x)
{
    struct explaining *e = user;
    if (x->id != e->id)
        return;
    e->found = true;
    printf("frame %llu: ", (unsigned long long)sequence + 1);
    switch (x->event) {
    case SP_TRACK_CREATED:
        printf("id %u created, %d box%s, evidence %.2f; %s\n", x->id, x->boxes,
               x->boxes == 1 ? "" : "es", x->evidence,
               x->candidate_count ? "lost tracks beside its first box:"
                                  : "no lost track beside its first box");
        break;
    case SP_TRACK_LOST:
        printf("lost after %d boxes; %s\n", x->boxes,
               x->candidate_count ? "boxes beside its prediction:"
                                  : "no box beside its prediction");
        break;
    case SP_TRACK_FOUND:
        printf("found after %.2f s by %s, IoU with the prediction %.2f\n", x->gap_s, name_of(x->by),
               x->iou);
        break;
    case SP_TRACK_ENDED:
        printf("ended, lost for %.2f s\n", x->gap_s);
        break;
    }
    for (int i = 0; i < x->candidate_count; i++)
        print_candidate(&x->candidate[i]);
}

int sp_track_explain(const struct sp_options *options, struct sp_error *err)
{
    struct sp_track_input input = {0};
    struct explaining e = {.id = (uint32_t)options->explain};
    struct sp_track_run run = {
        .settings = &options->settings,
        .input = &input,
        .take = take,
        .explain = print_event,
        .user = &e,
    };
    int rc = sp_track_input_read(&input, options->input[0], err);
    if (rc == SP_OK)
        rc = sp_track_run(&run, err);
    if (rc == SP_OK && !e.found)
        rc = sp_fail(err, SP_ERR_NOT_FOUND, "--explain %lld: no such track; ids are up to %u",
                     (long long)options->explain, e.highest_id);
    sp_track_input_release(&input);
    return rc;
}
