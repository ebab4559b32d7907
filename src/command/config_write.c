#include "command/config_write.h"

#include "base/log.h"
#include "config/edit.h"

struct addition {
    struct sp_reload *reload;
    const struct sp_camera_setting *camera;
    bool done;
};

/* The new file is complete, but not in place yet: a camera that cannot run is not written. */
static int add_now(void *user, struct sp_error *err)
{
    struct addition *addition = user;
    int result = sp_reload_add(addition->reload, addition->camera, err);
    addition->done = result == SP_OK;
    return result;
}

static int add(const struct sp_config_write *write, const struct sp_camera_setting *camera,
               struct sp_error *err)
{
    struct addition addition = {.reload = write->reload, .camera = camera};
    struct sp_config_edit edit = {.path = write->path,
                                  .environment = write->environment,
                                  .add = camera,
                                  .ready = add_now,
                                  .user = &addition};
    int result = sp_config_edit_file(&edit, err);
    if (result < 0 && addition.done)
        sp_reload_remove(write->reload, camera->name, NULL);
    return result;
}

static int remove_camera(const struct sp_config_write *write, const char *name,
                         struct sp_error *err)
{
    struct sp_config_edit edit = {
        .path = write->path, .environment = write->environment, .remove = name};
    struct sp_error why = {0};
    /* A reload would add it again. */
    if (sp_reload_has_replaced(write->reload, name))
        return sp_fail(err, SP_ERR_INVALID,
                       "camera %s: its URL is not that of %s; remove it first where it is set: "
                       "--camera, CAMERA_%s or .env",
                       name, write->path, name);
    int result = sp_config_edit_file(&edit, &why);
    if (result == SP_ERR_NOT_FOUND && sp_reload_has(write->reload, name))
        return sp_fail(err, SP_ERR_INVALID,
                       "camera %s: not in %s; remove it where it is set: --camera, CAMERA_%s or "
                       ".env",
                       name, write->path, name);
    /* One that is in no source of settings just ends. */
    if (result < 0 && result != SP_ERR_NOT_FOUND)
        return sp_fail(err, result, "%s", why.text);
    return sp_reload_remove(write->reload, name, err);
}

int sp_config_write_camera(void *user, const struct sp_camera_setting *add_camera,
                           const char *remove, struct sp_error *err)
{
    const struct sp_config_write *write = user;
    const char *name = add_camera ? add_camera->name : remove;
    int result = add_camera ? add(write, add_camera, err) : remove_camera(write, remove, err);
    if (result == SP_OK)
        sp_log(SP_LOG_INFO, "camera %s %s %s", name, add_camera ? "added to" : "removed from",
               write->path);
    return result;
}
