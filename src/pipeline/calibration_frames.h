/* Images of cameras, files and folders, letterboxed as a model gets them: to calibrate an INT8
 * model on, and to hold it against its original.
 *
 * Data flow: names -> opened one after the other, images evenly over each -> every fifth into the
 * gate's set, the others into the calibration's -> two files in NumPy's format, mapped. So the gate
 * looks at every source, and at no image that calibration saw. */
#pragma once

#include "base/error.h"
#include "spoton/engine.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SP_CALIBRATION_SOURCES_MAX = 64, SP_CALIBRATION_CHECK_EVERY = 5 };

/* u8 [count][3][height][width] or [count][height][width][3], RGB */
struct sp_images {
    int file;     /* -1: closed */
    uint8_t *map; /* the file: its header, then the images */
    size_t map_bytes, image_bytes;
    int count, capacity;
    int width_px, height_px;
    enum spoton_layout layout;
    uint8_t *source; /* [capacity]: index of the source that each came from */
};

struct sp_calibration_frames_options {
    const char *const *name; /* URLs, files, or folders of images and videos */
    int name_count;          /* at most SP_CALIBRATION_SOURCES_MAX */
    int wanted;              /* images in all, over both sets; each source gives the same */
    int width_px, height_px;
    enum spoton_layout layout;
    const char *calibration_path; /* the file to make; NULL: all are the gate's */
    const char *check_path;       /* NULL: in memory */
    bool (*interrupted)(void);
    int64_t limit_us; /* sp_calibration_frames_first only */
};

struct sp_calibration_frames {
    struct sp_images calibration, check;
};

/* On an error nothing is left to release but the files. SP_ERR_NOT_FOUND, SP_ERR_IO,
 * SP_ERR_NO_SPACE, SP_ERR_FORMAT (no image at all), SP_ERR_INTERRUPTED. */
int sp_calibration_frames_collect(struct sp_calibration_frames *samples,
                                  const struct sp_calibration_frames_options *options,
                                  struct sp_error *err);
/* The first frames of cameras, all of them at once, for the gate alone: takes what came within
 * limit_us. *silent: how many gave none. The same errors; SP_ERR_IO: none gave any. */
int sp_calibration_frames_first(struct sp_calibration_frames *samples,
                                const struct sp_calibration_frames_options *options, int *silent,
                                struct sp_error *err);
void sp_calibration_frames_release(struct sp_calibration_frames *samples);

/* For calibration_frames.c and first_frames.c. */
int sp_images_open(struct sp_images *set, const struct sp_calibration_frames_options *options,
                   const char *path, int capacity, struct sp_error *err);
int sp_images_finish(struct sp_images *set, struct sp_error *err);
uint8_t *sp_image_memory(const struct sp_images *images, int index);

const uint8_t *sp_image(const struct sp_images *images, int index);
