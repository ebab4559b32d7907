/* Calibrations as JSON. */
#include "base/json.h"
#include "base/lines.h"
#include "space/calibration.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 8 * 1024 * 1024, FILES_MAX = 256 };

static const double WIDTH_PX = 1920, HEIGHT_PX = 1080;

struct reader {
    struct sp_calibration *calibration;
    const char *name;
    struct sp_error *err;
};

static int refuse(const struct reader *r, const char *where, const char *what)
{
    return sp_fail(r->err, SP_ERR_FORMAT, "%s: %s: %s", r->name, where, what);
}

/* [[x, y], ...]; absent: none. */
static int read_points(const struct reader *r, const json_t *camera, const char *key,
                       const char *where, struct sp_point *points, int *count)
{
    const json_t *list = json_object_get(camera, key);
    *count = 0;
    if (!list || json_is_null(list))
        return SP_OK;
    if (!json_is_array(list) || json_array_size(list) > SP_FIT_POINTS_MAX)
        return refuse(r, where, "points must be a list of at most 64: [[x, y], ...]");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *point = json_array_get(list, i);
        const json_t *x = json_array_get(point, 0), *y = json_array_get(point, 1);
        if (!json_is_number(x) || !json_is_number(y))
            return refuse(r, where, "a point is not [x, y]");
        points[(*count)++] = (struct sp_point){json_number_value(x), json_number_value(y)};
    }
    return SP_OK;
}

static int read_matrix(const struct reader *r, const json_t *camera, const char *where,
                       struct sp_calibrated *out)
{
    const json_t *rows = json_object_get(camera, "homography");
    if (!rows || json_is_null(rows))
        return SP_OK;
    for (size_t i = 0; i < 9; i++) {
        const json_t *number = json_array_get(json_array_get(rows, i / 3), i % 3);
        if (!json_is_number(number))
            return refuse(r, where, "\"homography\" must be three rows of three numbers");
        out->matrix[i] = json_number_value(number);
    }
    out->has_matrix = true;
    return SP_OK;
}

/* The camera name: "c09" from "id", else from "/c09/" in "frame_path". */
static bool find_name(const json_t *camera, char *out, size_t out_bytes)
{
    const char *id = json_string_value(json_object_get(camera, "id"));
    const char *path = json_string_value(json_object_get(camera, "frame_path"));
    for (const char *at = path; at && (!id || id[0] != 'c' || strchr(id, ' ')) && *at; at++) {
        size_t digits = at[0] == '/' && at[1] == 'c' ? strspn(at + 2, "0123456789") : 0;
        if (digits > 0 && at[2 + digits] == '/') {
            snprintf(out, out_bytes, "%.*s", (int)digits + 1, at + 1);
            return true;
        }
    }
    if (!id || id[0] == '\0' || strlen(id) >= out_bytes)
        return false;
    for (const char *c = id; *c; c++)
        if (!(*c >= '0' && *c <= '9') && !(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') &&
            !strchr("._-", *c))
            return false;
    snprintf(out, out_bytes, "%s", id);
    return true;
}

static void measure_points(struct sp_calibrated *camera)
{
    struct sp_fit *fit = &camera->fit;
    double image = 0, map = 0;
    for (int i = 0; i < camera->point_count; i++) {
        struct sp_point at;
        bool seen = sp_homography_to_map(&fit->homography, camera->image[i], &at);
        fit->map_error[i] =
            seen ? hypot(at.x - camera->map[i].x, at.y - camera->map[i].y) : INFINITY;
        seen = sp_homography_to_image(&fit->homography, camera->map[i], &at);
        fit->image_error_px[i] =
            seen ? hypot(at.x - camera->image[i].x, at.y - camera->image[i].y) : INFINITY;
        fit->inlier[i] = fit->map_error[i] <= 50;
        if (!fit->inlier[i])
            continue;
        fit->inliers++;
        image += fit->image_error_px[i] * fit->image_error_px[i];
        map += fit->map_error[i] * fit->map_error[i];
    }
    if (fit->inliers > 0) {
        fit->rms_image_px = sqrt(image / fit->inliers);
        fit->rms_map = sqrt(map / fit->inliers);
    }
}

/* Uses the given matrix, or fits the points. */
static void use(struct sp_calibrated *camera, bool y_up)
{
    struct sp_error why = {0};
    struct sp_fit_options options = {.y_up = y_up};
    struct sp_point front = {0.5 * camera->width_px, camera->height_px};
    int result;
    if (camera->has_matrix) {
        result = sp_homography_set(&camera->fit.homography, camera->matrix, front, &why);
        if (result == SP_OK && sp_homography_is_mirrored(&camera->fit.homography, front) != y_up)
            result = sp_fail(&why, SP_ERR_INVALID,
                             "the matrix is mirrored, as if the floor were seen from below; if the "
                             "map's y axis points up, set \"y_axis\": \"up\" in \"ground_plane\"");
        if (result == SP_OK)
            measure_points(camera);
    } else {
        result = sp_homography_fit(&camera->fit, camera->image, camera->map, camera->point_count,
                                   &options, &why);
    }
    camera->usable = result == SP_OK;
    snprintf(camera->reason, sizeof camera->reason, "%s", result < 0 ? why.text : "");
}

static int read_camera(const struct reader *r, const json_t *json, size_t index)
{
    struct sp_calibration *c = r->calibration;
    char where[96], name[SP_CALIBRATION_NAME_BYTES];
    snprintf(where, sizeof where, "cameras[%zu]", index);
    if (!json_is_object(json) || !find_name(json, name, sizeof name))
        return refuse(r, where,
                      "no valid camera name in \"id\", and no /cNN/ in \"frame_path\"; "
                      "set \"id\" to the camera's name");
    snprintf(where, sizeof where, "camera %s", name);
    struct sp_calibrated *camera = sp_calibration_find(c, name);
    if (!camera && c->count == SP_CAMERAS_MAX)
        return refuse(r, where, "too many cameras; at most 64 can be calibrated");
    if (!camera)
        camera = &c->camera[c->count++];
    memset(camera, 0, sizeof *camera);
    snprintf(camera->name, sizeof camera->name, "%s", name);
    const char *path = json_string_value(json_object_get(json, "frame_path"));
    snprintf(camera->frame_path, sizeof camera->frame_path, "%s", path ? path : "");
    const json_t *size = json_object_get(json, "image_size");
    camera->width_px = json_number_value(json_array_get(size, 0));
    camera->height_px = json_number_value(json_array_get(size, 1));
    if (!(camera->width_px >= 1) || !(camera->height_px >= 1)) {
        camera->width_px = WIDTH_PX;
        camera->height_px = HEIGHT_PX;
    }
    int map_count;
    int result = read_points(r, json, "source_points", where, camera->image, &camera->point_count);
    if (result == SP_OK)
        result = read_points(r, json, "destination_points", where, camera->map, &map_count);
    if (result == SP_OK && map_count != camera->point_count)
        result = refuse(r, where, "source_points and destination_points differ in number");
    if (result == SP_OK)
        result = read_matrix(r, json, where, camera);
    return result;
}

static int read_plane(const struct reader *r, const json_t *plane)
{
    struct sp_calibration *c = r->calibration;
    const char *y_axis = json_string_value(json_object_get(plane, "y_axis"));
    const char *plan = json_string_value(json_object_get(plane, "plan"));
    double units = json_number_value(json_object_get(plane, "pixels_per_meter"));
    if (plane && !json_is_object(plane))
        return refuse(r, "\"ground_plane\"", "must be an object");
    if (json_object_get(plane, "pixels_per_meter") && !(units > 0))
        return refuse(r, "\"pixels_per_meter\"", "must be a number above 0");
    if (units > 0)
        c->units_per_m = units;
    if (json_number_value(json_object_get(plane, "width")) > 0)
        c->width = json_number_value(json_object_get(plane, "width"));
    if (json_number_value(json_object_get(plane, "height")) > 0)
        c->height = json_number_value(json_object_get(plane, "height"));
    if (y_axis && strcmp(y_axis, "up") != 0 && strcmp(y_axis, "down") != 0)
        return refuse(r, "\"y_axis\"", "must be \"up\" or \"down\"");
    if (y_axis)
        c->y_up = strcmp(y_axis, "up") == 0;
    if (plan)
        snprintf(c->plan, sizeof c->plan, "%s", plan);
    return SP_OK;
}

int sp_calibration_parse(struct sp_calibration *calibration, const char *text, size_t bytes,
                         const char *name, struct sp_error *err)
{
    const struct reader r = {calibration, name, err};
    json_error_t where;
    size_t mark = sp_line_mark_bytes(text, bytes);
    json_t *root = json_loadb(text + mark, bytes - mark, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return sp_fail(err, SP_ERR_FORMAT, "%s: line %d: %s; docs/SPACE.md describes the file",
                       name, where.line, where.text);
    const json_t *cameras = json_object_get(root, "cameras");
    int first = calibration->count;
    int result =
        json_is_object(root) && json_is_array(cameras)
            ? SP_OK
            : refuse(&r, "\"cameras\"", "must be a list; docs/SPACE.md describes the file");
    if (result == SP_OK)
        result = read_plane(&r, json_object_get(root, "ground_plane"));
    for (size_t i = 0; i < json_array_size(cameras) && result == SP_OK; i++)
        result = read_camera(&r, json_array_get(cameras, i), i);
    json_decref(root);
    for (int i = 0; i < calibration->count && result == SP_OK; i++)
        use(&calibration->camera[i], calibration->y_up);
    if (result < 0)
        calibration->count = first;
    return result;
}

static int read_file(struct sp_calibration *calibration, const char *path, struct sp_error *err)
{
    struct stat info;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &info) < 0) {
        int code = errno;
        if (file >= 0)
            close(file);
        return sp_fail(err, sp_error_from_errno(code),
                       "%s: cannot be read: %s; check the path and its permissions", path,
                       strerror(code));
    }
    if (!S_ISREG(info.st_mode) || info.st_size > FILE_BYTES_MAX) {
        close(file);
        return sp_fail(err, SP_ERR_FORMAT, "%s: not a regular file of at most 8 MiB", path);
    }
    char *text = malloc((size_t)info.st_size + 1);
    ssize_t bytes = text ? read(file, text, (size_t)info.st_size) : -1;
    close(file);
    int result = bytes < 0 ? sp_fail(err, SP_ERR_IO, "%s: cannot be read", path)
                           : sp_calibration_parse(calibration, text, (size_t)bytes, path, err);
    free(text);
    return result;
}

static int is_json(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".json") == 0;
}

int sp_calibration_read(struct sp_calibration *calibration, const char *path, struct sp_error *err)
{
    struct stat info;
    struct dirent **names;
    sp_calibration_init(calibration);
    if (stat(path, &info) < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return read_file(calibration, path, err);
    int count = scandir(path, &names, is_json, alphasort), result = SP_OK;
    if (count < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: %s", path, strerror(errno));
    if (count == 0 || count > FILES_MAX)
        result =
            sp_fail(err, SP_ERR_NOT_FOUND,
                    "%s: no *.json in this folder, or too many; put the calibration there", path);
    for (int i = 0; i < count; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (result == SP_OK)
            result = read_file(calibration, file, err);
        free(names[i]);
    }
    free(names);
    return result;
}

/* ---- writing ---- */

static void put_points(struct sp_json *json, const char *key, const struct sp_point *points,
                       int count)
{
    sp_json_key(json, key);
    sp_json_begin_array(json);
    for (int i = 0; i < count; i++) {
        sp_json_begin_array(json);
        sp_json_double(json, points[i].x);
        sp_json_double(json, points[i].y);
        sp_json_end_array(json);
    }
    sp_json_end_array(json);
}

static void put_camera(struct sp_json *json, const struct sp_calibrated *camera)
{
    const double *m = camera->usable ? camera->fit.homography.m : camera->matrix;
    sp_json_begin_object(json);
    sp_json_key(json, "id");
    sp_json_string(json, camera->name);
    put_points(json, "source_points", camera->image, camera->point_count);
    put_points(json, "destination_points", camera->map, camera->point_count);
    if (camera->usable || camera->has_matrix) {
        sp_json_key(json, "homography");
        sp_json_begin_array(json);
        for (int row = 0; row < 3; row++) {
            sp_json_begin_array(json);
            for (int column = 0; column < 3; column++)
                sp_json_double(json, m[3 * row + column]);
            sp_json_end_array(json);
        }
        sp_json_end_array(json);
    }
    sp_json_key(json, "image_size");
    sp_json_begin_array(json);
    sp_json_double(json, camera->width_px);
    sp_json_double(json, camera->height_px);
    sp_json_end_array(json);
    if (camera->frame_path[0]) {
        sp_json_key(json, "frame_path");
        sp_json_string(json, camera->frame_path);
    }
    sp_json_end_object(json);
}

static void put_all(struct sp_json *json, const struct sp_calibration *c)
{
    sp_json_begin_object(json);
    sp_json_key(json, "ground_plane");
    sp_json_begin_object(json);
    sp_json_key(json, "width");
    sp_json_double(json, c->width);
    sp_json_key(json, "height");
    sp_json_double(json, c->height);
    sp_json_key(json, "pixels_per_meter");
    sp_json_double(json, c->units_per_m);
    sp_json_key(json, "y_axis");
    sp_json_string(json, c->y_up ? "up" : "down");
    if (c->plan[0]) {
        sp_json_key(json, "plan");
        sp_json_string(json, c->plan);
    }
    sp_json_end_object(json);
    sp_json_key(json, "cameras");
    sp_json_begin_array(json);
    for (int i = 0; i < c->count; i++)
        put_camera(json, &c->camera[i]);
    sp_json_end_array(json);
    sp_json_end_object(json);
    sp_json_raw(json, "\n");
}

static int write_whole(const char *path, const char *text, size_t bytes)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        return errno;
    size_t done = 0;
    while (done < bytes) {
        ssize_t n = write(file, text + done, bytes - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    int code = done < bytes || fsync(file) < 0 ? (errno ? errno : EIO) : 0;
    if (close(file) < 0 && code == 0)
        code = errno;
    return code;
}

int sp_calibration_may_write(const char *path, struct sp_error *err)
{
    struct stat info;
    const char *slash = strrchr(path, '/');
    char folder[4096];
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "HOMOGRAPHY_FILE_PATH=%s: a folder; name one file in it to change "
                       "calibrations",
                       path);
    int bytes = slash ? (int)(slash + 1 - path) : 1;
    if (bytes >= (int)sizeof folder)
        return sp_fail(err, SP_ERR_INVALID, "HOMOGRAPHY_FILE_PATH is too long");
    snprintf(folder, sizeof folder, "%.*s", bytes, slash ? path : ".");
    if (access(folder, W_OK | X_OK) < 0)
        return sp_fail(err, sp_error_from_errno(errno), "%s: cannot be written: %s", path,
                       strerror(errno));
    return SP_OK;
}

int sp_calibration_write(const struct sp_calibration *calibration, const char *path,
                         struct sp_error *err)
{
    char temporary[4096];
    struct sp_json json = {0};
    int result = sp_calibration_may_write(path, err);
    if (result < 0)
        return result;
    if (snprintf(temporary, sizeof temporary, "%s.part", path) >= (int)sizeof temporary)
        return sp_fail(err, SP_ERR_INVALID, "HOMOGRAPHY_FILE_PATH is too long");
    put_all(&json, calibration);
    int code = json.failed ? ENOMEM : write_whole(temporary, json.text, json.used_bytes);
    sp_json_release(&json);
    if (code == 0 && rename(temporary, path) < 0)
        code = errno;
    if (code == 0)
        return SP_OK;
    unlink(temporary);
    return sp_fail(err, sp_error_from_errno(code), "%s: cannot be written: %s", path,
                   strerror(code));
}
