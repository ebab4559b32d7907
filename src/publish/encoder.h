/* JPEG images for viewers: encoded once for all viewers of a stream, on worker threads.
 *
 * Data flow: sp_hub_publish -> sp_encoder_offer -> each stream of that camera keeps the newest
 * waiting frame -> a worker scales, draws, compresses -> the stream's newest JPEG -> wake ->
 * viewers. A stream is a camera at one size, quality and annotation. It exists while it has
 * viewers; without viewers nothing is encoded. At most one worker encodes a stream at a time, so
 * that its images stay in order; streams are encoded in parallel. When the workers cannot keep up,
 * waiting frames are replaced by newer ones. All functions are thread-safe. */
#pragma once

#include "publish/hub.h"
#include "render/jpeg.h"

struct sp_encoder;
struct sp_stream;

/* One encoded image. Shared; read-only except for the headroom in front of the data. */
struct sp_image {
    struct sp_result *result; /* the result drawn on the image */
    uint64_t number;          /* counts the stream's images from 1 */
    const uint8_t *jpeg;
    size_t jpeg_bytes;
    /* The same as an MJPEG part: the JPEG, then boundary and header of the next part, because a
     * browser shows a part when the following header arrives. SP_IMAGE_BOUNDARY precedes the first
     * part. The sender may write to SP_IMAGE_HEADROOM bytes in front of it. */
    uint8_t *part;
    size_t part_bytes;

    /* Private to encoder.c. */
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
    const struct sp_class_names *names; /* for labels; outlives the encoder; NULL: none */
};

int sp_encoder_open(struct sp_encoder **out, const struct sp_encoder_options *options,
                    struct sp_error *err);

/* Before the first stream. wake is called on a worker after each image; it must not block. */
void sp_encoder_listen(struct sp_encoder *encoder, void (*wake)(void *user, int camera),
                       void *user);

/* Ends the workers; later offers are ignored. Idempotent. */
void sp_encoder_stop(struct sp_encoder *encoder);

/* Stops and frees. All streams and images must be released. NULL is allowed. */
void sp_encoder_close(struct sp_encoder *encoder);

/* The `image` callback of the hub (user: the encoder). */
void sp_encoder_offer(void *encoder, struct sp_result *result, struct sp_frame *frame);

struct sp_stream_options {
    int camera;
    int width_px; /* at most; the height keeps the aspect. 0: the camera's */
    double scale; /* of the camera's size, at most 1. 0: 1 */
    int quality;  /* 1..100 */
    bool annotated;
    bool wide; /* padded with black to 16:9; width_px and scale are those of the padded frame */
};

/* Joins the stream with these options, or creates it; its first image is the camera's newest frame.
 * SP_ERR_NO_SPACE: SP_STREAMS_MAX others are open. */
int sp_stream_join(struct sp_encoder *encoder, const struct sp_stream_options *options,
                   struct sp_stream **out, struct sp_error *err);
void sp_stream_leave(struct sp_stream *stream); /* NULL is allowed */

/* The number of the newest image; 0: none yet. */
uint64_t sp_stream_number(struct sp_stream *stream);

/* The newest image, with a reference for the caller, if its number is above `seen`; else NULL. */
struct sp_image *sp_stream_newest(struct sp_stream *stream, uint64_t seen);

void sp_image_unref(struct sp_image *image); /* NULL is allowed */

struct sp_encoder_counts {
    int streams;
    int waiting;       /* streams with a frame that waits for a worker */
    uint64_t encoded;  /* images */
    uint64_t replaced; /* waiting frames replaced by newer ones */
    uint64_t failed;
};
void sp_encoder_count(struct sp_encoder *encoder, struct sp_encoder_counts *counts);
