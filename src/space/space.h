/* Cross-camera association: global ids and positions on the map.
 *
 * Data flow: the tracks of each camera's frames, in order, with their times -> foot points on the
 * map (space/ground.h) -> a filter for each track (space/motion.h) -> every 0.1 s of the cameras'
 * common time: evidence for each track and each person near it, and decisions -> a world position
 * and a global id for each track. docs/SPACE.md describes the method and its figures.
 *
 * Tracks of a camera without a calibration have no world position. Memory is allocated in open and
 * does not grow. All functions are thread-safe and short: they block on each other only. The same
 * calls in the same order give the same result. */
#pragma once

#include "base/error.h"
#include "detection.h"
#include "space/ground.h"
#include "space/offsets.h"
#include "track.h"
#include "world_position.h"

#include <stddef.h>
#include <stdint.h>

struct sp_json;

enum {
    SP_SPACE_PEOPLE_MAX = 512,
    SP_SPACE_TRAIL_MAX = 128,
    SP_SPACE_OBSERVATIONS_MAX = 32,
    SP_SPACE_EVENTS_MAX = 512, /* the newest are kept */
};

struct sp_space_options {
    int cameras;            /* number of camera indices */
    int64_t remember_us;    /* how long a person out of view is remembered; 0: 60 s */
    int64_t gallery_us;     /* how long an embedding is kept; 0: 60 s */
    int embedding_numbers;  /* length of an embedding; 0: no appearance */
    double similarity_same; /* cosine above which two crops support one person; 0: 0.7 */
};

struct sp_space;

int sp_space_open(struct sp_space **out, const struct sp_space_options *options,
                  struct sp_error *err);
void sp_space_close(struct sp_space *space); /* NULL is fine */

/* Sets or replaces a camera's calibration; its tracks are dropped. `ground` NULL: none. */
void sp_space_set_camera(struct sp_space *space, int camera, const struct sp_ground *ground);

/* A frame's tracks, at the camera's own time; the times of all cameras are of about one clock. */
struct sp_space_frame {
    int64_t time_us;
    int width_px, height_px;
    const struct sp_track *tracks;
    size_t count;
    /* The detections that the tracks refer to, used as measurements: their errors are independent
     * from frame to frame, those of tracks are correlated. NULL: the tracks' boxes are used. */
    const struct sp_detection *detections;
};

/* Processes the next frame. A time jump (an hour ahead, or back) resets the camera.
 * positions[count]. False: the camera has no calibration. */
bool sp_space_update(struct sp_space *space, int camera, const struct sp_space_frame *frame,
                     struct sp_world_position *positions);

/* World positions for a frame without inference; the state does not change. */
bool sp_space_positions(struct sp_space *space, int camera, const struct sp_space_frame *frame,
                        struct sp_world_position *positions);

/* ---- appearance ---- */

/* How useful an embedding of this track would be: 0: not; 1: refreshes an old one; 2: the track is
 * new or ambiguous; 3: it is new and may be a person who is out of view. */
int sp_space_embedding_wanted(struct sp_space *space, int camera, uint32_t track_id);

/* embedding[embedding_numbers], not necessarily of unit length. */
void sp_space_embed(struct sp_space *space, int camera, uint32_t track_id, const float *embedding);

/* Expires embeddings when no frame has arrived for `idle_us`, as the common time does not advance
 * without frames. */
void sp_space_expire(struct sp_space *space, int64_t idle_us);

/* ---- queries ---- */

struct sp_observation {
    int camera;
    uint32_t track_id;
};

struct sp_trail_point {
    double x, y; /* in units of the map */
    int64_t time_us;
};

#define SP_SPACE_EVENTS(X)                                                                         \
    X(SP_SPACE_CREATED, "created")       /* a new person */                                        \
    X(SP_SPACE_MERGED, "merged")         /* a track, or another person, is this person */          \
    X(SP_SPACE_RETURNED, "returned")     /* visible again after a gap */                           \
    X(SP_SPACE_REASSIGNED, "reassigned") /* a track of another person is this one (ID switch) */   \
    X(SP_SPACE_SPLIT, "split")           /* a track is not this person after all */                \
    X(SP_SPACE_REVERTED, "reverted")     /* a split track has its former global id again */        \
    X(SP_SPACE_EXPIRED, "expired")       /* out of view for too long */

enum sp_space_event_kind {
#define X(id, name) id,
    SP_SPACE_EVENTS(X)
#undef X
};
const char *sp_space_event_name(enum sp_space_event_kind kind);

/* A decision and its evidence. */
struct sp_space_event {
    uint64_t serial; /* 1, 2, 3, ... */
    int64_t time_us; /* common time */
    enum sp_space_event_kind kind;
    uint32_t person, other; /* other: the person before, or 0 */
    int camera;             /* of the track; -1: none */
    uint32_t track_id;
    double distance_m; /* between the track and the other cameras' estimate; negative: unknown */
    double deviations; /* the same in standard deviations */
    double time_s;     /* duration of the evidence; for a return: of the gap */
    double similarity; /* of appearance, -1..1; below -1: unknown */
    double log_odds;   /* natural log of the odds for the decision */
    int votes;         /* cameras that agree */
};

/* Adds the evidence to the open object; unknown members are omitted. */
void sp_space_event_evidence(struct sp_json *json, const struct sp_space_event *event);

struct sp_person {
    uint32_t person;
    double x, y;             /* in units of the map */
    double speed_x, speed_y; /* m/s */
    double deviation_m;
    int64_t created_us, seen_us; /* common time */
    bool visible;
    int observation_count;
    struct sp_observation observations[SP_SPACE_OBSERVATIONS_MAX]; /* the person's current tracks */
    int embeddings;
    struct sp_space_event why; /* the latest decision on this person */
    int trail_count;           /* the newest last */
    struct sp_trail_point trail[SP_SPACE_TRAIL_MAX];
};

/* People in view, and those out of view who are remembered. Returns the count. */
int sp_space_people(struct sp_space *space, struct sp_person *people, int max);

/* The newest points of one person's trail, oldest first. */
int sp_space_trail(struct sp_space *space, uint32_t person, struct sp_trail_point *points, int max);

/* Events after `serial`, oldest first; only the newest SP_SPACE_EVENTS_MAX are kept. */
int sp_space_events(struct sp_space *space, uint64_t serial, struct sp_space_event *events,
                    int max);

int64_t sp_space_now_us(struct sp_space *space); /* common time: the latest of all frames */

/* A camera's clock offset, and the estimate of a pair. */
int64_t sp_space_offset_us(struct sp_space *space, int camera);
bool sp_space_pair(struct sp_space *space, int a, int b, struct sp_offset_pair *pair);

struct sp_space_counts {
    int people, visible, tracks;
    uint64_t created, merged, split, reverted, returned, reassigned;
    uint64_t full; /* tracks or people beyond the capacity */
    int embeddings;
};
void sp_space_count(struct sp_space *space, struct sp_space_counts *counts);
