#include "library/internal.h"
#include "pipeline/single_detector.h"

#include <stdlib.h>

struct spoton_detector {
    struct sp_single_detector *detector;
    struct sp_frame_memory *memory;
    struct sp_log_sink *sink;
};

static int open_detector(struct spoton_detector *d, const struct spoton_detector_options *options,
                         struct sp_error *err)
{
    struct sp_settings *settings = malloc(sizeof *settings);
    if (!settings)
        return sp_fail(err, SP_ERR_NO_MEMORY, "detector: out of memory");
    if (options->settings)
        *settings = options->settings->values;
    else
        sp_settings_default(settings);
    int result = sp_settings_check(settings, err);
    if (result == SP_OK)
        result = sp_library_open_log(&d->sink, settings, options->log, options->user, err);
    if (result == SP_OK)
        result = sp_frame_memory_open(&d->memory, err);
    struct sp_log_sink *before = sp_log_use(d->sink);
    if (result == SP_OK)
        result = sp_single_detector_open(&d->detector, settings, err);
    sp_log_use(before);
    free(settings);
    return result;
}

int spoton_detector_open(struct spoton_detector **out,
                         const struct spoton_detector_options *options, struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_detector_options copy;
    int result = sp_library_copy(&copy, sizeof copy, options, "detector options", &why);
    if (result < 0)
        return sp_library_return(err, result, &why);
    struct spoton_detector *d = calloc(1, sizeof *d);
    result = d ? open_detector(d, &copy, &why)
               : sp_fail(&why, SP_ERR_NO_MEMORY, "detector: out of memory");
    if (result < 0) {
        spoton_detector_close(d);
        return sp_library_return(err, result, &why);
    }
    *out = d;
    return SPOTON_OK;
}

void spoton_detector_close(struct spoton_detector *detector)
{
    if (!detector)
        return;
    struct sp_log_sink *before = sp_log_use(detector->sink);
    sp_single_detector_close(detector->detector);
    sp_frame_memory_close(detector->memory);
    sp_log_use(before);
    sp_log_sink_close(detector->sink);
    free(detector);
}

/* Detections are sorted by confidence. */
static int run(struct spoton_detector *d, const struct spoton_planes *image,
               struct spoton_detection *detections, size_t capacity, size_t *count,
               struct sp_error *err)
{
    struct sp_detection found[SP_DETECTIONS_MAX];
    struct sp_frame *frame = NULL;
    size_t found_count = 0;
    int result = sp_frame_memory_fill(d->memory, image, false, &frame, err);
    if (result == SP_OK)
        result = sp_single_detector_run(d->detector, frame, found, &found_count, err);
    sp_frame_unref(frame);
    if (result < 0)
        return result;
    *count = found_count < capacity ? found_count : capacity;
    for (size_t i = 0; i < *count; i++)
        detections[i] =
            sp_library_detection(&found[i], &sp_single_detector_model(d->detector)->class_names);
    return SP_OK;
}

int spoton_detector_run(struct spoton_detector *detector, const struct spoton_planes *image,
                        struct spoton_detection *detections, size_t capacity, size_t *count,
                        struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_planes copy;
    struct sp_log_sink *before = sp_log_use(detector->sink);
    int result = sp_library_copy(&copy, sizeof copy, image, "image", &why);
    if (result == SP_OK)
        result = run(detector, &copy, detections, capacity, count, &why);
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}
