/* An ENVIRONMENTS_FILE of any bytes. */
#include "api/internal.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sp_api api; /* large */
    struct sp_error err = {0};
    memset(&api, 0, sizeof api);
    int file = fuzz_file(data, bytes, api.settings.environments_file);
    int result = sp_environments_read(&api, &err);
    fuzz_check_result(result, &err);
    FUZZ_CHECK(api.environment_count <= SP_ENVIRONMENTS_MAX);
    for (int i = 0; i < api.environment_count; i++) {
        const struct sp_environment *environment = &api.environments[i];
        FUZZ_CHECK(sp_environment_find(&api, environment->name) != NULL);
        FUZZ_CHECK(environment->camera_count <= SP_CAMERAS_MAX);
        FUZZ_CHECK(result < 0 || environment->camera_count > 0);
    }
    close(file);
    return 0;
}
