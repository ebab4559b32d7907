/* What people look like, for the map: embeddings of the tracks that want one.
 *
 * Data flow: a post worker, after a frame's places -> crops of those tracks of it that are new,
 * ambiguous or return, as many as there is room for -> one thread: those of all cameras in one
 * batch
 * -> the space stage's galleries, which forget them. It may take up to a tenth of the CPU time that
 * the process takes: over that it waits, and tracks are left out. Live only.
 *
 * Crops live until they were looked at; neither they nor embeddings are written anywhere. */
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
int sp_embedding_worker_stats(
    const struct sp_embedding_worker *worker); /* of an embedding; NULL: 0 */

/* After the map is open and before the first frame. */
int sp_embedding_worker_start(struct sp_embedding_worker *worker, struct sp_map *map,
                              struct sp_error *err);

/* Any post worker; returns at once. `stage`: the camera's. */
void sp_embedding_worker_offer(struct sp_embedding_worker *worker, const struct sp_frame *frame,
                               const struct sp_track *tracks, size_t count,
                               struct sp_stage_stats *stage);

/* Another camera comes, or the camera leaves: crops of the one before are dropped, also those that
 * are in the model now. Between its last frame and the first of the next one. NULL is fine. */
void sp_embedding_worker_forget(struct sp_embedding_worker *worker, int camera);

/* Joins; before the map is closed. NULL is fine. */
void sp_embedding_worker_close(struct sp_embedding_worker *worker);
