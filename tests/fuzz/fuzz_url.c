/* A camera URL of any bytes, as received over HTTP: whether it is allowed, how it is redacted, its
 * default name, and its options as a sim:// URL. */
#include "api/api.h"
#include "base/redact.h"
#include "capture/sim/sim.h"
#include "command/camera_name.h"
#include "command/options.h"

#include "fuzz.h"

static void check_sim(const char *url)
{
    struct sp_sim_plan plan;
    struct sp_error err = {0};
    int result = sp_sim_parse(&plan, url, &err);
    fuzz_check_result(result, &err);
    if (result < 0)
        return;
    for (int i = 0; i < plan.people; i++) {
        struct sp_sim_box box = sp_sim_person(&plan, i, 12345, plan.width_px, plan.height_px);
        FUZZ_CHECK(box.x_px >= 0 && box.y_px >= 0 && box.x_px + box.width_px <= plan.width_px &&
                   box.y_px + box.height_px <= plan.height_px);
    }
    for (int i = 0; i < SP_SIM_FAULT_COUNT; i++)
        sp_sim_is_on(&plan, (enum sp_sim_fault)i, 7.5, NULL);
}

/* A password in the user part is redacted, whatever surrounds it. */
static void check_redaction(const char *text)
{
    static const char secret[] = "X7Qhorse9";
    char url[3000], shown[4000], cut[40];
    if (strstr(text, secret))
        return;
    snprintf(url, sizeof url, "rtsp://user:%s@%s", secret, text);
    sp_redact_url(url, shown, sizeof shown);
    FUZZ_CHECK(!strstr(shown, secret));
    snprintf(url, sizeof url, "http://host/?token=%s&%s", secret, text);
    sp_redact_url(url, shown, sizeof shown);
    FUZZ_CHECK(!strstr(shown, secret));
    sp_redact_url(text, cut, sizeof cut);
    FUZZ_CHECK(strlen(cut) < sizeof cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sp_settings settings; /* large */
    struct sp_error err = {0};
    char out[SP_URL_BYTES], name[SP_CAMERA_NAME_BYTES];
    if (settings.v4l2_devices[0] == '\0') {
        sp_settings_default(&settings);
        snprintf(settings.video_dir, sizeof settings.video_dir, "/usr/share");
        snprintf(settings.v4l2_devices, sizeof settings.v4l2_devices, "/dev/video0,/dev/video2");
    }
    char *text = fuzz_text(data, bytes);
    int result = sp_api_check_url(&settings, text, out, &err);
    fuzz_check_result(result, &err);
    if (result == SP_OK) {
        FUZZ_CHECK(out[0] != '/' || strncmp(out, "/usr/share/", 11) == 0 ||
                   strncmp(out, "/dev/video", 10) == 0);
        FUZZ_CHECK(!strstr(out, "/../") || strstr(out, "://"));
        sp_camera_name_from_url(&settings, out, name);
        FUZZ_CHECK(sp_settings_check_camera(name, out, "fuzz", &err) == SP_OK);
    }
    if (sp_settings_check_camera("fuzz", text, "fuzz", &(struct sp_error){0}) == SP_OK)
        check_sim(text);
    check_redaction(text);
    free(text);
    return 0;
}
