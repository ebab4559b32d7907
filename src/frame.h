/* A decoded frame, shared by the stages.
 *
 * Data flow: capture makes frames from a pool; every stage that keeps one holds a reference; the
 * last unref hands the planes back to where they came from (the decoder's own buffers: nothing is
 * copied) and the shell back to the pool. Shared means read-only: whoever draws takes its own copy.
 * Planes are 8-bit YUV 4:2:0, chroma (w+1)/2 x (h+1)/2.
 *
 * A frame may lie in a GPU's memory instead, where a decoder there left it: it has a `surface`,
 * and no planes until somebody who wants to read them calls sp_frame_fetch() (surface.h). */
#pragma once

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    int pixel_aspect[2]; /* a pixel's width to its height; 0: it is a square */
    bool pinned;         /* the planes lie in the engine's memory (spoton/engine.h, host_alloc) */
    int64_t pts_us;      /* presentation time; rises within a camera */
    int64_t received_us; /* sp_clock_us() when decoded */
    int64_t decode_us;   /* time spent on reading and decoding it */
    int camera;          /* index */
    uint64_t sequence;   /* number of the frame in its video, from 0; true also after gaps */
    uint32_t epoch;      /* another one than before: it does not follow the last frame (a file
                          * begins again or goes on elsewhere); set by the pipeline */
    uint32_t undecoded;  /* frames before this one that FRAME_SKIP left undecoded */

    struct spoton_surface *surface; /* or NULL */

    /* For frame.c, surface.c and the maker only. */
    const struct spoton_engine_api *gpu; /* whose the surface is */
    pthread_mutex_t fetching;            /* guards the planes of a frame with a surface */
    uint8_t *fetched;                    /* the planes' memory, then */
    atomic_int refs;
    struct sp_frame_pool *pool;
    struct sp_frame *next_free;
    void *owner;                  /* what holds the planes */
    void (*release)(void *owner); /* called once, by the last unref, on its thread; may be NULL */
};

/* Grows to as many shells as are out at once (the queues between the stages bound that) and keeps
 * them, so the healthy state allocates nothing. SP_ERR_NO_MEMORY. */
int sp_frame_pool_open(struct sp_frame_pool **out, struct sp_error *err);

/* Frames that are still out keep the pool's memory alive until they come back. NULL is fine. */
void sp_frame_pool_close(struct sp_frame_pool *pool);

/* A zeroed shell with one reference; NULL when memory is out. Any thread. */
struct sp_frame *sp_frame_pool_get(struct sp_frame_pool *pool);

/* Any thread. */
struct sp_frame *sp_frame_ref(struct sp_frame *frame);
void sp_frame_unref(struct sp_frame *frame); /* NULL is fine */

/* The size that the frame is seen with, in square pixels: one side is its own, the other longer. */
void sp_frame_square_size(const struct sp_frame *frame, double *width_px, double *height_px);
void sp_frame_square_size_px(const struct sp_frame *frame, int *width_px, int *height_px);

struct YuvConstants;

/* The frame's matrix for libyuv's RGB24 and ARGB, which write blue first: with this one, and U
 * and V given in each other's place, they write red first. Lives as long as the program. */
const struct YuvConstants *sp_frame_red_first(const struct sp_frame *frame);
