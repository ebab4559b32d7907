/* Shared by the files of src/analytics/. */
#pragma once

#include "analytics/analytics.h"
#include "analytics/axis.h"
#include "base/stats.h"

enum {
    GROUPS_MAX = 256, /* names of lines; of zones */
    SUBJECTS_MAX = SP_TRACKS_MAX,
    CROSSINGS_MAX = 512,
    IDENTITIES = 1024,
};

/* Steps of a pixel and of a map unit to which input is rounded. */
static const double BOX_STEPS = 8, MAP_STEPS = 100;
/* How long a track that is not seen is expected back, and a person on the map. */
static const int64_t GAP_US = 2000000, PERSON_GAP_US = 5000000;
/* With several cameras: how long a decision waits for global ids. */
static const int64_t HOLD_US = 3000000;
/* Sides are decided at this distance, in standard deviations; at the begin and end of a track, for
 * which no better observation will come, at the smaller one. */
static const double SURE = 3, LIKELY = 1;
/* From here on a normal distribution is 0 or 1 in a double's digits: what is as far away from a
 * boundary is not tested with it again. */
static const double FAR = 9;

enum axis_of { AXIS_X, AXIS_FOOT, AXIS_CENTRE, AXES };

struct line_state {
    int8_t side;     /* the decided one: -1 left, 1 right, 0 not yet */
    int8_t net;      /* crossings of the segment since, from left to right less the others */
    double before;   /* greatest distance on that side, in standard deviations */
    int64_t time_us; /* of the last crossing */
    struct sp_planar at;
};

struct zone_state {
    int8_t side;                      /* -1 outside, 1 inside, 0 not yet */
    bool inside;                      /* the anchor at the last step */
    float deviations;                 /* of the anchor from the boundary, at the last step */
    bool from_edge;                   /* entered over the boundary, not first seen inside */
    bool announced, shadow, loitered; /* shadow: another track of the same person has the visit */
    int64_t start_us, crossed_us;
    struct sp_planar at;
    double confidence;
};

/* A track of a camera, or a person on the map. */
struct subject {
    uint32_t id;
    uint32_t track, person;
    int camera;
    int64_t seen_us;
    uint64_t updated; /* the scope's frame */
    struct sp_axis axis[AXES];
    double height; /* px, smoothed; on the map 0 */
    struct line_state line[SP_COUNTING_LINES_MAX];
    struct zone_state zone[SP_COUNTING_ZONES_MAX];
};

struct line_group {
    const char *name, *in, *out;
    int scopes; /* how many cameras see it */
    bool on_map;
    uint64_t count[2]; /* in, out */
};

struct zone_group {
    const char *name;
    int scopes;
    bool on_map;
    int crowded;
    double loitering_s;
    uint64_t visits, crowdings, loiterings;
    int inside, seen;           /* at the last second */
    double near, near_variance; /* people near the boundary: inside less decided so, its variance */
    int64_t began_us;
    bool is_crowded;
    bool began, started; /* any frame of it; any second */
    struct sp_occupancy occupancy;
    struct sp_occupancy_estimate told;
    struct sp_histogram dwell;
};

struct extent {
    struct sp_planar low, high;
};

/* Lines and zones of one camera, in pixels, or of the map, in metres. */
struct scope {
    const struct sp_scope_config *config;
    int camera; /* -1: the map */
    int width_px, height_px;
    int64_t time_us; /* of the last frame */
    uint64_t frame;
    struct sp_planar line[SP_COUNTING_LINES_MAX][2];
    struct sp_planar corner[SP_COUNTING_ZONES_MAX][SP_COUNTING_CORNERS_MAX];
    bool open[SP_COUNTING_ZONES_MAX][SP_COUNTING_CORNERS_MAX]; /* edges at the frame's border */
    struct sp_planar normal[SP_COUNTING_LINES_MAX]; /* unit vectors, to the right of the line */
    struct extent extent[SP_COUNTING_ZONES_MAX];
    int line_group[SP_COUNTING_LINES_MAX], zone_group[SP_COUNTING_ZONES_MAX];
    int count;
    uint32_t ids[SUBJECTS_MAX];
    struct subject *subjects; /* [SUBJECTS_MAX] */
};

struct crossing {
    bool decided;
    int group;
    int direction; /* 1 in, -1 out */
    int64_t time_us, due_us;
    int camera;
    bool on_map;
    uint64_t cameras; /* that have reported it */
    uint32_t track, person;
    struct sp_planar at;
    double confidence;
};

struct identity {
    uint32_t track, person;
};

struct sp_counting {
    struct sp_counting_options options;
    struct sp_counting_config config;
    char (*names)[SP_COUNTING_NAME_BYTES]; /* of cameras */
    struct scope **scopes;                 /* [camera_count + 1]; NULL: nothing to do */
    struct identity **identities;          /* [camera_count][IDENTITIES]; NULL: not needed */
    int line_groups, zone_groups;
    struct line_group line_group[GROUPS_MAX];
    struct zone_group *zone_group; /* [GROUPS_MAX] */
    int crossings;
    struct crossing crossing[CROSSINGS_MAX]; /* in the order of decision */
    int64_t now_us, second_us;
    bool started;
    uint64_t last_event;
    struct sp_track tracks[SP_TRACKS_MAX]; /* of the frame, rounded */
    struct sp_world_position positions[SP_TRACKS_MAX];
};

/* Where the anchor was and is, when, and the square of the distance that is FAR for it. */
struct step {
    struct sp_planar from, to;
    double far2;
};

/* scope.c: lines and zones in pixels; those of the map, whose y axis is flipped by -1. */
void sp_counting_set_size(struct scope *scope, int width_px, int height_px);
void sp_counting_set_map(struct scope *scope, double flip);

/* emit.c */
void sp_counting_emit(struct sp_counting *analytics, struct sp_counting_event *event);
uint32_t sp_counting_person(const struct sp_counting *analytics, int camera, uint32_t track,
                            uint32_t person);
double sp_counting_normal(double deviations); /* share of the normal distribution below it */

/* line.c */
void sp_counting_line_step(struct sp_counting *analytics, struct scope *scope,
                           struct subject *subject, int index, const struct step *way,
                           const int64_t time_us[2]);
void sp_counting_line_end(struct sp_counting *analytics, struct scope *scope,
                          struct subject *subject, int index);
void sp_counting_release_crossings(struct sp_counting *analytics, bool all);

/* zone.c */
void sp_counting_zone_step(struct sp_counting *analytics, struct scope *scope,
                           struct subject *subject, int index, const struct step *way,
                           const int64_t time_us[2]);
void sp_counting_zone_end(struct sp_counting *analytics, struct scope *scope,
                          struct subject *subject, int index);
void sp_counting_zone_second(struct sp_counting *analytics, int64_t time_us);

/* subject.c: the deviation of the anchor along a unit vector, with a body's own sway; the square of
 * the greatest one in any direction. */
double sp_subject_deviation(const struct subject *subject, bool on_map, enum sp_anchor anchor,
                            double nx, double ny);
double sp_subject_variance_max(const struct subject *subject, bool on_map, enum sp_anchor anchor);
struct sp_planar sp_subject_at(const struct subject *subject, const struct scope *scope,
                               enum sp_anchor anchor);
void sp_subject_start(struct subject *subject, const struct sp_track *track,
                      const struct sp_planar *map, double hidden, int frame_height_px);
void sp_subject_step(struct subject *subject, double dt_s, const struct sp_track *track,
                     const struct sp_planar *map, double hidden, int frame_height_px);
/* Squared distance of a new track from where this one is expected; infinity: not the same. */
double sp_subject_distance(const struct subject *subject, double dt_s,
                           const struct sp_track *track);
