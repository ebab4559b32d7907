/* Which camera sees which part of the map: read from and written to HOMOGRAPHY_FILE_PATH.
 *
 * The file is the JSON of SpotOn (docs/SPACE.md): points of the image and of the map, or a matrix,
 * for each camera; a folder means all *.json in it. A camera with unusable points or matrix works
 * without a map, and the reason is kept. Fields that spoton adds: "image_size" of the images in
 * which the points were marked (default 1920x1080), "y_axis" (default "down") and "plan".
 *
 * Plain values in the caller's memory; large, so not for the stack. Not thread-safe. */
#pragma once

#include "capacity.h"
#include "space/ground.h"

enum {
    SP_CALIBRATION_NAME_BYTES = 64,
    SP_CALIBRATION_PATH_BYTES = 512,
    SP_CALIBRATION_REASON_BYTES = 256,
};

struct sp_calibrated {
    char name[SP_CALIBRATION_NAME_BYTES];
    double width_px, height_px; /* of the image */
    int point_count;
    struct sp_point image[SP_FIT_POINTS_MAX], map[SP_FIT_POINTS_MAX];
    bool has_matrix; /* given by the file, with or without points */
    double matrix[9];
    char frame_path[SP_CALIBRATION_PATH_BYTES];

    bool usable;
    char reason[SP_CALIBRATION_REASON_BYTES]; /* why not */
    struct sp_fit fit; /* errors and the homography; a file's matrix is used unchanged */
};

struct sp_calibration {
    double width, height, units_per_m; /* of the map; width, height in map units, 0: unknown */
    bool y_up;
    char plan[SP_CALIBRATION_PATH_BYTES]; /* path of the map's image, as in the file */
    int count;
    struct sp_calibrated camera[SP_CAMERAS_MAX];
};

void sp_calibration_init(
    struct sp_calibration *calibration); /* no camera, 100 units to the metre */

/* SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT with file, line and what is expected. */
int sp_calibration_read(struct sp_calibration *calibration, const char *path, struct sp_error *err);

/* The same from memory. `name` is the file's name in error messages. Adds to `calibration`. */
int sp_calibration_parse(struct sp_calibration *calibration, const char *text, size_t bytes,
                         const char *name, struct sp_error *err);

/* Checks the path without writing. SP_ERR_UNSUPPORTED: a folder; SP_ERR_NOT_FOUND, SP_ERR_IO: no
 * file can be created there. */
int sp_calibration_may_write(const char *path, struct sp_error *err);

/* Atomic: writes a temporary file and renames it. Blocks on the disk. */
int sp_calibration_write(const struct sp_calibration *calibration, const char *path,
                         struct sp_error *err);

/* The camera of that name, or NULL. */
struct sp_calibrated *sp_calibration_find(struct sp_calibration *calibration, const char *name);

/* Adds a camera or replaces its points. On an error nothing changes. */
int sp_calibration_set(struct sp_calibration *calibration, const char *name,
                       const struct sp_point *image, const struct sp_point *map, int count,
                       double width_px, double height_px, struct sp_error *err);

bool sp_calibration_remove(struct sp_calibration *calibration, const char *name);

/* False: not usable. */
bool sp_calibration_ground(const struct sp_calibration *calibration,
                           const struct sp_calibrated *camera, struct sp_ground *ground);
