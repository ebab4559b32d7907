#include "library/internal.h"
#include "pipeline/counting_setup.h"

#include <stdio.h>
#include <stdlib.h>

static struct spoton_camera *make_handle(struct spoton_pipeline *pipeline, const char *name,
                                         struct sp_error *err)
{
    struct spoton_camera *camera = calloc(1, sizeof *camera);
    if (!camera) {
        sp_fail(err, SP_ERR_NO_MEMORY, "camera %s: out of memory", name);
        return NULL;
    }
    camera->pipeline = pipeline;
    snprintf(camera->name, sizeof camera->name, "%s", name);
    return camera;
}

void sp_library_free_handle(struct spoton_camera *camera)
{
    if (camera->push)
        sp_push_close(camera->push);
    sp_push_unref(camera->push);
    free(camera);
}

static void link_handle(struct spoton_camera *camera)
{
    pthread_mutex_lock(&camera->pipeline->mutex);
    camera->next = camera->pipeline->cameras;
    camera->pipeline->cameras = camera;
    pthread_mutex_unlock(&camera->pipeline->mutex);
}

int sp_library_add_handles(struct spoton_pipeline *pipeline, struct sp_error *err)
{
    for (int i = 0; i < pipeline->settings.camera_count; i++) {
        struct spoton_camera *camera =
            make_handle(pipeline, pipeline->settings.camera[i].name, err);
        if (!camera)
            return SP_ERR_NO_MEMORY;
        camera->index = i;
        link_handle(camera);
    }
    return SP_OK;
}

/* ---- adding and removing ---- */

static int make_setting(struct sp_camera_setting *setting,
                        const struct spoton_camera_options *options, struct sp_error *err)
{
    char url[SP_CAMERA_NAME_BYTES + 8];
    const char *name = options->name ? options->name : "";
    snprintf(url, sizeof url, "push:%s", name); /* only shown */
    int result = sp_settings_check_camera(name, options->url ? options->url : url, "camera", err);
    if (result < 0)
        return result;
    *setting = (struct sp_camera_setting){0};
    snprintf(setting->name, sizeof setting->name, "%s", name);
    snprintf(setting->url, sizeof setting->url, "%s", options->url ? options->url : url);
    for (const char *const *at = options->settings; at && at[0]; at += 2) {
        if (!at[1])
            return sp_fail(err, SP_ERR_INVALID, "camera %s: setting %s has no value", name, at[0]);
        result = sp_camera_setting_set(setting, at[0], at[1], "camera", err);
        if (result < 0)
            return result;
    }
    return SP_OK;
}

/* Before the start: one more camera of the settings. */
static int add_setting(struct spoton_pipeline *p, const struct sp_camera_setting *setting,
                       int *index, struct sp_error *err)
{
    struct sp_settings *s = &p->settings;
    int result = sp_settings_add_camera(s, setting->name, setting->url, false, "pipeline", err);
    if (result < 0)
        return result;
    *index = s->camera_count - 1;
    s->camera[*index] = *setting;
    result = sp_settings_check(s, err);
    if (result < 0)
        s->camera_count--;
    return result;
}

static int add(struct spoton_camera *camera, const struct sp_camera_setting *setting,
               double frame_rate, bool pushed, struct sp_error *err)
{
    struct spoton_pipeline *p = camera->pipeline;
    struct sp_push_options push = {.frame_rate = frame_rate, .live = p->options.live != 0};
    struct sp_pipeline *running = atomic_load(&p->running);
    int result = SP_OK;
    if (!(frame_rate >= 0 && frame_rate <= 1000))
        return sp_fail(err, SP_ERR_INVALID,
                       "camera %s: frame_rate is %g; it must be 0 (unknown) to 1000", setting->name,
                       frame_rate);
    if (pushed)
        result = sp_push_open(&camera->push, &push, err);
    if (result < 0)
        return result;
    if (!running)
        return add_setting(p, setting, &camera->index, err);
    if (!p->options.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "camera %s: an offline pipeline has started; add cameras before",
                       setting->name);
    result = sp_pipeline_add_pushed(running, setting, camera->push, &camera->index, err);
    if (result == SP_OK)
        sp_library_enter(p, camera->index, camera->name);
    return result;
}

int spoton_camera_add(struct spoton_camera **out, struct spoton_pipeline *pipeline,
                      const struct spoton_camera_options *options, struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_camera_options copy;
    struct sp_camera_setting setting;
    struct spoton_camera *camera = NULL;
    struct sp_log_sink *before = sp_log_use(pipeline->sink);
    int result = sp_library_copy(&copy, sizeof copy, options, "camera options", &why);
    if (result == SP_OK)
        result = make_setting(&setting, &copy, &why);
    if (result == SP_OK) {
        camera = make_handle(pipeline, copy.name, &why);
        result = camera ? add(camera, &setting, copy.frame_rate, copy.url == NULL, &why)
                        : SP_ERR_NO_MEMORY;
    }
    if (result == SP_OK)
        link_handle(camera);
    else if (camera)
        sp_library_free_handle(camera);
    if (result == SP_OK && out)
        *out = camera;
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}

struct spoton_camera *spoton_camera_find(struct spoton_pipeline *pipeline, const char *name)
{
    pthread_mutex_lock(&pipeline->mutex);
    struct spoton_camera *camera = pipeline->cameras;
    while (camera && strcmp(camera->name, name) != 0)
        camera = camera->next;
    pthread_mutex_unlock(&pipeline->mutex);
    return camera;
}

int spoton_camera_remove(struct spoton_camera *camera, struct spoton_error *err)
{
    struct spoton_pipeline *p = camera->pipeline;
    struct sp_pipeline *running = atomic_load(&p->running);
    struct sp_error why = {0};
    struct sp_log_sink *before = sp_log_use(p->sink);
    int result = running ? sp_pipeline_remove_camera(running, camera->index, &why)
                         : sp_fail(&why, SP_ERR_UNSUPPORTED,
                                   "camera %s: the pipeline is not started; cameras are removed "
                                   "from a live pipeline only",
                                   camera->name);
    if (result == SP_OK) {
        pthread_mutex_lock(&p->mutex);
        struct spoton_camera **at = &p->cameras;
        while (*at != camera)
            at = &(*at)->next;
        *at = camera->next;
        pthread_mutex_unlock(&p->mutex);
        sp_library_free_handle(camera);
    }
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}

/* ---- changes while it runs ---- */

static int set_paused(struct spoton_camera *camera, bool paused, struct sp_error *err)
{
    struct spoton_pipeline *p = camera->pipeline;
    struct sp_pipeline *running = atomic_load(&p->running);
    if (!running || !p->options.live)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "camera %s: the pipeline is %s; only cameras of a live one can pause",
                       camera->name, p->options.live ? "not started" : "offline");
    if (camera->push)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "camera %s: its frames are pushed; push none for a while", camera->name);
    return sp_pipeline_pause_camera(running, camera->index, paused, err);
}

static int pause_or_resume(struct spoton_camera *camera, bool paused, struct spoton_error *err)
{
    struct sp_error why = {0};
    struct sp_log_sink *before = sp_log_use(camera->pipeline->sink);
    int result = set_paused(camera, paused, &why);
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}

int spoton_camera_pause(struct spoton_camera *camera, struct spoton_error *err)
{
    return pause_or_resume(camera, true, err);
}

int spoton_camera_resume(struct spoton_camera *camera, struct spoton_error *err)
{
    return pause_or_resume(camera, false, err);
}

int spoton_camera_set_analytics(struct spoton_camera *camera, const char *json,
                                struct spoton_error *err)
{
    struct spoton_pipeline *p = camera->pipeline;
    struct sp_pipeline *running = atomic_load(&p->running);
    struct sp_error why = {0};
    struct sp_camera_report report = {0};
    struct sp_log_sink *before = sp_log_use(p->sink);
    if (running)
        sp_pipeline_camera(running, camera->index, &report);
    const struct sp_counting_put put = {.camera = camera->name,
                                        .width_px = report.info.width_px,
                                        .height_px = report.info.height_px,
                                        .text = json,
                                        .bytes = json ? strlen(json) : 0};
    int result = sp_library_live_set_analytics(p->live, &put, &why);
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}

/* ---- pushed frames ---- */

int spoton_camera_push(struct spoton_camera *camera, const struct spoton_planes *planes,
                       int64_t time_us, int64_t timeout_us, uint64_t *sequence,
                       struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_planes copy;
    struct sp_frame *frame = NULL;
    int result = sp_library_copy(&copy, sizeof copy, planes, "planes", &why);
    if (result == SP_OK && !camera->push)
        result = sp_fail(&why, SP_ERR_UNSUPPORTED,
                         "camera %s: it has a URL; add a camera without one to push frames",
                         camera->name);
    if (result == SP_OK)
        result = sp_frame_memory_fill(camera->pipeline->memory, &copy, true, &frame, &why);
    if (result < 0 || !frame)
        return sp_library_return(err, result, &why);
    bool copied = copy.format == SPOTON_FORMAT_BGR;
    frame->pts_us = time_us;
    result = sp_push_put(camera->push, frame, timeout_us, sequence, &why);
    if (result == SP_OK && copied && copy.release)
        copy.release(copy.owner);
    if (result < 0) {
        if (copy.release && !copied)
            frame->release = NULL; /* the planes stay the caller's */
        sp_frame_unref(frame);
        if (camera->name[0] && result == SP_ERR_CLOSED)
            sp_fail(&why, result, "camera %s: it has ended; no frame is accepted", camera->name);
    }
    return sp_library_return(err, result, &why);
}

void spoton_camera_end(struct spoton_camera *camera)
{
    if (camera->push)
        sp_push_end(camera->push);
}

/* ---- status ---- */

void spoton_camera_status(const struct spoton_camera *camera, struct spoton_camera_status *out)
{
    struct sp_pipeline *running = atomic_load(&camera->pipeline->running);
    size_t known = out->struct_bytes < sizeof *out ? out->struct_bytes : sizeof *out;
    struct spoton_camera_status status = {.struct_bytes = known};
    struct sp_camera_report report = {0};
    if (running)
        sp_pipeline_camera(running, camera->index, &report);
    if (report.used) {
        const uint64_t *settled = report.ledger.settled;
        if (camera->pipeline->options.live)
            snprintf(status.state, sizeof status.state, "%s", sp_camera_state_name(report.state));
        status.ended = report.ended;
        status.received = report.ledger.received;
        status.inferred = settled[SP_OUTCOME_INFERRED];
        status.skipped = settled[SP_OUTCOME_SKIPPED] + settled[SP_OUTCOME_UNNEEDED];
        status.dropped = settled[SP_OUTCOME_DROPPED];
        status.failed = settled[SP_OUTCOME_FAILED];
        status.in_flight = report.ledger.in_flight;
        status.results = report.frames_done;
        status.width = report.info.width_px;
        status.height = report.info.height_px;
        status.frame_rate = report.info.frame_rate;
        status.error.code = report.error.code;
        snprintf(status.error.text, sizeof status.error.text, "%s", report.error.text);
    }
    memcpy(out, &status, known);
}
