/* A source of decoded frames: one camera or one file.
 *
 * Data flow: URL -> open -> read, read, … -> SP_ERR_END (end of file) or an error -> close.
 * One thread at a time uses a source; only sp_source_interrupt may be called from another. Frames
 * may outlive their source.
 *
 * Numbers: every frame of the stream has one sequence number, in display order, from 0. Each number
 * is accounted for once: returned, or counted in a frame's `undecoded` or in
 * sp_source_tail_undecoded (skipped because of frame_skip), or in sp_source_failed. `sparse` and
 * `decode_threads` change no number and no byte of an undamaged video.
 *
 * Times: pts_us is the stream's own presentation time from its beginning, strictly rising. Without
 * timestamps, frames are one nominal frame period apart. The same applies where
 * the clock stands still or jumps back, and all later times are shifted by the same amount, so that
 * intervals after the jump are kept. */
#pragma once

#include "surface.h"

#include <stdatomic.h>

struct sp_source;

/* Memory for decoded frames, both or none; on failure frames are allocated elsewhere. `release` may
 * be called after the source is closed, from any thread. */
struct sp_source_memory {
    void *(*alloc)(size_t bytes);
    void (*release)(void *memory);
};

struct sp_source_info {
    char format[32], codec[32]; /* "mov,mp4", "h264" */
    int width_px, height_px;    /* as announced; frames may differ */
    double frame_rate;          /* nominal, frames per second; 0: unknown */
    int64_t frames_total;       /* as announced, else duration times rate; 0: unknown */
    bool live;                  /* a device, or an endless network source: paced by the camera */
    bool snapshot;              /* a still image that is read periodically; also live */
};

/* Decoding on a GPU, where the engine (spoton_engine_decodes) and the codec support it; otherwise,
 * and with api NULL, on the CPU. */
struct sp_source_gpu {
    const struct spoton_engine_api *api;
    const char *backend_options; /* the engine's options, or NULL */
    void *user;
    /* The device to decode a stream like this on, called once its properties are known; negative:
     * the CPU. Runs on the opening thread. */
    int (*choose_device)(void *user, const struct sp_source_info *info);
};

enum sp_source_transport { SP_SOURCE_AUTO, SP_SOURCE_TCP, SP_SOURCE_UDP };

struct sp_push;

struct sp_source_options {
    const char *url;            /* a path, anything FFmpeg reads, or sim:// (capture/sim/sim.h) */
    struct sp_push *push;       /* frames come from there (capture/push.h); NULL: from the URL */
    int camera;                 /* index, stamped on the frames */
    struct sp_frame_pool *pool; /* outlives the source */
    int frame_skip; /* >= 1; with `sparse`, only frames whose sequence is a multiple of it are
                     * returned, and where the codec allows the others are not decoded */
    bool sparse;
    bool rewinds; /* at its end a regular file is seeked to 0 or rewound: its decoder is kept, as if
                   * it had no end */
    enum sp_source_transport rtsp_transport; /* auto: TCP, else UDP; ?tcp or ?udp take precedence */
    int decode_threads;                      /* 0: one */
    struct sp_source_memory memory;          /* frames there are marked as pinned */
    struct sp_source_gpu gpu;                /* frames decoded there have a surface */
    int64_t open_timeout_us, read_timeout_us; /* of network sources; 0: none */
    int64_t snapshot_interval_us; /* a still image is read again at this interval; 0: once */
    atomic_bool *interrupted;     /* NULL, or outlives the source: setting it interrupts opening and
                                   * reading; sp_source_interrupt sets it */
};

/* SP_ERR_NOT_FOUND, SP_ERR_FORMAT, SP_ERR_UNSUPPORTED, SP_ERR_IO, SP_ERR_TIMEOUT,
 * SP_ERR_UNAUTHORIZED: missing or wrong credentials. */
int sp_source_open(struct sp_source **out, const struct sp_source_options *options,
                   struct sp_error *err);
void sp_source_close(struct sp_source *source); /* NULL is fine */

void sp_source_info(const struct sp_source *source, struct sp_source_info *info);

/* The next frame, with one reference owned by the caller. SP_ERR_END after the last one.
 * SP_ERR_FORMAT when the stream is damaged or truncated: returned after all decodable frames. Reads
 * after either return SP_ERR_END. SP_ERR_TIMEOUT: no data within read_timeout_us; a later read
 * waits again. SP_ERR_INTERRUPTED after sp_source_interrupt. */
int sp_source_read(struct sp_source *source, struct sp_frame **out, struct sp_error *err);

/* Frames whose data was present but could not be decoded. Missing data of a truncated file is not
 * counted here; the message of SP_ERR_FORMAT states how much is missing. */
uint64_t sp_source_failed(const struct sp_source *source);

/* With `sparse`: frames skipped since the last returned one; at the end, those that no frame's
 * `undecoded` counts. */
uint64_t sp_source_tail_undecoded(const struct sp_source *source);

/* Seeks so that the next frame is the last decodable entry point at or before time_us on the scale
 * of pts_us; sequence restarts at 0, and missing data is not reported at the end. Allowed after
 * SP_ERR_END. SP_ERR_UNSUPPORTED: not a file; SP_ERR_IO. */
int sp_source_seek(struct sp_source *source, int64_t time_us, struct sp_error *err);

/* Seeks to 0 a file that was opened with `rewinds`, unless it was replaced, written or removed
 * since it was opened. SP_ERR_UNSUPPORTED: it was, or is not a regular file: the caller opens it
 * again. */
int sp_source_rewind(struct sp_source *source, struct sp_error *err);

/* Makes a waiting read, and all later ones, return SP_ERR_INTERRUPTED. Any thread. */
void sp_source_interrupt(struct sp_source *source);
