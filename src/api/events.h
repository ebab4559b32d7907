/* /api/v2/events and /api/v2/outputs. */
#pragma once

#include "api/internal.h"

void sp_events_list(struct sp_call *call);
void sp_events_outputs(struct sp_call *call);
