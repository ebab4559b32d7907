/* Labelled images, for `spoton eval`.
 *
 * Data flow: a folder or a tar file -> a list of images, each with an address that
 * capture/source.h opens and the text of its labels. A image NAME.jpg (jpeg, png, webp, bmp) has
 * its labels in NAME.txt beside it, or in a folder "labels" where the images are in one called
 * "images".
 *
 * Labels: lines "flag cx cy w h", shares of the image's size. flag 0 or 1: a person; 2: doubtful,
 * counts neither way. */
#pragma once

#include "base/error.h"
#include "eval/boxes.h"

struct sp_eval_image {
    char *name;   /* without folder and ending */
    char *url;    /* for sp_source_open */
    char *labels; /* the text; NULL: there is no such file, which says "nobody" */
};

struct sp_eval_data {
    struct sp_eval_image *images; /* by name */
    size_t count;
    size_t unlabelled; /* images without a file of labels */
};

/* Release it in any case. SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT, SP_ERR_INVALID (no images,
 * or none with labels), SP_ERR_NO_MEMORY. */
int sp_eval_data_open(struct sp_eval_data *data, const char *path, struct sp_error *err);
void sp_eval_data_release(struct sp_eval_data *data);

/* Boxes of class class_id in pixels; *labels is malloc'ed, the caller's. SP_ERR_FORMAT names the
 * line. */
int sp_eval_labels(const struct sp_eval_image *image, int width_px, int height_px, int class_id,
                   struct sp_box_label **labels, size_t *count, struct sp_error *err);
