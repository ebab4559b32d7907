/* A source of decoded pictures: one camera or one file.
 *
 * Data flow: URL -> open -> read, read, … -> SP_ERR_END (a file is over) or an error -> close.
 * One thread at a time uses a source; sp_source_interrupt alone may come from another. */
#pragma once

#include "frame.h"

struct sp_source;

struct sp_source_options {
    const char *url;            /* a path or anything FFmpeg reads */
    int camera;                 /* index, stamped on the frames */
    struct sp_frame_pool *pool; /* outlives the source */
    int frame_skip; /* >= 1; with `sparse`, only pictures whose sequence is a multiple of it are
                     * given out, and where the codec allows the others are not even decoded */
    bool sparse;
    int decode_threads;                       /* 0: the decoder chooses */
    int64_t open_timeout_us, read_timeout_us; /* of network sources; 0: none */
};

struct sp_source_info {
    char format[32], codec[32]; /* "mov,mp4", "h264" */
    int width_px, height_px;    /* as announced; pictures may differ */
    double frame_rate;          /* nominal, pictures a second; 0: unknown */
    int64_t frames_total;       /* 0: unknown */
    bool live;                  /* a network or device source: paced by the outside */
};

/* SP_ERR_NOT_FOUND, SP_ERR_FORMAT, SP_ERR_UNSUPPORTED, SP_ERR_IO, SP_ERR_TIMEOUT. */
int sp_source_open(struct sp_source **out, const struct sp_source_options *options,
                   struct sp_error *err);
void sp_source_close(struct sp_source *source); /* NULL is fine */

void sp_source_info(const struct sp_source *source, struct sp_source_info *info);

/* The next picture, with one reference that is the caller's. SP_ERR_END after the last one.
 * SP_ERR_FORMAT when the stream is damaged or cut short: said after all pictures that could be
 * decoded have been given out. SP_ERR_INTERRUPTED after sp_source_interrupt. */
int sp_source_read(struct sp_source *source, struct sp_frame **out, struct sp_error *err);

/* Pictures that the container or the decoder announced and that could not be decoded. */
uint64_t sp_source_failed(const struct sp_source *source);

/* Makes a read that waits, and all later ones, return SP_ERR_INTERRUPTED. Any thread. */
void sp_source_interrupt(struct sp_source *source);
