/* A model file: its head type, its classes, and the format of its input and outputs.
 *
 * Recognized from the file's tensors, its metadata and the graph's first operations, never from its
 * name. An unknown model is refused; the error lists what was found and what is supported. Dynamic
 * dimensions can leave the head type open until the first inference (detect/verify.h). Immutable
 * after open. */
#pragma once

#include "base/error.h"
#include "class_names.h"
#include "detect/head_type.h"
#include "spoton/engine.h"

#include <stdbool.h>

/* The range of the model's pixel values, and the order of its channels. */
enum sp_input_range { SP_RANGE_AUTO, SP_RANGE_UNIT, SP_RANGE_BYTES };
enum sp_input_color { SP_COLOR_AUTO, SP_COLOR_RGB, SP_COLOR_BGR };

/* Settings that override what is recognized; zero: recognize it. */
struct sp_model_wish {
    enum sp_head_type head_type; /* MODEL_HEAD */
    enum sp_input_range range;   /* MODEL_INPUT_RANGE */
    enum sp_input_color color;   /* MODEL_INPUT_COLOR */
    const char *backend_options; /* of engines whose models are not files; read by open only */
};

struct sp_model {
    char path[4096];
    enum sp_head_type head_type;
    int classes;     /* the first inference may remove one: see `unsure` */
    bool rows_first; /* the head is [b, n, values] */
    /* The next five are verified by the first inference, in sp_detector_open(). */
    bool relative_boxes; /* boxes are in 0..1 of the input instead of pixels */
    bool center_boxes;   /* end-to-end: cx cy w h instead of corners */
    bool rows_overlap;   /* end-to-end: one row per cell, needs NMS */
    bool raw_cells;      /* YOLOX: offsets and log sizes */
    bool logits;         /* RT-DETR: confidences before the sigmoid */
    bool unsure; /* the shape fits YOLOv8 and YOLOX: the first inference decides, or refuses */
    int confidence_columns; /* of two outputs; classes, plus 1 with a "no object" column */
    int boxes_output, confidences_output; /* output indices: different only for RT-DETR's two */
    enum spoton_layout layout;
    bool swap_red_blue;
    float scale;                                      /* 255: the model takes 0..1 */
    float mean[3], deviation[3];                      /* as in spoton_engine_options */
    int fixed_batch, fixed_height_px, fixed_width_px; /* 0: dynamic */
    int stride_px;                                    /* sides are multiples of it */
    bool quantized;
    struct sp_class_names class_names;
    /* The class named "person", in any case. Without names: class 0 if there is one class or COCO's
     * 80, class 1 of COCO's 91 (RF-DETR), and it gets that name. -1: none, or not known. */
    int person_class;

    /* For the first inference, which may recognize the model again. */
    struct sp_model_wish wish;
    enum spoton_element input_element;
    bool graph_takes_bytes; /* its first operations divide 0..255 */
    int names;              /* number of class names in the file */
    bool names_sparse;      /* the names have gaps */
};

/* wish: overrides from the settings, see sp_model_choice_wish(); or NULL. For an engine whose
 * models are not files (inspect_with) `path` gives the class names, and need not exist.
 * SP_ERR_NOT_FOUND, SP_ERR_FORMAT: unreadable; SP_ERR_UNSUPPORTED: the head is unknown, or not the
 * wished one. */
int sp_model_open(struct sp_model *model, const struct spoton_engine_api *engine, const char *path,
                  const struct sp_model_wish *wish, struct sp_error *err);

/* One output, of one image of a batch. */
struct sp_model_output {
    const float *data;
    int64_t dims[SPOTON_RANK_MAX]; /* without the batch */
    int rank;
};
