#include "library/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SAME(name)                                                                                 \
    _Static_assert((int)SPOTON_ERR_##name == (int)SP_ERR_##name, "the codes of both are equal")
SAME(INVALID);
SAME(NOT_FOUND);
SAME(IO);
SAME(NO_SPACE);
SAME(NO_MEMORY);
SAME(UNSUPPORTED);
SAME(FORMAT);
SAME(ENGINE);
SAME(CLOSED);
SAME(END);
SAME(TIMEOUT);
SAME(INTERRUPTED);
SAME(DEVICE);
SAME(UNAUTHORIZED);

int spoton_api_version(void)
{
    return SPOTON_API_VERSION;
}

const char *spoton_version(void)
{
    return SPOTON_VERSION;
}

int sp_library_return(struct spoton_error *err, int result, const struct sp_error *why)
{
    if (result < 0 && err) {
        err->code = result;
        snprintf(err->text, sizeof err->text, "%s",
                 why->text[0] ? why->text : sp_error_name(result));
    }
    return result;
}

int sp_library_copy(void *to, size_t to_bytes, const void *from, const char *what,
                    struct sp_error *err)
{
    size_t known = 0;
    if (from)
        memcpy(&known, from, sizeof known);
    if (known < sizeof known)
        return sp_fail(err, SP_ERR_INVALID, "%s: %s", what,
                       from ? "struct_bytes is not set; set it to the size of the struct"
                            : "missing");
    memset(to, 0, to_bytes);
    memcpy(to, from, known < to_bytes ? known : to_bytes);
    return SP_OK;
}

_Static_assert((int)SPOTON_LOG_DEBUG == (int)SP_LOG_DEBUG, "the levels of both are equal");

int sp_library_open_log(struct sp_log_sink **out, const struct sp_settings *settings,
                        void (*log)(void *user, int level, const char *text), void *user,
                        struct sp_error *err)
{
    return sp_log_sink_open(out, (enum sp_log_level)settings->log_level, log, user, err);
}

int spoton_settings_open(struct spoton_settings **out, struct spoton_error *err)
{
    struct sp_error why = {0};
    struct spoton_settings *s = calloc(1, sizeof *s);
    int result = s ? sp_log_sink_open(&s->mute, SP_LOG_ERROR, NULL, NULL, &why)
                   : sp_fail(&why, SP_ERR_NO_MEMORY, "settings: out of memory");
    if (result < 0) {
        free(s);
        return sp_library_return(err, result, &why);
    }
    sp_settings_default(&s->values);
    *out = s;
    return SPOTON_OK;
}

void spoton_settings_close(struct spoton_settings *settings)
{
    if (!settings)
        return;
    sp_log_sink_close(settings->mute);
    free(settings);
}

int spoton_settings_set(struct spoton_settings *settings, const char *key, const char *value,
                        struct spoton_error *err)
{
    struct sp_error why = {0};
    struct sp_log_sink *before = sp_log_use(settings->mute);
    int result = key && value
                     ? sp_settings_set(&settings->values, key, value, "settings", &why)
                     : sp_fail(&why, SP_ERR_INVALID, "settings: no key or value; give both");
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}

int spoton_settings_read_yaml(struct spoton_settings *settings, const char *path,
                              struct spoton_error *err)
{
    extern char **environ;
    struct sp_error why = {0};
    struct sp_log_sink *before = sp_log_use(settings->mute);
    int result = path ? sp_settings_read_yaml_file(&settings->values, path, environ, &why)
                      : sp_fail(&why, SP_ERR_INVALID, "settings: no path; give a file");
    sp_log_use(before);
    return sp_library_return(err, result, &why);
}
