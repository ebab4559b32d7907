/* Engines that take images and return boxes (spoton/engine.h): describes the head and the image to
 * them and converts their boxes to detections. Pure functions. */
#pragma once

#include "detect/head.h"
#include "surface.h"

enum { SP_CANDIDATES_MAX = 4096 }; /* before NMS, as in sp_head_decode() */

/* False: only sp_head_decode() supports this head type. class_wanted: [classes], filled here; must
 * outlive *head. */
bool sp_device_head(struct spoton_head *head, uint8_t *class_wanted, const struct sp_model *model,
                    const struct sp_head_options *options, int width_px, int height_px);

/* The planes remain the frame's. SP_ERR_INVALID: the frame is empty. */
int sp_device_image(struct spoton_image *image, struct sp_letterbox_geometry *geometry,
                    const struct sp_frame *frame, int width_px, int height_px,
                    struct sp_error *err);

/* Returns the count. Drops boxes that cover only the bars, as sp_head_decode() does. */
size_t sp_device_detections(const struct spoton_box *boxes, int count,
                            const struct sp_letterbox_geometry *geometry,
                            struct sp_detection detections[SP_DETECTIONS_MAX]);
