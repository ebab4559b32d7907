/* /healthz and /readyz. */
#pragma once

#include "api/internal.h"

void sp_health_live(struct sp_call *call);
void sp_health_ready(struct sp_call *call);

/* True: the pipeline has failed. */
bool sp_health_is_broken(struct sp_api *api, char reason[300]);
/* Writes why the server is not ready; returns the number of reasons. */
int sp_health_reasons(struct sp_api *api, char reasons[3][300]);
