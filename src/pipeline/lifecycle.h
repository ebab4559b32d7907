/* The end of the pipeline: by an error, a stop, or the last frame. sp_pipeline_stop, _wait and
 * _error: pipeline.h. */
#pragma once

#include "base/error.h"

struct sp_pipeline;

/* Keeps and logs the first error of the whole pipeline and stops it. Any thread. */
void sp_pipeline_fail(struct sp_pipeline *pipeline, const struct sp_error *err);

/* A tracking worker or opener ends; the last one ends the pipeline. */
void sp_pipeline_worker_done(struct sp_pipeline *pipeline);
