/* /api/v2/counts: counts of lines and zones; .../analytics: lines and zones, and their changes. */
#pragma once

#include "api/internal.h"

void sp_counts_list(struct sp_call *call);
void sp_counts_setup(struct sp_call *call);
void sp_counts_camera(struct sp_call *call);
void sp_counts_put_camera(struct sp_call *call);
void sp_counts_remove_camera(struct sp_call *call);
void sp_counts_map(struct sp_call *call);
void sp_counts_put_map(struct sp_call *call);
void sp_counts_remove_map(struct sp_call *call);
