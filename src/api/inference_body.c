#include "api/inference_body.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int refuse(const char *problem, struct sp_error *err)
{
    return sp_fail(err, SP_ERR_INVALID, "inference request: %s", problem);
}

/* ---- reading ---- */

static int read_shape(struct sp_inference_request *request, const json_t *shape,
                      enum spoton_layout layout, struct sp_error *err)
{
    json_int_t dims[4];
    if (json_array_size(shape) != 4)
        return refuse("the input's shape has not 4 dimensions; see the model's metadata", err);
    for (size_t i = 0; i < 4; i++) {
        dims[i] = json_integer_value(json_array_get(shape, i));
        if (dims[i] < 1 || dims[i] > 65536)
            return refuse("a dimension of the input is not 1 to 65536", err);
    }
    bool nchw = layout == SPOTON_LAYOUT_NCHW;
    if (dims[nchw ? 1 : 3] != 3)
        return refuse("the input has not 3 channels where the model's metadata has them", err);
    json_int_t height = dims[nchw ? 2 : 1], width = dims[nchw ? 3 : 2];
    if (height * width > SP_INFERENCE_PIXELS_MAX / dims[0])
        return refuse("the input is larger than any that is accepted here", err);
    request->images = (int)dims[0];
    request->height_px = (int)height;
    request->width_px = (int)width;
    request->bytes = (size_t)(dims[0] * height * width * 3);
    return SP_OK;
}

/* Appends the numbers of nested lists; false: too many, or something else in them. */
static bool flatten(const json_t *data, uint8_t *out, size_t count, size_t *used, int depth)
{
    size_t index;
    const json_t *item;
    if (json_is_integer(data)) {
        json_int_t value = json_integer_value(data);
        if (*used >= count || value < 0 || value > 255)
            return false;
        out[(*used)++] = (uint8_t)value;
        return true;
    }
    if (!json_is_array(data) || depth > 4)
        return false;
    json_array_foreach(data, index, item)
    {
        if (!flatten(item, out, count, used, depth + 1))
            return false;
    }
    return true;
}

static int read_numbers(struct sp_inference_request *request, const json_t *data,
                        struct sp_error *err)
{
    size_t used = 0;
    request->numbers = malloc(request->bytes);
    if (!request->numbers)
        return sp_fail(err, SP_ERR_NO_MEMORY, "inference request: out of memory");
    request->data = request->numbers;
    if (flatten(data, request->numbers, request->bytes, &used, 0) && used == request->bytes)
        return SP_OK;
    free(request->numbers);
    request->numbers = NULL;
    return refuse("the input's data is not as many numbers of 0 to 255 as its shape has; the "
                  "binary tensor extension is faster",
                  err);
}

static int read_input(struct sp_inference_request *request, const json_t *input, const char *body,
                      size_t bytes, size_t json_bytes, enum spoton_layout layout,
                      struct sp_error *err)
{
    const char *datatype = json_string_value(json_object_get(input, "datatype"));
    const json_t *size = json_object_get(json_object_get(input, "parameters"), "binary_data_size");
    if (!datatype || strcmp(datatype, "UINT8") != 0)
        return refuse("the input is not UINT8; send RGB bytes, as the model's metadata says", err);
    int result = read_shape(request, json_object_get(input, "shape"), layout, err);
    if (result < 0)
        return result;
    if (!size)
        return read_numbers(request, json_object_get(input, "data"), err);
    if (!json_is_integer(size) || json_integer_value(size) < 0 ||
        (size_t)json_integer_value(size) != request->bytes || bytes - json_bytes != request->bytes)
        return refuse("binary_data_size, the shape and the length of the body differ", err);
    request->data = (const uint8_t *)body + json_bytes;
    return SP_OK;
}

/* Binary if the request says so for all outputs or for one of them. */
static bool wants_binary(const json_t *root)
{
    const json_t *all = json_object_get(json_object_get(root, "parameters"), "binary_data_output");
    const json_t *outputs = json_object_get(root, "outputs"), *output;
    bool binary = json_is_true(all);
    size_t index;
    json_array_foreach(outputs, index, output)
    {
        const json_t *own = json_object_get(json_object_get(output, "parameters"), "binary_data");
        binary = own ? json_is_true(own) : binary;
    }
    return binary;
}

int sp_inference_read(struct sp_inference_request *request, const char *body, size_t bytes,
                      size_t json_bytes, enum spoton_layout layout, struct sp_error *err)
{
    *request = (struct sp_inference_request){0};
    if (json_bytes > bytes)
        return refuse("Inference-Header-Content-Length is larger than the body", err);
    json_t *root = json_loadb(body, json_bytes, 0, NULL);
    const json_t *inputs = json_object_get(root, "inputs");
    const char *id = json_string_value(json_object_get(root, "id"));
    int result = SP_OK;
    if (!json_is_object(root))
        result = refuse("not a JSON object; see docs/KSERVE.md", err);
    else if (json_array_size(inputs) != 1)
        result = refuse("has not exactly one input", err);
    else if (id && strlen(id) >= sizeof request->id)
        result = refuse("its id is longer than 127 bytes", err);
    if (result == SP_OK) {
        snprintf(request->id, sizeof request->id, "%s", id ? id : "");
        request->binary = wants_binary(root);
        result =
            read_input(request, json_array_get(inputs, 0), body, bytes, json_bytes, layout, err);
    }
    json_decref(root);
    return result;
}

/* ---- writing ---- */

size_t sp_inference_output_bytes(const struct sp_model_output *output)
{
    size_t bytes = sizeof(float);
    for (int i = 0; i < output->rank; i++)
        bytes *= (size_t)output->dims[i];
    return bytes;
}

static void put_output(struct sp_json *json, const struct sp_model_output *output, int index,
                       const struct sp_inference_request *request)
{
    char name[16];
    size_t bytes = (size_t)request->images * sp_inference_output_bytes(output);
    snprintf(name, sizeof name, "output%d", index);
    sp_json_begin_object(json);
    sp_json_member_string(json, "name", name);
    sp_json_member_string(json, "datatype", "FP32");
    sp_json_key(json, "shape");
    sp_json_begin_array(json);
    sp_json_int(json, request->images);
    for (int i = 0; i < output->rank; i++)
        sp_json_int(json, output->dims[i]);
    sp_json_end_array(json);
    if (request->binary) {
        sp_json_key(json, "parameters");
        sp_json_begin_object(json);
        sp_json_member_int(json, "binary_data_size", (int64_t)bytes);
        sp_json_end_object(json);
    } else {
        sp_json_key(json, "data");
        sp_json_begin_array(json);
        for (size_t i = 0; i < bytes / sizeof(float); i++)
            sp_json_double(json, (double)output->data[i]);
        sp_json_end_array(json);
    }
    sp_json_end_object(json);
}

void sp_inference_write(struct sp_json *json, const char *model,
                        const struct sp_inference_request *request,
                        const struct sp_model_output *outputs, int count)
{
    sp_json_begin_object(json);
    sp_json_member_string(json, "model_name", model);
    sp_json_member_string(json, "model_version", "1");
    if (request->id[0])
        sp_json_member_string(json, "id", request->id);
    sp_json_key(json, "outputs");
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++)
        put_output(json, &outputs[i], i, request);
    sp_json_end_array(json);
    sp_json_end_object(json);
}
