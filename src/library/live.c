#include "library/live.h"

#include "library/output_settings.h"
#include "output/fan_out.h"
#include "pipeline/live_counting.h"
#include "publish/hub.h"

#include <stdlib.h>
#include <string.h>

struct sp_library_live {
    struct sp_hub *hub;
    struct sp_fan_out *outputs;        /* NULL: none */
    struct sp_live_counting *counting; /* NULL: none */
    uint64_t epoch;
};

static void share_result(void *user, struct sp_result *result, struct sp_frame *frame)
{
    struct sp_library_live *live = user;
    (void)frame;
    if (live->counting)
        sp_live_counting_frame(live->counting, result);
    if (live->outputs)
        sp_fan_out_frame(live->outputs, result);
}

static int open_outputs(struct sp_library_live *live, const struct sp_settings *settings,
                        struct sp_error *err)
{
    struct sp_output_settings outputs;
    sp_output_settings_fill(&outputs, settings);
    int result = sp_fan_out_open(&live->outputs, &outputs.options, err);
    struct sp_outbox *outbox = result == SP_OK ? sp_fan_out_outbox(live->outputs) : NULL;
    if (outbox)
        live->epoch = sp_outbox_epoch(outbox);
    return result;
}

static int open_parts(struct sp_library_live *live, const struct sp_library_live_options *options,
                      struct sp_error *err)
{
    const struct sp_settings *settings = options->settings;
    const struct sp_hub_options listener = {.image = share_result, .image_user = live};
    int result = sp_hub_open(&live->hub, err);
    if (result == SP_OK)
        sp_hub_listen(live->hub, &listener);
    if (result == SP_OK && options->outputs)
        result = open_outputs(live, settings, err);
    const struct sp_live_counting_options counting = {.yaml_path = settings->yaml_path,
                                                      .file = settings->analytics_file,
                                                      .events = options->events,
                                                      .epoch = live->epoch};
    if (result == SP_OK && options->analytics)
        result = sp_live_counting_open(&live->counting, &counting, err);
    return result;
}

int sp_library_live_open(struct sp_library_live **out,
                         const struct sp_library_live_options *options, struct sp_error *err)
{
    struct sp_library_live *live = calloc(1, sizeof *live);
    if (!live)
        return sp_fail(err, SP_ERR_NO_MEMORY, "pipeline: out of memory");
    live->epoch = 1;
    int result = open_parts(live, options, err);
    if (result < 0) {
        sp_library_live_close(live);
        return result;
    }
    *out = live;
    return SP_OK;
}

void sp_library_live_close(struct sp_library_live *live)
{
    if (!live)
        return;
    sp_live_counting_close(live->counting);
    sp_fan_out_close(live->outputs); /* releases what it has of the hub */
    sp_hub_close(live->hub);
    free(live);
}

uint64_t sp_library_live_epoch(const struct sp_library_live *live)
{
    return live->epoch;
}

void sp_library_live_attach(struct sp_library_live *live, const struct sp_pipeline *pipeline)
{
    double units_per_m = 0;
    bool y_up = false;
    struct sp_map *map = sp_pipeline_map(pipeline);
    if (live->outputs)
        sp_fan_out_set_classes(live->outputs, &sp_pipeline_model(pipeline)->class_names);
    if (map)
        sp_map_scale(map, &units_per_m, &y_up);
    if (live->counting)
        sp_live_counting_set_map(live->counting, units_per_m, y_up);
}

void sp_library_live_begin(struct sp_library_live *live, int camera, const char *name,
                           uint64_t epoch)
{
    sp_hub_begin_camera(live->hub, camera, name);
    sp_hub_set_generation(live->hub, camera, epoch);
}

void sp_library_live_result(struct sp_library_live *live, struct sp_result *result,
                            const struct sp_frame *frame)
{
    sp_hub_publish(live->hub, result, (struct sp_frame *)frame);
}

void sp_library_live_end(struct sp_library_live *live, int camera)
{
    sp_hub_end_camera(live->hub, camera);
    if (live->counting)
        sp_live_counting_end_camera(live->counting, camera);
    if (live->outputs)
        sp_fan_out_end_camera(live->outputs, camera);
}

void sp_library_live_event(struct sp_library_live *live, const struct sp_event *event)
{
    if (live->outputs)
        sp_fan_out_event(live->outputs, event);
}

int sp_library_live_set_analytics(struct sp_library_live *live, const struct sp_counting_put *put,
                                  struct sp_error *err)
{
    bool changed = false;
    if (!live || !live->counting)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "camera %s: no lines and zones are counted; set `live` and `analytics` in "
                       "the options of the pipeline",
                       put->camera);
    if (put->text)
        return sp_live_counting_put(live->counting, put->camera, put->width_px, put->height_px,
                                    put->text, put->bytes, &changed, err);
    struct sp_error why = {0};
    int result = sp_live_counting_remove(live->counting, put->camera, &changed, &why);
    return result == SP_OK || result == SP_ERR_NOT_FOUND ? SP_OK
                                                         : sp_fail(err, result, "%s", why.text);
}
