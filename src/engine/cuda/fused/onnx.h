/* An ONNX file as nodes and tensors: as much of the format as graphs of detectors use.
 *
 * Data flow: file -> fused_onnx_read() -> nodes in the file's order (which is topological), values
 * by number -> graph.h computes shapes and folds constants. Pure C, no device, any bytes are fine.
 * All memory belongs to the fused_onnx and goes with fused_onnx_free(). Private to the plugin. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUSED_RANK_MAX = 8, FUSED_OP_BYTES = 32, FUSED_ATTRIBUTES_MAX = 12, FUSED_PORTS_MAX = 64 };

enum fused_type { FUSED_FLOAT, FUSED_INT, FUSED_BOOL };

/* A value: computed, or constant. Constants are doubles, but weights, which are floats. */
struct fused_tensor {
    enum fused_type type;
    int rank; /* -1: not known yet */
    int64_t dims[FUSED_RANK_MAX];
    double *data;   /* [count] or NULL */
    float *weights; /* [count] of a large constant, or NULL */
};

struct fused_attribute {
    char name[FUSED_OP_BYTES];
    int64_t i;
    float f;
    char s[FUSED_OP_BYTES];
    int count;
    int64_t ints[FUSED_RANK_MAX * 2];
    int tensor; /* a value, or -1 */
};

struct fused_node {
    char op[FUSED_OP_BYTES];
    char *name; /* of its first output */
    int input_count, output_count, attribute_count;
    int input[FUSED_PORTS_MAX], output[FUSED_PORTS_MAX]; /* values; -1: left out */
    struct fused_attribute attribute[FUSED_ATTRIBUTES_MAX];
};

struct fused_onnx {
    int node_count, value_count, output_count;
    struct fused_node *node;
    struct fused_tensor *value;
    char **value_name;
    int input;                   /* the one that is no constant */
    int output[FUSED_PORTS_MAX]; /* values */
    int node_room, value_room;
};

/* 0, or -1 and a text: not such a file, or one that this reader does not know. */
int fused_onnx_read(struct fused_onnx *onnx, const char *path, char *error, size_t error_bytes);
int fused_onnx_parse(struct fused_onnx *onnx, const uint8_t *bytes, size_t count, char *error,
                     size_t error_bytes);
void fused_onnx_free(struct fused_onnx *onnx);

/* A new value without a name; -1: no memory. */
int fused_onnx_add_value(struct fused_onnx *onnx);
struct fused_node *fused_onnx_add_node(struct fused_onnx *onnx, const char *op);

int64_t fused_count(const struct fused_tensor *tensor);
const struct fused_attribute *fused_attribute(const struct fused_node *node, const char *name);
int64_t fused_int(const struct fused_node *node, const char *name, int64_t otherwise);
float fused_float(const struct fused_node *node, const char *name, float otherwise);

int fused_fail(char *error, size_t error_bytes, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
