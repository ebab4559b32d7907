/* Shared by the files of space/. Data flow: space.h. All functions require the space's mutex.
 *
 * Times named raw_us are a camera's own; all others are common time: raw minus the camera's
 * offset. */
#pragma once

#include "base/assign.h"
#include "space/appearance.h"
#include "space/space.h"

#include <math.h>
#include <pthread.h>

enum {
    TRACKLETS_MAX = 4096,
    EVIDENCE_MAX = 6,
    MEMBERS_MAX = SP_SPACE_OBSERVATIONS_MAX,
    BELIEFS_MAX = 6,
    GALLERY_MAX = 5, /* embeddings of a person */
    NONE = -1,
};

/* Evidence that a track is a person: an average over time, as consecutive samples are strongly
 * correlated. */
struct evidence {
    int identity;
    uint32_t number; /* of the identity when it began: its entry may be reused */
    double mean;     /* log likelihood ratio of one comparison */
    double time_s;   /* duration of the comparison */
    int64_t at_us;   /* of the last sample */
    double distance2, distance_m;
    int votes;
};

/* Log odds of a track being another person than its current one. */
struct belief {
    int identity;
    uint32_t number; /* 0: none */
    double odds;
    double prior; /* before the last frame's box */
};

#define SP_BELIEF_MIN (-5.0)
#define SP_OUTLIER2 16.0 /* squared Mahalanobis distance from which a box is an outlier */

/* A track of one camera. */
struct tracklet {
    bool used;
    int camera;
    uint32_t track_id;
    int identity; /* or NONE */
    int64_t created_us, merged_us;
    int64_t alone_us; /* since when it has no identity */
    int64_t seen_raw_us;
    int hits;
    bool placed;             /* `motion` is valid */
    bool restart;            /* restart the position at the next box, keep the velocity */
    int surprises;           /* consecutive outliers of the filter */
    struct sp_motion motion; /* at motion_raw_us */
    int64_t motion_raw_us;

    double step_s; /* between its last two frames */
    struct {
        double x, y, width, height; /* px; of its middle */
    } box;                          /* in its last frame */
    struct belief belief[BELIEFS_MAX];

    uint32_t former; /* its global id before a merge, until former_until_us */
    int64_t former_until_us;
    int former_votes;

    int evidence_count;
    struct evidence evidence[EVIDENCE_MAX];

    int embeddings; /* count in the mean */
    int64_t embedded_us;
    bool sure; /* the feet are visible */

    /* Valid within a tick. */
    bool live;
    struct sp_spot spot;
    double weight[3]; /* inverse of the spot's covariance: xx, xy, yy */
};

struct gallery_entry {
    int camera;
    int64_t at_us; /* 0: empty */
};

/* A person. */
struct identity {
    uint32_t number; /* global id; 0: free */
    int64_t created_us, seen_us;
    int member_count;
    int member[MEMBERS_MAX]; /* tracklets; lost ones until they are dropped */
    struct sp_spot spot;     /* at seen_us */
    double vx, vy;
    bool follows;               /* `motion` is valid */
    struct sp_motion motion;    /* from all cameras' boxes, at motion_us */
    struct sp_spot smoothed;    /* from `motion`, at the tick */
    int64_t motion_us, fits_us; /* fits_us: of the last box that was no outlier */
    int cameras_max;            /* the most cameras that saw the person at once */
    struct gallery_entry gallery[GALLERY_MAX];
    struct sp_space_event why;

    int trail_next, trail_count;
    struct sp_trail_point trail[SP_SPACE_TRAIL_MAX];

    /* Valid within a tick. */
    int live_count;
    double sum[3], sum_x, sum_y; /* information of all live members */
};

/* A person with a filter, at the time of the frame being processed. */
struct present {
    int identity;
    double x, y; /* at the last tick */
    struct sp_spot expected;
};

struct camera {
    bool used;
    struct sp_ground ground;
    int64_t last_raw_us;
    double noise; /* factor on the boxes' variance, learnt */
    int tracklet_count;
    int tracklet[SP_TRACKS_MAX];
};

struct sp_space {
    struct sp_space_options options;
    pthread_mutex_t mutex;
    int64_t now_us, ticked_us, solved_us;
    bool began;
    struct camera *cameras;
    struct tracklet *tracklets; /* [TRACKLETS_MAX] */
    int *free_tracklets, free_count;
    struct identity *identities; /* [SP_SPACE_PEOPLE_MAX] */
    int identity_high;           /* all entries from here on are free */
    uint32_t last_number;
    struct sp_offsets *offsets;
    struct sp_appearance appearance;
    float *tracklet_vectors; /* [TRACKLETS_MAX][embedding_numbers] */
    float *gallery_vectors;  /* [SP_SPACE_PEOPLE_MAX][GALLERY_MAX][embedding_numbers] */
    double agreement;        /* factor on the covariance between cameras, learnt */
    struct sp_assign *assign;
    int present_count;
    struct present present[SP_SPACE_PEOPLE_MAX];
    int *column_of_identity; /* [SP_SPACE_PEOPLE_MAX] scratch */
    double learn_dice;

    struct sp_space_event events[SP_SPACE_EVENTS_MAX]; /* a ring */
    uint64_t event_serial;
    struct sp_space_counts counts;
    struct sp_track boxes[SP_TRACKS_MAX]; /* the frame's boxes as measured */
    struct sp_foot feet[SP_TRACKS_MAX];
    struct tracklet *of_track[SP_TRACKS_MAX];
};

static inline int64_t common_us(const struct sp_space *s, int camera, int64_t raw_us)
{
    return raw_us - sp_offsets_us(s->offsets, camera);
}

static inline bool sp_present_is_near(const struct present *present, const struct sp_spot *spot)
{
    const double gate_m = 2.5;
    return fabs(present->x - spot->x) <= gate_m && fabs(present->y - spot->y) <= gate_m;
}

/* tick.c: every 0.1 s. */
void sp_space_tick(struct sp_space *space);

/* follow.c: each frame's tracks, after their own filters were updated. */
void sp_space_follow(struct sp_space *space, int camera, int64_t time_us,
                     struct tracklet **of_track, size_t count);

/* share.c: updates the people's filters from each frame's boxes, after reassignments. */
void sp_space_share(struct sp_space *space, int64_t at_us, struct tracklet **of_track,
                    size_t count);
/* Before that: lists the people present, and starts missing filters. */
void sp_space_present(struct sp_space *space, int64_t at_us, struct tracklet **of_track,
                      size_t count);
const struct present *sp_present_find(const struct sp_space *space, int identity);
/* Columns of the assignment, numbered as rows name people. column[SP_SPACE_PEOPLE_MAX]. */
void sp_columns_clear(struct sp_space *space);
int sp_column_of(struct sp_space *space, int *column, int *columns, int identity);

/* decide.c */
void sp_space_decide(struct sp_space *space);

/* identity.c */
int sp_identity_new(struct sp_space *space, uint32_t number);
void sp_identity_free(struct sp_space *space, int identity);
/* True when a tracklet of the same camera other than `t` was alive at the same time. */
bool sp_identity_conflicts(const struct sp_space *space, int identity, const struct tracklet *t);
void sp_identity_add(struct sp_space *space, int identity, struct tracklet *t);
void sp_identity_remove(struct sp_space *space, struct tracklet *t);
struct sp_space_event *sp_space_note(struct sp_space *space, enum sp_space_event_kind kind,
                                     int identity, const struct tracklet *t);
void sp_tracklet_drop(struct sp_space *space, int tracklet);
/* NULL: none. */
struct evidence *sp_space_evidence(struct sp_space *space, struct tracklet *t, int identity);
struct belief *sp_tracklet_belief(struct tracklet *t, int identity, uint32_t number);

/* gallery.c */
float *sp_tracklet_vector(const struct sp_space *space, const struct tracklet *t);
/* The mean cosine of the best two of the gallery; below -1: unknown. */
double sp_gallery_similarity(const struct sp_space *space, const struct tracklet *t, int identity);
void sp_gallery_take(struct sp_space *space, int identity, const struct tracklet *t);
void sp_gallery_merge(struct sp_space *space, int from, int to);
void sp_gallery_clear(struct sp_space *space, int identity);
void sp_gallery_expire(struct sp_space *space, int64_t idle_us);
void sp_gallery_learn(struct sp_space *space);
