/* Opens the recorder of `spoton serve` as the settings say.
 *
 * Data flow: STORE, STORE_RETENTION_DAYS, STORE_MAX_GB -> sp_recorder; its state -> events
 * "store.state"; images of events (event_images.h) -> sp_recorder_image. */
#pragma once

#include "command/event_images.h"
#include "config/settings.h"
#include "output/event_log.h"
#include "store/recorder.h"

enum { SP_STORE_PLACE_BYTES = SP_PATH_BYTES + SP_URL_BYTES };

/* STORE, a relative path beginning at the folder of the settings. Empty: there is no store. */
void sp_recording_location(const struct sp_settings *settings, char out[SP_STORE_PLACE_BYTES]);

/* *out is NULL if there is no store. The log outlives the recorder. Errors as of sp_recorder_open.
 */
int sp_recording_open(struct sp_recorder **out, const struct sp_settings *settings,
                      struct sp_event_log *events, struct sp_error *err);

/* For images of events into this recorder. *out is NULL if that is. Errors as of
 * sp_event_images_open. */
int sp_recording_images(struct sp_event_images *_Atomic *out, struct sp_stills *stills,
                        struct sp_recorder *recorder, struct sp_error *err);
