/* Outputs, lines and zones of a live pipeline.
 *
 * Data flow: sp_library_live_result (tracking workers) -> hub -> the outputs of OUTPUTS, and the
 * counting of lines and zones, whose events go to the pipeline's event log; every event of the log
 * -> sp_library_live_event -> the outputs. Without `outputs` and `analytics` there is none of it.
 *
 * Results of a camera come from one thread at a time; everything else from any thread. */
#pragma once

#include "config/settings.h"
#include "output/event_log.h"
#include "pipeline/pipeline.h"

struct sp_library_live;

struct sp_library_live_options {
    const struct sp_settings *settings; /* for open only */
    struct sp_event_log *events;        /* outlives it */
    bool outputs, analytics;
};

/* SP_ERR_INVALID, and the errors of sp_fan_out_open and sp_live_counting_open. */
int sp_library_live_open(struct sp_library_live **out,
                         const struct sp_library_live_options *options, struct sp_error *err);

/* After the last result. Outputs get a second to deliver what is queued. NULL is allowed. */
void sp_library_live_close(struct sp_library_live *live);

/* Epochs of cameras are above it; those of an earlier process are not used again if an output
 * delivers. */
uint64_t sp_library_live_epoch(const struct sp_library_live *live);

/* Of the opened pipeline, before its first frame: the classes' names, which are copied, and the
 * map. */
void sp_library_live_attach(struct sp_library_live *live, const struct sp_pipeline *pipeline);

void sp_library_live_begin(struct sp_library_live *live, int camera, const char *name,
                           uint64_t epoch);
/* Shares the result. */
void sp_library_live_result(struct sp_library_live *live, struct sp_result *result,
                            const struct sp_frame *frame);
void sp_library_live_end(struct sp_library_live *live, int camera);
void sp_library_live_event(struct sp_library_live *live, const struct sp_event *event);

/* As sp_live_counting_put and _remove; text NULL: those of the settings are in effect again.
 * SP_ERR_UNSUPPORTED: without `analytics`, also if `live` is NULL. */
struct sp_counting_put;
int sp_library_live_set_analytics(struct sp_library_live *live, const struct sp_counting_put *put,
                                  struct sp_error *err);
