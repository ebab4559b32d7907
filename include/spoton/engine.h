/* The interface of engine plugins, which connect a model runtime to spoton.
 *
 * A plugin is a shared object named spoton-engine-NAME.so that exports one function,
 * spoton_engine_entry(), and depends only on this header.
 *
 * Data flow: probe (does the engine run on this machine?) -> inspect (which tensors does the file
 * have?) -> open (compile for one input shape) -> for each inference request, repeatedly: input()
 * returns the request's memory, the caller writes u8 RGB images into it, submit() starts the
 * inference, wait() waits for its end, output() returns the results as f32, valid until the
 * request's next submit(). Several requests are in flight at once.
 *
 * The engine converts u8 RGB, planar or interleaved as the caller chose, to the model's element
 * type, layout, channel order and scale.
 *
 * Errors: a function that can fail returns a negative number and writes a message to
 * error[error_bytes]. Threads: one open() or close() at a time per device, from any thread, while
 * other engines of the plugin run or are opened on other devices; calls for different requests from
 * any threads at once; calls for one request one at a time.
 *
 * Engines with device memory can do more: take the decoder's planes, scale and convert them on the
 * device, and return boxes instead of raw outputs. These functions are at the end of the interface,
 * all of them or none: see spoton_engine_takes_images(). */
#ifndef SPOTON_ENGINE_H
#define SPOTON_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Incremented by every change other than an addition at the end of a struct. */
#define SPOTON_ENGINE_ABI 1u

enum spoton_element {
    SPOTON_ELEMENT_OTHER,
    SPOTON_ELEMENT_F32,
    SPOTON_ELEMENT_F16,
    SPOTON_ELEMENT_BF16,
    SPOTON_ELEMENT_U8,
    SPOTON_ELEMENT_I8,
    SPOTON_ELEMENT_I32,
    SPOTON_ELEMENT_I64,
};

enum spoton_precision {
    SPOTON_PRECISION_AUTO, /* the fastest that keeps accuracy: bf16 or f16 if the device has it */
    SPOTON_PRECISION_F32,
    SPOTON_PRECISION_BF16,
    SPOTON_PRECISION_F16,
    SPOTON_PRECISION_INT8, /* requires a quantized file */
};

enum spoton_layout { SPOTON_LAYOUT_NCHW, SPOTON_LAYOUT_NHWC };

/* Return values of functions that fail: any negative number. SPOTON_NO_MEMORY: a smaller batch may
 * fit. SPOTON_DEVICE_LOST: the device cannot be used any more. */
enum { SPOTON_FAILED = -1, SPOTON_NO_MEMORY = -2, SPOTON_DEVICE_LOST = -3 };

enum { SPOTON_RANK_MAX = 8, SPOTON_TENSORS_MAX = 16, SPOTON_NAME_BYTES = 128 };

/* A tensor of the model file; a dimension of -1 is dynamic. */
struct spoton_tensor {
    char name[SPOTON_NAME_BYTES];
    enum spoton_element element;
    int rank;
    int64_t dims[SPOTON_RANK_MAX];
};

struct spoton_model_info {
    size_t struct_bytes; /* set by the caller */
    int input_count, output_count;
    struct spoton_tensor input[SPOTON_TENSORS_MAX];
    struct spoton_tensor output[SPOTON_TENSORS_MAX];
    int quantized; /* the graph has quantize or fake-quantize operations */
};

struct spoton_engine_probe {
    size_t struct_bytes; /* set by the caller */
    int preference;      /* 0: does not run here; else the highest is used by ENGINE=auto */
    char version[64];
    char device[128];    /* for display: "CPU (AVX-512, bf16)" */
    char precisions[64]; /* fast on this device, best first: "bf16,f32" */
    char reason[256];    /* why the preference is 0 */
    int batch;           /* recommended batch size; 0: 1 */
};

struct spoton_engine_options {
    size_t struct_bytes; /* set by the caller */
    const char *model_path;
    enum spoton_precision precision;
    int batch, height, width;        /* of the input, all > 0 */
    enum spoton_layout layout;       /* of the model's input */
    int swap_red_blue;               /* the model takes BGR */
    float scale;                     /* model value = u8 / scale, 1 or 255 */
    int threads;                     /* total number of CPU threads, > 0 */
    int streams;                     /* parallel executions; 0: the plugin chooses */
    const char *cache_dir;           /* compiled models; NULL: none */
    const char *backend_options;     /* plugin-specific "key=value;key=value", or NULL */
    enum spoton_layout input_layout; /* of the requests' memory: NCHW planar, NHWC interleaved */
    int device;                      /* index of device(), from 0 */
    /* Per channel, in the model's order: model value = (u8 / scale - mean) / deviation.
     * deviation[0] 0: neither is applied. An engine without support returns an error. */
    float mean[3], deviation[3];
};

/* A device of the plugin. Several engines can share one. */
struct spoton_device {
    size_t struct_bytes; /* set by the caller */
    char name[96];
    double power; /* relative to the plugin's other devices; 0: not known */
};

struct spoton_engine_description {
    size_t struct_bytes; /* set by the caller */
    int requests;        /* number of requests, enough to keep all streams busy */
    int streams, threads;
    int output_count;
    enum spoton_precision precision; /* the actual one, never AUTO */
    char device[128];
};

struct spoton_engine; /* opaque */

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

/* ---- decoding on the device ---- */

struct spoton_decoding; /* a camera's decoder context on a device; opaque */
struct spoton_surface;  /* an image in device memory; opaque */
struct spoton_jpeg;     /* a JPEG encoder on a device; opaque */

struct spoton_engine_api {
    uint32_t abi; /* SPOTON_ENGINE_ABI */
    size_t struct_bytes;
    const char *name; /* "openvino" */

    void (*probe)(struct spoton_engine_probe *probe);

    int (*inspect)(const char *model_path, struct spoton_model_info *info, char *error,
                   size_t error_bytes);

    /* The caller owns the engine and closes it with close(). Strings of the options need not
     * outlive the call. */
    int (*open)(struct spoton_engine **out, const struct spoton_engine_options *options,
                char *error, size_t error_bytes);
    /* Waits for requests in flight; NULL is fine. After SPOTON_DEVICE_LOST it leaks what cannot be
     * released without the device. */
    void (*close)(struct spoton_engine *engine);

    void (*describe)(struct spoton_engine *engine, struct spoton_engine_description *description);

    /* The request's input, u8 [batch][height][width][3] or [batch][3][height][width]. The address
     * is constant until close(); the content is kept after submit(). */
    uint8_t *(*input)(struct spoton_engine *engine, int request);

    int (*submit)(struct spoton_engine *engine, int request, char *error, size_t error_bytes);
    int (*wait)(struct spoton_engine *engine, int request, char *error, size_t error_bytes);

    /* Output `index` in f32, for any precision; dims[*rank], the batch first. After wait(). */
    int (*output)(struct spoton_engine *engine, int request, int index, const float **data,
                  int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes);

    /* Optional from here on: see spoton_engine_takes_images(). */

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

    /* Optional: describes device `index`, from 0; backend_options as in the options. Returns a
     * negative number if there is no such device. Plugins without this function have one device.
     * Any thread. */
    int (*device)(int index, const char *backend_options, struct spoton_device *device);

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
};

static inline int spoton_engine_takes_images(const struct spoton_engine_api *api)
{
    return api->struct_bytes >= offsetof(struct spoton_engine_api, device) && api->use_head &&
           api->put_image && api->boxes && api->host_alloc && api->host_free && api->submit_again;
}

static inline int spoton_engine_decodes(const struct spoton_engine_api *api)
{
    return api->struct_bytes > offsetof(struct spoton_engine_api, put_surface) &&
           api->decoding_open && api->decoding_close && api->surface_take && api->surface_read &&
           api->surface_free;
}

static inline int spoton_engine_makes_jpeg(const struct spoton_engine_api *api)
{
    return api->struct_bytes > offsetof(struct spoton_engine_api, jpeg_encode) && api->jpeg_open &&
           api->jpeg_close && api->jpeg_encode;
}

/* The plugin's only exported symbol; the result is valid while the plugin is loaded. */
typedef const struct spoton_engine_api *spoton_engine_entry_fn(void);
spoton_engine_entry_fn spoton_engine_entry;

#endif
