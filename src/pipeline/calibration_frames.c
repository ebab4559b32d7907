#include "pipeline/calibration_frames.h"

#include "base/log.h"
#include "base/redact.h"
#include "capture/source.h"
#include "detect/letterbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER_BYTES = 128, FILES_MAX = 100000, LIVE_STRIDE = 12 };

static const int64_t OPEN_TIMEOUT_US = 10000000;

/* ---- a set of images ---- */

/* NumPy's format 1.0: the header is padded to a multiple of 64 bytes. */
static void write_header(struct sp_images *set)
{
    char text[HEADER_BYTES - 10 + 1];
    bool planar = set->layout == SPOTON_LAYOUT_NCHW;
    int used = snprintf(text, sizeof text,
                        "{'descr': '|u1', 'fortran_order': False, 'shape': (%d, %d, %d, %d), }",
                        set->count, planar ? 3 : set->height_px,
                        planar ? set->height_px : set->width_px, planar ? set->width_px : 3);
    memset(text + used, ' ', sizeof text - (size_t)used);
    text[HEADER_BYTES - 11] = '\n';
    memcpy(set->map, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(set->map + 10, text, HEADER_BYTES - 10);
}

int sp_images_open(struct sp_images *set, const struct sp_calibration_frames_options *options,
                   const char *path, int capacity, struct sp_error *err)
{
    set->width_px = options->width_px;
    set->height_px = options->height_px;
    set->layout = options->layout;
    set->capacity = capacity;
    set->image_bytes = (size_t)options->width_px * (size_t)options->height_px * 3;
    set->map_bytes = HEADER_BYTES + (size_t)capacity * set->image_bytes;
    set->source = calloc((size_t)capacity + 1, 1);
    if (!set->source)
        return sp_fail(err, SP_ERR_NO_MEMORY, "images: out of memory");
    set->file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                     : memfd_create("images", MFD_CLOEXEC);
    path = path ? path : "memory for images";
    int why = set->file < 0 ? errno : posix_fallocate(set->file, 0, (off_t)set->map_bytes);
    if (why)
        return sp_fail(err, sp_error_from_errno(why), "%s: %s; it needs %zu MB", path,
                       strerror(why), set->map_bytes >> 20);
    void *map = mmap(NULL, set->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, set->file, 0);
    if (map == MAP_FAILED)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: %s", path, strerror(errno));
    set->map = map;
    return SP_OK;
}

int sp_images_finish(struct sp_images *set, struct sp_error *err)
{
    if (!set->map)
        return SP_OK;
    write_header(set);
    size_t bytes = HEADER_BYTES + (size_t)set->count * set->image_bytes;
    if (ftruncate(set->file, (off_t)bytes) != 0)
        return sp_fail(err, sp_error_from_errno(errno), "images: %s", strerror(errno));
    return SP_OK;
}

static void release_set(struct sp_images *set)
{
    if (set->map)
        munmap(set->map, set->map_bytes);
    if (set->file >= 0)
        close(set->file);
    free(set->source);
    *set = (struct sp_images){.file = -1};
}

uint8_t *sp_image_memory(const struct sp_images *images, int index)
{
    return images->map + HEADER_BYTES + (size_t)index * images->image_bytes;
}

const uint8_t *sp_image(const struct sp_images *images, int index)
{
    return sp_image_memory(images, index);
}

void sp_calibration_frames_release(struct sp_calibration_frames *frames)
{
    release_set(&frames->calibration);
    release_set(&frames->check);
}

/* ---- collecting ---- */

struct collector {
    const struct sp_calibration_frames_options *options;
    struct sp_calibration_frames *frames;
    struct sp_frame_pool *pool;
    struct sp_letterbox *letterbox;
    int source, taken; /* of that source */
};

static int take(struct collector *collector, const struct sp_frame *frame, struct sp_error *err)
{
    bool check = !collector->options->calibration_path ||
                 collector->taken % SP_CALIBRATION_CHECK_EVERY == SP_CALIBRATION_CHECK_EVERY - 1;
    struct sp_images *set = check ? &collector->frames->check : &collector->frames->calibration;
    struct sp_letterbox_geometry geometry = {0};
    ++collector->taken;
    if (set->count == set->capacity)
        return SP_OK;
    int result = sp_letterbox_fill(collector->letterbox, frame,
                                   set->map + HEADER_BYTES + (size_t)set->count * set->image_bytes,
                                   set->layout, set->width_px, set->height_px, &geometry, err);
    if (result == SP_OK)
        set->source[set->count++] = (uint8_t)collector->source;
    return result;
}

/* `wanted` images, evenly over a video, or as they arrive from a camera. */
static int take_video(struct collector *collector, const char *url, int wanted,
                      struct sp_error *err)
{
    struct sp_source *source = NULL;
    struct sp_source_options options = {.url = url,
                                        .pool = collector->pool,
                                        .frame_skip = 1,
                                        .open_timeout_us = OPEN_TIMEOUT_US,
                                        .read_timeout_us = OPEN_TIMEOUT_US};
    int result = sp_source_open(&source, &options, err);
    if (result < 0)
        return result;
    struct sp_source_info info;
    sp_source_info(source, &info);
    int64_t stride = info.frames_total > 0 ? info.frames_total / wanted : LIVE_STRIDE;
    stride = stride < 1 ? 1 : stride;
    int64_t first = info.frames_total > 0 ? stride / 2 : 0;
    int before = collector->taken;
    struct sp_frame *frame = NULL;
    for (int64_t number = 0; collector->taken - before < wanted; ++number) {
        if (collector->options->interrupted && collector->options->interrupted())
            result = sp_fail(err, SP_ERR_INTERRUPTED, "interrupted");
        else
            result = sp_source_read(source, &frame, err);
        if (result < 0)
            break;
        if (number % stride == first)
            result = take(collector, frame, err);
        sp_frame_unref(frame);
        if (result < 0)
            break;
    }
    sp_source_close(source);
    return result == SP_ERR_END ? SP_OK : result;
}

static bool ends_with_any(const char *name, const char *const *endings)
{
    const char *dot = strrchr(name, '.');
    for (; dot && *endings; ++endings) {
        if (strcasecmp(dot, *endings) == 0)
            return true;
    }
    return false;
}

static int is_image(const struct dirent *entry)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", NULL};
    return ends_with_any(entry->d_name, endings);
}

static int is_video(const struct dirent *entry)
{
    static const char *const endings[] = {".mp4", ".avi", ".mkv", ".mov", ".webm", ".ts", NULL};
    return ends_with_any(entry->d_name, endings);
}

/* Evenly spread entries of a sorted list; one that does not open is skipped with a warning. */
static int take_entries(struct collector *collector, const char *folder, struct dirent **entry,
                        int entries, int wanted, int each, struct sp_error *err)
{
    char path[4096];
    int chosen = wanted / each < entries ? wanted / each : entries;
    int result = SP_OK;
    for (int i = 0; i < chosen && result == SP_OK; ++i) {
        struct sp_error why = {0};
        int at = (int)((int64_t)i * entries / chosen);
        snprintf(path, sizeof path, "%s/%s", folder, entry[at]->d_name);
        result = take_video(collector, path, each, &why);
        if (result == SP_ERR_INTERRUPTED || result == SP_ERR_NO_MEMORY) {
            if (err)
                *err = why;
        } else if (result < 0) {
            sp_log(SP_LOG_WARNING, "%s: skipped: %s", path, why.text);
            result = SP_OK;
        }
    }
    return result;
}

static void free_entries(struct dirent **entry, int entries)
{
    for (int i = 0; i < entries; ++i)
        free(entry[i]);
    free(entry);
}

static int take_folder(struct collector *collector, const char *folder, int wanted,
                       struct sp_error *err)
{
    struct dirent **image = NULL, **video = NULL;
    int images = scandir(folder, &image, is_image, alphasort);
    int videos = scandir(folder, &video, is_video, alphasort);
    int result = SP_OK;
    images = images < 0 ? 0 : images;
    videos = videos < 0 ? 0 : videos;
    int shares = videos + (images > 0 ? 1 : 0);
    if (shares == 0)
        result = sp_fail(err, SP_ERR_NOT_FOUND,
                         "%s: no images (.jpg, .png, .webp, .bmp) and no videos (.mp4, .avi, "
                         ".mkv, .mov, .webm, .ts) in it",
                         folder);
    if (result == SP_OK && images > 0)
        result = take_entries(collector, folder, image, images, wanted / shares, 1, err);
    int each = shares > 0 ? wanted / shares : 0;
    if (result == SP_OK && videos > 0)
        result =
            take_entries(collector, folder, video, videos, each * videos, each > 0 ? each : 1, err);
    free_entries(image, images);
    free_entries(video, videos);
    return result;
}

static int take_all(struct collector *collector, struct sp_error *err)
{
    const struct sp_calibration_frames_options *options = collector->options;
    int result = SP_OK;
    for (int i = 0; i < options->name_count && result == SP_OK; ++i) {
        struct stat status;
        const char *name = options->name[i];
        int wanted = options->wanted / options->name_count;
        collector->source = i;
        collector->taken = 0;
        bool folder = stat(name, &status) == 0 && S_ISDIR(status.st_mode);
        result = folder ? take_folder(collector, name, wanted, err)
                        : take_video(collector, name, wanted, err);
        char shown[256];
        sp_redact_url(name, shown, sizeof shown);
        if (result == SP_OK && collector->taken == 0)
            result = sp_fail(err, SP_ERR_FORMAT, "%s: no image in it", shown);
        else if (result == SP_OK)
            sp_log(SP_LOG_DEBUG, "%d images of %s", collector->taken, shown);
    }
    return result;
}

int sp_calibration_frames_collect(struct sp_calibration_frames *frames,
                                  const struct sp_calibration_frames_options *options,
                                  struct sp_error *err)
{
    struct collector collector = {.options = options, .frames = frames};
    *frames = (struct sp_calibration_frames){.calibration.file = -1, .check.file = -1};
    int check = options->calibration_path ? options->wanted / SP_CALIBRATION_CHECK_EVERY + 1
                                          : options->wanted;
    int result = sp_frame_pool_open(&collector.pool, err);
    if (result == SP_OK)
        result = sp_letterbox_open(&collector.letterbox, err);
    if (result == SP_OK && options->calibration_path)
        result = sp_images_open(&frames->calibration, options, options->calibration_path,
                                options->wanted, err);
    if (result == SP_OK)
        result = sp_images_open(&frames->check, options, options->check_path, check, err);
    if (result == SP_OK)
        result = take_all(&collector, err);
    if (result == SP_OK)
        result = sp_images_finish(&frames->calibration, err);
    if (result == SP_OK)
        result = sp_images_finish(&frames->check, err);
    sp_letterbox_close(collector.letterbox);
    sp_frame_pool_close(collector.pool);
    if (result < 0)
        sp_calibration_frames_release(frames);
    return result;
}
