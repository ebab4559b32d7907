#include "onnx.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL = 1 << 16, ELEMENTS_MAX = 1 << 29 };

/* Fields of the messages, as onnx.proto numbers them. */
enum { MODEL_GRAPH = 7 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP, NODE_ATTRIBUTE, NODE_DOC, NODE_DOMAIN };
enum { ATTR_NAME = 1, ATTR_F, ATTR_I, ATTR_S, ATTR_T, ATTR_G, ATTR_FLOATS, ATTR_INTS };
enum { T_DIMS = 1, T_TYPE, T_SEGMENT, T_FLOATS, T_INT32, T_STRINGS, T_INT64, T_NAME, T_RAW };
enum { T_DOUBLES = 10, T_UINT64 = 11, T_LOCATION = 14 };
enum { ONNX_FLOAT = 1, ONNX_INT32 = 6, ONNX_INT64 = 7, ONNX_BOOL = 9, ONNX_HALF = 10 };
enum { ONNX_DOUBLE = 11 };

int fused_fail(char *error, size_t error_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* The analyzer does not see va_start() in a file with these headers. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- protobuf ---- */

struct bytes {
    const uint8_t *at, *end;
};

struct field {
    uint32_t number, wire;
    uint64_t value;    /* varint, or fixed */
    struct bytes body; /* length delimited */
};

static bool read_varint(struct bytes *in, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

/* False at the end, and where the bytes are no message; then in->at is not in->end. */
static bool next_field(struct bytes *in, struct field *field)
{
    const uint8_t *start = in->at;
    uint64_t key = 0, length = 0;
    if (in->at == in->end || !read_varint(in, &key))
        goto bad;
    *field = (struct field){.number = (uint32_t)(key >> 3), .wire = (uint32_t)(key & 7)};
    if (field->wire == 0 && read_varint(in, &field->value))
        return true;
    if (field->wire == 2 && read_varint(in, &length) && length <= (uint64_t)(in->end - in->at)) {
        field->body = (struct bytes){in->at, in->at + length};
        in->at += length;
        return true;
    }
    if (field->wire == 1 || field->wire == 5) {
        size_t size = field->wire == 1 ? 8 : 4;
        if ((size_t)(in->end - in->at) >= size) {
            memcpy(&field->value, in->at, size);
            in->at += size;
            return true;
        }
    }
bad:
    in->at = start;
    return false;
}

static size_t length_of(struct bytes body)
{
    return (size_t)(body.end - body.at);
}

static void copy_text(char *out, size_t out_bytes, struct bytes body)
{
    snprintf(out, out_bytes, "%.*s", (int)length_of(body), (const char *)body.at);
}

/* ---- values and nodes ---- */

static void *grow(void *memory, int count, int *room, size_t size)
{
    if (count < *room)
        return memory;
    int wanted = *room ? *room * 2 : 256;
    void *grown = realloc(memory, (size_t)wanted * size);
    if (grown)
        *room = wanted;
    return grown;
}

int fused_onnx_add_value(struct fused_onnx *onnx)
{
    int room = onnx->value_room;
    void *values = grow(onnx->value, onnx->value_count, &room, sizeof *onnx->value);
    if (!values)
        return -1;
    onnx->value = values;
    room = onnx->value_room;
    void *names = grow(onnx->value_name, onnx->value_count, &room, sizeof *onnx->value_name);
    if (!names)
        return -1;
    onnx->value_name = names;
    onnx->value_room = room;
    onnx->value[onnx->value_count] = (struct fused_tensor){.rank = -1};
    onnx->value_name[onnx->value_count] = NULL;
    return onnx->value_count++;
}

struct fused_node *fused_onnx_add_node(struct fused_onnx *onnx, const char *op)
{
    void *nodes = grow(onnx->node, onnx->node_count, &onnx->node_room, sizeof *onnx->node);
    if (!nodes)
        return NULL;
    onnx->node = nodes;
    struct fused_node *node = &onnx->node[onnx->node_count++];
    memset(node, 0, sizeof *node);
    snprintf(node->op, sizeof node->op, "%s", op);
    return node;
}

/* Linear: graphs of detectors have some hundred values; the newest are asked for most. */
static int value_of(struct fused_onnx *onnx, struct bytes name)
{
    size_t length = length_of(name);
    if (length == 0)
        return -1;
    for (int i = onnx->value_count - 1; i >= 0; --i)
        if (onnx->value_name[i] && strlen(onnx->value_name[i]) == length &&
            memcmp(onnx->value_name[i], name.at, length) == 0)
            return i;
    int value = fused_onnx_add_value(onnx);
    if (value >= 0)
        onnx->value_name[value] = strndup((const char *)name.at, length);
    return value;
}

int64_t fused_count(const struct fused_tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; ++i)
        count *= tensor->dims[i];
    return count;
}

/* ---- tensors ---- */

static float half_to_float(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    float sign = half & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 0)
        return sign * ldexpf((float)mantissa, -24);
    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    return sign * ldexpf((float)(mantissa + 1024), exponent - 25);
}

struct raw_tensor {
    int64_t type;
    int rank;
    int64_t dims[FUSED_RANK_MAX];
    struct bytes raw, floats, ints, doubles, name;
    double one; /* a value that is not packed */
    bool has_one, outside;
};

static size_t size_of_type(int64_t type)
{
    switch (type) {
    case ONNX_FLOAT:
    case ONNX_INT32:
        return 4;
    case ONNX_INT64:
    case ONNX_DOUBLE:
        return 8;
    case ONNX_HALF:
        return 2;
    case ONNX_BOOL:
        return 1;
    default:
        return 0;
    }
}

static double raw_value(int64_t type, const uint8_t *at)
{
    union {
        float f;
        double d;
        int32_t i;
        int64_t l;
        uint16_t h;
    } u = {.l = 0};
    memcpy(&u, at, size_of_type(type));
    switch (type) {
    case ONNX_FLOAT:
        return (double)u.f;
    case ONNX_INT32:
        return u.i;
    case ONNX_INT64:
        return (double)u.l;
    case ONNX_HALF:
        return (double)half_to_float(u.h);
    case ONNX_DOUBLE:
        return u.d;
    default:
        return *at;
    }
}

static bool read_dims(struct raw_tensor *raw, const struct field *field)
{
    struct bytes body = field->body;
    uint64_t value = field->value;
    do {
        if (field->wire == 2 && (body.at == body.end || !read_varint(&body, &value)))
            return body.at == body.end;
        if (raw->rank == FUSED_RANK_MAX || value > ELEMENTS_MAX)
            return false;
        raw->dims[raw->rank++] = (int64_t)value;
    } while (field->wire == 2);
    return true;
}

static bool scan_tensor(struct raw_tensor *raw, struct bytes in)
{
    struct field field;
    while (next_field(&in, &field)) {
        switch (field.number) {
        case T_DIMS:
            if (!read_dims(raw, &field))
                return false;
            break;
        case T_TYPE:
            raw->type = (int64_t)field.value;
            break;
        case T_FLOATS:
            raw->floats = field.body;
            if (field.wire == 5) {
                raw->one = raw_value(ONNX_FLOAT, (const uint8_t *)&field.value);
                raw->has_one = true;
            }
            break;
        case T_INT32:
        case T_INT64:
            raw->ints = field.body;
            if (field.wire == 0) {
                raw->one = (double)(int64_t)field.value;
                raw->has_one = true;
            }
            break;
        case T_DOUBLES:
            raw->doubles = field.body;
            break;
        case T_NAME:
            raw->name = field.body;
            break;
        case T_RAW:
            raw->raw = field.body;
            break;
        case T_LOCATION:
            raw->outside = field.value != 0;
            break;
        default:
            break;
        }
    }
    return in.at == in.end;
}

static bool next_value(struct raw_tensor *raw, int64_t index, double *value)
{
    size_t size = size_of_type(raw->type), at = (size_t)index * size;
    uint64_t number = 0;
    if (length_of(raw->raw) >= at + size) {
        *value = raw_value(raw->type, raw->raw.at + at);
    } else if (length_of(raw->floats) >= (size_t)index * 4 + 4) {
        *value = raw_value(ONNX_FLOAT, raw->floats.at + (size_t)index * 4);
    } else if (length_of(raw->doubles) >= (size_t)index * 8 + 8) {
        *value = raw_value(ONNX_DOUBLE, raw->doubles.at + (size_t)index * 8);
    } else if (raw->ints.at < raw->ints.end && read_varint(&raw->ints, &number)) {
        *value = raw->type == ONNX_HALF ? (double)half_to_float((uint16_t)number)
                                        : (double)(int64_t)number;
    } else if (raw->has_one && index == 0) {
        *value = raw->one;
    } else {
        return false;
    }
    return true;
}

static int read_tensor(struct fused_tensor *tensor, struct raw_tensor *raw, char *error,
                       size_t error_bytes)
{
    int64_t count = 1;
    for (int i = 0; i < raw->rank; ++i)
        count = count > ELEMENTS_MAX ? count : count * raw->dims[i];
    if (raw->outside || size_of_type(raw->type) == 0 || count > ELEMENTS_MAX)
        return fused_fail(error, error_bytes, "a tensor of a type or size that is not read");
    tensor->type = raw->type == ONNX_BOOL                               ? FUSED_BOOL
                   : raw->type == ONNX_INT32 || raw->type == ONNX_INT64 ? FUSED_INT
                                                                        : FUSED_FLOAT;
    tensor->rank = raw->rank;
    memcpy(tensor->dims, raw->dims, sizeof raw->dims);
    bool large = count > SMALL && tensor->type == FUSED_FLOAT;
    tensor->data = large ? NULL : calloc((size_t)count + 1, sizeof *tensor->data);
    tensor->weights = large ? calloc((size_t)count, sizeof *tensor->weights) : NULL;
    if (!tensor->data && !tensor->weights)
        return fused_fail(error, error_bytes, "out of memory");
    for (int64_t i = 0; i < count; ++i) {
        double value = 0;
        if (!next_value(raw, i, &value))
            return fused_fail(error, error_bytes, "a tensor with fewer numbers than its size");
        if (large)
            tensor->weights[i] = (float)value;
        else
            tensor->data[i] = value;
    }
    return 0;
}

static int add_tensor(struct fused_onnx *onnx, struct bytes body, char *error, size_t error_bytes)
{
    struct raw_tensor raw = {0};
    if (!scan_tensor(&raw, body))
        return fused_fail(error, error_bytes, "a damaged tensor");
    int value =
        raw.name.at && length_of(raw.name) ? value_of(onnx, raw.name) : fused_onnx_add_value(onnx);
    if (value < 0)
        return fused_fail(error, error_bytes, "out of memory");
    if (onnx->value[value].data || onnx->value[value].weights)
        return fused_fail(error, error_bytes, "two tensors of one name");
    return read_tensor(&onnx->value[value], &raw, error, error_bytes) < 0 ? -1 : value;
}

/* ---- nodes ---- */

static bool add_int(struct fused_attribute *attribute, uint64_t value)
{
    if (attribute->count == (int)(sizeof attribute->ints / sizeof *attribute->ints))
        return false;
    attribute->ints[attribute->count++] = (int64_t)value;
    return true;
}

static int read_attribute(struct fused_onnx *onnx, struct fused_attribute *attribute,
                          struct bytes in, char *error, size_t error_bytes)
{
    struct field field;
    bool fits = true;
    attribute->tensor = -1;
    while (fits && next_field(&in, &field)) {
        uint64_t value = field.value;
        switch (field.number) {
        case ATTR_NAME:
            copy_text(attribute->name, sizeof attribute->name, field.body);
            break;
        case ATTR_F:
            attribute->f = (float)raw_value(ONNX_FLOAT, (const uint8_t *)&field.value);
            break;
        case ATTR_I:
            attribute->i = (int64_t)field.value;
            break;
        case ATTR_S:
            copy_text(attribute->s, sizeof attribute->s, field.body);
            break;
        case ATTR_T:
            attribute->tensor = add_tensor(onnx, field.body, error, error_bytes);
            if (attribute->tensor < 0)
                return -1;
            break;
        case ATTR_INTS:
            if (field.wire == 0)
                fits = add_int(attribute, value);
            while (fits && field.body.at < field.body.end)
                fits = read_varint(&field.body, &value) && add_int(attribute, value);
            break;
        default:
            break;
        }
    }
    if (!fits || in.at != in.end)
        return fused_fail(error, error_bytes, "an attribute that is damaged or too long");
    return 0;
}

static int read_node(struct fused_onnx *onnx, struct bytes in, char *error, size_t error_bytes)
{
    struct fused_node *node = fused_onnx_add_node(onnx, "");
    struct field field;
    int at = onnx->node_count - 1;
    if (!node)
        return fused_fail(error, error_bytes, "out of memory");
    while (next_field(&in, &field)) {
        node = &onnx->node[at];
        if ((field.number == NODE_INPUT && node->input_count == FUSED_PORTS_MAX) ||
            (field.number == NODE_OUTPUT && node->output_count == FUSED_PORTS_MAX) ||
            (field.number == NODE_ATTRIBUTE && node->attribute_count == FUSED_ATTRIBUTES_MAX))
            return fused_fail(error, error_bytes, "a node of too many inputs");
        if (field.number == NODE_INPUT)
            node->input[node->input_count++] = value_of(onnx, field.body);
        else if (field.number == NODE_OUTPUT)
            node->output[node->output_count++] = value_of(onnx, field.body);
        else if (field.number == NODE_OP)
            copy_text(node->op, sizeof node->op, field.body);
        else if (field.number == NODE_ATTRIBUTE &&
                 read_attribute(onnx, &node->attribute[node->attribute_count++], field.body, error,
                                error_bytes) < 0)
            return -1;
        else if (field.number == NODE_DOMAIN && length_of(field.body) > 0 &&
                 (length_of(field.body) != 7 || memcmp(field.body.at, "ai.onnx", 7) != 0))
            return fused_fail(error, error_bytes, "an operation that is not ONNX's own");
    }
    if (in.at != in.end || node->output_count == 0 || node->output[0] < 0)
        return fused_fail(error, error_bytes, "a damaged node");
    node->name = onnx->value_name[node->output[0]];
    return 0;
}

static struct bytes name_of(struct bytes in)
{
    struct field field;
    while (next_field(&in, &field))
        if (field.number == 1)
            return field.body;
    return (struct bytes){0};
}

static int read_graph(struct fused_onnx *onnx, struct bytes in, char *error, size_t error_bytes)
{
    struct field field;
    struct bytes inputs[FUSED_PORTS_MAX];
    int input_count = 0;
    while (next_field(&in, &field)) {
        int result = 0;
        if (field.number == GRAPH_NODE)
            result = read_node(onnx, field.body, error, error_bytes);
        else if (field.number == GRAPH_INITIALIZER)
            result = add_tensor(onnx, field.body, error, error_bytes) < 0 ? -1 : 0;
        else if (field.number == GRAPH_INPUT && input_count < FUSED_PORTS_MAX)
            inputs[input_count++] = name_of(field.body);
        else if (field.number == GRAPH_OUTPUT && onnx->output_count < FUSED_PORTS_MAX)
            onnx->output[onnx->output_count++] = value_of(onnx, name_of(field.body));
        if (result < 0)
            return -1;
    }
    int found = 0;
    for (int i = 0; i < input_count; ++i) {
        int value = value_of(onnx, inputs[i]);
        if (value < 0 || onnx->value[value].data || onnx->value[value].weights)
            continue;
        onnx->input = value;
        ++found;
    }
    if (in.at != in.end || found != 1 || onnx->output_count == 0 || onnx->node_count == 0)
        return fused_fail(error, error_bytes, "a graph that has not one input and an output");
    for (int i = 0; i < onnx->output_count; ++i)
        if (onnx->output[i] < 0)
            return fused_fail(error, error_bytes, "an output without a name");
    return 0;
}

int fused_onnx_parse(struct fused_onnx *onnx, const uint8_t *bytes, size_t count, char *error,
                     size_t error_bytes)
{
    struct bytes in = {bytes, bytes + count};
    struct field field;
    int result = -1;
    memset(onnx, 0, sizeof *onnx);
    fused_fail(error, error_bytes, "no graph");
    while (next_field(&in, &field))
        if (field.number == MODEL_GRAPH && field.wire == 2 && onnx->node_count == 0)
            result = read_graph(onnx, field.body, error, error_bytes);
    if (result == 0 && in.at != in.end)
        result = fused_fail(error, error_bytes, "not an ONNX file");
    if (result < 0)
        fused_onnx_free(onnx);
    return result;
}

int fused_onnx_read(struct fused_onnx *onnx, const char *path, char *error, size_t error_bytes)
{
    FILE *file = fopen(path, "rbe");
    long size = 0;
    int result = -1;
    memset(onnx, 0, sizeof *onnx);
    if (!file || fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) <= 0) {
        fused_fail(error, error_bytes, "the file cannot be read");
    } else {
        uint8_t *bytes = malloc((size_t)size);
        rewind(file);
        if (bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size)
            result = fused_onnx_parse(onnx, bytes, (size_t)size, error, error_bytes);
        else
            fused_fail(error, error_bytes, "the file cannot be read");
        free(bytes);
    }
    if (file)
        fclose(file);
    return result;
}

void fused_onnx_free(struct fused_onnx *onnx)
{
    for (int i = 0; i < onnx->value_count; ++i) {
        free(onnx->value[i].data);
        free(onnx->value[i].weights);
        free(onnx->value_name[i]);
    }
    free(onnx->value);
    free(onnx->value_name);
    free(onnx->node);
    memset(onnx, 0, sizeof *onnx);
}

const struct fused_attribute *fused_attribute(const struct fused_node *node, const char *name)
{
    for (int i = 0; i < node->attribute_count; ++i)
        if (strcmp(node->attribute[i].name, name) == 0)
            return &node->attribute[i];
    return NULL;
}

int64_t fused_int(const struct fused_node *node, const char *name, int64_t otherwise)
{
    const struct fused_attribute *attribute = fused_attribute(node, name);
    return attribute ? attribute->i : otherwise;
}

float fused_float(const struct fused_node *node, const char *name, float otherwise)
{
    const struct fused_attribute *attribute = fused_attribute(node, name);
    return attribute ? attribute->f : otherwise;
}
