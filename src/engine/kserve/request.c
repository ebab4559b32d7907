#include "request.h"

#include <stdlib.h>
#include <string.h>

static size_t image_bytes(const struct kserve_input *input)
{
    return (size_t)input->height * (size_t)input->width * 3;
}

bool kserve_request_open(struct kserve_request *request, const struct kserve_input *input)
{
    request->image = calloc((size_t)input->batch, image_bytes(input));
    return request->image && kserve_transfer_open(&request->transfer, request);
}

void kserve_request_close(struct kserve_request *request)
{
    kserve_transfer_close(&request->transfer);
    for (int i = 0; i < SPOTON_TENSORS_MAX; ++i)
        free(request->output[i].data);
    if (request->input != request->image)
        free(request->input);
    free(request->image);
}

bool kserve_input_prepare(struct kserve_input *input, const struct kserve_model *model)
{
    enum spoton_element element = model->info.input[0].element;
    if (model->takes_rgb) { /* spoton converts on its side */
        input->scale = 1;
        input->swap_red_blue = input->has_deviation = false;
    }
    for (int i = 0; i < 3; ++i) {
        if (!convert_prepare(&input->table[i], element, input->scale) ||
            (input->has_deviation &&
             !convert_normalise(&input->table[i], input->mean[i], input->deviation[i])))
            return false;
    }
    return true;
}

bool kserve_request_prepare(struct kserve_request *request, const struct kserve_input *input)
{
    enum spoton_element element = input->table[0].element;
    bool direct = element == SPOTON_ELEMENT_U8 && input->scale == 1.0f &&
                  input->layout == input->image_layout && !input->swap_red_blue;
    request->input_bytes =
        (size_t)input->batch * image_bytes(input) * kserve_element_bytes(element);
    request->input = direct ? request->image : malloc(request->input_bytes);
    return request->input != NULL;
}

void kserve_request_fill(struct kserve_request *request, const struct kserve_input *input)
{
    size_t bytes = image_bytes(input);
    size_t numbers = bytes * kserve_element_bytes(input->table[0].element);
    if (request->input == request->image)
        return;
    for (size_t i = 0; i < (size_t)input->batch; ++i)
        convert_image(input->table, request->image + i * bytes, input->image_layout,
                      (char *)request->input + i * numbers, input->layout, input->swap_red_blue,
                      input->height, input->width);
}

static int keep_output(struct kserve_result *to, const struct kserve_output *from, char *error,
                       size_t error_bytes)
{
    if (from->count > to->room) {
        float *grown = realloc(to->data, from->count * sizeof *grown);
        if (!grown)
            return kserve_fail(error, error_bytes, "out of memory");
        to->data = grown;
        to->room = from->count;
    }
    if (from->count > 0)
        convert_to_f32(to->data, from->data, from->element, from->count);
    to->rank = from->rank;
    memcpy(to->dims, from->dims, sizeof to->dims);
    return 0;
}

int kserve_request_keep(struct kserve_request *request, const struct spoton_model_info *info,
                        char *error, size_t error_bytes)
{
    struct kserve_output outputs[SPOTON_TENSORS_MAX] = {0};
    const struct kserve_transfer *t = &request->transfer;
    int result = kserve_read_reply(outputs, info, t->reply ? t->reply : "", t->reply_bytes,
                                   t->json_bytes, error, error_bytes);
    for (int i = 0; i < info->output_count && result == 0; ++i)
        result = keep_output(&request->output[i], &outputs[i], error, error_bytes);
    kserve_free_outputs(outputs, info->output_count);
    return result;
}
