/* An .env file of any bytes. What was accepted can be shown, holds no secret then, and is accepted
 * again as it was shown. */
#include "base/log.h"
#include "config/settings.h"
#include "config/table.h"

#include "fuzz.h"

static struct sp_settings settings, again; /* large */

static void set_again(void *user, const char *key, const char *value)
{
    const struct sp_setting_row *row = sp_setting_find(key, strlen(key));
    struct sp_error err = {0};
    (void)user;
    FUZZ_CHECK(!row || !row->secret || value[0] == '\0' || strcmp(value, "***") == 0);
    if (row && (row->type == SP_SETTING_INTEGER || row->type == SP_SETTING_REAL))
        FUZZ_CHECK(sp_settings_set(&again, key, value, "again", &err) == SP_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sp_error err = {0};
    sp_log_set_level(SP_LOG_ERROR);
    sp_settings_default(&settings);
    char *text = fuzz_text(data, bytes);
    int result = sp_settings_read_env_text(&settings, text, bytes, ".env", &err);
    free(text);
    fuzz_check_result(result, &err);
    if (result < 0)
        return 0;
    result = sp_settings_check(&settings, &err);
    fuzz_check_result(result, &err);
    sp_settings_default(&again);
    sp_settings_each(&settings, set_again, NULL);
    FUZZ_CHECK(settings.jpeg_quality == again.jpeg_quality);
    FUZZ_CHECK(settings.frame_skip == again.frame_skip);
    FUZZ_CHECK(settings.confidence_threshold == again.confidence_threshold);
    FUZZ_CHECK(settings.track_buffer_frames == again.track_buffer_frames);
    FUZZ_CHECK(settings.stream_resize_factor == again.stream_resize_factor);
    return 0;
}
