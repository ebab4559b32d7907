/* A source of decoded frames: one camera or one file.
 *
 * Data flow: URL -> open -> read, read, … -> SP_ERR_END (a file is over) or an error -> close.
 * One thread at a time uses a source; sp_source_interrupt alone may come from another. Frames may
 * outlive their source.
 *
 * Numbers: every frame of the stream has one sequence number, in the order of display, from 0.
 * Each number is accounted for once: given out, or counted in some frame's `undecoded` or in
 * sp_source_tail_undecoded (left out because of frame_skip), or in sp_source_failed. `sparse` and
 * `decode_threads` change no number and no byte of an undamaged video.
 *
 * Times: pts_us is the stream's own presentation time from its beginning, strictly rising. Where
 * the stream has none, a frame comes one nominal frame period (40 ms when that is unknown) after
 * the one before it. Where its clock stands or jumps back, the same, and all later times are
 * shifted alike, so that the distances behind the jump stay true. */
#pragma once

#include "surface.h"

#include <stdatomic.h>

struct sp_source;

/* Memory for decoded frames, both or none; what it cannot give comes from elsewhere. `release`
 * also after the source is closed, from any thread. */
struct sp_source_memory {
    void *(*alloc)(size_t bytes);
    void (*release)(void *memory);
};

struct sp_source_info {
    char format[32], codec[32]; /* "mov,mp4", "h264" */
    int width_px, height_px;    /* as announced; frames may differ */
    double frame_rate;          /* nominal, frames a second; 0: unknown */
    int64_t frames_total;       /* as announced, else duration times rate; 0: unknown */
    bool live;     /* a device, or a network source without an end: paced by the outside */
    bool snapshot; /* a still image that is read again and again; live as well */
};

/* Decoding on a GPU, where the engine can (spoton_engine_decodes) and the codec allows it; else,
 * and with api NULL, on the CPU. */
struct sp_source_gpu {
    const struct spoton_engine_api *api;
    const char *backend_options; /* the engine's options, or NULL */
    void *user;
    /* On which device a stream like this is to be decoded, when it is known what it is; negative:
     * on none. The opening thread. */
    int (*choose_device)(void *user, const struct sp_source_info *info);
};

struct sp_source_options {
    const char *url;            /* a path, anything FFmpeg reads, or sim:// (capture/sim/sim.h) */
    int camera;                 /* index, stamped on the frames */
    struct sp_frame_pool *pool; /* outlives the source */
    int frame_skip; /* >= 1; with `sparse`, only frames whose sequence is a multiple of it are
                     * given out, and where the codec allows the others are not even decoded */
    bool sparse;
    int decode_threads;                       /* 0: one */
    struct sp_source_memory memory;           /* frames that lie there are marked as pinned */
    struct sp_source_gpu gpu;                 /* frames then have a surface */
    int64_t open_timeout_us, read_timeout_us; /* of network sources; 0: none */
    int64_t snapshot_interval_us; /* a still image is read again so often, for ever; 0: once */
    atomic_bool *interrupted;     /* NULL, or outlives the source: setting it interrupts opening and
                                   * reading; sp_source_interrupt sets it */
};

/* SP_ERR_NOT_FOUND, SP_ERR_FORMAT, SP_ERR_UNSUPPORTED, SP_ERR_IO, SP_ERR_TIMEOUT,
 * SP_ERR_UNAUTHORIZED: it wants another user name or password. */
int sp_source_open(struct sp_source **out, const struct sp_source_options *options,
                   struct sp_error *err);
void sp_source_close(struct sp_source *source); /* NULL is fine */

void sp_source_info(const struct sp_source *source, struct sp_source_info *info);

/* The next frame, with one reference that is the caller's. SP_ERR_END after the last one.
 * SP_ERR_FORMAT when the stream is damaged or cut short: said after all frames that could be
 * decoded have been given out. Reads after either say SP_ERR_END. SP_ERR_TIMEOUT: no data within
 * read_timeout_us; a later read waits again. SP_ERR_INTERRUPTED after sp_source_interrupt. */
int sp_source_read(struct sp_source *source, struct sp_frame **out, struct sp_error *err);

/* Frames whose data was there and could not be decoded. What a cut file no longer holds is not
 * counted here; the text of SP_ERR_FORMAT says how much is missing. */
uint64_t sp_source_failed(const struct sp_source *source);

/* With `sparse`: frames left out since the last one that was given out; at the end, those that no
 * frame's `undecoded` tells of. */
uint64_t sp_source_tail_undecoded(const struct sp_source *source);

/* The next frame read is the last one at or before time_us on the scale of pts_us that a decoder
 * can begin with; sequence counts from 0 again, and nothing is said to be missing at the end. May
 * follow SP_ERR_END. SP_ERR_UNSUPPORTED: not a file; SP_ERR_IO. */
int sp_source_seek(struct sp_source *source, int64_t time_us, struct sp_error *err);

/* Makes a read that waits, and all later ones, return SP_ERR_INTERRUPTED. Any thread. */
void sp_source_interrupt(struct sp_source *source);
