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
 * device, decode, encode JPEG, and return boxes instead of raw outputs: spoton/device.h. */
#ifndef SPOTON_ENGINE_H
#define SPOTON_ENGINE_H

#include <stddef.h>
#include <stdint.h>

/* Incremented by every change other than an addition at the end of a struct. */
#define SPOTON_ENGINE_ABI 2u

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

/* A server that an engine infers on. */
enum spoton_server_state {
    SPOTON_SERVER_CHECKING, /* its health and its model, before first use */
    SPOTON_SERVER_READY,
    SPOTON_SERVER_BUSY,    /* it asked to wait */
    SPOTON_SERVER_SLOW,    /* its round trip exceeds the budget */
    SPOTON_SERVER_FAILED,  /* no connection or no replies; checked again after a back-off */
    SPOTON_SERVER_REFUSED, /* its model does not fit, or it refuses the token */
};

struct spoton_server {
    size_t struct_bytes; /* set by the caller */
    char name[128];      /* for display, without secrets */
    enum spoton_server_state state;
    int in_flight;
    uint64_t requests, failures, busy; /* sent; of these failed; of these refused as busy */
    uint64_t sent_bytes, received_bytes;
    int64_t round_trip_us, round_trip_high_us; /* smoothed; what few exceed; 0: none yet */
    char error[256];                           /* the last one, if it is not ready */
};

struct spoton_engine; /* opaque */

struct spoton_device_api; /* spoton/device.h */

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

    /* Optional: describes device `index`, from 0; backend_options as in the options. Returns a
     * negative number if there is no such device. Plugins without this function have one device.
     * Any thread. */
    int (*device)(int index, const char *backend_options, struct spoton_device *device);

    /* Optional: images in, boxes out, decoding and JPEG on the device: spoton/device.h. NULL: the
     * plugin infers only. */
    const struct spoton_device_api *device_api;

    /* Optional, instead of inspect(): for a plugin whose models are not files. model_path is only a
     * name then, and the caller may pass any text. */
    int (*inspect_with)(const char *model_path, const char *backend_options,
                        struct spoton_model_info *info, char *error, size_t error_bytes);

    /* Optional: the state of server `index`, from 0. Returns a negative number if there is no such
     * server. Any thread, until close(). */
    int (*server)(struct spoton_engine *engine, int index, struct spoton_server *server);

    /* Optional: how many requests the engine can process at once now; 0: none, all would fail. Any
     * thread, until close(). */
    int (*capacity)(struct spoton_engine *engine);
};

/* Whether a plugin, which may be older than this header, has an optional function. */
#define SPOTON_ENGINE_HAS(api, member)                                                             \
    ((api)->struct_bytes >                                                                         \
         offsetof(struct spoton_engine_api, member) + sizeof(void (*)(void)) - 1 &&                \
     (api)->member)

/* The plugin's only exported symbol; the result is valid while the plugin is loaded. */
typedef const struct spoton_engine_api *spoton_engine_entry_fn(void);
spoton_engine_entry_fn spoton_engine_entry;

#endif
