/* What a KServe server sends: metadata, error texts, and replies whose outputs all lie in the body.
 * The first two bytes of the input are the length of the reply's JSON. */
#include "engine/kserve/wire.h"

#include "fuzz.h"

static void check_reply(const struct spoton_model_info *info, const char *body, size_t bytes,
                        size_t json_bytes)
{
    struct kserve_output outputs[SPOTON_TENSORS_MAX];
    char error[300] = "";
    int result = kserve_read_reply(outputs, info, body, bytes, json_bytes, error, sizeof error);
    FUZZ_CHECK(result == 0 || error[0]);
    for (int i = 0; i < info->output_count && result == 0; i++) {
        size_t length = outputs[i].count * kserve_element_bytes(outputs[i].element);
        const char *data = outputs[i].data;
        FUZZ_CHECK(outputs[i].numbers || length == 0 ||
                   (data >= body && data + length <= body + bytes));
        for (size_t k = 0; k < length; k += 64)
            FUZZ_CHECK(data[k] == data[k]);
    }
    kserve_free_outputs(outputs, info->output_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const int64_t dims[4] = {1, 3, 32, 32};
    struct kserve_model *model = calloc(1, sizeof *model);
    char error[300] = "", json[KSERVE_JSON_BYTES];
    FUZZ_CHECK(model != NULL);
    struct fuzz_bytes from = {data, bytes};
    size_t json_bytes = (size_t)fuzz_take(&from, 2);
    char *text = fuzz_text(from.at, from.left);
    if (kserve_read_model(model, text, from.left, error, sizeof error) == 0)
        FUZZ_CHECK(kserve_write_request(json, model, dims, 3072, error, sizeof error) <=
                   KSERVE_JSON_BYTES);
    else
        FUZZ_CHECK(error[0] && !strchr(error, '\n'));
    kserve_read_error(error, sizeof error, text, from.left);
    FUZZ_CHECK(!strchr(error, '\n'));
    model->info.output_count = 2;
    snprintf(model->info.output[0].name, SPOTON_NAME_BYTES, "a");
    snprintf(model->info.output[1].name, SPOTON_NAME_BYTES, "b");
    check_reply(&model->info, text, from.left, json_bytes);
    free(text);
    free(model);
    return 0;
}
