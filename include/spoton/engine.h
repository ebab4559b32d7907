/* The engine plugin interface: what a model runtime gives to spoton.
 *
 * A plugin is a shared object named spoton-engine-NAME.so that exports one function,
 * spoton_engine_entry(), and needs nothing of spoton but this header.
 *
 * Data flow: probe (can this machine run it?) -> inspect (what does the file hold?) -> open
 * (compile for one input shape) -> for each free slot, again and again: input() gives the slot's
 * own memory, the caller writes u8 RGB pictures into it, submit() starts, wait() ends, output()
 * gives the results as f32, valid until the next submit() on that slot. Several slots are in flight
 * at once.
 *
 * The conversion from u8 RGB, planar or interleaved as the caller chose, to what the model wants
 * (element type, layout, colour order, scale) happens inside the compiled graph.
 *
 * Errors: every function that can fail returns 0 or a negative number and writes a text that says
 * what was found to error[error_bytes]. Threads: one open or close at a time, from any thread and
 * while other engines of the plugin work; calls on different slots from any threads at once; calls
 * on one slot one after the other. */
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

/* What functions that fail return: any negative number; this one tells the caller that a smaller
 * batch may fit. */
enum { SPOTON_FAILED = -1, SPOTON_NO_MEMORY = -2 };

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
    int score;           /* 0: not on this machine; else higher is preferred */
    char version[64];
    char device[128];    /* in words: "CPU (AVX-512, bf16)" */
    char precisions[64]; /* that run fast here, best first, comma separated: "bf16,f32" */
    char reason[256];    /* why the score is 0 */
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
    const char *extra;               /* plugin specific "key=value;key=value", or NULL */
    enum spoton_layout input_layout; /* of the slots' memory: NCHW planar, NHWC interleaved */
};

struct spoton_engine_description {
    size_t struct_bytes; /* set by the caller */
    int slots;           /* how many may be in flight; enough to keep all streams busy */
    int streams, threads;
    int output_count;
    enum spoton_precision precision; /* what it really runs in, never AUTO */
    char device[128];
};

struct spoton_engine; /* the plugin's own */

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
    void (*close)(struct spoton_engine *engine); /* waits for what is in flight; NULL is fine */

    void (*describe)(struct spoton_engine *engine, struct spoton_engine_description *description);

    /* The slot's input, u8 [batch][height][width][3] or [batch][3][height][width]; the same address
     * for the engine's life, kept as written between submits. */
    uint8_t *(*input)(struct spoton_engine *engine, int slot);

    int (*submit)(struct spoton_engine *engine, int slot, char *error, size_t error_bytes);
    int (*wait)(struct spoton_engine *engine, int slot, char *error, size_t error_bytes);

    /* Result `index`, f32 whatever the precision; dims[*rank] with the batch first. After wait().
     */
    int (*output)(struct spoton_engine *engine, int slot, int index, const float **data,
                  int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes);
};

/* The plugin's one exported symbol; the result lives as long as the plugin is loaded. */
typedef const struct spoton_engine_api *spoton_engine_entry_fn(void);
spoton_engine_entry_fn spoton_engine_entry;

#endif
