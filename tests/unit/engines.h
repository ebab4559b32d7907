/* Shared by the tests of engines and models. */
#pragma once

#include "engine/loader.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "unit.h"

#if defined(__SANITIZE_THREAD__)
enum { UNDER_TSAN = 1 };
#else
enum { UNDER_TSAN = 0 };
#endif

/* NULL, with the reason printed: the build may be without the plugin. ThreadSanitizer cannot see
 * into the runtime, which it was not built with. */
static inline const struct spoton_engine_api *find_openvino(void)
{
    const struct spoton_engine_api *api = NULL;
    struct sp_error err = {0};
    if (UNDER_TSAN)
        print_message("skipped: no openvino under ThreadSanitizer\n");
    else if (sp_engine_load(&api, "openvino", &err) < 0)
        print_message("skipped: %s\n", err.text);
    return api;
}

static inline const struct spoton_engine_api *load_fake(void)
{
    const struct spoton_engine_api *api = NULL;
    struct sp_error err = {0};
    if (sp_engine_load(&api, "fake", &err) < 0)
        print_message("%s\n", err.text);
    assert_non_null(api);
    return api;
}

static inline void source_path(char *out, size_t out_bytes, const char *below)
{
    const char *root = getenv("SPOTON_SOURCE_DIR");
    snprintf(out, out_bytes, "%s/%s", root ? root : ".", below);
}

static inline void shared_path(char *out, size_t out_bytes, const char *below)
{
    const char *shared = getenv("SPOTON_SHARED"), *root = getenv("SPOTON_SOURCE_DIR");
    if (shared && *shared)
        snprintf(out, out_bytes, "%s/%s", shared, below);
    else
        snprintf(out, out_bytes, "%s/../shared/%s", root ? root : ".", below);
}

static inline bool file_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0;
}

/* A folder for this test in the build folder. */
static inline void scratch_folder(char *out, size_t out_bytes, const char *name)
{
    const char *root = getenv("SPOTON_BUILD_DIR");
    snprintf(out, out_bytes, "%s/%s", root ? root : "/tmp", name);
    mkdir(out, 0777);
}
