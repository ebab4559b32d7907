#include "space/calibration.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double UNITS_PER_M = 100, WIDTH_PX = 1920, HEIGHT_PX = 1080, FLOOR_MIN_M = 0.03;

void sp_calibration_init(struct sp_calibration *calibration)
{
    memset(calibration, 0, sizeof *calibration);
    calibration->units_per_m = UNITS_PER_M;
}

struct sp_calibrated *sp_calibration_find(struct sp_calibration *calibration, const char *name)
{
    for (int i = 0; i < calibration->count; i++)
        if (strcmp(calibration->camera[i].name, name) == 0)
            return &calibration->camera[i];
    return NULL;
}

int sp_calibration_set(struct sp_calibration *calibration, const char *name,
                       const struct sp_point *image, const struct sp_point *map, int count,
                       double width_px, double height_px, struct sp_error *err)
{
    struct sp_fit fit;
    struct sp_fit_options options = {.y_up = calibration->y_up};
    struct sp_calibrated *camera = sp_calibration_find(calibration, name);
    if (!(width_px >= 1) || !(height_px >= 1))
        return sp_fail(err, SP_ERR_INVALID,
                       "camera %s: the image size is missing; give its width and height", name);
    int result = sp_homography_fit(&fit, image, map, count, &options, err);
    if (result < 0)
        return sp_fail_prefix(err, result, "camera %s", name);
    if (!camera && calibration->count == SP_CAMERAS_MAX)
        return sp_fail(err, SP_ERR_NO_SPACE,
                       "camera %s: too many cameras; at most %d can be calibrated", name,
                       SP_CAMERAS_MAX);
    if (!camera)
        camera = &calibration->camera[calibration->count++];
    memset(camera, 0, sizeof *camera);
    snprintf(camera->name, sizeof camera->name, "%s", name);
    camera->width_px = width_px;
    camera->height_px = height_px;
    camera->point_count = count;
    memcpy(camera->image, image, (size_t)count * sizeof *image);
    memcpy(camera->map, map, (size_t)count * sizeof *map);
    camera->usable = true;
    camera->fit = fit;
    return SP_OK;
}

bool sp_calibration_remove(struct sp_calibration *calibration, const char *name)
{
    struct sp_calibrated *camera = sp_calibration_find(calibration, name);
    if (!camera)
        return false;
    struct sp_calibrated *last = &calibration->camera[--calibration->count];
    memmove(camera, camera + 1, (size_t)(last - camera) * sizeof *camera);
    return true;
}

bool sp_calibration_ground(const struct sp_calibration *calibration,
                           const struct sp_calibrated *camera, struct sp_ground *ground)
{
    if (!camera->usable)
        return false;
    *ground = (struct sp_ground){
        .homography = camera->fit.homography,
        .width_px = camera->width_px > 0 ? camera->width_px : WIDTH_PX,
        .height_px = camera->height_px > 0 ? camera->height_px : HEIGHT_PX,
        .units_per_m = calibration->units_per_m,
        .floor_m = fmax(camera->fit.rms_map / calibration->units_per_m, FLOOR_MIN_M),
    };
    return true;
}
