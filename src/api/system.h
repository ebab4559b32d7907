/* /api/v2/ledger, /api/v2/settings and /api/v2/stats. */
#pragma once

#include "api/internal.h"

void sp_system_ledger(struct sp_call *call);
void sp_system_settings(struct sp_call *call);
void sp_system_stats(struct sp_call *call);
void sp_system_sample(struct sp_api *api); /* once a second */
uint64_t sp_system_memory_bytes(void);
