/* An ENVIRONMENTS_FILE of any bytes. */
#include "api/v1/internal.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sp_v1 v1; /* large, as the next */
    static struct sp_api api;
    struct sp_error err = {0};
    memset(&v1, 0, sizeof v1);
    memset(&api, 0, sizeof api);
    api.v1 = &v1;
    int file = fuzz_file(data, bytes, api.settings.environments_file);
    int result = sp_environments_read(&api, &err);
    fuzz_check_result(result, &err);
    FUZZ_CHECK(v1.environment_count <= SP_ENVIRONMENTS_MAX);
    for (int i = 0; i < v1.environment_count; i++) {
        const struct sp_environment *environment = &v1.environments[i];
        FUZZ_CHECK(sp_environment_find(&api, environment->name) != NULL);
        FUZZ_CHECK(environment->camera_count <= SP_CAMERAS_MAX);
        FUZZ_CHECK(result < 0 || environment->camera_count > 0);
    }
    close(file);
    return 0;
}
