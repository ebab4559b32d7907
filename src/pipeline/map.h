/* The map over all cameras: calibrations, world positions, and the clocks of live cameras.
 *
 * Data flow: tracking workers pass each finished frame's tracks -> the space stage -> world
 * positions. The API reads and changes calibrations; they are stored in HOMOGRAPHY_FILE_PATH if
 * that is set (map_saver.h), else in memory only. All functions are thread-safe and short. */
#pragma once

#include "config/settings.h"
#include "frame.h"
#include "space/calibration.h"
#include "space/space.h"
#include "world_position.h"

struct sp_map;

/* Reads HOMOGRAPHY_FILE_PATH; a missing file is a warning. `embedding_numbers`: numbers per
 * embedding; 0: no re-identification. SP_ERR_FORMAT, SP_ERR_IO, SP_ERR_NO_MEMORY. */
int sp_map_open(struct sp_map **out, const struct sp_settings *settings, int cameras,
                int embedding_numbers, struct sp_error *err);
void sp_map_close(struct sp_map *map); /* NULL is fine */

/* Assigns a camera to an index; NULL: the index becomes free. */
void sp_map_camera(struct sp_map *map, int camera, const char *name);

/* positions[count]; false: the camera is not calibrated. `live`: frame times are smoothed by their
 * arrival. */
bool sp_map_positions(struct sp_map *map, const struct sp_frame *frame, bool live, bool inferred,
                      const struct sp_track *tracks, size_t count,
                      const struct sp_detection *detections, struct sp_world_position *positions);

struct sp_space *sp_map_space(struct sp_map *map);

/* The path of the file; empty: none. */
const char *sp_map_file(const struct sp_map *map);

/* Units per metre, and whether y points up. */
void sp_map_scale(struct sp_map *map, double *units_per_m, bool *y_up);

/* Copies into the caller's memory. */
void sp_map_calibration(struct sp_map *map, struct sp_calibration *calibration);

/* Replaces the points of one camera, effective at once, and writes the file. With `only_try`
 * nothing changes. *fit may be NULL. After a file error the new points remain in use. */
struct sp_map_points {
    const char *camera;
    const struct sp_point *image, *map;
    int count;
    double width_px, height_px;
    bool only_try;
};
int sp_map_calibrate(struct sp_map *map, const struct sp_map_points *points, struct sp_fit *fit,
                     struct sp_error *err);

/* SP_ERR_NOT_FOUND. */
int sp_map_forget(struct sp_map *map, const char *camera, struct sp_error *err);

/* Sets the size of the map and its unit; calibrations do not change. */
int sp_map_resize(struct sp_map *map, double width, double height, double units_per_m,
                  struct sp_error *err);
