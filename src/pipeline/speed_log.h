/* The log line "[SPEED_DEBUG] MEGA-BATCH ...", one per batch.
 *
 * A batch is the frames of one inference request and the frames between them that are not inferred.
 * Batches overlap in time, as the stages do. In the line:
 *     Frames     the lowest and the highest frame number in the batch
 *     Total      from the scheduler taking the first frame to the last frame being finished
 *     Read       decoding of the batch's frames, summed over the cameras' threads
 *     BatchDet   from the first submit to the engine to the last result
 *     Track, Enc tracker updates; drawing, encoding and writing: summed over the workers
 *     SpaceMatch cross-camera association, summed over the workers; 0 without a map
 *     WsSend     always 0: the network thread sends, as viewers are ready
 *     BatchSize  frames inferred
 *     FPS        inferred frames per second and camera since the previous batch ended
 *     Eff        the same for all frames with boxes, inferred or predicted; counted, not estimated
 *
 * Threads: add from the scheduler; the notes and done from any. Records come from a fixed pool;
 * while all are in use, a batch is not logged. */
#pragma once

#include "base/error.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { SP_BATCH_RECORDS = 64 };

struct sp_batch_record {
    atomic_int remaining; /* frames not done, plus one while it is open */
    bool used;
    uint64_t first_sequence, last_sequence;
    int frames, inferred;
    int cameras;
    uint64_t camera_mask;
    int64_t started_us;
    _Atomic int64_t read_us, track_us, space_us, encode_us;
    _Atomic int64_t first_submit_us, last_result_us;
};

struct sp_speed_log {
    const char *environment;
    pthread_mutex_t mutex; /* guards `used` and the rest */
    int64_t last_done_us;
    struct sp_batch_record records[SP_BATCH_RECORDS];
};

void sp_speed_log_init(struct sp_speed_log *log, const char *environment);
void sp_speed_log_release(struct sp_speed_log *log);

/* The record of this frame's batch, or NULL if none is logged (level above debug). *open: the
 * record that is being filled, as the previous call left it; opened as needed. */
struct sp_batch_record *sp_speed_log_add(struct sp_speed_log *log, struct sp_batch_record **open,
                                         int camera, uint64_t sequence, bool inferred,
                                         int64_t decode_us);

/* The batch is submitted: the next frame starts another record. */
void sp_speed_log_flush(struct sp_speed_log *log, struct sp_batch_record **open);

/* The functions below ignore NULL records. */
void sp_batch_note_engine(struct sp_batch_record *record, int64_t submitted_us,
                          int64_t finished_us);
void sp_batch_note_tracking(struct sp_batch_record *record, int64_t track_us, int64_t encode_us);

void sp_batch_note_space(struct sp_batch_record *record, int64_t space_us);

/* One frame of the batch is finished; the last one writes the line. */
void sp_speed_log_done(struct sp_speed_log *log, struct sp_batch_record *record);
