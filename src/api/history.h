/* /api/v2/history: what the store has (docs/HISTORY.md). */
#pragma once

#include "api/internal.h"

void sp_history_state(struct sp_call *call);
void sp_history_counts(struct sp_call *call);
void sp_history_post_evaluate(struct sp_call *call);
void sp_history_events(struct sp_call *call);
void sp_history_visits(struct sp_call *call);
void sp_history_people(struct sp_call *call);
void sp_history_get_snapshot(struct sp_call *call);
void sp_history_tracks(struct sp_call *call);
void sp_history_get_heatmap(struct sp_call *call);
void sp_history_get_heatmap_png(struct sp_call *call);
