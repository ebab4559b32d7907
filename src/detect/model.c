#include "detect/model.h"
#include "detect/names.h"
#include "detect/onnx_input.h"
#include "detect/recognize.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* COCO's category ids go up to 90, with gaps; 1 is "person". */
enum { COCO_CATEGORIES = 91 };

enum { INPUT_PX_MAX = 8192, BATCH_MAX = 1024, STRIDE_PX = 32 };

static int read_input(struct sp_model *model, const struct spoton_model_info *info,
                      struct sp_error *err)
{
    const struct spoton_tensor *input = &info->input[0];
    if (info->input_count != 1)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: has %d inputs, \"%s\" and \"%s\", but one image is supported; "
                       "export it without postprocessing, see docs/MODELS.md",
                       model->path, info->input_count, input->name,
                       info->input_count > 1 ? info->input[1].name : "");
    bool nchw = input->rank == 4 && input->dims[1] == 3;
    bool nhwc = input->rank == 4 && input->dims[3] == 3;
    if (!nchw && !nhwc)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: input \"%s\" is %s, not an image; supported: [b,3,height,width] "
                       "or [b,height,width,3]; see docs/MODELS.md",
                       model->path, input->name, sp_shape_text(input).text);
    switch (input->element) {
    case SPOTON_ELEMENT_F32:
    case SPOTON_ELEMENT_F16:
    case SPOTON_ELEMENT_BF16:
        break;
    case SPOTON_ELEMENT_U8:
        if (model->wish.range != SP_RANGE_UNIT)
            break;
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: input \"%s\" is %s, which cannot hold 0..1; set "
                       "MODEL_INPUT_RANGE=auto",
                       model->path, input->name, sp_shape_text(input).text);
    default:
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: input \"%s\" is %s; supported: f32, f16, bf16 and u8",
                       model->path, input->name, sp_shape_text(input).text);
    }
    model->input_element = input->element;
    model->graph_takes_bytes = sp_onnx_takes_bytes(model->path, input->name);
    model->layout = nchw ? SPOTON_LAYOUT_NCHW : SPOTON_LAYOUT_NHWC;
    int64_t height = input->dims[nchw ? 2 : 1], width = input->dims[nchw ? 3 : 2];
    if (input->dims[0] > BATCH_MAX || height > INPUT_PX_MAX || width > INPUT_PX_MAX)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "model %s: input \"%s\" is %s; supported: up to %d images of up to %d px a "
                       "side",
                       model->path, input->name, sp_shape_text(input).text, BATCH_MAX,
                       INPUT_PX_MAX);
    model->fixed_batch = input->dims[0] > 0 ? (int)input->dims[0] : 0;
    model->fixed_height_px = height > 0 ? (int)height : 0;
    model->fixed_width_px = width > 0 ? (int)width : 0;
    model->stride_px = STRIDE_PX;
    return SP_OK;
}

/* Ultralytics' TFLite exports have boxes in 0..1, its other exports in pixels. */
static bool is_tflite(const char *path)
{
    char head[8] = {0};
    FILE *file = fopen(path, "rbe");
    if (!file)
        return false;
    size_t got = fread(head, 1, sizeof head, file);
    fclose(file);
    return got == sizeof head && memcmp(head + 4, "TFL3", 4) == 0;
}

static int fail_inspect(const char *path, const char *text, struct sp_error *err)
{
    struct stat status;
    if (stat(path, &status) != 0 && errno == ENOENT)
        return sp_fail(err, SP_ERR_NOT_FOUND, "model %s: no such file", path);
    return sp_fail(err, SP_ERR_FORMAT, "%s", text);
}

static void find_person(struct sp_model *model)
{
    struct sp_class_names *names = &model->class_names;
    /* The head may still be recognized as YOLOX, which has one class less; in TFLite it is not. */
    int fewest = model->classes - (model->unsure && model->layout == SPOTON_LAYOUT_NCHW);
    model->person_class = -1;
    if (names->count == 0) {
        if (fewest == 1 || model->classes == 1 || fewest == 80 || model->classes == 80)
            model->person_class = 0;
        if (model->head_type == SP_HEAD_RFDETR && model->classes == COCO_CATEGORIES)
            model->person_class = 1;
        if (model->person_class >= 0)
            sp_class_names_set(names, model->person_class, "person", strlen("person"));
        return;
    }
    for (int i = names->count - 1; i >= 0; --i) {
        const char *name = sp_class_names_get(names, i);
        if (name && sp_class_names_alike(name, "person"))
            model->person_class = i;
    }
}

static int read_file(struct sp_model *model, const struct spoton_model_info *info,
                     struct sp_error *err)
{
    sp_model_names_find(&model->class_names, model->path);
    model->names = model->class_names.count;
    model->names_sparse = model->class_names.named < model->names;
    model->quantized = info->quantized != 0;
    model->relative_boxes = is_tflite(model->path);
    int result = read_input(model, info, err);
    if (result == SP_OK)
        result = sp_head_type_recognize(
            model, info->output,
            info->output_count < SPOTON_TENSORS_MAX ? info->output_count : SPOTON_TENSORS_MAX,
            model->fixed_width_px, model->fixed_height_px, err);
    if (result == SP_OK)
        find_person(model);
    return result;
}

static int inspect(struct spoton_model_info *info, const struct spoton_engine_api *engine,
                   const char *path, const struct sp_model_wish *wish, struct sp_error *err)
{
    char text[400] = "";
    if (SPOTON_ENGINE_HAS(engine, inspect_with)) {
        if (engine->inspect_with(path, wish ? wish->backend_options : NULL, info, text,
                                 sizeof text) < 0)
            return sp_fail(err, SP_ERR_ENGINE, "engine %s: %s", engine->name, text);
        return SP_OK;
    }
    return engine->inspect(path, info, text, sizeof text) < 0 ? fail_inspect(path, text, err)
                                                              : SP_OK;
}

int sp_model_open(struct sp_model *model, const struct spoton_engine_api *engine, const char *path,
                  const struct sp_model_wish *wish, struct sp_error *err)
{
    *model = (struct sp_model){0};
    if (wish)
        model->wish = *wish;
    model->wish.backend_options = NULL; /* need not outlive this call */
    if (strlen(path) >= sizeof model->path)
        return sp_fail(err, SP_ERR_INVALID, "model path of %zu characters: too long; move the file",
                       strlen(path));
    snprintf(model->path, sizeof model->path, "%s", path);

    struct spoton_model_info *info = calloc(1, sizeof *info);
    if (!info)
        return sp_fail(err, SP_ERR_NO_MEMORY, "model %s: out of memory", path);
    info->struct_bytes = sizeof *info;
    int result = inspect(info, engine, path, wish, err);
    if (result == SP_OK)
        result = read_file(model, info, err);
    free(info);
    return result;
}
