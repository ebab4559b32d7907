#include "pipeline/map.h"

#include "base/log.h"
#include "pipeline/map_saver.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* A camera's clock drifts against the server's, and its frames arrive with varying delay: the least
 * recent delay is the camera's own. */
static const int64_t DRIFT_US_A_SECOND = 1000, NEW_START_US = 2000000;

struct entry {
    char name[SP_CALIBRATION_NAME_BYTES]; /* empty: free */
    bool timed;
    int64_t base_us, last_pts_us; /* tracking worker's: the least of received minus pts */
};

struct sp_map {
    pthread_mutex_t mutex;
    struct sp_space *space;
    char file[SP_PATH_BYTES];
    int cameras;
    struct entry *entries;
    struct sp_calibration *calibration, *scratch; /* guarded */
    struct sp_map_saver *saver;                   /* NULL: there is no file */
};

static int read_calibration(struct sp_map *map, struct sp_error *err)
{
    struct sp_error why = {0};
    if (!map->calibration)
        return SP_OK;
    sp_calibration_init(map->calibration);
    if (map->file[0] == '\0')
        return SP_OK;
    int result = sp_calibration_read(map->calibration, map->file, &why);
    if (result == SP_ERR_NOT_FOUND) {
        sp_log(SP_LOG_WARNING,
               "HOMOGRAPHY_FILE_PATH: %s; new calibrations will be "
               "written there",
               why.text);
        return SP_OK;
    }
    if (result < 0)
        return sp_fail(err, result, "HOMOGRAPHY_FILE_PATH: %.400s", why.text);
    for (int i = 0; i < map->calibration->count; i++)
        if (!map->calibration->camera[i].usable)
            sp_log(SP_LOG_WARNING, "camera %s: calibration not usable: %s",
                   map->calibration->camera[i].name, map->calibration->camera[i].reason);
    return SP_OK;
}

int sp_map_open(struct sp_map **out, const struct sp_settings *settings, int cameras,
                int embedding_numbers, struct sp_error *err)
{
    struct sp_map *map = calloc(1, sizeof *map);
    if (!map)
        return sp_fail(err, SP_ERR_NO_MEMORY, "map: out of memory");
    struct sp_space_options space = {.cameras = cameras,
                                     .gallery_us = (int64_t)settings->reid_keep_s * 1000000,
                                     .embedding_numbers = embedding_numbers};
    pthread_mutex_init(&map->mutex, NULL);
    snprintf(map->file, sizeof map->file, "%s", settings->homography_file);
    map->cameras = cameras;
    map->entries = calloc((size_t)cameras, sizeof *map->entries);
    map->calibration = malloc(sizeof *map->calibration);
    map->scratch = malloc(sizeof *map->scratch);
    int result = map->entries && map->calibration && map->scratch
                     ? sp_space_open(&map->space, &space, err)
                     : sp_fail(err, SP_ERR_NO_MEMORY, "map: out of memory");
    if (result == SP_OK)
        result = read_calibration(map, err);
    if (result == SP_OK && map->file[0])
        result = sp_map_saver_open(&map->saver, map->file, err);
    if (result < 0) {
        sp_map_close(map);
        return result;
    }
    *out = map;
    return SP_OK;
}

void sp_map_close(struct sp_map *map)
{
    if (!map)
        return;
    sp_map_saver_close(map->saver);
    sp_space_close(map->space);
    free(map->entries);
    free(map->calibration);
    free(map->scratch);
    pthread_mutex_destroy(&map->mutex);
    free(map);
}

/* With the mutex held: applies the calibration of the camera in this entry. */
static void apply(struct sp_map *map, int camera)
{
    struct sp_ground ground;
    const char *name = map->entries[camera].name;
    const struct sp_calibrated *found =
        name[0] ? sp_calibration_find(map->calibration, name) : NULL;
    bool usable = found && sp_calibration_ground(map->calibration, found, &ground);
    sp_space_set_camera(map->space, camera, usable ? &ground : NULL);
}

static void apply_name(struct sp_map *map, const char *name)
{
    for (int i = 0; i < map->cameras; i++)
        if (strcmp(map->entries[i].name, name) == 0)
            apply(map, i);
}

void sp_map_camera(struct sp_map *map, int camera, const char *name)
{
    pthread_mutex_lock(&map->mutex);
    snprintf(map->entries[camera].name, sizeof map->entries[camera].name, "%s", name ? name : "");
    map->entries[camera].timed = false;
    apply(map, camera);
    pthread_mutex_unlock(&map->mutex);
}

/* The capture time of the frame plus the camera's constant delay, which the space stage estimates
 * as a difference of clocks. */
static int64_t time_of(struct entry *entry, const struct sp_frame *frame)
{
    int64_t delay_us = frame->received_us - frame->pts_us;
    int64_t passed_us = frame->pts_us - entry->last_pts_us;
    bool follows = entry->timed && passed_us >= 0 && passed_us < NEW_START_US &&
                   delay_us < entry->base_us + NEW_START_US;
    if (follows)
        entry->base_us += passed_us * DRIFT_US_A_SECOND / 1000000;
    if (!follows || delay_us < entry->base_us)
        entry->base_us = delay_us;
    entry->timed = true;
    entry->last_pts_us = frame->pts_us;
    return frame->pts_us + entry->base_us;
}

bool sp_map_positions(struct sp_map *map, const struct sp_frame *frame, bool live, bool inferred,
                      const struct sp_track *tracks, size_t count,
                      const struct sp_detection *detections, struct sp_world_position *positions)
{
    struct sp_space_frame space_frame = {
        .time_us = live ? time_of(&map->entries[frame->camera], frame) : frame->pts_us,
        .width_px = frame->width_px,
        .height_px = frame->height_px,
        .tracks = tracks,
        .count = count,
        .detections = detections,
    };
    return inferred ? sp_space_update(map->space, frame->camera, &space_frame, positions)
                    : sp_space_positions(map->space, frame->camera, &space_frame, positions);
}

struct sp_space *sp_map_space(struct sp_map *map)
{
    return map->space;
}

const char *sp_map_file(const struct sp_map *map)
{
    return map->file;
}

void sp_map_scale(struct sp_map *map, double *units_per_m, bool *y_up)
{
    pthread_mutex_lock(&map->mutex);
    *units_per_m = map->calibration->units_per_m;
    *y_up = map->calibration->y_up;
    pthread_mutex_unlock(&map->mutex);
}

void sp_map_calibration(struct sp_map *map, struct sp_calibration *calibration)
{
    pthread_mutex_lock(&map->mutex);
    *calibration = *map->calibration;
    pthread_mutex_unlock(&map->mutex);
}

static int save(struct sp_map *map, struct sp_error *err)
{
    return map->saver ? sp_map_saver_put(map->saver, map->calibration, err) : SP_OK;
}

static int calibrate(struct sp_map *map, const struct sp_map_points *points, struct sp_fit *fit,
                     struct sp_error *err)
{
    struct sp_calibration *into = points->only_try ? map->scratch : map->calibration;
    if (points->only_try)
        *map->scratch = *map->calibration;
    int result = sp_calibration_set(into, points->camera, points->image, points->map, points->count,
                                    points->width_px, points->height_px, err);
    if (result < 0)
        return result;
    if (fit)
        *fit = sp_calibration_find(into, points->camera)->fit;
    if (points->only_try)
        return SP_OK;
    apply_name(map, points->camera);
    return save(map, err);
}

int sp_map_calibrate(struct sp_map *map, const struct sp_map_points *points, struct sp_fit *fit,
                     struct sp_error *err)
{
    pthread_mutex_lock(&map->mutex);
    int result = calibrate(map, points, fit, err);
    pthread_mutex_unlock(&map->mutex);
    return result;
}

int sp_map_forget(struct sp_map *map, const char *camera, struct sp_error *err)
{
    pthread_mutex_lock(&map->mutex);
    int result = sp_calibration_remove(map->calibration, camera)
                     ? SP_OK
                     : sp_fail(err, SP_ERR_NOT_FOUND, "camera %s is not calibrated", camera);
    if (result == SP_OK) {
        apply_name(map, camera);
        result = save(map, err);
    }
    pthread_mutex_unlock(&map->mutex);
    return result;
}

int sp_map_resize(struct sp_map *map, double width, double height, double units_per_m,
                  struct sp_error *err)
{
    if (!(width >= 0 && width < 1e7 && height >= 0 && height < 1e7) ||
        !(units_per_m > 0 && units_per_m < 1e5))
        return sp_fail(err, SP_ERR_INVALID,
                       "map: invalid size; \"width\", \"height\" and \"units_per_m\" (units per "
                       "metre) are numbers above 0");
    pthread_mutex_lock(&map->mutex);
    bool other_unit = units_per_m != map->calibration->units_per_m;
    map->calibration->width = width;
    map->calibration->height = height;
    map->calibration->units_per_m = units_per_m;
    for (int i = 0; i < map->cameras && other_unit; i++)
        apply(map, i);
    int result = save(map, err);
    pthread_mutex_unlock(&map->mutex);
    return result;
}
