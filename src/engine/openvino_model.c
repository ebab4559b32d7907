#include "openvino_model.h"

#include "model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

int ov_fail(char *error, size_t error_bytes, const char *thing)
{
    const char *text = ov_get_last_err_msg();
    int length = snprintf(error, error_bytes, "%s:", thing);
    size_t used = length > 0 ? (size_t)length : 0;
    for (const char *line = text ? text : "unknown error"; *line;) {
        size_t line_bytes = strcspn(line, "\n");
        bool position = strncmp(line, "Exception from ", 15) == 0 ||
                        strncmp(line, "Check '", 7) == 0 || strncmp(line, "FrontEnd API", 12) == 0;
        if (!position && line_bytes > 0 && used < error_bytes) {
            length = snprintf(error + used, error_bytes - used, " %.*s", (int)line_bytes, line);
            used += length > 0 ? (size_t)length : 0;
        }
        line += line_bytes;
        line += *line == '\n';
    }
    ov_free(text);
    return -1;
}

static int fail(char *error, size_t error_bytes, const char *path, const char *text)
{
    snprintf(error, error_bytes, "model %s: %s", path, text);
    return -1;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t length = strlen(path), tail = strlen(suffix);
    return length > tail && strcasecmp(path + length - tail, suffix) == 0;
}

/* An ONNX file is a protobuf ModelProto: its first byte is the key of one of that message's fields
 * (onnx.proto: 1 and 5 are varints, the others are length-delimited). */
static bool starts_like_onnx(const uint8_t *head, size_t bytes)
{
    if (bytes < 2 || head[0] & 0x80)
        return bytes >= 2 && head[1] <= 1; /* fields from 16 on have a second byte */
    unsigned field = head[0] >> 3, wire = head[0] & 7;
    if (field == 1 || field == 5)
        return wire == 0;
    return wire == 2 && ((field >= 2 && field <= 8) || field == 14);
}

static int check_file(const char *path, char *error, size_t error_bytes)
{
    bool onnx = ends_with(path, ".onnx"), tflite = ends_with(path, ".tflite");
    bool ir = ends_with(path, ".xml");
    struct stat status;
    if (stat(path, &status) != 0)
        return fail(error, error_bytes, path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return fail(error, error_bytes, path, "is a folder; give a .onnx, .xml or .tflite file");
    if (!onnx && !tflite && !ir)
        return fail(
            error, error_bytes, path,
            "unknown file type; the openvino engine reads .onnx, .xml (OpenVINO IR) and .tflite");
    if (status.st_size == 0)
        return fail(error, error_bytes, path, "the file is empty");

    uint8_t head[16] = {0};
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, head, sizeof head);
    int why = errno;
    if (file >= 0)
        close(file);
    if (got < 0)
        return fail(error, error_bytes, path, strerror(why));
    if (tflite && memcmp(head + 4, "TFL3", 4) != 0)
        return fail(error, error_bytes, path, "not a TFLite file: no TFL3 identifier");
    if (onnx && !starts_like_onnx(head, (size_t)got))
        return fail(error, error_bytes, path,
                    "not an ONNX file: it does not start with a field of ModelProto");
    if (ir && !memchr(head, '<', sizeof head))
        return fail(error, error_bytes, path, "not an OpenVINO IR file: not XML");
    return 0;
}

int ov_read(ov_core_t *core, const char *path, ov_model_t **model, char *error, size_t error_bytes)
{
    if (check_file(path, error, error_bytes) < 0)
        return -1;
    if (ov_core_read_model(core, path, NULL, model) == OK)
        return 0;
    char thing[512];
    snprintf(thing, sizeof thing, "model %s: unreadable", path);
    return ov_fail(error, error_bytes, thing);
}

static enum spoton_element element_of(ov_element_type_e type)
{
    switch (type) {
    case F32:
        return SPOTON_ELEMENT_F32;
    case F16:
        return SPOTON_ELEMENT_F16;
    case BF16:
        return SPOTON_ELEMENT_BF16;
    case U8:
        return SPOTON_ELEMENT_U8;
    case I8:
        return SPOTON_ELEMENT_I8;
    case I32:
        return SPOTON_ELEMENT_I32;
    case I64:
        return SPOTON_ELEMENT_I64;
    default:
        return SPOTON_ELEMENT_OTHER;
    }
}

static int describe_port(const ov_output_const_port_t *port, struct spoton_tensor *tensor)
{
    char *name = NULL;
    ov_element_type_e type;
    ov_partial_shape_t shape = {0};
    if (ov_port_get_element_type(port, &type) != OK ||
        ov_port_get_partial_shape(port, &shape) != OK)
        return -1;
    if (ov_port_get_any_name(port, &name) == OK) /* a tensor may have none */
        snprintf(tensor->name, sizeof tensor->name, "%s", name);
    ov_free(name);
    tensor->element = element_of(type);
    tensor->rank = 0;
    if (!ov_rank_is_dynamic(shape.rank) && shape.rank.max <= SPOTON_RANK_MAX) {
        tensor->rank = (int)shape.rank.max;
        for (int i = 0; i < tensor->rank; ++i)
            tensor->dims[i] = ov_dimension_is_dynamic(shape.dims[i]) ? -1 : shape.dims[i].max;
    }
    ov_partial_shape_free(&shape);
    return 0;
}

int ov_describe_model(const ov_model_t *model, const char *path, struct spoton_model_info *info,
                      char *error, size_t error_bytes)
{
    size_t inputs, outputs;
    if (ov_model_inputs_size(model, &inputs) != OK || ov_model_outputs_size(model, &outputs) != OK)
        return ov_fail(error, error_bytes, path);
    info->input_count = (int)inputs;
    info->output_count = (int)outputs;
    for (size_t i = 0; i < inputs + outputs; ++i) {
        bool is_input = i < inputs;
        size_t index = is_input ? i : i - inputs;
        if (index >= SPOTON_TENSORS_MAX)
            continue;
        ov_output_const_port_t *port = NULL;
        ov_status_e status = is_input ? ov_model_const_input_by_index(model, index, &port)
                                      : ov_model_const_output_by_index(model, index, &port);
        struct spoton_tensor *tensor = is_input ? &info->input[index] : &info->output[index];
        int result = status == OK ? describe_port(port, tensor) : -1;
        ov_output_const_port_free(port);
        if (result < 0)
            return ov_fail(error, error_bytes, path);
    }
    info->quantized = sp_model_file_is_quantized(path);
    return 0;
}
