#include "detect/onnx_input.h"

#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Fields of onnx.proto (github.com/onnx/onnx), ModelProto downwards. */
enum {
    MODEL_GRAPH = 7,
    MODEL_METADATA = 14,
    ENTRY_KEY = 1,
    ENTRY_VALUE = 2,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_OP_TYPE = 4,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_TENSOR = 5,
    TENSOR_DATA_TYPE = 2,
    TENSOR_FLOAT_DATA = 4,
    TENSOR_NAME = 8,
    TENSOR_RAW_DATA = 9,
};

enum { TYPE_FLOAT = 1, TYPE_FLOAT16 = 10, WIRE_BYTES = 2 };

enum { CHAIN_MAX = 6 };

struct span {
    const uint8_t *at, *end;
};

struct field {
    uint32_t number;
    int wire;
    uint64_t value;    /* of varints */
    struct span bytes; /* of all other types */
};

static bool read_varint(struct span *from, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && from->at < from->end; shift += 7) {
        uint8_t byte = *from->at++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* False at the end of the message, or if the bytes are not protobuf. */
static bool next_field(struct span *message, struct field *field)
{
    uint64_t key, length = 0;
    if (message->at >= message->end || !read_varint(message, &key))
        return false;
    field->number = (uint32_t)(key >> 3);
    field->wire = (int)(key & 7);
    field->value = 0;
    switch (field->wire) {
    case 0:
        if (!read_varint(message, &field->value))
            return false;
        break;
    case 1:
        length = 8;
        break;
    case WIRE_BYTES:
        if (!read_varint(message, &length))
            return false;
        break;
    case 5:
        length = 4;
        break;
    default:
        return false;
    }
    if (length > (uint64_t)(message->end - message->at))
        return false;
    field->bytes = (struct span){message->at, message->at + length};
    message->at += length;
    return true;
}

static bool is_text(struct span bytes, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(bytes.end - bytes.at) == length && memcmp(bytes.at, text, length) == 0;
}

static bool is_same(struct span a, struct span b)
{
    return a.end - a.at == b.end - b.at && memcmp(a.at, b.at, (size_t)(a.end - a.at)) == 0;
}

static bool find_field(struct span message, uint32_t number, int nth, struct field *found)
{
    while (next_field(&message, found)) {
        if (found->number == number && nth-- == 0)
            return true;
    }
    return false;
}

static double half_to_double(uint16_t half)
{
    int exponent = (half >> 10) & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return half & 0x8000 ? -size : size;
}

/* The first value of an f32 or f16 tensor; else 0. */
static double first_number(struct span tensor)
{
    struct field type, data;
    float number;
    uint16_t half;
    if (!find_field(tensor, TENSOR_DATA_TYPE, 0, &type))
        return 0;
    bool raw = find_field(tensor, TENSOR_RAW_DATA, 0, &data);
    ptrdiff_t size = raw ? data.bytes.end - data.bytes.at : 0;
    if (type.value == TYPE_FLOAT16 && size >= (ptrdiff_t)sizeof half) {
        memcpy(&half, data.bytes.at, sizeof half);
        return half_to_double(half);
    }
    if (type.value != TYPE_FLOAT)
        return 0;
    if (!raw && find_field(tensor, TENSOR_FLOAT_DATA, 0, &data) && data.wire != 0)
        size = data.bytes.end - data.bytes.at;
    if (size < (ptrdiff_t)sizeof number)
        return 0;
    memcpy(&number, data.bytes.at, sizeof number);
    return number;
}

/* The first number of a constant: an initializer or the output of a Constant node; else 0. */
static double constant(struct span graph, struct span name)
{
    struct field field, inner;
    for (struct span rest = graph; next_field(&rest, &field);) {
        if (field.number == GRAPH_INITIALIZER && find_field(field.bytes, TENSOR_NAME, 0, &inner) &&
            is_same(inner.bytes, name))
            return first_number(field.bytes);
        if (field.number == GRAPH_NODE && find_field(field.bytes, NODE_OP_TYPE, 0, &inner) &&
            is_text(inner.bytes, "Constant") && find_field(field.bytes, NODE_OUTPUT, 0, &inner) &&
            is_same(inner.bytes, name) && find_field(field.bytes, NODE_ATTRIBUTE, 0, &inner) &&
            find_field(inner.bytes, ATTRIBUTE_TENSOR, 0, &inner))
            return first_number(inner.bytes);
    }
    return 0;
}

/* Finds the first node whose first input has this name. */
static bool find_consumer(struct span graph, struct span name, struct span *node)
{
    struct field field, input;
    while (next_field(&graph, &field)) {
        if (field.number == GRAPH_NODE && find_field(field.bytes, NODE_INPUT, 0, &input) &&
            is_same(input.bytes, name)) {
            *node = field.bytes;
            return true;
        }
    }
    return false;
}

static bool takes_bytes(struct span graph, struct span name)
{
    for (int i = 0; i < CHAIN_MAX; ++i) {
        struct span node;
        struct field type, other, output;
        if (!find_consumer(graph, name, &node) || !find_field(node, NODE_OP_TYPE, 0, &type) ||
            !find_field(node, NODE_OUTPUT, 0, &output))
            return false;
        double number = find_field(node, NODE_INPUT, 1, &other) ? constant(graph, other.bytes) : 0;
        if (is_text(type.bytes, "Div"))
            return number >= 100;
        if (is_text(type.bytes, "Mul"))
            return number > 0 && number <= 0.01;
        if (is_text(type.bytes, "Sub"))
            return number >= 2;
        if (is_text(type.bytes, "Add"))
            return number <= -2;
        if (!is_text(type.bytes, "Cast") && !is_text(type.bytes, "Transpose") &&
            !is_text(type.bytes, "Identity"))
            return false;
        name = output.bytes;
    }
    return false;
}

bool sp_onnx_takes_bytes(const char *path, const char *input_name)
{
    size_t length = strlen(path);
    struct stat status;
    bool found = false;
    if (length < 5 || strcmp(path + length - 5, ".onnx") != 0)
        return false;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    if (fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data != MAP_FAILED) {
            const uint8_t *bytes = data, *name = (const uint8_t *)input_name;
            struct field graph;
            if (find_field((struct span){bytes, bytes + size}, MODEL_GRAPH, 0, &graph))
                found = takes_bytes(graph.bytes, (struct span){name, name + strlen(input_name)});
            munmap(data, size);
        }
    }
    close(file);
    return found;
}

bool sp_onnx_metadata(const char *data, size_t bytes, const char *key, const char **value,
                      size_t *value_bytes)
{
    struct span rest = {(const uint8_t *)data, (const uint8_t *)data + bytes};
    struct field entry, field;
    while (next_field(&rest, &entry)) {
        if (entry.number != MODEL_METADATA || entry.wire != WIRE_BYTES ||
            !find_field(entry.bytes, ENTRY_KEY, 0, &field) || field.wire != WIRE_BYTES ||
            !is_text(field.bytes, key) || !find_field(entry.bytes, ENTRY_VALUE, 0, &field) ||
            field.wire != WIRE_BYTES)
            continue;
        *value = (const char *)field.bytes.at;
        *value_bytes = (size_t)(field.bytes.end - field.bytes.at);
        return true;
    }
    return false;
}
