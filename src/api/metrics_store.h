/* /metrics, with the part about the history store if there is one. */
#pragma once

#include "api/internal.h"

void sp_metrics_with_store(struct sp_call *call);
