/* /api/v2/people and /api/v2/map. */
#pragma once

#include "api/internal.h"

void sp_people_list(struct sp_call *call);
void sp_people_events(struct sp_call *call);
void sp_people_map(struct sp_call *call);
void sp_people_resize(struct sp_call *call);
void sp_people_calibrate(struct sp_call *call);
void sp_people_forget(struct sp_call *call);
