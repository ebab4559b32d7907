/* Consumes finished frames for the offline commands: draws, encodes, writes.
 *
 * Data flow: pipeline sink -> [worker's canvas, if images are needed] -> tracks drawn -> JPEG
 * (bench) or the camera's files (run). A worker's tools and a camera's files are used by one worker
 * only. */
#pragma once

#include "command/people.h"
#include "pipeline/pipeline.h"

struct sp_outputs;

struct sp_outputs_options {
    const struct sp_settings *settings;
    const char *dir;          /* output folder; NULL: no files */
    bool video;               /* with dir: an annotated MP4 of each camera */
    struct sp_people *people; /* or NULL; outlives it */
    bool jpeg;                /* encodes frames and discards the JPEG (bench) */
    int64_t jpeg_rate;        /* of them, at most, a second and camera; 0: every frame */
};

/* Opens only the font. */
int sp_outputs_open(struct sp_outputs **out, const struct sp_outputs_options *options,
                    struct sp_error *err);
/* Call before the pipeline starts: passes on class names and the device of JPEG_ENCODER. */
void sp_outputs_attach(struct sp_outputs *outputs, struct sp_pipeline *pipeline);
void sp_outputs_close(struct sp_outputs *outputs); /* after the pipeline; NULL is allowed */

/* The sink to pass to the pipeline. */
struct sp_pipeline_sink sp_outputs_sink(struct sp_outputs *outputs);

/* Publishes the files of all cameras with their complete frames, while other threads may still be
 * working. The outputs cannot be used afterwards: the process ends. Skips a camera whose file is
 * locked by a write that does not return. Any thread. */
void sp_outputs_save(struct sp_outputs *outputs);

struct sp_outputs_report {
    uint64_t track_ids;    /* distinct ids written */
    uint64_t rows;         /* boxes written */
    struct sp_error error; /* of this camera's files; code 0: none */
    bool finished;         /* the files are published */
    bool video;            /* including an .mp4 */
};
void sp_outputs_camera(const struct sp_outputs *outputs, int camera,
                       struct sp_outputs_report *report);
