#include "command/counter.h"

#include "base/json.h"
#include "base/log.h"
#include "base/yaml.h"
#include "publish/atomic_file.h"
#include "publish/files.h"
#include "space/calibration.h"

#include <stdlib.h>
#include <string.h>

enum { BOX_DECIMALS = 3, MAP_DECIMALS = 2 }; /* of the results log; of people.jsonl */

struct sp_counter {
    struct sp_counting *counting;
    struct sp_counting_config config;
    const char *dir;
    struct sp_atomic_file *file; /* NULL: none */
    struct sp_json line, counts;
    struct sp_error failure;
    char (*names)[SP_COUNTING_NAME_BYTES];
    bool *checked; /* the camera's frame size */
    int cameras;
    bool finished;
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_world_position positions[SP_TRACKS_MAX];
};

static void write_event(void *user, const struct sp_counting_event *event)
{
    struct sp_counter *c = user;
    if (!c->file || c->failure.code != SP_OK)
        return;
    sp_json_clear(&c->line);
    sp_counting_event_json(&c->line, event);
    sp_json_raw(&c->line, "\n");
    if (c->line.failed)
        sp_fail(&c->failure, SP_ERR_NO_MEMORY, "events.jsonl: out of memory");
    else
        (void)sp_atomic_file_write(c->file, c->line.text, c->line.used_bytes, &c->failure);
}

static int read_config(struct sp_counting_config *config, const char *path, struct sp_error *err)
{
    struct sp_yaml *yaml;
    int result = sp_yaml_read_file(&yaml, path, err);
    if (result < 0)
        return result;
    result = sp_counting_config_read(config, sp_yaml_root(yaml), err);
    sp_yaml_close(yaml);
    return result;
}

/* The map's unit, if one of the cameras is calibrated. */
static int read_map(const struct sp_settings *settings, const char *const *cameras, int count,
                    struct sp_counting_options *options, struct sp_error *err)
{
    if (!settings->spatial_match || !settings->homography_file[0])
        return SP_OK;
    struct sp_calibration *calibration = malloc(sizeof *calibration);
    if (!calibration)
        return sp_fail(err, SP_ERR_NO_MEMORY, "map: out of memory");
    sp_calibration_init(calibration);
    struct sp_error why = {0};
    int result = sp_calibration_read(calibration, settings->homography_file, &why);
    for (int i = 0; result == SP_OK && i < count; i++) {
        const struct sp_calibrated *found = sp_calibration_find(calibration, cameras[i]);
        if (found && found->usable) {
            options->units_per_m = calibration->units_per_m;
            options->y_up = calibration->y_up;
        }
    }
    free(calibration);
    return result < 0 && result != SP_ERR_NOT_FOUND
               ? sp_fail(err, result, "HOMOGRAPHY_FILE_PATH: %.400s", why.text)
               : SP_OK;
}

static int start(struct sp_counter *c, const struct sp_settings *settings,
                 const char *const *cameras, int count, struct sp_error *err)
{
    struct sp_counting_options options = {.config = &c->config,
                                          .cameras = cameras,
                                          .camera_count = count,
                                          .event = write_event,
                                          .user = c};
    c->cameras = count;
    c->checked = calloc((size_t)count + 1, sizeof *c->checked);
    c->names = calloc((size_t)count + 1, sizeof *c->names);
    if (!c->checked || !c->names)
        return sp_fail(err, SP_ERR_NO_MEMORY, "lines and zones: out of memory");
    for (int i = 0; i < count; i++)
        snprintf(c->names[i], sizeof c->names[i], "%s", cameras[i]);
    int result = read_map(settings, cameras, count, &options, err);
    if (result == SP_OK)
        result = sp_counting_config_check(&c->config, cameras, count, options.units_per_m > 0, err);
    if (result == SP_OK)
        result = sp_counting_open(&c->counting, &options, err);
    if (result == SP_OK && c->dir)
        result = sp_atomic_file_open(&c->file, c->dir, "events.jsonl", err);
    return result;
}

int sp_counter_open(struct sp_counter **out, const struct sp_settings *settings,
                    const char *const *cameras, int count, const char *dir, struct sp_error *err)
{
    *out = NULL;
    if (!settings->yaml_path[0])
        return SP_OK;
    struct sp_counter *c = calloc(1, sizeof *c);
    if (!c)
        return sp_fail(err, SP_ERR_NO_MEMORY, "lines and zones: out of memory");
    c->dir = dir;
    int result = read_config(&c->config, settings->yaml_path, err);
    bool empty = result == SP_OK && sp_counting_config_is_empty(&c->config);
    if (result == SP_OK && !empty)
        result = start(c, settings, cameras, count, err);
    if (result < 0 || empty) {
        sp_counter_close(c);
        return result;
    }
    *out = c;
    return SP_OK;
}

void sp_counter_close(struct sp_counter *c)
{
    if (!c)
        return;
    sp_counting_close(c->counting);
    sp_atomic_file_close(c->file);
    sp_json_release(&c->line);
    sp_json_release(&c->counts);
    free(c->checked);
    free(c->names);
    free(c);
}

void sp_counter_frame(struct sp_counter *c, const struct sp_counting_frame *frame)
{
    if (!c || !frame->inferred)
        return;
    struct sp_counting_frame rounded = *frame;
    if (!c->checked[frame->camera] && c->failure.code == SP_OK)
        (void)sp_counting_config_check_size(&c->config, c->names[frame->camera], frame->width_px,
                                            frame->height_px, &c->failure);
    c->checked[frame->camera] = true;
    if (frame->rounded) {
        sp_counting_frame(c->counting, frame);
        return;
    }
    if (rounded.count > SP_TRACKS_MAX)
        rounded.count = SP_TRACKS_MAX;
    for (size_t i = 0; i < rounded.count; i++) {
        struct sp_track *t = &c->tracks[i];
        *t = frame->tracks[i];
        t->x1_px = sp_counting_rounded(t->x1_px, BOX_DECIMALS);
        t->y1_px = sp_counting_rounded(t->y1_px, BOX_DECIMALS);
        t->x2_px = sp_counting_rounded(t->x2_px, BOX_DECIMALS);
        t->y2_px = sp_counting_rounded(t->y2_px, BOX_DECIMALS);
        if (!frame->positions)
            continue;
        c->positions[i] = frame->positions[i];
        c->positions[i].x = sp_counting_rounded(c->positions[i].x, MAP_DECIMALS);
        c->positions[i].y = sp_counting_rounded(c->positions[i].y, MAP_DECIMALS);
    }
    rounded.tracks = c->tracks;
    rounded.positions = frame->positions ? c->positions : NULL;
    sp_counting_frame(c->counting, &rounded);
}

void sp_counter_restart(struct sp_counter *c)
{
    if (c)
        sp_counting_restart(c->counting);
}

static int publish(struct sp_counter *c, struct sp_error *err)
{
    int result = sp_atomic_file_flush(c->file, err);
    if (result == SP_OK)
        result = sp_atomic_file_sync(c->file, err);
    if (result == SP_OK)
        result = sp_atomic_file_publish(c->file, err);
    if (result == SP_OK)
        result =
            sp_files_write_whole(c->dir, "counts.json", c->counts.text, c->counts.used_bytes, err);
    return result;
}

int sp_counter_finish(struct sp_counter *c, struct sp_error *err)
{
    if (!c || c->finished)
        return SP_OK;
    c->finished = true;
    sp_counting_finish(c->counting);
    sp_counting_counts_json(&c->counts, c->counting);
    sp_json_raw(&c->counts, "\n");
    if (c->failure.code == SP_OK && c->counts.failed)
        sp_fail(&c->failure, SP_ERR_NO_MEMORY, "counts.json: out of memory");
    if (c->failure.code == SP_OK)
        return c->file ? publish(c, err) : SP_OK;
    if (err)
        *err = c->failure;
    return c->failure.code;
}

const char *sp_counter_text(const struct sp_counter *c)
{
    return c->counts.text;
}
