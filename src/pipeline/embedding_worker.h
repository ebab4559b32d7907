/* Re-identification embeddings of tracks, for cross-camera association. Live only.
 *
 * Data flow: a tracking worker, after a frame's world positions -> crops of its tracks that are
 * new, ambiguous or returning, as many as there is capacity for -> one thread: the crops of all
 * cameras in batches -> the galleries of the space stage, where embeddings expire. The thread uses
 * at most 10 % of the process's CPU time; above that it waits, and tracks go without an embedding.
 *
 * Crops are freed once they are embedded; neither crops nor embeddings are written to disk. */
#pragma once

#include "config/settings.h"
#include "frame.h"
#include "spoton/engine.h"
#include "stage.h"
#include "track.h"

struct sp_embedding_worker;
struct sp_map;

/* *out is NULL when REID_MODEL_PATH is empty. */
int sp_embedding_worker_open(struct sp_embedding_worker **out, const struct sp_settings *settings,
                             const struct spoton_engine_api *engine, const char *cache_dir,
                             struct sp_error *err);
int sp_embedding_worker_dimensions(
    const struct sp_embedding_worker *worker); /* numbers per embedding; NULL: 0 */

/* After the map is open and before the first frame. */
int sp_embedding_worker_start(struct sp_embedding_worker *worker, struct sp_map *map,
                              struct sp_error *err);

/* Any tracking worker; returns at once. `stage`: the camera's. */
void sp_embedding_worker_offer(struct sp_embedding_worker *worker, const struct sp_frame *frame,
                               const struct sp_track *tracks, size_t count,
                               struct sp_stage_stats *stage);

/* Drops the crops of the camera with this index, also those being inferred. To be called between
 * its last frame and the first frame of the next camera with that index. NULL is allowed. */
void sp_embedding_worker_forget(struct sp_embedding_worker *worker, int camera);

/* Joins; before the map is closed. NULL is allowed. */
void sp_embedding_worker_close(struct sp_embedding_worker *worker);
