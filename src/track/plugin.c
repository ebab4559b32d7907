#include "track/plugin.h"

#include "base/log.h"
#include "base/nearest.h"
#include "base/path.h"
#include "frame.h"

#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- loading ---- */

static int check_api(const struct spoton_tracker_api *api, const char *path, struct sp_error *err)
{
    if (!api || api->abi != SPOTON_TRACKER_ABI)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "tracker plugin %s: built for interface version %u, but this program has "
                       "%u; rebuild it",
                       path, api ? api->abi : 0, SPOTON_TRACKER_ABI);
    if (api->struct_bytes < sizeof *api || !api->name || !api->open || !api->close ||
        !api->update || !api->predict)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "tracker plugin %s: incomplete interface; rebuild it", path);
    if (api->needs & ~(unsigned)SPOTON_TRACKER_NEEDS_FRAME)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "tracker plugin %s: it requires what this program does not have (needs "
                       "%#x); use a newer spoton",
                       path, api->needs);
    return SP_OK;
}

static int load_file(const struct spoton_tracker_api **out, const char *path, struct sp_error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "tracker plugin does not load: %s", dlerror());
    /* Object and function pointers have one size on every POSIX system; ISO C has no cast for it.*/
    union {
        void *symbol;
        spoton_tracker_entry_fn *entry;
    } found = {.symbol = dlsym(library, "spoton_tracker_entry")};
    if (!found.symbol)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "tracker plugin %s: no spoton_tracker_entry(); not a spoton tracker", path);
    const struct spoton_tracker_api *api = found.entry();
    int result = check_api(api, path, err);
    if (result == SP_OK)
        *out = api;
    return result;
}

static bool try_folder(char path[PATH_MAX], const char *base, const char *below, const char *name)
{
    int n = snprintf(path, PATH_MAX, "%s%s/spoton-tracker-%s.so", base, below, name);
    return n > 0 && n < PATH_MAX && access(path, F_OK) == 0;
}

int sp_tracker_plugin_load(const struct spoton_tracker_api **out, const char *name,
                           struct sp_error *err)
{
    char path[PATH_MAX], program[PATH_MAX], below[64];
    if (strchr(name, '/')) {
        if (access(name, F_OK) != 0)
            return sp_fail(err, SP_ERR_NOT_FOUND, "TRACKER=%s: no such file", name);
        return load_file(out, name, err);
    }
    const char *chosen = getenv("SPOTON_TRACKER_DIR");
    if (chosen && *chosen && try_folder(path, chosen, "", name))
        return load_file(out, path, err);
    int result = sp_path_program_dir(program, sizeof program, err);
    if (result < 0)
        return result;
    for (int i = 0; sp_path_plugin_dir("trackers", i, below); i++)
        if (try_folder(path, program, below, name))
            return load_file(out, path, err);
    static const char *const built_in[] = {"bytetrack", "spoton", NULL};
    const char *near = sp_nearest_word(name, built_in);
    return sp_fail(err, SP_ERR_NOT_FOUND,
                   "TRACKER=%.60s: unknown; %s%s%s or a plugin: there is no "
                   "spoton-tracker-%.60s.so in SPOTON_TRACKER_DIR, beside the program or in "
                   "lib/spoton/trackers",
                   name, near ? "did you mean " : "use bytetrack, spoton,", near ? near : "",
                   near ? "? Use that," : "", name);
}

/* ---- the tracker ---- */

struct plugin_tracker {
    const struct spoton_tracker_api *api;
    struct spoton_tracker_state *state;
    bool reported; /* an error or an invalid track */
    struct spoton_tracker_detection detections[SP_DETECTIONS_MAX];
    struct spoton_tracker_output *output; /* [SP_TRACKS_MAX] */
};

static void close_plugin(void *tracker)
{
    struct plugin_tracker *t = tracker;
    if (t->state)
        t->api->close(t->state);
    free(t->output);
    free(t);
}

static int open_plugin(void **out, const struct sp_tracker_params *params, struct sp_error *err)
{
    const struct spoton_tracker_api *api = params->plugin;
    if ((api->needs & SPOTON_TRACKER_NEEDS_FRAME) && !params->has_frames)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "tracker %s: it requires frames, and there are only detections here; use "
                       "`spoton run` or `spoton serve`",
                       api->name);
    struct plugin_tracker *t = calloc(1, sizeof *t);
    if (t)
        t->output = calloc(SP_TRACKS_MAX, sizeof *t->output);
    if (!t || !t->output) {
        free(t);
        return sp_fail(err, SP_ERR_NO_MEMORY, "tracker: out of memory");
    }
    t->api = api;
    struct spoton_tracker_params given = {
        .struct_bytes = sizeof given,
        .high_threshold = params->high_thresh,
        .low_threshold = params->low_thresh,
        .new_threshold = params->new_track_thresh,
        .match_threshold = params->match_thresh,
        .buffer_frames = params->buffer_frames,
        .options = params->options ? params->options : "",
    };
    char why[256] = "";
    if (api->open(&t->state, &given, why, sizeof why) < 0) {
        t->state = NULL;
        close_plugin(t);
        return sp_fail(err, SP_ERR_INVALID, "tracker %s: %s", api->name,
                       why[0] ? why : "it cannot be opened");
    }
    *out = t;
    return SP_OK;
}

static bool is_valid(const struct spoton_tracker_output *o, size_t detection_count)
{
    return o->id > 0 && isfinite(o->x1) && isfinite(o->y1) && isfinite(o->x2) && isfinite(o->y2) &&
           isfinite(o->confidence) && o->class_id >= 0 && o->detection >= 0 &&
           (size_t)o->detection <= detection_count;
}

/* Copies the valid ones. */
static size_t take_tracks(struct plugin_tracker *t, int count, size_t detection_count,
                          struct sp_track *tracks)
{
    size_t valid = 0;
    for (int i = 0; i < count && i < SP_TRACKS_MAX; i++) {
        const struct spoton_tracker_output *o = &t->output[i];
        if (is_valid(o, detection_count))
            tracks[valid++] = (struct sp_track){.id = o->id,
                                                .x1_px = o->x1,
                                                .y1_px = o->y1,
                                                .x2_px = o->x2,
                                                .y2_px = o->y2,
                                                .confidence = o->confidence,
                                                .class_id = o->class_id,
                                                .detection = o->detection};
    }
    if (valid < (size_t)(count > 0 ? count : 0) && !t->reported) {
        t->reported = true;
        sp_log(SP_LOG_WARNING, "tracker %s: %d tracks, %zu of them valid; the others are dropped",
               t->api->name, count, valid);
    }
    return valid;
}

static bool is_usable(const struct sp_detection *d)
{
    return isfinite(d->x1_px) && isfinite(d->y1_px) && isfinite(d->x2_px) && isfinite(d->y2_px) &&
           isfinite(d->confidence);
}

/* Detections keep their indices; one that is not finite becomes an empty box of confidence 0. */
static size_t copy_detections(struct plugin_tracker *t, const struct sp_tracker_input *in)
{
    size_t count =
        in->detection_count < SP_DETECTIONS_MAX ? in->detection_count : (size_t)SP_DETECTIONS_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct sp_detection *d = &in->detections[i];
        t->detections[i] = (struct spoton_tracker_detection){.class_id = d->class_id};
        if (!is_usable(d))
            continue;
        t->detections[i] = (struct spoton_tracker_detection){.x1 = d->x1_px,
                                                             .y1 = d->y1_px,
                                                             .x2 = d->x2_px,
                                                             .y2 = d->y2_px,
                                                             .confidence = d->confidence,
                                                             .class_id = d->class_id};
    }
    return count;
}

static size_t update_plugin(void *tracker, const struct sp_tracker_input *in,
                            struct sp_track *tracks)
{
    struct plugin_tracker *t = tracker;
    struct spoton_tracker_frame frame;
    const struct sp_frame *f = in->frame;
    if ((t->api->needs & SPOTON_TRACKER_NEEDS_FRAME) && !f)
        return 0; /* it was not read from its device */
    struct spoton_tracker_input given = {
        .struct_bytes = sizeof given,
        .detections = t->detections,
        .detection_count = copy_detections(t, in),
        .dt_frames = in->dt_frames,
        .dt_s = in->dt_s,
    };
    if (f) {
        frame = (struct spoton_tracker_frame){.width = f->width_px,
                                              .height = f->height_px,
                                              .interleaved_chroma = f->format == SP_PIXEL_NV12};
        for (int i = 0; i < 3; i++) {
            frame.plane[i] = f->plane[i];
            frame.stride[i] = f->stride_bytes[i];
        }
        given.frame = &frame;
    }
    char why[256] = "";
    int count = t->api->update(t->state, &given, t->output, SP_TRACKS_MAX, why, sizeof why);
    if (count < 0 && !t->reported) {
        t->reported = true;
        sp_log(SP_LOG_ERROR, "tracker %s: %s; such frames have no tracks", t->api->name,
               why[0] ? why : "failed");
    }
    return take_tracks(t, count, given.detection_count, tracks);
}

static size_t predict_plugin(const void *tracker, const struct sp_tracker_time *ahead,
                             struct sp_track *tracks)
{
    struct plugin_tracker *t = (struct plugin_tracker *)tracker; /* its buffer is written */
    int count = t->api->predict(t->state, ahead->frames, ahead->seconds, t->output, SP_TRACKS_MAX);
    return take_tracks(t, count, 0, tracks);
}

const struct sp_tracker_type sp_plugin_tracker_type = {
    .version = SP_TRACKER_VERSION,
    .name = "plugin",
    .coasts = true,
    .open = open_plugin,
    .close = close_plugin,
    .update = update_plugin,
    .predict = predict_plugin,
};
