/* Which camera sees which part of the map: read from and written to HOMOGRAPHY_FILE_PATH.
 *
 * The file is the replaced system's JSON (docs/SPACE.md): points of the image and of the map, or
 * a matrix, for each camera; a folder stands for all *.json in it. Of a camera whose points or
 * matrix are of no use the reason is kept, and it works without a map. Ours to add: "image_size" of
 * the images that were clicked on (1920x1080 if absent), "y_axis" ("down" if absent) and "plan".
 *
 * Plain values in memory of the caller's, large: not for the stack. Not thread-safe. */
#pragma once

#include "space/ground.h"

enum {
    SP_CALIBRATION_CAMERAS_MAX = 64,
    SP_CALIBRATION_NAME_BYTES = 64,
    SP_CALIBRATION_PATH_BYTES = 512,
    SP_CALIBRATION_REASON_BYTES = 256,
};

struct sp_calibrated {
    char name[SP_CALIBRATION_NAME_BYTES];
    double width_px, height_px; /* of the image */
    int point_count;
    struct sp_point image[SP_FIT_POINTS_MAX], map[SP_FIT_POINTS_MAX];
    bool has_matrix; /* the file's own, without points or beside them */
    double matrix[9];
    char frame_path[SP_CALIBRATION_PATH_BYTES];

    bool usable;
    char reason[SP_CALIBRATION_REASON_BYTES]; /* why not */
    struct sp_fit fit; /* errors and the homography; a file's matrix is taken as it is */
};

struct sp_calibration {
    double width, height, units_per_m; /* the map; width, height in its units, 0: not known */
    bool y_up;
    char plan[SP_CALIBRATION_PATH_BYTES]; /* a image of it, as the file names it */
    int count;
    struct sp_calibrated camera[SP_CALIBRATION_CAMERAS_MAX];
};

void sp_calibration_init(
    struct sp_calibration *calibration); /* no camera, 100 units to the metre */

/* SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT with file, place and what is expected. */
int sp_calibration_read(struct sp_calibration *calibration, const char *path, struct sp_error *err);

/* The same from memory. `name` stands for the file in texts. Adds to what is there. */
int sp_calibration_parse(struct sp_calibration *calibration, const char *text, size_t bytes,
                         const char *name, struct sp_error *err);

/* What can be seen of the path without writing. SP_ERR_UNSUPPORTED: a folder; SP_ERR_NOT_FOUND,
 * SP_ERR_IO: no file can be made beside it. */
int sp_calibration_may_write(const char *path, struct sp_error *err);

/* Beside its name, then renamed: no name ever holds half a file. Waits for the disk. */
int sp_calibration_write(const struct sp_calibration *calibration, const char *path,
                         struct sp_error *err);

/* The camera of that name, or NULL. */
struct sp_calibrated *sp_calibration_find(struct sp_calibration *calibration, const char *name);

/* Puts in a camera, or other points of it, when they are of use; else nothing changes. */
int sp_calibration_set(struct sp_calibration *calibration, const char *name,
                       const struct sp_point *image, const struct sp_point *map, int count,
                       double width_px, double height_px, struct sp_error *err);

bool sp_calibration_remove(struct sp_calibration *calibration, const char *name);

/* False: not usable. */
bool sp_calibration_ground(const struct sp_calibration *calibration,
                           const struct sp_calibrated *camera, struct sp_ground *ground);
