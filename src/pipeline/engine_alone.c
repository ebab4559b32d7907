/* The upper limit for the pipeline: the same engine, requests and input memory without the stages
 * before and after them. */
#include "pipeline/pipeline_impl.h"

#include "base/clock.h"
#include "pipeline/detector_pool.h"

/* Keeps every request in flight until the deadline, then drains. The requests hold no frames, so
 * collecting decodes nothing. */
static int keep_busy(struct sp_detector *detector, struct sp_detector_request **requests, int count,
                     int64_t duration_us, uint64_t *runs, int64_t *spent_us, struct sp_error *err)
{
    int in_flight = 0, oldest = 0, result = SP_OK;
    int64_t begin_us = sp_clock_us();
    for (; in_flight < count && result == SP_OK; in_flight++)
        result = sp_detector_submit(detector, requests[in_flight], err);
    while (in_flight > 0 && result == SP_OK) {
        result = sp_detector_collect(detector, requests[oldest], err);
        in_flight--;
        ++*runs;
        if (result == SP_OK && sp_clock_us() - begin_us < duration_us) {
            result = sp_detector_submit(detector, requests[oldest], err);
            in_flight++;
        }
        oldest = (oldest + 1) % count;
    }
    *spent_us = sp_clock_us() - begin_us;
    return result;
}

int sp_pipeline_engine_alone(struct sp_pipeline *pipeline, int index, int64_t duration_us,
                             double *images_per_s, struct sp_error *err)
{
    enum { REQUESTS_MAX = 256 };
    struct sp_detector *detector = sp_instance_ready(pipeline, index)->detector;
    struct sp_detector_request *requests[REQUESTS_MAX];
    struct spoton_engine_description description = {.struct_bytes = sizeof description};
    uint64_t runs = 0;
    int64_t spent_us = 0;
    sp_detector_describe(detector, &description);
    int count = description.requests < REQUESTS_MAX ? description.requests : REQUESTS_MAX;
    for (int i = 0; i < count; i++)
        requests[i] = sp_detector_acquire(detector);
    int result = keep_busy(detector, requests, count, duration_us, &runs, &spent_us, err);
    for (int i = 0; i < count; i++)
        sp_detector_release(detector, requests[i]);
    if (spent_us < 1)
        spent_us = 1;
    *images_per_s = (double)runs * sp_detector_batch(detector) * 1e6 / (double)spent_us;
    return result;
}
