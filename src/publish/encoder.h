/* JPEG images for those who watch: encoded once for all viewers of one stream, on worker threads.
 *
 * Data flow: sp_hub_publish -> sp_encoder_offer -> each stream of that camera keeps the newest
 * image that waits -> a worker scales, draws, compresses -> the stream's newest JPEG -> wake ->
 * viewers. A stream is a camera in one size, quality and kind; it lives as long as it has viewers,
 * and without viewers nothing is done at all. One stream is worked on by one worker at a time, so
 * its images stay in order; streams are worked on in parallel. Where the workers cannot keep up,
 * images that wait are replaced by newer ones. All functions are thread-safe. */
#pragma once

#include "publish/hub.h"
#include "render/jpeg.h"

struct sp_encoder;
struct sp_stream;

/* One encoded image. Shared, read-only but for the room before the data. */
struct sp_image {
    struct sp_update *update; /* what the image shows */
    uint64_t number;          /* within its stream: 1, 2, 3, ... */
    const uint8_t *jpeg;
    size_t jpeg_bytes;
    /* The same as a part of MJPEG: the JPEG, then boundary and header of the next part, as a
     * browser shows a part when the header after it arrives. Before the first part goes
     * SP_IMAGE_BOUNDARY. There are SP_IMAGE_HEADROOM bytes before it that the sender may write to.
     */
    uint8_t *part;
    size_t part_bytes;

    /* For encoder.c only. */
    atomic_int refs;
    struct sp_encoder *encoder;
    struct sp_image *next_free;
    uint8_t *memory;
    size_t capacity_bytes;
};

enum { SP_IMAGE_HEADROOM = 32, SP_STREAMS_MAX = 256 };
#define SP_IMAGE_BOUNDARY "--frame\r\nContent-Type: image/jpeg\r\n\r\n"

struct sp_encoder_options {
    struct sp_hub *hub;
    int threads;                                             /* 0: one */
    struct sp_jpeg_device (*device)(void *user, int thread); /* NULL: the CPU */
    void *device_user;
    const struct sp_class_names *names; /* on labels; outlive the encoder; NULL: none */
};

int sp_encoder_open(struct sp_encoder **out, const struct sp_encoder_options *options,
                    struct sp_error *err);

/* Before the first stream: is called on a worker after each image; must not wait. */
void sp_encoder_listen(struct sp_encoder *encoder, void (*wake)(void *user, int camera),
                       void *user);

/* Ends the workers; later offers do nothing. Idempotent. */
void sp_encoder_stop(struct sp_encoder *encoder);

/* Stops. No stream may be open and no image be held. NULL is fine. */
void sp_encoder_close(struct sp_encoder *encoder);

/* To be given to the hub as its `image` listener (user: the encoder). */
void sp_encoder_offer(void *encoder, struct sp_update *update, struct sp_frame *frame);

struct sp_stream_options {
    int camera;
    int width_px; /* at most; the height follows. 0: the camera's */
    double scale; /* of the camera's size, at most 1; 0: 1 */
    int quality;  /* 1..100 */
    bool annotated;
    bool wide; /* padded with black to 16:9; width_px and scale are those of the padded frame */
};

/* Joins the stream of these options, or makes it; its first image is the newest that the camera
 * has. SP_ERR_NO_SPACE: SP_STREAMS_MAX others are open. */
int sp_stream_join(struct sp_encoder *encoder, const struct sp_stream_options *options,
                   struct sp_stream **out, struct sp_error *err);
void sp_stream_leave(struct sp_stream *stream); /* NULL is fine */

/* The number of the newest image; 0: none yet. */
uint64_t sp_stream_number(struct sp_stream *stream);

/* The newest image if its number is above `seen`, with a reference that is the caller's. */
struct sp_image *sp_stream_newest(struct sp_stream *stream, uint64_t seen);

void sp_image_unref(struct sp_image *image); /* NULL is fine */

struct sp_encoder_counts {
    int streams;
    int waiting;       /* streams whose image waits for a worker */
    uint64_t encoded;  /* images */
    uint64_t replaced; /* that waited and gave way to newer ones */
    uint64_t failed;
};
void sp_encoder_count(struct sp_encoder *encoder, struct sp_encoder_counts *counts);
