/* What a model file is: its head type, its classes, and how its input and outputs read.
 *
 * Recognised from the tensors of the file, from what its exporter wrote into it and from the
 * graph's first operations, never from its name; an unknown one is refused with what was seen and
 * what is supported. What free dimensions leave open, the first run decides (detect/verify.h).
 * Immutable after open. */
#pragma once

#include "base/error.h"
#include "class_names.h"
#include "spoton/engine.h"

#include <stdbool.h>

/* Boxes are cx cy w h unless it says otherwise; "class confidences" are one a class. The numbers
 * are those of the setting MODEL_FAMILY. */
enum sp_head_type {
    SP_HEAD_AUTO,       /* as a wish: recognise it */
    SP_HEAD_YOLOV5,     /* [b, 3 x cells, 5+classes]: box, objectness, class confidences; v5, v7 */
    SP_HEAD_YOLOV8,     /* [b, 4+classes, cells] or turned: box, class confidences; v8, v11, ours */
    SP_HEAD_END_TO_END, /* [b, 300, 6]: x1 y1 x2 y2 (RT-DETR's of Ultralytics: cx cy w h) confidence
                             class, no NMS; YOLO10, YOLO26, exports with NMS. [b, cells, 6]: with */
    SP_HEAD_YOLOX,      /* [b, cells, 5+classes]: box (mostly as offset in its cell and log size),
                             objectness, class confidences; BGR in 0..255 */
    SP_HEAD_RTDETR,     /* [b, 300, 4+classes], or [b, 300, 4] and [b, 300, classes]: relative box,
                             class confidences or logits, no NMS */
    SP_HEAD_YOLOV6,     /* [b, cells, 5+classes]: as YOLOX's in pixels, objectness always 1; RGB in
                             0..1 */
    SP_HEAD_RFDETR,     /* RT-DETR's pair; the last logit is no class but in COCO's 91; images with
                             ImageNet's mean and deviation */
};

/* What a pixel's 255 is for the model, and in which order its colours come. */
enum sp_input_range { SP_RANGE_AUTO, SP_RANGE_UNIT, SP_RANGE_BYTES };
enum sp_input_color { SP_COLOR_AUTO, SP_COLOR_RGB, SP_COLOR_BGR };

/* What the user knows better than the file; zero: recognise it. */
struct sp_model_wish {
    enum sp_head_type head_type; /* MODEL_FAMILY */
    enum sp_input_range range;   /* MODEL_INPUT_RANGE */
    enum sp_input_color color;   /* MODEL_INPUT_COLOR */
};

struct sp_model {
    char path[4096];
    enum sp_head_type head_type;
    int classes;         /* may shrink by one on the first run: see `unsure` */
    bool rows_first;     /* the head is [b, n, values] */
    bool relative_boxes; /* in 0..1 of the input instead of pixels; sp_detector_open() makes sure */
    bool center_boxes; /* end-to-end: cx cy w h instead of corners; sp_detector_open() makes sure */
    bool rows_overlap; /* end-to-end: a row a cell, without NMS; sp_detector_open() makes sure */
    bool raw_cells;    /* YOLOX: offsets and log sizes; sp_detector_open() makes sure */
    bool logits;       /* RT-DETR: confidences before the sigmoid; sp_detector_open() makes sure */
    bool unsure;       /* the shape is YOLOv8's and YOLOX's: the first run decides, or refuses */
    int score_columns; /* of the pair's confidences; more than classes where the last is none */
    int boxes_output, confidences_output; /* indices of outputs: the same but for RT-DETR's pair */
    enum spoton_layout layout;
    bool swap_red_blue;
    float scale;                                      /* 255: the model wants 0..1 */
    float mean[3], deviation[3];                      /* as in spoton_engine_options */
    int fixed_batch, fixed_height_px, fixed_width_px; /* 0: free */
    int stride_px;                                    /* sides are multiples of it */
    bool quantised;
    struct sp_class_names class_names;
    /* The class "person", in any case. Without names class 0 where there is one class or COCO's 80,
     * 1 of COCO's 91 (RF-DETR); it then has that name. -1: there is none, or it is not known. */
    int person_class;

    /* For the first run, which may have to decide anew. */
    struct sp_model_wish wish;
    enum spoton_element input_element;
    bool graph_takes_bytes; /* its first operations bring 0..255 down */
    int names;              /* classes that the file names; 0: none */
    bool names_sparse;      /* not all below `names` have one */
};

/* wish: what the user says, as sp_pipeline_model_wish() has it from the settings; NULL: nothing.
 * SP_ERR_NOT_FOUND, SP_ERR_FORMAT (unreadable), SP_ERR_UNSUPPORTED (readable, but the head is
 * unknown or cannot be what is wished). */
int sp_model_open(struct sp_model *model, const struct spoton_engine_api *engine, const char *path,
                  const struct sp_model_wish *wish, struct sp_error *err);

/* One output for one image of a batch. */
struct sp_model_output {
    const float *data;
    int64_t dims[SPOTON_RANK_MAX]; /* without the batch */
    int rank;
};

const char *sp_head_type_name(enum sp_head_type head_type);
