/* Groups of cameras. */
#include "api/v1/internal.h"

#include "base/lines.h"
#include "config/table.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

/* Built into the front end. */
static const struct {
    const char *name;
    const char *cameras[5];
} known[] = {
    {"campus", {"c01", "c02", "c03", "c05"}},
    {"factory", {"c09", "c12", "c13", "c16"}},
};

struct sp_environment *sp_environment_find(struct sp_api *api, const char *name)
{
    for (int i = 0; i < api->v1->environment_count; i++)
        if (strcmp(api->v1->environments[i].name, name) == 0)
            return &api->v1->environments[i];
    return NULL;
}

bool sp_environment_has(const struct sp_environment *environment, const char *camera)
{
    for (int i = 0; i < environment->camera_count; i++)
        if (strcmp(environment->camera[i], camera) == 0)
            return true;
    return environment->all;
}

bool sp_environment_is_known(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0)
            return true;
    return false;
}

void sp_environment_members(struct sp_api *api, const struct sp_environment *environment,
                            struct sp_members *members)
{
    int capacity = sp_pipeline_camera_capacity(api->pipeline);
    members->count = 0;
    for (int i = 0; environment && i < capacity; i++) {
        struct sp_camera_report *report = &members->report[members->count];
        sp_pipeline_camera(api->pipeline, i, report);
        if (report->used && sp_environment_has(environment, report->name))
            members->camera[members->count++] = i;
    }
}

static bool add_camera(struct sp_environment *environment, const char *name)
{
    if (!name || environment->camera_count == SP_CAMERAS_MAX || name[0] == '\0' ||
        strlen(name) >= SP_CAMERA_NAME_BYTES)
        return false;
    snprintf(environment->camera[environment->camera_count++], SP_CAMERA_NAME_BYTES, "%s", name);
    return true;
}

static struct sp_environment *add(struct sp_api *api, const char *name)
{
    if (api->v1->environment_count == SP_ENVIRONMENTS_MAX || name[0] == '\0' ||
        strlen(name) >= SP_CAMERA_NAME_BYTES)
        return NULL;
    struct sp_environment *environment = &api->v1->environments[api->v1->environment_count++];
    *environment = (struct sp_environment){0};
    snprintf(environment->name, sizeof environment->name, "%s", name);
    return environment;
}

static int read_file(struct sp_api *api, const json_t *root, const char *path, struct sp_error *err)
{
    const char *name;
    json_t *list;
    json_t *all = json_object_get(root, "environments");
    if (!json_is_object(all))
        return sp_fail(err, SP_ERR_FORMAT,
                       "%s: no object \"environments\"; use {\"environments\": {\"campus\": "
                       "[\"c01\", \"c02\"]}}",
                       path);
    json_object_foreach(all, name, list)
    {
        struct sp_environment *environment = add(api, name);
        size_t count = json_array_size(list);
        bool good = environment && json_is_array(list) && count > 0;
        for (size_t i = 0; good && i < count; i++)
            good = add_camera(environment, json_string_value(json_array_get(list, i)));
        char shown[61];
        sp_setting_show(name, shown, sizeof shown);
        if (!good)
            return sp_fail(
                err, SP_ERR_FORMAT,
                "%s: environment %s: invalid; use a list of 1 to %d camera names, and at "
                "most %d environments",
                path, shown, SP_CAMERAS_MAX, SP_ENVIRONMENTS_MAX);
    }
    return SP_OK;
}

static void add_known(struct sp_api *api)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct sp_environment *environment = NULL;
        for (int k = 0; known[i].cameras[k]; k++)
            for (int c = 0; c < api->settings.camera_count; c++) {
                if (strcmp(api->settings.camera[c].name, known[i].cameras[k]) != 0)
                    continue;
                if (!environment)
                    environment = add(api, known[i].name);
                add_camera(environment, known[i].cameras[k]);
            }
    }
    struct sp_environment *environment = add(api, "default");
    environment->all = true;
}

int sp_environments_read(struct sp_api *api, struct sp_error *err)
{
    const char *path = api->settings.environments_file;
    json_error_t where;
    if (path[0] == '\0') {
        add_known(api);
        return SP_OK;
    }
    FILE *file = sp_lines_open(path);
    if (!file)
        return sp_fail(err, sp_error_from_errno(errno), "ENVIRONMENTS_FILE=%s: %s; check the path",
                       path, strerror(errno));
    json_t *root = json_loadf(file, JSON_REJECT_DUPLICATES, &where);
    fclose(file);
    if (!root)
        return sp_fail(err, SP_ERR_FORMAT, "ENVIRONMENTS_FILE=%s: %s (line %d)", path, where.text,
                       where.line);
    int result = read_file(api, root, path, err);
    json_decref(root);
    return result;
}
