#include "command/recording.h"

#include "base/clock.h"
#include "base/json.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

void sp_recording_location(const struct sp_settings *settings, char out[SP_STORE_PLACE_BYTES])
{
    bool relative =
        settings->store[0] && settings->store[0] != '/' && !strstr(settings->store, "://");
    snprintf(out, SP_STORE_PLACE_BYTES, "%s%s", relative ? settings->folder : "", settings->store);
}

static void take_state(void *user, enum sp_recorder_state state, const char *text)
{
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_json_member_string(&json, "state", sp_recorder_state_name(state));
    if (text[0])
        sp_json_member_string(&json, "error", text);
    sp_json_end_object(&json);
    sp_event_log_add(user, -1, "", 1, "store.state", sp_clock_wall_us(),
                     json.failed ? "{}" : json.text);
    sp_json_release(&json);
}

int sp_recording_open(struct sp_recorder **out, const struct sp_settings *settings,
                      struct sp_event_log *events, struct sp_error *err)
{
    char location[SP_STORE_PLACE_BYTES];
    *out = NULL;
    sp_recording_location(settings, location);
    if (!location[0])
        return SP_OK;
    const struct sp_recorder_options options = {
        .location = location,
        .retention_days = settings->store_retention_days,
        .max_bytes = (int64_t)(settings->store_max_gb * 1e9),
        .changed = take_state,
        .user = events,
    };
    return sp_recorder_open(out, &options, err);
}

static bool store_image(void *user, const struct sp_recorded_image *image, const uint8_t *jpeg)
{
    return sp_recorder_image(user, image, jpeg);
}

int sp_recording_images(struct sp_event_images *_Atomic *out, struct sp_stills *stills,
                        struct sp_recorder *recorder, struct sp_error *err)
{
    const struct sp_event_images_options options = {
        .stills = stills, .store = store_image, .user = recorder};
    struct sp_event_images *images = NULL;
    int result = recorder ? sp_event_images_open(&images, &options, err) : SP_OK;
    atomic_store(out, images);
    return result;
}
