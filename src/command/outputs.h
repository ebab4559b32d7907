/* The consumer of finished frames for the offline commands: draws, encodes, writes.
 *
 * Data flow: pipeline sink -> [worker's canvas, if a frame is wanted] -> tracks drawn -> JPEG
 * (bench) or the camera's files (run). A worker's tools are touched by that worker only, a camera's
 * files by its worker only. */
#pragma once

#include "command/people.h"
#include "pipeline/pipeline.h"

struct sp_outputs;

struct sp_outputs_options {
    const struct sp_settings *settings;
    const char *dir;          /* files go there; NULL: none */
    bool video;               /* with dir: an annotated MP4 of each camera */
    struct sp_people *people; /* or NULL; outlives it */
    bool jpeg;                /* encodes every frame and drops it (bench) */
};

/* Opens nothing yet but the font. */
int sp_outputs_open(struct sp_outputs **out, const struct sp_outputs_options *options,
                    struct sp_error *err);
/* Before the pipeline starts: its model's classes have names, and frames are compressed where it
 * says (JPEG_ENCODER). */
void sp_outputs_attach(struct sp_outputs *outputs, struct sp_pipeline *pipeline);
void sp_outputs_close(struct sp_outputs *outputs); /* after the pipeline; NULL is fine */

/* To be given to the pipeline. */
struct sp_pipeline_sink sp_outputs_sink(struct sp_outputs *outputs);

/* Gives the files of all cameras their names, with the frames that are whole; whatever the threads
 * are doing. The outputs are of no use afterwards: the process ends. A camera whose file is just
 * being written, by a call that does not return, is left out. Any thread. */
void sp_outputs_save(struct sp_outputs *outputs);

struct sp_outputs_report {
    uint64_t track_ids;    /* different ids written */
    uint64_t rows;         /* boxes written */
    struct sp_error error; /* of this camera's files; code 0: none */
    bool finished;         /* the files stand under their names */
    bool video;            /* so does an .mp4 */
};
void sp_outputs_camera(const struct sp_outputs *outputs, int camera,
                       struct sp_outputs_report *report);
