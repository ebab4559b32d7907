/* /api/v2/events and /api/v2/outputs. */
#pragma once

#include "api/internal.h"

void sp_events_list(struct sp_call *call);
void sp_events_outputs(struct sp_call *call);

/* On the server's thread: sends new events to the WebSockets whose tag is sp_events_tag. `user`:
 * the API. */
void sp_events_mail(void *user);
extern const char sp_events_tag[];

/* On the server's thread: what follows a position, for a long poll or as server-sent events.
 * `user`: the API. */
bool sp_events_feed(void *user, struct sp_feed *feed, bool last, struct sp_json *json);
