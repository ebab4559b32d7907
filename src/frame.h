/* A decoded frame, shared by the stages.
 *
 * Data flow: capture gets frames from a pool; every stage that keeps a frame holds a reference; the
 * last unref returns the planes to their owner (the decoder's own buffers, which are not copied)
 * and the struct to the pool. Shared frames are read-only: drawing works on a copy. Planes are
 * 8-bit YUV 4:2:0, chroma (w+1)/2 x (h+1)/2.
 *
 * A frame decoded on a GPU stays in the GPU's memory: it has a `surface`, and no planes until
 * sp_frame_fetch() copies them to the host (surface.h). */
#pragma once

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frames per second that are assumed of a source whose rate is unknown. */
#define SP_FRAME_RATE_DEFAULT 25.0

enum sp_pixel_format {
    SP_PIXEL_I420, /* planes Y, U, V */
    SP_PIXEL_NV12, /* planes Y, interleaved UV */
};

enum sp_color_matrix { SP_MATRIX_BT601, SP_MATRIX_BT709, SP_MATRIX_BT2020 };

struct sp_frame_pool;
struct spoton_engine_api;
struct spoton_surface;

struct sp_frame {
    const uint8_t *plane[3];
    int stride_bytes[3];
    int width_px, height_px;
    enum sp_pixel_format format;
    enum sp_color_matrix matrix;
    bool full_range;     /* luma 0..255 instead of 16..235 */
    int pixel_aspect[2]; /* a pixel's width : height; 0: square */
    bool pinned;         /* the planes are in memory of the engine's host_alloc() */
    int64_t pts_us;      /* presentation time; increasing within a camera */
    int64_t received_us; /* sp_clock_us() when decoded */
    int64_t decode_us;   /* time for reading and decoding */
    int camera;          /* index */
    uint64_t sequence;   /* index of the frame in its video, from 0; counts missing frames */
    uint32_t epoch;      /* changes when the frame does not follow the previous one (a file loops
                          * or seeks); set by the pipeline */
    uint32_t undecoded;  /* frames before this one that FRAME_SKIP did not decode */

    /* Block means of the Y plane (schedule/gate.h), [means_height][means_width]; NULL: none. */
    int16_t *means;
    int means_width, means_height;

    struct spoton_surface *surface; /* or NULL */

    /* Private to frame.c, surface.c and the code that fills the frame. */
    const struct spoton_engine_api *gpu; /* the engine that owns the surface */
    pthread_mutex_t fetching;            /* guards the planes of a frame with a surface */
    uint8_t *fetched;                    /* memory of fetched planes, or NULL */
    int16_t *means_memory;               /* stays with the struct in the pool */
    size_t means_count;
    atomic_int refs;
    struct sp_frame_pool *pool;
    struct sp_frame *next_free;
    void *owner;                  /* the owner of the planes */
    void (*release)(void *owner); /* called once, by the last unref, on its thread; may be NULL */
};

/* Grows to the number of frames in use at once, which the queues between the stages bound, and
 * keeps them for reuse: no allocation in steady state. SP_ERR_NO_MEMORY. */
int sp_frame_pool_open(struct sp_frame_pool **out, struct sp_error *err);

/* Frames in use keep the pool's memory until their last unref. NULL is fine. */
void sp_frame_pool_close(struct sp_frame_pool *pool);

/* An empty frame with one reference; NULL: out of memory. Any thread. */
struct sp_frame *sp_frame_pool_get(struct sp_frame_pool *pool);

/* Any thread. */
struct sp_frame *sp_frame_ref(struct sp_frame *frame);
void sp_frame_unref(struct sp_frame *frame); /* NULL is fine */

/* Memory for block means, for a frame that is not shared yet; sets the members `means`. Memory of
 * the struct's earlier frames is reused. SP_ERR_NO_MEMORY. */
int sp_frame_hold_means(struct sp_frame *frame, int width, int height);

/* The display size in square pixels: one side is the frame's, the other one is longer. */
void sp_frame_square_size(const struct sp_frame *frame, double *width_px, double *height_px);
void sp_frame_square_size_px(const struct sp_frame *frame, int *width_px, int *height_px);

struct YuvConstants;

/* The frame's color matrix for libyuv's RGB24 and ARGB, which write blue first: with this matrix
 * and U and V exchanged they write red first. Never freed. */
const struct YuvConstants *sp_frame_red_first(const struct sp_frame *frame);
