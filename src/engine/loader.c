#include "engine/loader.h"

#include "base/path.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "spoton-engine-"
#define SUFFIX ".so"

enum { PLUGINS_MAX = 16, FOLDERS_MAX = 6, NAME_BYTES = 32 };

struct plugin {
    char name[NAME_BYTES];
    const struct spoton_engine_api *api;
};

struct folders {
    char path[FOLDERS_MAX][PATH_MAX];
    int count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin loaded[PLUGINS_MAX];
static int loaded_count;

static void add_folder(struct folders *folders, const char *base, const char *below)
{
    int length = snprintf(folders->path[folders->count], PATH_MAX, "%s%s", base, below);
    if (length > 0 && length < PATH_MAX)
        ++folders->count;
}

static void find_folders(struct folders *folders)
{
    folders->count = 0;
    const char *chosen = getenv("SPOTON_ENGINE_DIR");
    if (chosen && *chosen)
        add_folder(folders, chosen, "");

    char program[PATH_MAX], below[64];
    if (sp_path_program_dir(program, sizeof program, NULL) < 0)
        return;
    for (int i = 0; folders->count < FOLDERS_MAX && sp_path_plugin_dir("engines", i, below); i++)
        add_folder(folders, program, below);
}

static void list_folders(const struct folders *folders, char *text, size_t text_bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < folders->count && used < text_bytes; ++i) {
        int n = snprintf(text + used, text_bytes - used, "%s%s", i ? ", " : "", folders->path[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}

/* The name becomes part of a path and must not contain '/' or '.'. */
static bool name_is_valid(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return length > 0 && length < NAME_BYTES && name[length] == '\0';
}

static int check_api(const struct spoton_engine_api *api, const char *path, struct sp_error *err)
{
    if (!api)
        return sp_fail(err, SP_ERR_ENGINE, "engine plugin %s: returns no interface; rebuild it",
                       path);
    if (api->abi != SPOTON_ENGINE_ABI)
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "engine plugin %s: built for interface version %u, but this program has %u; rebuild it",
            path, api->abi, SPOTON_ENGINE_ABI);
    if (api->struct_bytes < offsetof(struct spoton_engine_api, device) || !api->name ||
        !api->probe || !api->inspect || !api->open || !api->close || !api->describe ||
        !api->input || !api->submit || !api->wait || !api->output)
        return sp_fail(
            err, SP_ERR_UNSUPPORTED,
            "engine plugin %s: incomplete interface (%zu bytes, %zu expected); rebuild it", path,
            api->struct_bytes, offsetof(struct spoton_engine_api, device));
    return SP_OK;
}

static int load_file(const struct spoton_engine_api **out, const char *path, struct sp_error *err)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sp_fail(err, SP_ERR_ENGINE, "engine plugin does not load: %s", dlerror());
    /* Object and function pointers have one size on every POSIX system; ISO C has no cast for it.*/
    union {
        void *symbol;
        spoton_engine_entry_fn *entry;
    } found = {.symbol = dlsym(library, "spoton_engine_entry")};
    if (!found.symbol)
        return sp_fail(err, SP_ERR_UNSUPPORTED,
                       "engine plugin %s: no spoton_engine_entry(); not a spoton engine", path);
    const struct spoton_engine_api *api = found.entry();
    int result = check_api(api, path, err);
    if (result == SP_OK)
        *out = api;
    return result;
}

/* Called with the lock held. */
static int load_named(const struct spoton_engine_api **out, const char *name,
                      const struct folders *folders, struct sp_error *err)
{
    for (int i = 0; i < loaded_count; ++i) {
        if (strcmp(loaded[i].name, name) == 0) {
            *out = loaded[i].api;
            return SP_OK;
        }
    }
    for (int i = 0; i < folders->count; ++i) {
        char path[PATH_MAX + 64];
        snprintf(path, sizeof path, "%s/" PREFIX "%s" SUFFIX, folders->path[i], name);
        if (access(path, F_OK) != 0)
            continue;
        int result = load_file(out, path, err);
        if (result == SP_OK && loaded_count < PLUGINS_MAX) {
            snprintf(loaded[loaded_count].name, NAME_BYTES, "%s", name);
            loaded[loaded_count++].api = *out;
        }
        return result;
    }
    char searched[400];
    list_folders(folders, searched, sizeof searched);
    return sp_fail(err, SP_ERR_NOT_FOUND, "engine %s: no " PREFIX "%s" SUFFIX " in %s", name, name,
                   searched);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_name(char names[PLUGINS_MAX][NAME_BYTES], int *count, const char *name)
{
    for (int i = 0; i < *count; ++i) {
        if (strcmp(names[i], name) == 0)
            return;
    }
    if (*count < PLUGINS_MAX)
        snprintf(names[(*count)++], NAME_BYTES, "%s", name);
}

/* The names of all plugin files, sorted, so that ties of preference are reproducible. */
static int find_names(const struct folders *folders, char names[PLUGINS_MAX][NAME_BYTES])
{
    int count = 0;
    for (int i = 0; i < folders->count; ++i) {
        DIR *folder = opendir(folders->path[i]);
        if (!folder)
            continue;
        for (struct dirent *entry; (entry = readdir(folder));) {
            char name[sizeof entry->d_name];
            size_t length = strlen(entry->d_name);
            size_t around = strlen(PREFIX) + strlen(SUFFIX);
            if (length <= around || strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
                strcmp(entry->d_name + length - strlen(SUFFIX), SUFFIX) != 0)
                continue;
            snprintf(name, sizeof name, "%.*s", (int)(length - around),
                     entry->d_name + strlen(PREFIX));
            if (name_is_valid(name))
                add_name(names, &count, name);
        }
        closedir(folder);
    }
    qsort(names, (size_t)count, NAME_BYTES, compare_names);
    return count;
}

static int load_best(const struct spoton_engine_api **out, const struct folders *folders,
                     struct sp_error *err)
{
    char names[PLUGINS_MAX][NAME_BYTES];
    int count = find_names(folders, names);
    char reasons[300] = "";
    size_t used = 0;
    int best = 0;
    for (int i = 0; i < count; ++i) {
        const struct spoton_engine_api *api = NULL;
        struct sp_error why = {0};
        struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
        load_named(&api, names[i], folders, &why);
        if (api)
            api->probe(&probe);
        if (probe.preference > best) {
            best = probe.preference;
            *out = api;
        } else if (probe.preference <= 0 && used < sizeof reasons) {
            int n = snprintf(reasons + used, sizeof reasons - used, "; %s: %s", names[i],
                             api ? probe.reason : why.text);
            used += n > 0 ? (size_t)n : 0;
        }
    }
    if (best > 0)
        return SP_OK;
    char searched[200];
    list_folders(folders, searched, sizeof searched);
    return sp_fail(err, SP_ERR_NOT_FOUND,
                   "engine auto: no engine runs on this machine; searched %s%s", searched, reasons);
}

int sp_engine_load(const struct spoton_engine_api **out, const char *name, struct sp_error *err)
{
    if (!name_is_valid(name))
        return sp_fail(
            err, SP_ERR_INVALID,
            "engine \"%s\": not a valid name; use auto or a name that `spoton doctor` lists", name);
    struct folders *folders = malloc(sizeof *folders);
    if (!folders)
        return sp_fail(err, SP_ERR_NO_MEMORY, "engine %s: out of memory", name);
    find_folders(folders);
    pthread_mutex_lock(&lock);
    int result = strcmp(name, "auto") == 0 ? load_best(out, folders, err)
                                           : load_named(out, name, folders, err);
    pthread_mutex_unlock(&lock);
    free(folders);
    return result;
}

int sp_engine_list(struct sp_engine_report *reports, int capacity)
{
    struct folders *folders = malloc(sizeof *folders);
    if (!folders)
        return 0;
    find_folders(folders);
    pthread_mutex_lock(&lock);
    char names[PLUGINS_MAX][NAME_BYTES];
    int count = find_names(folders, names);
    add_name(names, &count, "openvino"); /* the one to expect: its absence is worth a line */
    int filled = 0;
    for (; filled < count && filled < capacity; ++filled) {
        struct sp_engine_report *report = &reports[filled];
        const struct spoton_engine_api *api = NULL;
        struct sp_error why = {0};
        *report = (struct sp_engine_report){.probe.struct_bytes = sizeof report->probe};
        snprintf(report->name, sizeof report->name, "%.*s", NAME_BYTES - 1, names[filled]);
        int result = load_named(&api, names[filled], folders, &why);
        report->found = result == SP_OK;
        report->broken = result < 0 && result != SP_ERR_NOT_FOUND;
        if (api)
            api->probe(&report->probe);
        else
            snprintf(report->error, sizeof report->error, "%s", why.text);
    }
    pthread_mutex_unlock(&lock);
    free(folders);
    return filled;
}

const char *sp_precision_name(enum spoton_precision precision)
{
    switch (precision) {
    case SPOTON_PRECISION_AUTO:
        return "auto";
    case SPOTON_PRECISION_F32:
        return "f32";
    case SPOTON_PRECISION_BF16:
        return "bf16";
    case SPOTON_PRECISION_F16:
        return "f16";
    case SPOTON_PRECISION_INT8:
        return "int8";
    }
    return "unknown";
}
