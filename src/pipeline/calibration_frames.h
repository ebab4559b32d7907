/* Images from cameras, files and folders, letterboxed as model input: the calibration set of an
 * INT8 model and the set of its quantization check.
 *
 * Data flow: names -> opened one after the other, images evenly spread over each -> every fifth
 * into the check's set, the others into the calibration set -> two mapped files in NumPy's format.
 * So the check covers every source, and no image that was used for calibration. */
#pragma once

#include "base/error.h"
#include "capacity.h"
#include "spoton/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_CALIBRATION_CHECK_EVERY = 5 };

/* u8 [count][3][height][width] or [count][height][width][3], RGB */
struct sp_images {
    int file;     /* -1: closed */
    uint8_t *map; /* the file: its header, then the images */
    size_t map_bytes, image_bytes;
    int count, capacity;
    int width_px, height_px;
    enum spoton_layout layout;
    uint8_t *source; /* [capacity]: index of each image's source */
};

struct sp_calibration_frames_options {
    const char *const *name; /* URLs, files, or folders of images and videos */
    int name_count;          /* at most SP_CAMERAS_MAX */
    int wanted;              /* total over both sets; the same number from each source */
    int width_px, height_px;
    enum spoton_layout layout;
    const char *calibration_path; /* the file to write; NULL: all images are for the check */
    const char *check_path;       /* NULL: in memory */
    bool (*interrupted)(void);
    int64_t limit_us; /* sp_calibration_frames_first only */
};

struct sp_calibration_frames {
    struct sp_images calibration, check;
};

/* After an error there is nothing to release; the files remain. SP_ERR_NOT_FOUND, SP_ERR_IO,
 * SP_ERR_NO_SPACE, SP_ERR_FORMAT (no image at all), SP_ERR_INTERRUPTED. */
int sp_calibration_frames_collect(struct sp_calibration_frames *frames,
                                  const struct sp_calibration_frames_options *options,
                                  struct sp_error *err);
/* The first frames of all cameras in parallel, for the check alone, as many as arrive within
 * limit_us. *silent: cameras without a frame. The same errors; SP_ERR_IO: no camera had a frame. */
int sp_calibration_frames_first(struct sp_calibration_frames *frames,
                                const struct sp_calibration_frames_options *options, int *silent,
                                struct sp_error *err);
void sp_calibration_frames_release(struct sp_calibration_frames *frames);

/* For calibration_frames.c and first_frames.c. */
int sp_images_open(struct sp_images *set, const struct sp_calibration_frames_options *options,
                   const char *path, int capacity, struct sp_error *err);
int sp_images_finish(struct sp_images *set, struct sp_error *err);
uint8_t *sp_image_memory(const struct sp_images *images, int index);

const uint8_t *sp_image(const struct sp_images *images, int index);
