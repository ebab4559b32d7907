/* Images of cameras for one output: which are due, and how one is made.
 *
 * Data flow: sp_snapshots_see for each camera whose tracks pass -> sp_snapshots_next, between two
 * batches -> struct sp_image_source -> a message, which is sent once and not kept in the outbox.
 *
 * A camera has an image when `interval_us` has passed, or when it was requested, and at most one a
 * second; requests for unknown cameras have no effect. Memory is fixed. One thread. */
#pragma once

#include "capacity.h"
#include "result.h"

#include <stdbool.h>
#include <stdint.h>

struct sp_still {
    uint8_t *jpeg; /* free() */
    size_t bytes;
    int64_t wall_us; /* when the frame was decoded */
};

/* Where images come from. `take` returns false if the camera has none, or if stopping() ends the
 * wait; it takes two seconds at most. Called on the threads of outputs. */
struct sp_image_source {
    bool (*take)(void *user, const char *camera, int width_px, bool (*stopping)(void *),
                 void *stopping_user, struct sp_still *out);
    void *user;
};

struct sp_snapshots {
    int64_t interval_us; /* 0: on request only */
    int count;
    struct {
        char camera[SP_RESULT_NAME_BYTES];
        int64_t taken_us;
        bool requested;
    } list[SP_CAMERAS_MAX];
};

void sp_snapshots_see(struct sp_snapshots *snapshots, const char *camera);
void sp_snapshots_forget(struct sp_snapshots *snapshots, const char *camera);

/* Index in the list. */
void sp_snapshots_request(struct sp_snapshots *snapshots, int index);

/* A camera whose image is due, which counts as taken; NULL: none. */
const char *sp_snapshots_next(struct sp_snapshots *snapshots, int64_t now_us);
