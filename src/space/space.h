/* One person over many cameras.
 *
 * Data flow: the tracks of each camera's images, in order, with their times -> foot points on the
 * map (space/ground.h) -> a filter for each track (space/motion.h) -> every tenth of a second of
 * the cameras' common time: evidence for each track and each person near it, decisions -> a place
 * for each track: on the map, and whose. docs/SPACE.md tells the method and its figures.
 *
 * A camera without a calibration is none of ours: its tracks have no place. Memory is taken in open
 * and does not grow. All functions are thread-safe, and short: they wait for each other alone. What
 * comes of the same calls in the same order is the same. */
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
    SP_SPACE_CAMERAS_MAX = 64,
    SP_SPACE_PEOPLE_MAX = 512,
    SP_SPACE_TRAIL_MAX = 128,
    SP_SPACE_OBSERVATIONS_MAX = 32,
    SP_SPACE_EVENTS_MAX = 512, /* the newest are kept */
};

struct sp_space_options {
    int cameras;            /* camera indices */
    int64_t remember_us;    /* a person out of sight is known again for so long; 0: 60 s */
    int64_t gallery_us;     /* an embedding is kept for so long; 0: 60 s */
    int embedding_numbers;  /* 0: no appearance */
    double similarity_same; /* cosine from which two crops speak for one person; 0: 0.7 */
};

struct sp_space;

int sp_space_open(struct sp_space **out, const struct sp_space_options *options,
                  struct sp_error *err);
void sp_space_close(struct sp_space *space); /* NULL is fine */

/* A camera comes into a camera index, or another calibration does; its tracks are forgotten.
 * `ground` NULL: it has none. */
void sp_space_set_camera(struct sp_space *space, int camera, const struct sp_ground *ground);

/* A image, at the camera's own time; times of all cameras are of about one clock. */
struct sp_space_frame {
    int64_t time_us;
    int width_px, height_px;
    const struct sp_track *tracks;
    size_t count;
    /* Those that the tracks name. Their boxes err by chance, tracks' for some time in the same way:
     * they are what is measured. NULL: the tracks' boxes are taken. */
    const struct sp_detection *detections;
};

/* The next image. A time that does not follow (an hour ahead, or back) begins the camera anew.
 * places[count]. False: the camera has no calibration. */
bool sp_space_update(struct sp_space *space, int camera, const struct sp_space_frame *image,
                     struct sp_world_position *positions);

/* The same for a image whose tracks are predicted: they are nothing new. */
bool sp_space_look(struct sp_space *space, int camera, const struct sp_space_frame *image,
                   struct sp_world_position *positions);

/* ---- appearance ---- */

/* How much an embedding of this track would help now; 0: not at all. 3: it is new and somebody
 * whom it may be is out of sight; 2: new, or ambiguous; 1: what is kept of it grows old. */
int sp_space_embedding_wanted(struct sp_space *space, int camera, uint32_t track_id);

/* embedding[embedding_numbers], of any length but 0. */
void sp_space_embed(struct sp_space *space, int camera, uint32_t track_id, const float *embedding);

/* No image came for so long, so that the common time stands still: embeddings grow old all the
 * same. */
void sp_space_expire(struct sp_space *space, int64_t idle_us);

/* ---- what is known ---- */

struct sp_observation {
    int camera;
    uint32_t track_id;
};

struct sp_trail_point {
    double x, y; /* in units of the map */
    int64_t time_us;
};

#define SP_SPACE_EVENTS(X)                                                                         \
    X(SP_SPACE_CREATED, "created")       /* a person nobody knew */                                \
    X(SP_SPACE_MERGED, "merged")         /* a track, or another person, is this one */             \
    X(SP_SPACE_RETURNED, "returned")     /* seen again after a gap */                              \
    X(SP_SPACE_REASSIGNED, "reassigned") /* a camera's track went over to this one from another */ \
    X(SP_SPACE_SPLIT, "split")           /* a track is not this one after all */                   \
    X(SP_SPACE_REVERTED, "reverted")     /* and has its old number back */                         \
    X(SP_SPACE_EXPIRED, "expired")       /* out of sight for too long */

enum sp_space_event_kind {
#define X(id, name) id,
    SP_SPACE_EVENTS(X)
#undef X
};
const char *sp_space_event_name(enum sp_space_event_kind kind);

/* Why something was decided. */
struct sp_space_event {
    uint64_t serial; /* 1, 2, 3, ... */
    int64_t time_us; /* common time */
    enum sp_space_event_kind kind;
    uint32_t person, other; /* other: the person it was before, or 0 */
    int camera;             /* of the track; -1: none */
    uint32_t track_id;
    double distance_m; /* between the track and what the others say; negative: nothing to compare */
    double deviations; /* the same in standard deviations */
    double time_s;     /* for how long that was so; after a gap: its length */
    double similarity; /* of appearance, -1..1; below -1: not known */
    double log_odds;   /* log of how much likelier it is than not */
    int votes;         /* cameras that agree */
};

/* Members of the object that is open: distance, time, looks and votes; the unknown is left out. */
void sp_space_event_evidence(struct sp_json *json, const struct sp_space_event *event);

struct sp_person {
    uint32_t person;
    double x, y;             /* in units of the map */
    double speed_x, speed_y; /* m/s */
    double deviation_m;
    int64_t created_us, seen_us; /* common time */
    bool visible;
    int observation_count;
    struct sp_observation
        observations[SP_SPACE_OBSERVATIONS_MAX]; /* tracks that are this person now */
    int embeddings;
    struct sp_space_event why; /* the last thing that was decided of it */
    int trail_count;           /* the newest last */
    struct sp_trail_point trail[SP_SPACE_TRAIL_MAX];
};

/* Everyone in sight, and those out of sight who are remembered. Returns the count. */
int sp_space_people(struct sp_space *space, struct sp_person *people, int max);

/* The newest points of one person's trail, oldest first. */
int sp_space_trail(struct sp_space *space, uint32_t person, struct sp_trail_point *points, int max);

/* Events after `serial`, oldest first. Those that have left the memory are gone. */
int sp_space_events(struct sp_space *space, uint64_t serial, struct sp_space_event *events,
                    int max);

int64_t sp_space_now_us(struct sp_space *space); /* common time: the latest that came */

/* What is taken off a camera's time, and what a pair says. */
int64_t sp_space_offset_us(struct sp_space *space, int camera);
bool sp_space_pair(struct sp_space *space, int a, int b, struct sp_offset_pair *pair);

struct sp_space_counts {
    int people, visible, tracks;
    uint64_t created, merged, split, reverted, returned, reassigned;
    uint64_t full; /* tracks or people for whom there was no room */
    int embeddings;
};
void sp_space_count(struct sp_space *space, struct sp_space_counts *counts);
