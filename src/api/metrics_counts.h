/* The part of /metrics that is about lines and zones. */
#pragma once

#include "api/internal.h"

void sp_metrics_counts(struct sp_api *api, struct sp_json *out);
