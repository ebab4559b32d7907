/* /metrics. */
#pragma once

#include "api/internal.h"

void sp_metrics(struct sp_call *call);
