/* The map of all cameras: calibrations, who is where, and the times of live cameras.
 *
 * Data flow: post workers give each finished frame's tracks -> the space stage -> places. The API
 * reads and changes calibrations; they are kept in HOMOGRAPHY_FILE_PATH, if that is set, else until
 * the end (map_saver.h writes them). All functions are thread-safe and short. */
#pragma once

#include "config/settings.h"
#include "frame.h"
#include "space/calibration.h"
#include "space/space.h"
#include "world_position.h"

struct sp_map;

/* Reads HOMOGRAPHY_FILE_PATH; that it is not there yet is a warning. `embedding_numbers` 0: nothing
 * is known of looks. SP_ERR_FORMAT, SP_ERR_IO, SP_ERR_NO_MEMORY. */
int sp_map_open(struct sp_map **out, const struct sp_settings *settings, int cameras,
                int embedding_numbers, struct sp_error *err);
void sp_map_close(struct sp_map *map); /* NULL is fine */

/* A camera comes into a camera index; NULL: it leaves. */
void sp_map_camera(struct sp_map *map, int camera, const char *name);

/* places[count]; false: the camera has no map. `live`: times are made even by the clock at which
 * frames came. */
bool sp_map_positions(struct sp_map *map, const struct sp_frame *frame, bool live, bool inferred,
                      const struct sp_track *tracks, size_t count,
                      const struct sp_detection *detections, struct sp_world_position *positions);

struct sp_space *sp_map_space(struct sp_map *map);

/* The file's name; empty: none. */
const char *sp_map_file(const struct sp_map *map);

/* A copy; the caller's memory. */
void sp_map_calibration(struct sp_map *map, struct sp_calibration *calibration);

/* Other points of one camera, in use at once, and written. With `only_try` nothing changes. *fit
 * may be NULL. An error of the file leaves the new points in use. */
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

/* The size of the map and its unit; calibrations stay as they are. */
int sp_map_resize(struct sp_map *map, double width, double height, double units_per_m,
                  struct sp_error *err);
