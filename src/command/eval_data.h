/* Labelled images, for `spoton eval`.
 *
 * Data flow: folder or tar file -> list of images, each with a URL for capture/source.h and the
 * text of its labels. The labels of NAME.jpg (jpeg, png, webp, bmp) are in NAME.txt beside it or,
 * if the image is in a folder "images", in a folder "labels" beside that.
 *
 * Labels: lines "flag cx cy w h", relative to the image size. flag 0 or 1: a person; 2: doubtful,
 * ignored. */
#pragma once

#include "base/error.h"
#include "eval/boxes.h"

struct sp_eval_image {
    char *name;   /* without folder and extension */
    char *url;    /* for sp_source_open */
    char *labels; /* their text; NULL: no label file, so no people */
};

struct sp_eval_data {
    struct sp_eval_image *images; /* sorted by name */
    size_t count;
    size_t unlabelled; /* images without a label file */
};

/* Release it also after an error. SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_INVALID (no
 * images, or none with labels), SP_ERR_NO_MEMORY. */
int sp_eval_data_open(struct sp_eval_data *data, const char *path, struct sp_error *err);
void sp_eval_data_release(struct sp_eval_data *data);

/* Boxes of class class_id in pixels; the caller frees *labels. SP_ERR_FORMAT names the
 * line. */
int sp_eval_labels(const struct sp_eval_image *image, int width_px, int height_px, int class_id,
                   struct sp_box_label **labels, size_t *count, struct sp_error *err);
