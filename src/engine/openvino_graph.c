#include "openvino_graph.h"

#include <string.h>

bool ov_set_shape(ov_model_t *model, const struct spoton_engine_options *options)
{
    const int64_t nchw[4] = {options->batch, 3, options->height, options->width};
    const int64_t nhwc[4] = {options->batch, options->height, options->width, 3};
    ov_partial_shape_t shape = {0};
    bool is_nchw = options->layout == SPOTON_LAYOUT_NCHW;
    bool done = ov_partial_shape_create_static(4, is_nchw ? nchw : nhwc, &shape) == OK &&
                ov_model_reshape_single_input(model, shape) == OK;
    ov_partial_shape_free(&shape);
    return done;
}

static bool get_element_type(const ov_model_t *model, ov_element_type_e *type)
{
    ov_output_const_port_t *port = NULL;
    bool done =
        ov_model_const_input(model, &port) == OK && ov_port_get_element_type(port, type) == OK;
    ov_output_const_port_free(port);
    return done;
}

static bool set_steps(ov_preprocess_input_info_t *input,
                      const struct spoton_engine_options *options, enum ov_images images,
                      ov_element_type_e type)
{
    bool swap = options->swap_red_blue && images == OV_IMAGES_AS_THEY_ARE;
    ov_preprocess_preprocess_steps_t *steps = NULL;
    bool done = ov_preprocess_input_info_get_preprocess_steps(input, &steps) == OK;
    if (done && type != (images == OV_IMAGES_BF16 ? BF16 : U8))
        done = ov_preprocess_preprocess_steps_convert_element_type(steps, type) == OK;
    if (done && swap)
        done = ov_preprocess_preprocess_steps_reverse_channels(steps) == OK;
    if (done && options->scale != 1.0f)
        done = ov_preprocess_preprocess_steps_scale(steps, options->scale) == OK;
    if (done && options->struct_bytes >= sizeof *options && options->deviation[0] > 0)
        done =
            ov_preprocess_preprocess_steps_mean_multi_channels(steps, options->mean, 3) == OK &&
            ov_preprocess_preprocess_steps_scale_multi_channels(steps, options->deviation, 3) == OK;
    ov_preprocess_preprocess_steps_free(steps);
    return done;
}

static const char *layout_name(enum spoton_layout layout)
{
    return layout == SPOTON_LAYOUT_NCHW ? "NCHW" : "NHWC";
}

static bool set_input(ov_preprocess_prepostprocessor_t *graph,
                      const struct spoton_engine_options *options, enum ov_images images,
                      ov_element_type_e type)
{
    bool bf16 = images == OV_IMAGES_BF16;
    enum spoton_layout given = bf16 ? SPOTON_LAYOUT_NHWC : options->input_layout;
    ov_preprocess_input_info_t *input = NULL;
    ov_preprocess_input_tensor_info_t *tensor = NULL;
    ov_preprocess_input_model_info_t *model = NULL;
    ov_layout_t *memory = NULL, *layout = NULL;
    bool done = ov_layout_create(layout_name(given), &memory) == OK &&
                ov_layout_create(layout_name(options->layout), &layout) == OK &&
                ov_preprocess_prepostprocessor_get_input_info_by_index(graph, 0, &input) == OK &&
                ov_preprocess_input_info_get_tensor_info(input, &tensor) == OK &&
                ov_preprocess_input_tensor_info_set_element_type(tensor, bf16 ? BF16 : U8) == OK &&
                ov_preprocess_input_tensor_info_set_layout(tensor, memory) == OK &&
                ov_preprocess_input_info_get_model_info(input, &model) == OK &&
                ov_preprocess_input_model_info_set_layout(model, layout) == OK &&
                set_steps(input, options, images, type);
    ov_preprocess_input_model_info_free(model);
    ov_preprocess_input_tensor_info_free(tensor);
    ov_preprocess_input_info_free(input);
    ov_layout_free(layout);
    ov_layout_free(memory);
    return done;
}

static bool set_output(ov_preprocess_prepostprocessor_t *graph, size_t index)
{
    ov_preprocess_output_info_t *output = NULL;
    ov_preprocess_output_tensor_info_t *tensor = NULL;
    bool done =
        ov_preprocess_prepostprocessor_get_output_info_by_index(graph, index, &output) == OK &&
        ov_preprocess_output_info_get_tensor_info(output, &tensor) == OK &&
        ov_preprocess_output_set_element_type(tensor, F32) == OK;
    ov_preprocess_output_tensor_info_free(tensor);
    ov_preprocess_output_info_free(output);
    return done;
}

bool ov_add_conversions(ov_model_t **model, const struct spoton_engine_options *options,
                        enum ov_images images, int outputs)
{
    ov_preprocess_prepostprocessor_t *graph = NULL;
    ov_model_t *built = NULL;
    ov_element_type_e type;
    bool done = get_element_type(*model, &type) &&
                ov_preprocess_prepostprocessor_create(*model, &graph) == OK &&
                set_input(graph, options, images, type);
    for (int i = 0; done && i < outputs; ++i)
        done = set_output(graph, (size_t)i);
    done = done && ov_preprocess_prepostprocessor_build(graph, &built) == OK;
    ov_preprocess_prepostprocessor_free(graph);
    if (done) {
        ov_model_free(*model);
        *model = built;
    }
    return done;
}

enum ov_images ov_choose_images(const struct spoton_engine_options *options,
                                const struct spoton_model_info *info, const char *hint)
{
#if defined(__x86_64__)
    enum spoton_element element = info->input[0].element;
    bool planes =
        options->layout == SPOTON_LAYOUT_NCHW && options->input_layout == SPOTON_LAYOUT_NCHW;
    bool real = element == SPOTON_ELEMENT_F32 || element == SPOTON_ELEMENT_F16 ||
                element == SPOTON_ELEMENT_BF16;
    if (strcmp(hint, "bf16") == 0 && !info->quantized && planes && real &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
        return OV_IMAGES_BF16;
#endif
    (void)options;
    (void)info;
    (void)hint;
    return OV_IMAGES_AS_THEY_ARE;
}

#if defined(__x86_64__)
/* 0..255 are exact in bf16, which is the upper half of a float. */
static inline uint16_t bf16_of(uint8_t value)
{
    float number = value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* Vectorized by the compiler; ov_choose_images() checks the CPU. */
#if !defined(__clang__)
__attribute__((optimize("O3"), target("avx512bw,avx512vl")))
#else
__attribute__((target("avx512bw,avx512vl")))
#endif
static void
interleave(uint16_t *restrict to, const uint8_t *restrict red, const uint8_t *restrict green,
           const uint8_t *restrict blue, size_t pixels)
{
    for (size_t i = 0; i < pixels; ++i) {
        to[3 * i] = bf16_of(red[i]);
        to[3 * i + 1] = bf16_of(green[i]);
        to[3 * i + 2] = bf16_of(blue[i]);
    }
}
#endif

void ov_fill_bf16(uint16_t *to, const uint8_t *planes, bool swap_red_blue, size_t pixels)
{
#if defined(__x86_64__)
    interleave(to, planes + (swap_red_blue ? 2 * pixels : 0), planes + pixels,
               planes + (swap_red_blue ? 0 : 2 * pixels), pixels);
#else
    (void)to;
    (void)planes;
    (void)swap_red_blue;
    (void)pixels;
#endif
}
