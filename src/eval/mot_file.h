/* Files in MOT Challenge format: "frame,id,left,top,width,height[,flag or
 * confidence[,class[,...]]]", frames and ids from 1, in any order; blank lines and lines that begin
 * with # are skipped.
 *
 * Data flow: file -> rows by rising frame, ids numbered from 0 -> eval/tracks.h. */
#pragma once

#include "base/error.h"
#include "detection.h"

#include <stdbool.h>
#include <stddef.h>

struct sp_mot_row {
    int frame;
    int id; /* 0..ids-1 */
    struct sp_detection box;
};

/* A row of ground truth to be ignored: with flag 0, or of another class. */
struct sp_mot_ignored {
    int frame;
    bool distractor; /* not an error to track either */
    struct sp_detection box;
};

struct sp_mot_rows {
    struct sp_mot_row *rows; /* by rising frame; within a frame in the file's order */
    size_t count;
    int ids;
    struct sp_mot_ignored *ignored; /* of ground truth, in the same order */
    size_t ignored_count;
    bool classes; /* the file has classes: MOT16 and later */
};

/* ground_truth: rows with flag 0, or of another class than 1 (people) where the file has classes,
 * are stored in `ignored`. SP_ERR_NOT_FOUND, SP_ERR_IO, SP_ERR_FORMAT (names the line: not numbers,
 * an empty box, an id twice in one frame), SP_ERR_NO_MEMORY. Release it in any case. */
int sp_mot_rows_read(struct sp_mot_rows *rows, const char *path, bool ground_truth,
                     struct sp_error *err);
void sp_mot_rows_release(struct sp_mot_rows *rows);
