/* What a model file is: its family, its classes, and how its input and outputs read.
 *
 * Recognised from the tensors of the file, never from its name; an unknown one is refused with what
 * was seen and what is supported. Immutable after open. */
#pragma once

#include "base/error.h"
#include "spoton/engine.h"

#include <stdbool.h>

enum sp_model_family {
    SP_FAMILY_YOLOV8, /* [b, 4+classes, n] or [b, n, 4+classes]: cx cy w h, scores; v8, v11, ours */
    SP_FAMILY_END_TO_END, /* [b, 300, 6]: x1 y1 x2 y2 score class, no NMS; YOLO10, YOLO26 */
};

struct sp_model {
    char path[4096];
    enum sp_model_family family;
    int classes;
    bool rows_first;     /* the head is [b, n, 4+classes] */
    bool relative_boxes; /* in 0..1 of the input instead of pixels; sp_detector_open() makes sure */
    enum spoton_layout layout;
    bool swap_red_blue;
    float scale;                                      /* 255: the model wants 0..1 */
    int fixed_batch, fixed_height_px, fixed_width_px; /* 0: free */
    int stride_px;                                    /* sides are multiples of it */
    bool quantised;
    int person_class; /* index of the class "person"; -1: the file names its classes, none so */
};

/* SP_ERR_NOT_FOUND, SP_ERR_FORMAT (unreadable), SP_ERR_UNSUPPORTED (readable, head unknown). */
int sp_model_open(struct sp_model *model, const struct spoton_engine_api *engine, const char *path,
                  struct sp_error *err);

const char *sp_model_family_name(enum sp_model_family family);
