/* The sequences of a folder: their ground truth, frame rate, and files of another folder.
 *
 * Ground truth is NAME/gt/gt.txt (MOT Challenge), NAME/gt.txt, or NAME.txt; the frame rate is
 * frameRate of NAME/seqinfo.ini, else that of SP_SEQUENCE_FRAME_RATE. By name, so the order does
 * not depend on the file system. One thread. */
#pragma once

#include "base/error.h"
#include "config/settings.h"

#include <stddef.h>

enum { SP_SEQUENCE_NAME_BYTES = 128, SP_SEQUENCE_FRAME_RATE = 30 };

struct sp_sequence {
    char name[SP_SEQUENCE_NAME_BYTES];
    char ground_truth[SP_PATH_BYTES];
    double frame_rate;
};

struct sp_sequences {
    struct sp_sequence *sequence;
    size_t count;
};

enum sp_sequence_file {
    SP_SEQUENCE_TRACKS,     /* NAME.txt or data/NAME.txt (TrackEval) */
    SP_SEQUENCE_DETECTIONS, /* NAME.txt, NAME.jsonl, NAME/det/det.txt or NAME/det.txt */
};

/* False also where `path` does not exist. */
bool sp_path_is_folder(const char *path);

/* SP_ERR_NOT_FOUND (also: no sequence in it), SP_ERR_IO, SP_ERR_NO_MEMORY. Release it in any case.
 */
int sp_sequences_find(struct sp_sequences *sequences, const char *folder, struct sp_error *err);
void sp_sequences_release(struct sp_sequences *sequences);

/* The file of a sequence in `folder`. SP_ERR_NOT_FOUND names the places. */
int sp_sequence_file(char path[SP_PATH_BYTES], const char *folder, const char *name,
                     enum sp_sequence_file kind, struct sp_error *err);
