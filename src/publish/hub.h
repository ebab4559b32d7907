/* The hub: the newest results of each camera, for any number of viewers.
 *
 * Data flow: pipeline sink (post workers) -> sp_hub_publish -> a ring of results and the newest
 * frame of that camera -> viewers, who are woken and take what they have not seen. A viewer keeps
 * a cursor of its own for each camera. One that is slow finds that its next result has left the
 * ring and goes on with the newest: it skips whole frames, holds no memory and holds up nobody.
 * Frames become JPEG only for those who watch: an encoder (publish/encoder.h) is told of each.
 *
 * Publishing copies the tracks under a short lock and never waits for a viewer. The healthy state
 * allocates nothing: results come back to a free list. All functions are thread-safe; for one
 * camera publish calls come one after the other. */
#pragma once

#include "frame.h"
#include "stage.h"
#include "track.h"
#include "world_position.h"

enum {
    SP_HUB_CAMERAS_MAX = 64,
    SP_HUB_NAME_BYTES = 64,
    SP_HUB_RING = 8, /* results of a camera that a viewer may lag behind */
};

/* One finished frame, without its frame. Shared, read-only. */
struct sp_update {
    int camera; /* camera index */
    char name[SP_HUB_NAME_BYTES];
    uint64_t generation; /* of the camera index: a camera that came into it later has another */
    uint64_t serial;     /* of this camera's results: 1, 2, 3, ... */
    uint64_t sequence;
    int64_t pts_us;
    int64_t received_us;  /* sp_clock_us() when decoded */
    int64_t published_us; /* sp_clock_us() */
    int64_t wall_us;      /* wall clock when decoded */
    bool inferred;        /* else predicted */
    int width_px, height_px;
    double seen_width_px, seen_height_px; /* in square pixels */
    size_t track_count;
    struct sp_track tracks[SP_TRACKS_MAX];             /* boxes clipped to the frame */
    bool has_world_positions;                          /* else the camera is on no map */
    struct sp_world_position positions[SP_TRACKS_MAX]; /* [track_count] */

    /* For hub.c only. */
    atomic_int refs;
    struct sp_hub *hub;
    struct sp_update *next_free;
};

struct sp_hub;

struct sp_hub_options {
    /* Called after each publication, on the publishing thread, outside of the hub's locks; must not
     * wait. May be NULL. */
    void (*wake)(void *user, int camera);
    /* The same, with the frame; both are valid during the call, and may be kept by their refs. */
    void (*image)(void *user, struct sp_update *update, struct sp_frame *frame);
    void *user; /* of wake */
    void *image_user;
};

int sp_hub_open(struct sp_hub **out, struct sp_error *err);

/* Before the first publication. */
void sp_hub_listen(struct sp_hub *hub, const struct sp_hub_options *options);

/* No update may be held and no call be going on. NULL is fine. */
void sp_hub_close(struct sp_hub *hub);

/* A camera comes into a camera index (again: nothing happens while one of that name is there), or
 * leaves it: its results and its frame are forgotten. */
void sp_hub_begin_camera(struct sp_hub *hub, int camera, const char *name);
void sp_hub_end_camera(struct sp_hub *hub, int camera);

/* Of the camera in that camera index now; 0: none. */
uint64_t sp_hub_generation(struct sp_hub *hub, int camera);

struct sp_hub_result {
    const struct sp_frame *frame;
    bool inferred;
    const struct sp_track *tracks;
    size_t track_count;                        /* at most SP_TRACKS_MAX */
    const struct sp_world_position *positions; /* [track_count]; NULL: none */
};

/* SP_ERR_NOT_FOUND: no camera in that camera index. SP_ERR_NO_MEMORY: this frame is not published.
 */
int sp_hub_publish(struct sp_hub *hub, int camera, const struct sp_hub_result *result);

/* A viewer's place in one camera's results. Zeroed: has seen nothing. */
struct sp_hub_cursor {
    uint64_t generation, serial;
    uint64_t missed; /* results that it never got, since the beginning */
};

/* True when sp_hub_next would give something. */
bool sp_hub_has_next(struct sp_hub *hub, int camera, const struct sp_hub_cursor *cursor);

/* The result after the cursor, which moves; with a reference that is the caller's. A new cursor
 * begins with the newest. NULL: nothing new. */
struct sp_update *sp_hub_next(struct sp_hub *hub, int camera, struct sp_hub_cursor *cursor);

/* The newest with its frame (frame may be NULL); both with a reference. False: none yet. */
bool sp_hub_latest(struct sp_hub *hub, int camera, struct sp_update **update,
                   struct sp_frame **frame);

struct sp_update *sp_update_ref(struct sp_update *update);
void sp_update_unref(struct sp_update *update); /* NULL is fine */

/* What was published of the cameras in that camera index since the hub was opened. */
struct sp_hub_totals {
    uint64_t frames, inferred;
    uint64_t boxes;            /* of tracks, in inferred frames */
    uint64_t confidence_milli; /* of these boxes, summed */
    uint64_t tracks;           /* that began */
};
void sp_hub_count(struct sp_hub *hub, int camera, struct sp_hub_totals *totals);

/* How long drawing, encoding and sending took, by camera camera index; for whoever does it. */
struct sp_hub_times {
    struct sp_histogram draw, encode, send;
};
struct sp_hub_times *sp_hub_times(struct sp_hub *hub, int camera);
