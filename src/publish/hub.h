/* The hub: the newest results of each camera, for any number of viewers.
 *
 * Data flow: pipeline sink (tracking workers) -> sp_hub_publish -> a ring of results and the newest
 * frame of that camera -> viewers, which are woken and read the results after their cursor. Each
 * viewer keeps one cursor per camera. When a slow viewer's next result has left the ring, the
 * viewer continues with the newest: it skips whole frames, occupies no memory and delays no other
 * viewer. The encoder (publish/encoder.h) is notified of each frame and compresses it only for
 * viewers.
 *
 * Publishing copies nothing, takes a short lock and never waits for a viewer. All functions are
 * thread-safe; publish calls of one camera must not overlap. */
#pragma once

#include "capacity.h"
#include "frame.h"
#include "result.h"
#include "stage.h"

enum {
    SP_HUB_NAME_BYTES = SP_RESULT_NAME_BYTES,
    SP_HUB_RING = 8, /* results per camera that a viewer may lag behind */
};

struct sp_hub;

struct sp_hub_options {
    /* Called after each publication, on the publishing thread, outside of the hub's locks; must not
     * block. May be NULL. */
    void (*wake)(void *user, int camera);
    /* The same, with the frame. Both are valid during the call; take a reference to keep them. */
    void (*image)(void *user, struct sp_result *result, struct sp_frame *frame);
    void *user; /* of wake */
    void *image_user;
};

int sp_hub_open(struct sp_hub **out, struct sp_error *err);

/* Before the first publication. */
void sp_hub_listen(struct sp_hub *hub, const struct sp_hub_options *options);

/* No call may be in progress. NULL is allowed. */
void sp_hub_close(struct sp_hub *hub);

/* Assigns a camera index to a camera (no effect while a camera of that name has it), or releases
 * the index with its results and frame. */
void sp_hub_begin_camera(struct sp_hub *hub, int camera, const char *name);
void sp_hub_end_camera(struct sp_hub *hub, int camera);

/* Generations are above `epoch` from now on, and no two are the same. Default: 0. */
void sp_hub_set_epoch(struct sp_hub *hub, uint64_t epoch);

/* Sets what distinguishes results from those of an earlier camera, or of another node that ran it.
 * Viewers begin with the next result. */
void sp_hub_set_generation(struct sp_hub *hub, int camera, uint64_t generation);

/* Of the camera that has this index now; 0: none. */
uint64_t sp_hub_generation(struct sp_hub *hub, int camera);

/* Gives the result its camera's identity and clips its boxes to the frame and confidences to 0..1.
 * The caller's is the only reference to it so far; the hub takes its own ones to both. It and the
 * frame are read-only then. SP_ERR_NOT_FOUND: no camera has this index; the result is not shared.
 */
int sp_hub_publish(struct sp_hub *hub, struct sp_result *result, struct sp_frame *frame);

/* A viewer's position in one camera's results. Zeroed: before the first. */
struct sp_hub_cursor {
    uint64_t generation, serial;
    uint64_t missed; /* results skipped since the viewer began */
};

/* True when sp_hub_next would return a result. */
bool sp_hub_has_next(struct sp_hub *hub, int camera, const struct sp_hub_cursor *cursor);

/* Returns the result after the cursor, with a reference for the caller, and advances the cursor. A
 * new cursor begins with the newest result. NULL: nothing new. */
struct sp_result *sp_hub_next(struct sp_hub *hub, int camera, struct sp_hub_cursor *cursor);

/* The newest result with its frame (may be NULL), each with a reference. False: none yet. */
bool sp_hub_latest(struct sp_hub *hub, int camera, struct sp_result **result,
                   struct sp_frame **frame);

/* Totals published for a camera index since the hub was opened. */
struct sp_hub_totals {
    uint64_t frames, inferred;
    uint64_t boxes;            /* of tracks, in inferred frames */
    uint64_t confidence_milli; /* of these boxes, summed */
    uint64_t tracks;           /* new ones */
};
void sp_hub_count(struct sp_hub *hub, int camera, struct sp_hub_totals *totals);

/* Durations of drawing, encoding and sending for a camera index; the encoder and the server add to
 * them. */
struct sp_hub_times {
    struct sp_histogram draw, encode, send;
};
struct sp_hub_times *sp_hub_times(struct sp_hub *hub, int camera);
