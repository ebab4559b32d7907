#include "wire.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Larger than the outputs of any detector, and far from overflow. */
static const int64_t ELEMENTS_MAX = INT64_C(1) << 28;

static const struct {
    const char *name;
    enum spoton_element element;
    size_t bytes;
} datatypes[] = {
    {"FP32", SPOTON_ELEMENT_F32, 4},  {"FP16", SPOTON_ELEMENT_F16, 2},
    {"BF16", SPOTON_ELEMENT_BF16, 2}, {"UINT8", SPOTON_ELEMENT_U8, 1},
    {"INT8", SPOTON_ELEMENT_I8, 1},   {"INT32", SPOTON_ELEMENT_I32, 4},
    {"INT64", SPOTON_ELEMENT_I64, 8},
};

enum { DATATYPES = sizeof datatypes / sizeof datatypes[0] };

int kserve_fail(char *error, size_t error_bytes, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    /* False positive: the analyzer does not recognize va_start() with these headers. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return SPOTON_FAILED;
}

size_t kserve_element_bytes(enum spoton_element element)
{
    for (int i = 0; i < DATATYPES; ++i)
        if (datatypes[i].element == element)
            return datatypes[i].bytes;
    return 0;
}

const char *kserve_datatype(enum spoton_element element)
{
    for (int i = 0; i < DATATYPES; ++i)
        if (datatypes[i].element == element)
            return datatypes[i].name;
    return "another type";
}

static enum spoton_element element_of(const json_t *datatype)
{
    const char *name = json_string_value(datatype);
    for (int i = 0; name && i < DATATYPES; ++i)
        if (strcmp(datatypes[i].name, name) == 0)
            return datatypes[i].element;
    return SPOTON_ELEMENT_OTHER;
}

/* Copies printable ASCII. */
static void copy_text(char *out, size_t out_bytes, const char *text)
{
    size_t used = 0;
    for (; *text && used + 1 < out_bytes; ++text)
        out[used++] = *text >= ' ' && *text <= '~' ? *text : ' ';
    out[used] = '\0';
}

/* False: not a list of at most SPOTON_RANK_MAX dimensions from `least`. */
static bool read_dims(const json_t *shape, int64_t least, int64_t dims[SPOTON_RANK_MAX], int *rank)
{
    size_t count = json_array_size(shape);
    if (!json_is_array(shape) || count > SPOTON_RANK_MAX)
        return false;
    for (size_t i = 0; i < count; ++i) {
        const json_t *item = json_array_get(shape, i);
        /* MLServer writes numbers with a fraction for some runtimes. */
        double value = json_number_value(item);
        if (!json_is_number(item) || value < (double)least || value > (double)ELEMENTS_MAX)
            return false;
        dims[i] = (int64_t)value;
    }
    *rank = (int)count;
    return true;
}

/* ---- metadata ---- */

static int read_tensors(const json_t *list, const char *what, struct spoton_tensor *tensors,
                        int *count, char *error, size_t error_bytes)
{
    size_t found = json_array_size(list);
    if (!json_is_array(list) || found < 1 || found > SPOTON_TENSORS_MAX)
        return kserve_fail(error, error_bytes,
                           "its metadata lists %zu %s; supported: 1 to %d; check the model's "
                           "configuration on the server",
                           found, what, SPOTON_TENSORS_MAX);
    for (size_t i = 0; i < found; ++i) {
        const json_t *item = json_array_get(list, i);
        const char *name = json_string_value(json_object_get(item, "name"));
        struct spoton_tensor *tensor = &tensors[i];
        *tensor = (struct spoton_tensor){.element = element_of(json_object_get(item, "datatype"))};
        if (!name || !*name || strlen(name) >= sizeof tensor->name ||
            !read_dims(json_object_get(item, "shape"), -1, tensor->dims, &tensor->rank))
            return kserve_fail(error, error_bytes,
                               "its metadata has no valid name and shape of %s %zu; check the "
                               "model's configuration on the server",
                               what, i);
        copy_text(tensor->name, sizeof tensor->name, name);
        for (int k = 0; k < tensor->rank; ++k)
            tensor->dims[k] = tensor->dims[k] > 0 ? tensor->dims[k] : -1;
    }
    *count = (int)found;
    return 0;
}

int kserve_read_model(struct kserve_model *model, const char *json, size_t bytes, char *error,
                      size_t error_bytes)
{
    json_t *root = json_loadb(json, bytes, 0, NULL);
    size_t struct_bytes = model->info.struct_bytes;
    *model = (struct kserve_model){.info.struct_bytes = struct_bytes};
    if (!json_is_object(root)) {
        json_decref(root);
        return kserve_fail(error, error_bytes,
                           "the reply is not model metadata; correct the URL, which ends in "
                           "/v2/models/NAME");
    }
    const char *platform = json_string_value(json_object_get(root, "platform"));
    copy_text(model->platform, sizeof model->platform, platform ? platform : "");
    model->takes_rgb = strcmp(model->platform, "spoton") == 0;
    struct spoton_model_info *info = &model->info;
    int result = read_tensors(json_object_get(root, "inputs"), "inputs", info->input,
                              &info->input_count, error, error_bytes);
    if (result == 0)
        result = read_tensors(json_object_get(root, "outputs"), "outputs", info->output,
                              &info->output_count, error, error_bytes);
    for (int i = 0; result == 0 && i < info->output_count; ++i)
        if (kserve_element_bytes(info->output[i].element) == 0)
            result = kserve_fail(error, error_bytes,
                                 "output \"%s\" is not a tensor of numbers; export the model "
                                 "without postprocessing",
                                 info->output[i].name);
    json_decref(root);
    return result;
}

/* ---- requests ---- */

int kserve_write_request(char out[KSERVE_JSON_BYTES], const struct kserve_model *model,
                         const int64_t dims[4], size_t input_bytes, char *error, size_t error_bytes)
{
    const struct spoton_tensor *input = &model->info.input[0];
    json_t *outputs = json_array();
    for (int i = 0; i < model->info.output_count; ++i)
        json_array_append_new(outputs,
                              json_pack("{s:s, s:{s:b}}", "name", model->info.output[i].name,
                                        "parameters", "binary_data", 1));
    json_t *root =
        json_pack("{s:[{s:s, s:[I,I,I,I], s:s, s:{s:I}}], s:o}", "inputs", "name", input->name,
                  "shape", (json_int_t)dims[0], (json_int_t)dims[1], (json_int_t)dims[2],
                  (json_int_t)dims[3], "datatype", kserve_datatype(input->element), "parameters",
                  "binary_data_size", (json_int_t)input_bytes, "outputs", outputs);
    size_t length = root ? json_dumpb(root, out, KSERVE_JSON_BYTES, JSON_COMPACT) : 0;
    json_decref(root);
    if (length == 0 || length > KSERVE_JSON_BYTES)
        return kserve_fail(error, error_bytes, "the names of its tensors are too long or invalid");
    return (int)length;
}

/* ---- replies ---- */

/* Appends the numbers of nested lists; false: too many, or something else in them. */
static bool flatten(const json_t *data, float *out, size_t count, size_t *used, int depth)
{
    size_t index;
    const json_t *item;
    if (json_is_number(data) || json_is_boolean(data)) {
        if (*used >= count)
            return false;
        out[(*used)++] =
            json_is_boolean(data) ? (float)json_is_true(data) : (float)json_number_value(data);
        return true;
    }
    if (!json_is_array(data) || depth > SPOTON_RANK_MAX)
        return false;
    json_array_foreach(data, index,
                       item) if (!flatten(item, out, count, used, depth + 1)) return false;
    return true;
}

static int read_numbers(struct kserve_output *output, const json_t *data, const char *name,
                        char *error, size_t error_bytes)
{
    size_t used = 0;
    output->numbers = calloc(output->count ? output->count : 1, sizeof *output->numbers);
    if (!output->numbers)
        return kserve_fail(error, error_bytes, "out of memory");
    if (!flatten(data, output->numbers, output->count, &used, 0) || used != output->count)
        return kserve_fail(error, error_bytes,
                           "output \"%s\" has not the %zu numbers of its shape; check the server",
                           name, output->count);
    output->data = output->numbers;
    output->element = SPOTON_ELEMENT_F32;
    return 0;
}

/* One output of the reply; *at: where the next binary tensor begins. */
static int read_output(const json_t *item, struct kserve_output *output, const char *name,
                       const char *body, size_t bytes, size_t *at, char *error, size_t error_bytes)
{
    const json_t *size = json_object_get(json_object_get(item, "parameters"), "binary_data_size");
    output->found = true;
    output->element = element_of(json_object_get(item, "datatype"));
    if (kserve_element_bytes(output->element) == 0 ||
        !read_dims(json_object_get(item, "shape"), 0, output->dims, &output->rank))
        return kserve_fail(error, error_bytes,
                           "output \"%s\" has no valid shape or data type; check the server", name);
    int64_t count = 1;
    for (int i = 0; i < output->rank; ++i) {
        count *= output->dims[i];
        if (count > ELEMENTS_MAX)
            return kserve_fail(error, error_bytes, "output \"%s\" is too large", name);
    }
    output->count = (size_t)count;
    if (!json_is_integer(size))
        return read_numbers(output, json_object_get(item, "data"), name, error, error_bytes);
    size_t expected = output->count * kserve_element_bytes(output->element);
    json_int_t length = json_integer_value(size);
    if (length < 0 || (size_t)length != expected || expected > bytes - *at)
        return kserve_fail(error, error_bytes,
                           "output \"%s\" has %lld bytes, but its shape has %zu; check the server",
                           name, (long long)length, expected);
    output->data = body + *at;
    *at += expected;
    return 0;
}

/* Binary tensors that were not asked for are skipped. */
static bool skip_output(const json_t *item, size_t bytes, size_t *at)
{
    json_int_t size = json_integer_value(
        json_object_get(json_object_get(item, "parameters"), "binary_data_size"));
    if (size < 0 || (size_t)size > bytes - *at)
        return false;
    *at += (size_t)size;
    return true;
}

static int index_of(const struct spoton_model_info *info, const char *name)
{
    for (int i = 0; name && i < info->output_count; ++i)
        if (strcmp(info->output[i].name, name) == 0)
            return i;
    return -1;
}

int kserve_read_reply(struct kserve_output *outputs, const struct spoton_model_info *info,
                      const char *body, size_t bytes, size_t json_bytes, char *error,
                      size_t error_bytes)
{
    for (int i = 0; i < info->output_count; ++i)
        outputs[i] = (struct kserve_output){0};
    if (json_bytes > bytes)
        return kserve_fail(error, error_bytes, "the reply is shorter than its header says");
    json_t *root = json_loadb(body, json_bytes, 0, NULL);
    const json_t *list = json_object_get(root, "outputs"), *item;
    size_t at = json_bytes, index;
    int result =
        json_is_array(list)
            ? 0
            : kserve_fail(error, error_bytes, "the reply has no list of outputs; check the server");
    json_array_foreach(list, index, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        int i = index_of(info, name);
        if (result < 0)
            break;
        if (i >= 0 && !outputs[i].found)
            result = read_output(item, &outputs[i], info->output[i].name, body, bytes, &at, error,
                                 error_bytes);
        else if (!skip_output(item, bytes, &at))
            result = kserve_fail(error, error_bytes, "the reply is shorter than its outputs");
    }
    for (int i = 0; i < info->output_count && result == 0; ++i)
        if (!outputs[i].found)
            result = kserve_fail(error, error_bytes, "the reply has no output \"%s\"",
                                 info->output[i].name);
    json_decref(root);
    return result;
}

void kserve_free_outputs(struct kserve_output *outputs, int count)
{
    for (int i = 0; i < count; ++i) {
        free(outputs[i].numbers);
        outputs[i] = (struct kserve_output){0};
    }
}

void kserve_read_error(char *out, size_t out_bytes, const char *body, size_t bytes)
{
    json_t *root = json_loadb(body, bytes, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "error"));
    if (!text)
        text = json_string_value(json_object_get(root, "detail")); /* FastAPI, and spoton */
    copy_text(out, out_bytes, text ? text : "");
    json_decref(root);
}
