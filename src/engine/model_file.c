#include "model_file.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct bytes {
    const uint8_t *data;
    size_t size;
};

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcasecmp(path + length - tail, suffix) == 0;
}

static uint32_t little_endian(struct bytes file, size_t at, size_t bytes)
{
    uint32_t value = 0;
    if (at > file.size || bytes > file.size - at)
        return 0;
    for (size_t i = 0; i < bytes; ++i)
        value |= (uint32_t)file.data[at + i] << (8 * i);
    return value;
}

/* Position of a field of a FlatBuffers table (flatbuffers.dev, "Internals"); 0: absent. */
static size_t table_field(struct bytes file, size_t table, unsigned field)
{
    size_t vtable = table - (size_t)(int32_t)little_endian(file, table, 4);
    if (vtable >= file.size || 4 + 2 * field + 2 > little_endian(file, vtable, 2))
        return 0;
    uint32_t offset = little_endian(file, vtable + 4 + 2 * (size_t)field, 2);
    return offset ? table + offset : 0;
}

/* Model.operator_codes (field 1): a vector of OperatorCode, whose builtin code is field 3, or in
 * older files the byte of field 0. QUANTIZE is 114, FAKE_QUANT 80 (tensorflow/lite/schema.fbs). A
 * file in which only the weights are integers has neither: it computes in floating point. */
static bool tflite_is_quantized(struct bytes file)
{
    size_t at = table_field(file, little_endian(file, 0, 4), 1);
    if (!at)
        return false;
    size_t vector = at + little_endian(file, at, 4);
    uint32_t count = little_endian(file, vector, 4);
    for (uint32_t i = 0; i < count && i < 4096; ++i) {
        size_t entry = vector + 4 + 4 * (size_t)i;
        size_t table = entry + little_endian(file, entry, 4);
        size_t old_code = table_field(file, table, 0), new_code = table_field(file, table, 3);
        uint32_t code = new_code ? little_endian(file, new_code, 4) : 0;
        if (code < 127 && old_code)
            code = code ? code : little_endian(file, old_code, 1);
        if (code == 114 || code == 80)
            return true;
    }
    return false;
}

static bool holds(struct bytes file, const char *text)
{
    return memmem(file.data, file.size, text, strlen(text)) != NULL;
}

/* In ONNX and IR, "DequantizeLinear" alone means stored integer weights only. */
static bool is_quantized(const char *path, struct bytes file)
{
    if (ends_with(path, ".tflite"))
        return tflite_is_quantized(file);
    return holds(file, "FakeQuantize") || holds(file, "QuantizeLinear");
}

static bool unpacks_weights(const char *path, struct bytes file)
{
    static const char *const types[] = {"\"i8\"", "\"u8\"", "\"i4\"", "\"u4\""};
    if (ends_with(path, ".tflite"))
        return true; /* not checked: few TFLite files have float weights, and they lose little */
    if (is_quantized(path, file))
        return false;
    bool found = holds(file, "DequantizeLinear");
    for (size_t i = 0; ends_with(path, ".xml") && i < sizeof types / sizeof *types; ++i)
        found = found || holds(file, types[i]);
    return found;
}

/* The C API does not list operations, so this searches the file for their names: attributes in IR,
 * strings of the graph in ONNX. */
static bool search_file(const char *path, bool (*search)(const char *path, struct bytes file))
{
    bool found = false;
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    if (fstat(file, &status) == 0 && status.st_size > 0) {
        size_t size = (size_t)status.st_size;
        void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
        if (data != MAP_FAILED) {
            found = search(path, (struct bytes){data, size});
            munmap(data, size);
        }
    }
    close(file);
    return found;
}

bool sp_model_file_unpacks_weights(const char *path)
{
    return search_file(path, unpacks_weights);
}

bool sp_model_file_is_quantized(const char *path)
{
    return search_file(path, is_quantized);
}
