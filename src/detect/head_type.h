/* The head types: how a model's outputs are decoded. */
#pragma once

/* Boxes are cx cy w h unless stated otherwise; "class confidences" are one for each class. The
 * values are those of the setting MODEL_HEAD. */
enum sp_head_type {
    SP_HEAD_AUTO,       /* in a wish: recognize it */
    SP_HEAD_YOLOV5,     /* [b, 3 x cells, 5+classes]: box, objectness, class confidences; v5, v7 */
    SP_HEAD_YOLOV8,     /* [b, 4+classes, cells] or transposed: box, class confidences; v8,
                           v11, the bundled model */
    SP_HEAD_END_TO_END, /* [b, 300, 6]: x1 y1 x2 y2 (Ultralytics' RT-DETR: cx cy w h) confidence
                           class, no NMS; YOLO10, YOLO26, exports with NMS. [b, cells, 6]: NMS */
    SP_HEAD_YOLOX,      /* [b, cells, 5+classes]: box (usually offset in the cell and log size),
                           objectness, class confidences; BGR in 0..255 */
    SP_HEAD_RTDETR,     /* [b, 300, 4+classes], or [b, 300, 4] and [b, 300, classes]: relative box,
                           class confidences or logits, no NMS */
    SP_HEAD_YOLOV6,     /* [b, cells, 5+classes]: box in pixels, objectness 1 everywhere, class
                           confidences; RGB in 0..1 */
    SP_HEAD_RFDETR,     /* the two outputs of RT-DETR; the last logit is "no object" except with
                           COCO's 91; input normalized with ImageNet's mean and deviation */
};

const char *sp_head_type_name(enum sp_head_type head_type); /* "yolov8" */
