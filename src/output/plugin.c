#include "output/plugin.h"

#include "base/path.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool sp_output_plugin_delivers(const struct spoton_output_api *api)
{
    return api->struct_bytes > offsetof(struct spoton_output_api, default_topic) && api->connect;
}

static int load_file(const struct spoton_output_api **out, const char *path, struct sp_error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sp_fail(err, SP_ERR_UNSUPPORTED, "output plugin does not load: %s", dlerror());
    /* Object and function pointers have one size on every POSIX system; ISO C has no cast for it.*/
    union {
        void *symbol;
        spoton_output_entry_fn *entry;
    } found = {.symbol = dlsym(library, "spoton_output_entry")};
    if (!found.symbol)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "output plugin %s: no spoton_output_entry(); not a spoton output", path);
    const struct spoton_output_api *api = found.entry();
    if (!api || api->abi != SPOTON_OUTPUT_ABI)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "output plugin %s: built for interface version %u, but this program has %u; "
                       "rebuild it",
                       path, api ? api->abi : 0, SPOTON_OUTPUT_ABI);
    bool complete = sp_output_plugin_delivers(api)
                        ? api->deliver && api->poll && api->default_topic
                        : api->struct_bytes >= offsetof(struct spoton_output_api, camera_begin) &&
                              api->open && api->frame;
    if (!complete || !api->close)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "output plugin %s: incomplete interface; rebuild it", path);
    *out = api;
    return SP_OK;
}

static bool try_folder(char path[PATH_MAX], const char *base, const char *below, const char *name)
{
    int n = snprintf(path, PATH_MAX, "%s%s/spoton-output-%s.so", base, below, name);
    return n > 0 && n < PATH_MAX && access(path, F_OK) == 0;
}

int sp_output_plugin_load(const struct spoton_output_api **out, const char *name,
                          struct sp_error *err)
{
    char path[PATH_MAX], program[PATH_MAX], below[64];
    if (strchr(name, '/')) {
        if (access(name, F_OK) != 0)
            return sp_fail(err, SP_ERR_NOT_FOUND, "output %s: no such file", name);
        return load_file(out, name, err);
    }
    const char *chosen = getenv("SPOTON_OUTPUT_DIR");
    if (chosen && *chosen && try_folder(path, chosen, "", name))
        return load_file(out, path, err);
    int result = sp_path_program_dir(program, sizeof program, err);
    if (result < 0)
        return result;
    for (int i = 0; sp_path_plugin_dir("outputs", i, below); i++)
        if (try_folder(path, program, below, name))
            return load_file(out, path, err);
    return sp_fail(
        err, SP_ERR_NOT_FOUND,
        "output %s: no spoton-output-%s.so in SPOTON_OUTPUT_DIR, beside the program or in "
        "lib/spoton/outputs",
        name, name);
}
