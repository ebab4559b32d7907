/* A tracker plugin: each detection continues the track whose box overlaps it most.
 *
 *     cc -shared -fPIC -O2 $(pkg-config --cflags spoton) -o spoton-tracker-nearest.so nearest.c
 *     spoton track --tracker ./spoton-tracker-nearest.so?overlap=0.2 DETS -o OUT.txt */
#include <spoton/tracker.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRACKS_MAX = 300 };

struct object {
    struct spoton_tracker_output now;
    double unseen_frames;
};

struct spoton_tracker_state {
    double least_overlap, new_threshold, keep_frames;
    uint32_t last_id;
    int count;
    struct object object[TRACKS_MAX];
};

static double overlap(const struct spoton_tracker_output *a,
                      const struct spoton_tracker_detection *b)
{
    double w = fmin(a->x2, b->x2) - fmax(a->x1, b->x1), h = fmin(a->y2, b->y2) - fmax(a->y1, b->y1);
    double both = (a->x2 - a->x1) * (a->y2 - a->y1) + (b->x2 - b->x1) * (b->y2 - b->y1);
    return w > 0 && h > 0 ? w * h / (both - w * h) : 0;
}

static int nearest_open(struct spoton_tracker_state **out,
                        const struct spoton_tracker_params *params, char *error, size_t error_bytes)
{
    struct spoton_tracker_state *t = calloc(1, sizeof *t);
    if (!t) {
        snprintf(error, error_bytes, "out of memory");
        return -1;
    }
    t->least_overlap = 0.3;
    t->new_threshold = params->new_threshold;
    t->keep_frames = params->buffer_frames;
    if (params->options[0] && sscanf(params->options, "overlap=%lf", &t->least_overlap) != 1) {
        snprintf(error, error_bytes, "\"%s\": unknown option; use overlap=NUMBER", params->options);
        free(t);
        return -1;
    }
    *out = t;
    return 0;
}

static void nearest_close(struct spoton_tracker_state *tracker)
{
    free(tracker);
}

static int list(const struct spoton_tracker_state *t, struct spoton_tracker_output *tracks,
                int capacity)
{
    int count = 0;
    for (int i = 0; i < t->count && count < capacity; i++)
        if (t->object[i].unseen_frames == 0)
            tracks[count++] = t->object[i].now;
    return count;
}

static struct object *find(struct spoton_tracker_state *t,
                           const struct spoton_tracker_detection *detection)
{
    struct object *best = NULL;
    double most = t->least_overlap;
    for (int i = 0; i < t->count; i++) {
        struct object *o = &t->object[i];
        double common = overlap(&o->now, detection);
        if (o->unseen_frames > 0 && o->now.class_id == detection->class_id && common >= most) {
            most = common;
            best = o;
        }
    }
    if (!best && detection->confidence >= t->new_threshold && t->count < TRACKS_MAX) {
        best = &t->object[t->count++];
        best->now.id = ++t->last_id;
    }
    return best;
}

static int nearest_update(struct spoton_tracker_state *tracker,
                          const struct spoton_tracker_input *input,
                          struct spoton_tracker_output *tracks, int capacity, char *error,
                          size_t error_bytes)
{
    struct spoton_tracker_state *t = tracker;
    int kept = 0;
    (void)error;
    (void)error_bytes;
    for (int i = 0; i < t->count; i++) { /* an infinite step ends all */
        t->object[i].unseen_frames += input->dt_frames;
        if (t->object[i].unseen_frames <= t->keep_frames)
            t->object[kept++] = t->object[i];
    }
    t->count = kept;
    for (size_t i = 0; i < input->detection_count; i++) {
        const struct spoton_tracker_detection *d = &input->detections[i];
        struct object *o = find(t, d);
        if (!o)
            continue;
        o->unseen_frames = 0;
        o->now = (struct spoton_tracker_output){o->now.id, d->class_id, (int)i + 1, d->x1,
                                                d->y1,     d->x2,       d->y2,      d->confidence};
    }
    return list(t, tracks, capacity);
}

static int nearest_predict(const struct spoton_tracker_state *tracker, double dt_frames,
                           double dt_s, struct spoton_tracker_output *tracks, int capacity)
{
    (void)dt_frames;
    (void)dt_s;
    int count = list(tracker, tracks, capacity);
    for (int i = 0; i < count; i++)
        tracks[i].detection = 0;
    return count;
}

const struct spoton_tracker_api *spoton_tracker_entry(void)
{
    static const struct spoton_tracker_api api = {
        .abi = SPOTON_TRACKER_ABI,
        .struct_bytes = sizeof api,
        .name = "nearest",
        .open = nearest_open,
        .close = nearest_close,
        .update = nearest_update,
        .predict = nearest_predict,
    };
    return &api;
}
