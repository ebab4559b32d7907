/* The engine plugin interface: what a model runtime gives to spoton.
 *
 * A plugin is a shared object named spoton-engine-NAME.so that exports one function,
 * spoton_engine_entry(), and needs nothing of spoton but this header.
 *
 * Data flow: probe (can this machine run it?) -> inspect (what does the file hold?) -> open
 * (compile for one input shape) -> for each free request, again and again: input() gives the
 * request's own memory, the caller writes u8 RGB images into it, submit() starts, wait() ends,
 * output() gives the results as f32, valid until the next submit() on that request. Several
 * requests are in flight at once.
 *
 * The conversion from u8 RGB, planar or interleaved as the caller chose, to what the model wants
 * (element type, layout, colour order, scale) happens inside the compiled graph.
 *
 * Errors: every function that can fail returns 0 or a negative number and writes a text that says
 * what was found to error[error_bytes]. Threads: one open or close at a time for each device, from
 * any thread and while other engines of the plugin work, or are opened on other devices; calls on
 * different requests from any threads at once; calls on one request one after the other.
 *
 * Engines whose memory is not the caller's may do more: take the decoder's own planes, scale and
 * convert them where the model runs, and give boxes instead of numbers. These entries stand at the
 * end of the interface, all of them or none: see spoton_engine_takes_images(). */
#ifndef SPOTON_ENGINE_H
#define SPOTON_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Raised by every change that is not an addition at the end of a struct. */
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
    SPOTON_PRECISION_AUTO, /* the fastest that keeps the results: bf16 or f16 where the units are */
    SPOTON_PRECISION_F32,
    SPOTON_PRECISION_BF16,
    SPOTON_PRECISION_F16,
    SPOTON_PRECISION_INT8, /* the file must be quantised */
};

enum spoton_layout { SPOTON_LAYOUT_NCHW, SPOTON_LAYOUT_NHWC };

/* What functions that fail return: any negative number; of these the second tells the caller that a
 * smaller batch may fit, the third that the device will do nothing more. */
enum { SPOTON_FAILED = -1, SPOTON_NO_MEMORY = -2, SPOTON_DEVICE_LOST = -3 };

enum { SPOTON_RANK_MAX = 8, SPOTON_TENSORS_MAX = 16, SPOTON_NAME_BYTES = 128 };

/* A tensor of the model file. -1 stands for a dimension that is free. */
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
    int quantised; /* the graph holds quantise or fake-quantise operations */
};

struct spoton_engine_probe {
    size_t struct_bytes; /* set by the caller */
    int preference;      /* 0: not on this machine; else higher is preferred */
    char version[64];
    char device[128];    /* in words: "CPU (AVX-512, bf16)" */
    char precisions[64]; /* that run fast here, best first, comma separated: "bf16,f32" */
    char reason[256];    /* why the confidence is 0 */
    int batch;           /* images in one tensor that pay here; 0: one */
};

struct spoton_engine_options {
    size_t struct_bytes; /* set by the caller */
    const char *model_path;
    enum spoton_precision precision;
    int batch, height, width;        /* of the input, all > 0 */
    enum spoton_layout layout;       /* of the model's input */
    int swap_red_blue;               /* the model wants BGR */
    float scale;                     /* model value = u8 / scale, 1 or 255 */
    int threads;                     /* cores to use in all, > 0 */
    int streams;                     /* independent executions, 0: the plugin chooses */
    const char *cache_dir;           /* compiled models; NULL: none */
    const char *backend_options;     /* plugin specific "key=value;key=value", or NULL */
    enum spoton_layout input_layout; /* of the requests' memory: NCHW planar, NHWC interleaved */
    int device;                      /* of those that device() tells, from 0 on */
    /* Of each colour of the model's, in its order: model value = (u8 / scale - mean) / deviation.
     * deviation[0] 0: neither. An engine that cannot refuses. */
    float mean[3], deviation[3];
};

/* What an engine can be opened on. Several engines on one device share what it has. */
struct spoton_device {
    size_t struct_bytes; /* set by the caller */
    char name[96];
    double power; /* beside the engine's other devices; 0: not known */
};

struct spoton_engine_description {
    size_t struct_bytes; /* set by the caller */
    int requests;        /* how many may be in flight; enough to keep all streams busy */
    int streams, threads;
    int output_count;
    enum spoton_precision precision; /* what it really runs in, never AUTO */
    char device[128];
};

struct spoton_engine; /* the plugin's own */

/* ---- images in, boxes out ---- */

/* 8-bit YUV 4:2:0, chroma (w+1)/2 x (h+1)/2, and where its letterbox lies in the input. */
struct spoton_image {
    const uint8_t *plane[3]; /* Y, U, V; or Y, interleaved UV */
    int stride_bytes[3];
    int width, height;
    int interleaved_chroma;
    float luma_red, luma_blue; /* of the colour matrix: 0.299 and 0.114 are BT.601 */
    int full_range;            /* luma 0..255 instead of 16..235 */
    int pinned; /* the planes lie in memory of host_alloc(): they are read in place, and must stay
                 * as they are until wait() returns */
    int left, top; /* in the input */
    int scaled_width, scaled_height;
};

enum spoton_head_kind {
    SPOTON_HEAD_CENTERS, /* cx cy w h and a confidence a class, with suppression within a class */
    SPOTON_HEAD_CORNERS, /* [b,n,6]: x1 y1 x2 y2 confidence class, without */
};

/* How output 0 reads; what the fields mean is what detect/head.h does with them. */
struct spoton_head {
    size_t struct_bytes; /* set by the caller */
    enum spoton_head_kind kind;
    int classes;
    int rows_first;              /* [b,n,4+classes] */
    float unit_x, unit_y;        /* a box's numbers times these are input pixels */
    float confidence_threshold;  /* kept: confidence >= threshold */
    double nms_iou;              /* of two boxes of one class that overlap more, the weaker goes */
    const uint8_t *class_wanted; /* [classes], or NULL: all; need not outlive the call */
    int candidates_max, boxes_max; /* before and after suppression, the best */
};

struct spoton_box {
    float x1, y1, x2, y2; /* input pixels */
    float confidence;
    int class_id;
};

/* ---- decoding on the device ---- */

struct spoton_decoding; /* a camera's decoder's place on a device; the plugin's own */
struct spoton_surface;  /* a image in a device's memory; the plugin's own */
struct spoton_jpeg;     /* an encoder on a device; the plugin's own */

struct spoton_engine_api {
    uint32_t abi; /* SPOTON_ENGINE_ABI */
    size_t struct_bytes;
    const char *name; /* "openvino" */

    void (*probe)(struct spoton_engine_probe *probe);

    int (*inspect)(const char *model_path, struct spoton_model_info *info, char *error,
                   size_t error_bytes);

    /* On success the engine is the caller's and goes with close(). Strings of the options need not
     * outlive the call. */
    int (*open)(struct spoton_engine **out, const struct spoton_engine_options *options,
                char *error, size_t error_bytes);
    /* Waits for what is in flight; NULL is fine. After SPOTON_DEVICE_LOST, too: what can only be
     * released with the device's help is left. */
    void (*close)(struct spoton_engine *engine);

    void (*describe)(struct spoton_engine *engine, struct spoton_engine_description *description);

    /* The request's input, u8 [batch][height][width][3] or [batch][3][height][width]; the same
     * address for the engine's life, kept as written between submits. */
    uint8_t *(*input)(struct spoton_engine *engine, int request);

    int (*submit)(struct spoton_engine *engine, int request, char *error, size_t error_bytes);
    int (*wait)(struct spoton_engine *engine, int request, char *error, size_t error_bytes);

    /* Result `index`, f32 whatever the precision; dims[*rank] with the batch first. After wait().
     */
    int (*output)(struct spoton_engine *engine, int request, int index, const float **data,
                  int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes);

    /* The rest may be missing: see spoton_engine_takes_images(). */

    /* Once, while no request is in flight: from now on requests that are filled by put_image() give
     * boxes. A head that the engine cannot read is an error, and all stays as it was. */
    int (*use_head)(struct spoton_engine *engine, const struct spoton_head *head, char *error,
                    size_t error_bytes);

    /* The request's image number `image`, from 0 on, one after the other. The planes are copied,
     * unless they are pinned. */
    int (*put_image)(struct spoton_engine *engine, int request, int image_index,
                     const struct spoton_image *image, char *error, size_t error_bytes);

    /* Memory that put_image() need not copy; NULL when there is none. host_free() also after
     * close(). Any thread. */
    void *(*host_alloc)(size_t bytes);
    void (*host_free)(void *memory);

    /* By falling confidence; after wait(), valid until the next submit(). */
    int (*boxes)(struct spoton_engine *engine, int request, int image_index,
                 const struct spoton_box **boxes, char *error,
                 size_t error_bytes); /* returns how many */

    /* Infers again, without bringing anything or fetching anything, what `images` images left in
     * the model's input: the limit that the rest is measured against. wait() as after submit(). */
    int (*submit_again)(struct spoton_engine *engine, int request, int images, char *error,
                        size_t error_bytes);

    /* The rest may be missing, too. */

    /* The index-th device there is, from 0 on; extra as in the options. Negative: there is none
     * such. Without this entry there is one device. Any thread. */
    int (*device)(int index, const char *backend_options, struct spoton_device *device);

    /* The rest may be missing, too: see spoton_engine_decodes(). All of it from any thread; calls
     * on one decoding or one surface one after the other. */

    /* A decoder on a device, for one camera. *context and *stream are what FFmpeg's CUDA device is
     * made of (CUcontext, CUstream), valid until decoding_close(); *context NULL: FFmpeg's decoders
     * cannot work there. */
    int (*decoding_open)(struct spoton_decoding **out, int device, const char *backend_options,
                         void **context, void **stream, char *error, size_t error_bytes);
    /* After the decoder is gone; surfaces may stay. NULL is fine. */
    void (*decoding_close)(struct spoton_decoding *decoding);

    /* Copies a image that the decoder left in the device's memory, or that lies in the host's,
     * whose planes are the caller's again afterwards. */
    int (*surface_take)(struct spoton_decoding *decoding, const struct spoton_image *image,
                        struct spoton_surface **out, char *error, size_t error_bytes);
    /* Its planes one after the other into the host's memory, without padding: a row of Y has
     * `width` bytes, of U and V (width+1)/2, of interleaved UV twice that. */
    int (*surface_read)(struct spoton_surface *surface, uint8_t *planes, char *error,
                        size_t error_bytes);
    void (*surface_free)(struct spoton_surface *surface); /* NULL is fine */

    /* As put_image(), whose place in the request it takes: `image` tells all but the planes. The
     * surface must stay until wait() returns. NULL where put_image() is missing. */
    int (*put_surface)(struct spoton_engine *engine, int request, int image_index,
                       const struct spoton_image *image, const struct spoton_surface *surface,
                       char *error, size_t error_bytes);

    /* The rest may be missing, too: see spoton_engine_makes_jpeg(). An encoder belongs to one
     * thread at a time. */
    int (*jpeg_open)(struct spoton_jpeg **out, int device, const char *backend_options, char *error,
                     size_t error_bytes);
    void (*jpeg_close)(struct spoton_jpeg *jpeg); /* NULL is fine */

    /* Planes Y, U, V on the host, in JPEG's colours: BT.601, full range. quality 1..100. *data is
     * the encoder's, valid until the next call. */
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

/* The plugin's one exported symbol; the result lives as long as the plugin is loaded. */
typedef const struct spoton_engine_api *spoton_engine_entry_fn(void);
spoton_engine_entry_fn spoton_engine_entry;

#endif
