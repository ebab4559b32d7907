/* The part of cuDNN 9's backend interface that is used, so that building needs no cuDNN. Names and
 * numbers are the library's; they are part of its ABI. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef void *cudnn_descriptor;
typedef struct cudnnContext *cudnn_handle;

enum { CUDNN_SUCCESS = 0 };

enum cudnn_descriptor_type {
    CUDNN_POINTWISE = 0,
    CUDNN_CONVOLUTION = 1,
    CUDNN_ENGINE = 2,
    CUDNN_ENGINE_CONFIG = 3,
    CUDNN_HEURISTICS = 4,
    CUDNN_PLAN = 5,
    CUDNN_KNOB_CHOICE = 7,
    CUDNN_OPERATION_CONVOLUTION = 10,
    CUDNN_OPERATION_POINTWISE = 13,
    CUDNN_OPERATION_GRAPH = 15,
    CUDNN_VARIANT_PACK = 16,
    CUDNN_TENSOR = 17,
};

enum cudnn_value_type {
    CUDNN_TYPE_HANDLE = 0,
    CUDNN_TYPE_DATA_TYPE = 1,
    CUDNN_TYPE_BOOLEAN = 2,
    CUDNN_TYPE_INT64 = 3,
    CUDNN_TYPE_FLOAT = 4,
    CUDNN_TYPE_DOUBLE = 5,
    CUDNN_TYPE_VOID_PTR = 6,
    CUDNN_TYPE_CONVOLUTION_MODE = 7,
    CUDNN_TYPE_HEUR_MODE = 8,
    CUDNN_TYPE_KNOB_TYPE = 9,
    CUDNN_TYPE_POINTWISE_MODE = 14,
    CUDNN_TYPE_DESCRIPTOR = 15,
    CUDNN_TYPE_CHAR = 24,
};

enum cudnn_data_type { CUDNN_DATA_FLOAT = 0, CUDNN_DATA_HALF = 2 };
enum { CUDNN_CROSS_CORRELATION = 1, CUDNN_KNOB_KERNEL_CFG = 24, CUDNN_ENGINE_COMPILED = 4 };
enum { CUDNN_MODE_B = 1, CUDNN_MODE_A = 3 };
enum cudnn_pointwise_mode {
    CUDNN_POINTWISE_ADD = 0,
    CUDNN_POINTWISE_RELU = 100,
    CUDNN_POINTWISE_SWISH = 106,
};

enum cudnn_attribute {
    CUDNN_POINTWISE_MODE = 0,
    CUDNN_POINTWISE_PRECISION = 1,
    CUDNN_RELU_LOWER = 3,
    CUDNN_RELU_UPPER = 4,
    CUDNN_SWISH_BETA = 8,
    CUDNN_CONVOLUTION_TYPE = 100,
    CUDNN_CONVOLUTION_MODE = 101,
    CUDNN_CONVOLUTION_DILATIONS = 102,
    CUDNN_CONVOLUTION_STRIDES = 103,
    CUDNN_CONVOLUTION_AFTER = 104,
    CUDNN_CONVOLUTION_BEFORE = 105,
    CUDNN_CONVOLUTION_DIMS = 106,
    CUDNN_HEURISTICS_MODE = 200,
    CUDNN_HEURISTICS_GRAPH = 201,
    CUDNN_HEURISTICS_RESULTS = 202,
    CUDNN_CONFIG_ENGINE = 300,
    CUDNN_CONFIG_KNOBS = 302,
    CUDNN_PLAN_HANDLE = 400,
    CUDNN_PLAN_CONFIG = 401,
    CUDNN_PLAN_WORKSPACE = 402,
    CUDNN_PLAN_JSON = 405,
    CUDNN_KNOB_TYPE = 600,
    CUDNN_KNOB_VALUE = 601,
    CUDNN_FORWARD_ALPHA = 700,
    CUDNN_FORWARD_BETA = 701,
    CUDNN_FORWARD_DESCRIPTOR = 702,
    CUDNN_FORWARD_W = 703,
    CUDNN_FORWARD_X = 704,
    CUDNN_FORWARD_Y = 705,
    CUDNN_APPLY_DESCRIPTOR = 750,
    CUDNN_APPLY_X = 751,
    CUDNN_APPLY_B = 752,
    CUDNN_APPLY_Y = 753,
    CUDNN_APPLY_ALPHA1 = 754,
    CUDNN_GRAPH_HANDLE = 800,
    CUDNN_GRAPH_OPERATIONS = 801,
    CUDNN_TENSOR_ALIGNMENT = 900,
    CUDNN_TENSOR_TYPE = 901,
    CUDNN_TENSOR_SIZES = 902,
    CUDNN_TENSOR_STRIDES = 903,
    CUDNN_TENSOR_ID = 906,
    CUDNN_TENSOR_VIRTUAL = 907,
    CUDNN_PACK_IDS = 1000,
    CUDNN_PACK_POINTERS = 1001,
    CUDNN_PACK_WORKSPACE = 1003,
    CUDNN_ENGINE_GRAPH = 1300,
    CUDNN_ENGINE_INDEX = 1301,
};

struct cudnn_api {
    size_t (*version)(void);
    const char *(*error_string)(int status);
    void (*last_error)(char *text, size_t bytes);
    int (*create)(cudnn_handle *handle);
    int (*destroy)(cudnn_handle handle);
    int (*set_stream)(cudnn_handle handle, void *stream);
    int (*backend_create)(int type, cudnn_descriptor *descriptor);
    int (*backend_destroy)(cudnn_descriptor descriptor);
    int (*backend_finalize)(cudnn_descriptor descriptor);
    int (*backend_set)(cudnn_descriptor descriptor, int attribute, int type, int64_t count,
                       const void *values);
    int (*backend_get)(cudnn_descriptor descriptor, int attribute, int type, int64_t room,
                       int64_t *count, void *values);
    int (*backend_execute)(cudnn_handle handle, cudnn_descriptor plan, cudnn_descriptor pack);
};
