/* A detector's graph as the operations that the GPU runs: the plan of the fused executor.
 *
 * Data flow: fused_plan_open() reads the file and folds what is constant at one input size ->
 * lower.c makes operations of patterns (a convolution with its bias, activation and shortcut is
 * one)
 * -> merge.c joins convolutions of one input -> place.c gives each tensor a slice of a buffer, so
 * that concatenations and splits cost nothing -> schedule.c says what waits for what, which buffers
 * share memory and on which stream an operation runs. What follows the last convolutions (decoding,
 * the best of all) is the tail: tail.c writes its source for the device. reference.c runs a plan on
 * the CPU.
 *
 * Tensors between convolutions are f16 with channels last, those of the tail f32 as ONNX has them.
 * All sizes are of one image: a batch is as many of each. Pure C. Private to the plugin. */
#pragma once

#include "../activation.h"
#include "evaluate.h"

enum {
    FUSED_OPS_MAX = 768,
    FUSED_BUFFERS_MAX = 768,
    FUSED_DENSE_MAX = 96, /* buffers of f32 */
    FUSED_STREAMS_MAX = 8,
    FUSED_DEPENDS_MAX = 48,
};

enum fused_op_kind {
    FUSED_CONV,      /* y = activation(x * w + bias) + residual */
    FUSED_STEM,      /* the same on the input's three colours */
    FUSED_DEPTHWISE, /* the same, each channel by itself */
    FUSED_HEAD,      /* 1x1, to f32: nothing but the tail follows */
    FUSED_UPSAMPLE,  /* each pixel four times */
    FUSED_POOL,      /* the largest of a window */
    FUSED_SPPF,      /* three poolings, each of the one before */
    FUSED_ATTENTION,
    FUSED_ADD,   /* y = activation(x + residual), or of x alone */
    FUSED_COPY,  /* where a concatenation could not be written in place */
    FUSED_DENSE, /* f16 with channels last to f32 as ONNX has it */
    FUSED_TAIL,  /* one value of the tail, by a kernel of its own */
    FUSED_TOPK,
};

struct fused_slice { /* channels of a buffer */
    int buffer;      /* -1: none */
    int offset, channels;
};

struct fused_buffer {
    int height, width, channels; /* f16; of f32 all 0 */
    int64_t count;               /* numbers of one image */
    bool dense;                  /* f32 */
    bool outside;                /* the model's input or output: not in the arena */
    size_t bytes, offset;        /* of one image */
};

struct fused_op {
    enum fused_op_kind kind;
    const char *name;                               /* of what it computes; the graph's */
    int order;                                      /* place in the file */
    int x_value, residual_value, y_value, y2_value; /* the graph's; -1: none */
    struct fused_slice x, residual, y, y2, y3;
    struct fused_window window;
    enum cuda_activation activation;
    float low, high;
    int channels_in, channels_out;
    float *weights; /* [out][kh][kw][in / groups] */
    float *bias;    /* [out] */
    /* x is every `group_stride` channels from `group_offset` on `group_width` ones; 0: all */
    int group_stride, group_offset, group_width;
    int heads, key, head; /* attention: numbers of a query or key, and of a value */
    float scale;
    int count, best;                          /* TOPK: of how many, how many; TAIL: its kernel */
    int reads[FUSED_DEPENDS_MAX], read_count; /* TAIL: buffers */
    int depends[FUSED_DEPENDS_MAX], depend_count;
    int stream;
};

struct fused_plan {
    struct fused_onnx graph;
    int height, width;
    float input_scale; /* value of the model's input = what lies in it times this */
    int op_count, buffer_count;
    struct fused_op *op;
    struct fused_buffer *buffer;
    int input, output_count, output[FUSED_PORTS_MAX]; /* buffers */
    int *dense_of;                                    /* [value]: the dense buffer with it, or -1 */
    bool *gone;                                       /* [node]: folded or unused */
    bool *image;        /* [value]: f16 in a buffer, or a view of such */
    int *home;          /* [value]: it lies in this one's buffer; -1: in its own */
    int *home_at;       /* [value]: from this channel on */
    int *buffer_of;     /* [value]: its own, or -1 */
    int *part_of;       /* [value]: merge.c made it a part of this one, or -1 */
    int *part_at;       /* [value]: from this channel on */
    size_t arena_bytes; /* of one image */
    int streams;
    char *source; /* the tail's kernels, CUDA C++ */
    int kernel_count;
    float *constants; /* of the tail */
    size_t constant_count, constant_room;
};

/* -1 and a text that says what of the graph is not known: then another runtime has to run it.
 * input_scale: the model's input is the number in its memory times this. */
int fused_plan_open(struct fused_plan **out, const char *path, int height, int width,
                    float input_scale, char *error, size_t error_bytes);
int fused_plan_open_graph(struct fused_plan **out, struct fused_onnx *graph, int height, int width,
                          float input_scale, char *error, size_t error_bytes); /* takes the graph */
void fused_plan_close(struct fused_plan *plan);                                /* NULL is fine */

/* On the CPU, one image: input [h][w][3] as it would lie on the device. outputs[i] gets
 * buffer[output[i]].count numbers. round: between operations as f16. */
int fused_reference_run(struct fused_plan *plan, const float *input, float *const *outputs,
                        bool round, char *error, size_t error_bytes);

/* What a device holds, of some image of a batch, copied to the host. */
struct fused_copy {
    const uint8_t *arena;
    const uint16_t *input;
    float *const *outputs;
    int images, image;
};

struct fused_difference {
    double squares, reference, largest; /* sums of squares: of the error, of what is right */
    int count;
};

/* One operation that a device has run, at some places drawn from all: its inputs are read in what
 * was there before. The tail's operations are compared in full. */
int fused_reference_compare(struct fused_plan *plan, const struct fused_op *op,
                            const struct fused_copy *before, const struct fused_copy *after,
                            int samples, struct fused_difference *difference, char *error,
                            size_t error_bytes);

/* ---- steps, in this order; each -1 and a text ---- */

int fused_fold(struct fused_plan *plan, char *error, size_t error_bytes);
int fused_lower(struct fused_plan *plan, char *error, size_t error_bytes);
int fused_merge(struct fused_plan *plan, char *error, size_t error_bytes);
int fused_place(struct fused_plan *plan, char *error, size_t error_bytes);
int fused_tail(struct fused_plan *plan, char *error, size_t error_bytes);
int fused_schedule(struct fused_plan *plan, char *error, size_t error_bytes);

/* ---- shared ---- */

struct fused_op *fused_add_op(struct fused_plan *plan, enum fused_op_kind kind, int order,
                              const char *name);
int fused_add_buffer(struct fused_plan *plan, int height, int width, int channels);
int fused_add_dense(struct fused_plan *plan, int value); /* of that value; or the one it has */

/* Nodes that use a value, at most `room`; returns how many there are. Outputs count as a use. */
int fused_users(const struct fused_plan *plan, int value, int *nodes, int room);
int fused_maker(const struct fused_plan *plan, int value); /* its node, or -1 */
bool fused_is_output(const struct fused_plan *plan, int value);
bool fused_is_constant(const struct fused_plan *plan, int value);

/* Where a value that is an image lies, once it was placed. */
struct fused_slice fused_slice_of(const struct fused_plan *plan, int value);
