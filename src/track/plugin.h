/* Third-party trackers: plugins by the interface spoton/tracker.h.
 *
 * Data flow: name or path -> shared object -> its checked vtable -> struct sp_tracker_type, whose
 * tracks are checked too: one with an invalid id, box or detection is dropped. Plugins are never
 * unloaded. */
#pragma once

#include "spoton/tracker.h"
#include "track/tracker.h"

/* A name is searched as spoton-tracker-NAME.so in $SPOTON_TRACKER_DIR, in the folder of the program
 * or library, in "trackers" below it and in the installed plugin folder. SP_ERR_NOT_FOUND,
 * SP_ERR_UNSUPPORTED. */
int sp_tracker_plugin_load(const struct spoton_tracker_api **out, const char *name,
                           struct sp_error *err);

/* Of params->plugin. */
extern const struct sp_tracker_type sp_plugin_tracker_type;
