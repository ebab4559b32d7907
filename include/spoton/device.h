/* What an engine plugin with device memory can do besides inference (spoton/engine.h): take the
 * decoder's planes, scale and convert them on the device, return boxes instead of raw outputs,
 * decode video and encode JPEG. Each group of functions is optional.
 *
 * Data flow: decoding_open() gives FFmpeg a context -> surface_take() copies each decoded image ->
 * put_surface(), or put_image() with planes in host memory, fills a request in place of input() ->
 * submit(), wait() -> boxes(). surface_read() copies a surface to host memory for other uses;
 * jpeg_draw() makes an image for viewers of it without that.
 *
 * Errors and threads: as in spoton/engine.h, unless said otherwise. */
#ifndef SPOTON_DEVICE_H
#define SPOTON_DEVICE_H

#include "spoton/engine.h"

/* ---- images in, boxes out ---- */

/* 8-bit YUV 4:2:0, chroma (w+1)/2 x (h+1)/2, and its letterbox in the input. */
struct spoton_image {
    const uint8_t *plane[3]; /* Y, U, V; or Y, interleaved UV */
    int stride_bytes[3];
    int width, height;
    int interleaved_chroma;
    float luma_red, luma_blue; /* of the colour matrix: 0.299 and 0.114 are BT.601 */
    int full_range;            /* luma 0..255 instead of 16..235 */
    int pinned;    /* the planes are in memory of host_alloc(): they are read in place and must not
                    * change until wait() returns */
    int left, top; /* in the input */
    int scaled_width, scaled_height;
};

enum spoton_head_kind {
    SPOTON_HEAD_CENTERS, /* cx cy w h and one confidence per class, with NMS per class */
    SPOTON_HEAD_CORNERS, /* [b,n,6]: x1 y1 x2 y2 confidence class, without NMS */
};

/* The format of output 0. The engine must give the results of detect/head.h. */
struct spoton_head {
    size_t struct_bytes; /* set by the caller */
    enum spoton_head_kind kind;
    int classes;
    int rows_first;             /* [b,n,4+classes] */
    float unit_x, unit_y;       /* input pixels per unit of the box values */
    float confidence_threshold; /* kept: confidence >= threshold */
    double nms_iou; /* two boxes of a class with a higher IoU: the weaker one is dropped */
    const uint8_t *class_wanted;   /* [classes], or NULL: all; need not outlive the call */
    int candidates_max, boxes_max; /* the best ones before and after NMS */
};

struct spoton_box {
    float x1, y1, x2, y2; /* input pixels */
    float confidence;
    int class_id;
};

/* ---- drawing on the device ---- */

/* One step of an overlay. Where a rectangle covers a chroma sample in part, the sample changes. */
enum spoton_mark_kind {
    SPOTON_MARK_FILL,        /* Y, U and V become y, u and v */
    SPOTON_MARK_FADE_LUMA,   /* Y becomes (Y * keep + y * (256 - keep) + 128) / 256 */
    SPOTON_MARK_FADE_CHROMA, /* likewise U and V, with u and v */
    SPOTON_MARK_GLYPH,       /* blends to y, u and v by coverage 0..255; chroma by the mean of four,
                              * where pixels outside of the rectangle have none */
};

struct spoton_mark {
    enum spoton_mark_kind kind;
    int x0, y0, x1, y1; /* x1 and y1 exclusive; inside the image, its sides rounded up to even */
    uint8_t y, u, v, keep;
    uint32_t coverage; /* of a glyph: [y1 - y0][x1 - x0] begin there */
};

/* An image of this size, with the frame somewhere in it and black around it; full range, BT.601.
 * The marks are drawn in their order. */
struct spoton_drawing {
    size_t struct_bytes; /* set by the caller */
    int width, height;
    const struct spoton_mark *marks;
    size_t mark_count;
    const uint8_t *coverage; /* of all glyphs */
    size_t coverage_bytes;
};

/* ---- decoding on the device ---- */

struct spoton_decoding; /* a camera's decoder context on a device; opaque */
struct spoton_surface;  /* an image in device memory; opaque */
struct spoton_jpeg;     /* a JPEG encoder on a device; opaque */

struct spoton_device_api {
    size_t struct_bytes; /* additions are at the end */

    /* Images in, boxes out: all of these or none, see spoton_engine_takes_images(). */

    /* At most once, while no request is in flight: requests filled by put_image() return boxes from
     * now on. For a head that the engine does not support it returns an error and changes nothing.
     */
    int (*use_head)(struct spoton_engine *engine, const struct spoton_head *head, char *error,
                    size_t error_bytes);

    /* Fills image `image_index` of the request, in order, from 0. Copies the planes unless they are
     * pinned. */
    int (*put_image)(struct spoton_engine *engine, int request, int image_index,
                     const struct spoton_image *image, char *error, size_t error_bytes);

    /* Pinned memory, which put_image() does not copy; NULL: out of memory. host_free() can be
     * called after close(). Any thread. */
    void *(*host_alloc)(size_t bytes);
    void (*host_free)(void *memory);

    /* In descending order of confidence; after wait(), valid until the next submit(). */
    int (*boxes)(struct spoton_engine *engine, int request, int image_index,
                 const struct spoton_box **boxes, char *error,
                 size_t error_bytes); /* returns the count */

    /* For benchmarks: infers the first `images` images of the previous inference again, without
     * copying anything to or from the device. wait() as after submit(). */
    int (*submit_again)(struct spoton_engine *engine, int request, int images, char *error,
                        size_t error_bytes);

    /* Optional: see spoton_engine_decodes(). Any thread; calls for one decoding or one surface one
     * at a time. */

    /* Opens a decoder context for one camera. *context and *stream are for FFmpeg's CUDA device
     * (CUcontext, CUstream), valid until decoding_close(). *context NULL: FFmpeg cannot decode on
     * this device. */
    int (*decoding_open)(struct spoton_decoding **out, int device, const char *backend_options,
                         void **context, void **stream, char *error, size_t error_bytes);
    /* After the decoder is closed; surfaces can outlive it. NULL is fine. */
    void (*decoding_close)(struct spoton_decoding *decoding);

    /* Copies an image from device or host memory. The planes can be reused after the call. */
    int (*surface_take)(struct spoton_decoding *decoding, const struct spoton_image *image,
                        struct spoton_surface **out, char *error, size_t error_bytes);
    /* Copies the planes to host memory, one after the other, without padding: a row of Y has
     * `width` bytes, of U and V (width+1)/2, of interleaved UV twice that. */
    int (*surface_read)(struct spoton_surface *surface, uint8_t *planes, char *error,
                        size_t error_bytes);
    void (*surface_free)(struct spoton_surface *surface); /* NULL is fine */

    /* As put_image(), with the planes of a surface, which must live until wait() returns; `image`
     * has everything else. NULL if put_image() is. */
    int (*put_surface)(struct spoton_engine *engine, int request, int image_index,
                       const struct spoton_image *image, const struct spoton_surface *surface,
                       char *error, size_t error_bytes);

    /* Optional: see spoton_engine_makes_jpeg(). One thread per encoder at a time. */
    int (*jpeg_open)(struct spoton_jpeg **out, int device, const char *backend_options, char *error,
                     size_t error_bytes);
    void (*jpeg_close)(struct spoton_jpeg *jpeg); /* NULL is fine */

    /* Encodes planes Y, U, V in host memory (BT.601, full range). quality 1..100. *data belongs to
     * the encoder and is valid until the next call. */
    int (*jpeg_encode)(struct spoton_jpeg *jpeg, const struct spoton_image *image, int quality,
                       const uint8_t **data, size_t *bytes, char *error, size_t error_bytes);

    /* Optional: see spoton_engine_draws(). Scales a surface to the place in the drawing that
     * `image` has (left and top are even), converts its colours, draws, and encodes it as
     * jpeg_encode(), all on the surface's device. The numbers are those of detect/letterbox.h for
     * scaling and of render/ for the rest. */
    int (*jpeg_draw)(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                     const struct spoton_surface *surface, const struct spoton_drawing *drawing,
                     int quality, const uint8_t **data, size_t *bytes, char *error,
                     size_t error_bytes);
};

/* The device interface; NULL: the plugin has none. */
static inline const struct spoton_device_api *
spoton_engine_device_api(const struct spoton_engine_api *api)
{
    return api->struct_bytes > offsetof(struct spoton_engine_api, device_api) ? api->device_api
                                                                              : NULL;
}

static inline int spoton_engine_takes_images(const struct spoton_engine_api *api)
{
    const struct spoton_device_api *d = spoton_engine_device_api(api);
    return d && d->struct_bytes > offsetof(struct spoton_device_api, submit_again) && d->use_head &&
           d->put_image && d->boxes && d->host_alloc && d->host_free && d->submit_again;
}

static inline int spoton_engine_decodes(const struct spoton_engine_api *api)
{
    const struct spoton_device_api *d = spoton_engine_device_api(api);
    return d && d->struct_bytes > offsetof(struct spoton_device_api, put_surface) &&
           d->decoding_open && d->decoding_close && d->surface_take && d->surface_read &&
           d->surface_free;
}

static inline int spoton_engine_makes_jpeg(const struct spoton_engine_api *api)
{
    const struct spoton_device_api *d = spoton_engine_device_api(api);
    return d && d->struct_bytes > offsetof(struct spoton_device_api, jpeg_encode) && d->jpeg_open &&
           d->jpeg_close && d->jpeg_encode;
}

static inline int spoton_engine_draws(const struct spoton_engine_api *api)
{
    const struct spoton_device_api *d = spoton_engine_device_api(api);
    return spoton_engine_makes_jpeg(api) && spoton_engine_decodes(api) &&
           d->struct_bytes > offsetof(struct spoton_device_api, jpeg_draw) && d->jpeg_draw;
}

#endif
