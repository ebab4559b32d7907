/* Events and counts from tracks: lines, zones, occupancy.
 *
 * Data flow: each camera's frames with their tracks (and positions on the map), in an order that
 * the caller fixes -> a filter for each track, and on the map for each person -> crossings and
 * visits -> events, and counts for each name. docs/ANALYTICS.md describes the method.
 *
 * Depends on its input alone: no clock, and the same calls give the same events. Frames without
 * inference are ignored, so stored tracks give the same events whatever OUTPUT_FRAMES is. Boxes are
 * rounded to eighths of a pixel and positions to hundredths of a map unit, which is what the store
 * keeps (store/frame.h). All memory is allocated in open. One thread at a time. */
#pragma once

#include "analytics/config.h"
#include "analytics/occupancy.h"
#include "track.h"
#include "world_position.h"

#include <stddef.h>
#include <stdint.h>

struct sp_histogram;
struct sp_json;

#define SP_COUNTING_EVENTS(X)                                                                      \
    X(SP_EVENT_LINE_CROSSED, "line.crossed")                                                       \
    X(SP_EVENT_ZONE_ENTERED, "zone.entered")                                                       \
    X(SP_EVENT_ZONE_LEFT, "zone.left")                                                             \
    X(SP_EVENT_ZONE_OCCUPANCY, "zone.occupancy")                                                   \
    X(SP_EVENT_ZONE_CROWDED, "zone.crowded")                                                       \
    X(SP_EVENT_ZONE_LOITERING, "zone.loitering")

enum sp_counting_event_kind {
#define X(id, name) id,
    SP_COUNTING_EVENTS(X)
#undef X
};

/* Times are those of frames. Strings live as long as the analytics. */
struct sp_counting_event {
    uint64_t id; /* 1, 2, 3, ... in the order of decision */
    enum sp_counting_event_kind kind;
    int64_t time_us;        /* when it happened, which is before it was decided */
    const char *name;       /* of the line or zone */
    const char *direction;  /* line.crossed: the line's name of it; otherwise NULL */
    bool inward;            /* line.crossed */
    const char *camera;     /* NULL: on the map */
    uint32_t track, person; /* 0: unknown */
    struct sp_planar at;    /* px of the frame; on the map m; occupancy, crowded: not set */
    double confidence;      /* probability that it happened */
    double dwell_s;         /* left, loitering */
    int people;             /* occupancy: estimate; crowded: people inside */
    int low, high;          /* occupancy: 90 % interval */
};

struct sp_counting_options {
    const struct sp_counting_config *config; /* copied */
    const char *const *cameras;              /* names; the index is that of frames */
    int camera_count;
    double units_per_m; /* of the map; 0: there is none */
    bool y_up;          /* of the map */
    void (*event)(void *user, const struct sp_counting_event *event);
    void *user;
};

struct sp_counting;

int sp_counting_open(struct sp_counting **out, const struct sp_counting_options *options,
                     struct sp_error *err);
void sp_counting_close(struct sp_counting *analytics); /* NULL is fine */

/* Before the first frame: continues with the counts, tracks and people of `from`, which is then to
 * be closed. Counts are kept by name, and so are open visits; where a line has another place, a
 * track's side of it is decided anew. Visits to a zone that no longer exists end. Cameras are
 * matched by name. */
void sp_counting_inherit(struct sp_counting *analytics, struct sp_counting *from);

struct sp_counting_frame {
    int camera;
    int64_t time_us;
    int width_px, height_px;
    bool inferred;
    bool rounded; /* boxes and positions have the store's steps already */
    const struct sp_track *tracks;
    const struct sp_world_position *positions; /* [count]; NULL: none */
    size_t count;
};

/* The next frame. If its time is before that of the camera's last one, or the size differs, the
 * camera's tracks end. */
void sp_counting_frame(struct sp_counting *analytics, const struct sp_counting_frame *frame);

/* The camera's tracks end: its crossings and visits that are open are completed. */
void sp_counting_end_camera(struct sp_counting *analytics, int camera);

/* As finish, and then track and global ids begin again, as after a restart of the process: counts
 * and the numbers of events continue. */
void sp_counting_restart(struct sp_counting *analytics);

/* The end of all cameras: crossings and visits that are open are completed. */
void sp_counting_finish(struct sp_counting *analytics);

/* {"event": ...}, without a newline; and the part after the time, as members of an open object. */
void sp_counting_event_json(struct sp_json *json, const struct sp_counting_event *event);
void sp_counting_event_members_json(struct sp_json *json, const struct sp_counting_event *event);
const char *sp_counting_event_name(enum sp_counting_event_kind kind); /* "line.crossed" */

/* {"lines": {"door": {"in": 3, "out": 2}}, "zones": {"hall": {"visits": 9, ...}}} */
void sp_counting_counts_json(struct sp_json *json, const struct sp_counting *analytics);

/* For the API and metrics. Returns false when `index` is past the end. */
struct sp_line_count {
    const char *name, *in_name, *out_name;
    bool on_map;
    uint64_t in, out;
};
bool sp_counting_line(const struct sp_counting *analytics, int index, struct sp_line_count *line);
struct sp_zone_count {
    const char *name;
    bool on_map;
    uint64_t visits;
    int inside;       /* open visits */
    int seen;         /* of these, people who are seen at the moment */
    int crowded_from; /* 0: not watched */
    bool is_crowded;
    struct sp_occupancy_estimate occupancy;
    const struct sp_histogram *dwell; /* of completed visits */
};
bool sp_counting_zone(const struct sp_counting *analytics, int index, struct sp_zone_count *zone);

/* The value that is read back after `decimals` digits after the point were written: input that
 * passes through it is the same live and from stored tracks. */
double sp_counting_rounded(double value, int decimals);
