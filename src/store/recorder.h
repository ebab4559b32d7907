/* Records results and events of live cameras into the store.
 *
 * Data flow: sp_recorder_frame (the thread that orders results) and sp_recorder_event -> one of two
 * buffers of bounded size -> once in 0.9 s the recorder's thread swaps the buffers, encodes a block
 * for each camera (store/block.h), appends the blocks, synchronises them, and writes events, counts
 * per minute and tracks in one transaction. A power cut loses at most what was given within the
 * last second.
 *
 * Nothing waits for the disk or the database: a full buffer drops frames and counts them. While
 * writing fails, blocks and events are kept up to a limit and tried again; then the oldest are
 * dropped. Memory is bounded.
 *
 * Frames come from one thread at a time, in the order of counting; events from any. */
#pragma once

#include "base/error.h"
#include "capacity.h"
#include "event.h"
#include "track.h"
#include "world_position.h"

#include <stdbool.h>
#include <stddef.h>

struct sp_recorder;

enum sp_recorder_state {
    SP_RECORDER_RECORDING,
    SP_RECORDER_FULL,   /* no space left */
    SP_RECORDER_FAILED, /* another error of writing */
};

struct sp_recorder_options {
    const char *location; /* of sp_store_open */
    int retention_days;   /* 0: unlimited */
    int64_t max_bytes;    /* 0: unlimited */
    /* Called on the recorder's thread when the state changes; must not block. May be NULL. `text`:
     * the error, or empty. */
    void (*changed)(void *user, enum sp_recorder_state state, const char *text);
    void *user;
};

/* Errors of sp_store_open; SP_ERR_CLOSED: another process records into this folder. */
int sp_recorder_open(struct sp_recorder **out, const struct sp_recorder_options *options,
                     struct sp_error *err);
/* Writes what was given. NULL is allowed, also below. */
void sp_recorder_close(struct sp_recorder *recorder);

/* A frame as it is counted, in the order of counting over all cameras. Copied during the call. */
struct sp_recorded_frame {
    int camera; /* camera index */
    const char *name;
    uint64_t epoch; /* differs for a later camera of the same index */
    uint64_t sequence;
    int64_t time_us; /* since the Unix epoch */
    bool inferred;   /* otherwise tracks are predicted */
    int width_px, height_px;
    const struct sp_track *tracks;
    const struct sp_world_position *positions; /* NULL: none */
    size_t count;
};
void sp_recorder_frame(struct sp_recorder *recorder, const struct sp_recorded_frame *frame);
void sp_recorder_event(struct sp_recorder *recorder, const struct sp_event *event);

/* Statistics of API v1: the totals so far of an hour since the epoch. camera empty: the system. */
struct sp_recorded_hour {
    char camera[SP_EVENT_CAMERA_BYTES];
    int64_t hour;
    uint64_t boxes, tracks, confidence_milli, on_ms, up_ms;
};
void sp_recorder_hour(struct sp_recorder *recorder, const struct sp_recorded_hour *hour);

/* A feedback record of API v1, as JSON. */
void sp_recorder_feedback(struct sp_recorder *recorder, int64_t time_us, const char *record);

/* The image of an event. One image may be given for several events. */
struct sp_recorded_image {
    char event[SP_EVENT_ID_BYTES];
    char camera[SP_EVENT_CAMERA_BYTES];
    int64_t number; /* of the image: microseconds since the Unix epoch, each used once */
    uint32_t bytes; /* of the JPEG; 0: it was given before */
};
/* jpeg[image->bytes] is copied. False: images have used up their part of the buffer; this one is
 * not stored. */
bool sp_recorder_image(struct sp_recorder *recorder, const struct sp_recorded_image *image,
                       const uint8_t *jpeg);

struct sp_recorder_report {
    enum sp_recorder_state state;
    char error[512];
    uint64_t frames, boxes, events; /* stored */
    uint64_t bytes;                 /* of blocks, written by this process */
    uint64_t dropped;               /* frames that were not stored */
    uint64_t waiting_bytes;         /* blocks that could not be written yet */
    int64_t store_bytes;            /* of the whole store, updated once a minute */
};
void sp_recorder_report(struct sp_recorder *recorder, struct sp_recorder_report *report);

const char *sp_recorder_state_name(enum sp_recorder_state state);
