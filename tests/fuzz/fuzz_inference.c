/* An inference request of another machine: what is accepted has as many bytes as its shape. The
 * first two bytes of the input are the length of the JSON, the third the layout. */
#include "api/inference_body.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sp_inference_request request;
    struct sp_error err = {0};
    struct fuzz_bytes from = {data, bytes};
    size_t json_bytes = (size_t)fuzz_take(&from, 2);
    enum spoton_layout layout = fuzz_take(&from, 1) & 1 ? SPOTON_LAYOUT_NHWC : SPOTON_LAYOUT_NCHW;
    char *body = fuzz_text(from.at, from.left);
    int result = sp_inference_read(&request, body, from.left, json_bytes, layout, &err);
    fuzz_check_result(result, &err);
    if (result == SP_OK) {
        struct sp_json json = {0};
        const float value = 1;
        const struct sp_model_output output = {.data = &value, .rank = 0};
        unsigned sum = 0;
        for (size_t i = 0; i < request.bytes; i++)
            sum += request.data[i];
        FUZZ_CHECK(sum <= request.bytes * 255);
        FUZZ_CHECK(request.bytes == (size_t)request.images * (size_t)request.width_px *
                                        (size_t)request.height_px * 3);
        request.images = 1;
        sp_inference_write(&json, "person", &request, &output, 1);
        FUZZ_CHECK(!json.failed && json.text[json.used_bytes - 1] == '}');
        sp_json_release(&json);
        free(request.numbers);
    }
    free(body);
    return 0;
}
