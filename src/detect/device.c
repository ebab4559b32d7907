#include "detect/device.h"

#include <math.h>

bool sp_device_head(struct spoton_head *head, uint8_t *class_wanted, const struct sp_model *model,
                    const struct sp_head_options *options, int width_px, int height_px)
{
    if ((model->head_type != SP_HEAD_YOLOV8 && model->head_type != SP_HEAD_END_TO_END) ||
        model->center_boxes || model->rows_overlap || model->boxes_output != 0 ||
        model->confidences_output != 0)
        return false; /* the others need arithmetic that devices do not have */
    /* Rounded up to the next float, as in sp_head_decode(). */
    float threshold = (float)options->confidence_threshold;
    if ((double)threshold < options->confidence_threshold)
        threshold = nextafterf(threshold, 2.0f);
    *head = (struct spoton_head){
        .struct_bytes = sizeof *head,
        .kind = model->head_type == SP_HEAD_YOLOV8 ? SPOTON_HEAD_CENTERS : SPOTON_HEAD_CORNERS,
        .classes = model->classes,
        .rows_first = model->rows_first,
        .unit_x = model->relative_boxes ? (float)width_px : 1.0f,
        .unit_y = model->relative_boxes ? (float)height_px : 1.0f,
        .confidence_threshold = threshold,
        .nms_iou = options->nms_iou,
        .candidates_max = SP_CANDIDATES_MAX,
        .boxes_max = SP_DETECTIONS_MAX,
    };
    if (options->class_wanted) {
        for (int i = 0; i < model->classes; ++i)
            class_wanted[i] = options->class_wanted[i];
        head->class_wanted = class_wanted;
    }
    return true;
}

int sp_device_image(struct spoton_image *image, struct sp_letterbox_geometry *geometry,
                    const struct sp_frame *frame, int width_px, int height_px, struct sp_error *err)
{
    if (frame->width_px < 1 || frame->height_px < 1)
        return sp_fail(err, SP_ERR_INVALID, "frame of %dx%d: empty", frame->width_px,
                       frame->height_px);
    sp_letterbox_geometry_of(geometry, frame, width_px, height_px);
    *image = sp_frame_image(frame);
    image->left = geometry->left_px;
    image->top = geometry->top_px;
    image->scaled_width = geometry->width_px;
    image->scaled_height = geometry->height_px;
    return SP_OK;
}

size_t sp_device_detections(const struct spoton_box *boxes, int count,
                            const struct sp_letterbox_geometry *geometry,
                            struct sp_detection detections[SP_DETECTIONS_MAX])
{
    size_t written = 0;
    for (int i = 0; i < count && written < SP_DETECTIONS_MAX; ++i) {
        const double box[4] = {boxes[i].x1, boxes[i].y1, boxes[i].x2, boxes[i].y2};
        written += sp_letterbox_detection(geometry, box, boxes[i].confidence, boxes[i].class_id,
                                          &detections[written]);
    }
    return written;
}
