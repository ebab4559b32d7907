/* Engines that take images and give boxes (spoton/engine.h): what they must be told, and how
 * their boxes become detections. Pure functions. */
#pragma once

#include "detect/head.h"
#include "surface.h"

enum { SP_CANDIDATES_MAX = 4096 }; /* before suppression, as sp_head_decode() has it */

/* False: a head that only sp_head_decode() reads. class_wanted: [classes], written, and kept by the
 * caller as long as *head is used. */
bool sp_device_head(struct spoton_head *head, uint8_t *class_wanted, const struct sp_model *model,
                    const struct sp_head_options *options, int width_px, int height_px);

/* The planes stay the frame's. SP_ERR_INVALID: an empty frame. */
int sp_device_image(struct spoton_image *image, struct sp_letterbox_geometry *geometry,
                    const struct sp_frame *frame, int width_px, int height_px,
                    struct sp_error *err);

/* Returns how many; boxes that lie in the bars alone go, as in sp_head_decode(). */
size_t sp_device_detections(const struct spoton_box *boxes, int count,
                            const struct sp_letterbox_geometry *geometry,
                            struct sp_detection detections[SP_DETECTIONS_MAX]);
