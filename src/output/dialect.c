#include "output/dialect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_BYTES = 256 };

static const struct sp_dialect_type *const types[] = {
    &sp_dialect_spoton,     &sp_dialect_cloudevents,    &sp_dialect_deepstream,
    &sp_dialect_metropolis, &sp_dialect_scenescape,     &sp_dialect_frigate,
    &sp_dialect_onvif,      &sp_dialect_home_assistant,
};
enum { TYPES = sizeof types / sizeof types[0] };

static const char *const variables[] = {"{site}", "{camera}", "{kind}", "{prefix}"};

static int check_topic(const char *topic, struct sp_error *err)
{
    for (const char *at = strchr(topic, '{'); at; at = strchr(at + 1, '{')) {
        bool known = false;
        for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
            known |= strncmp(at, variables[i], strlen(variables[i])) == 0;
        if (!known)
            return sp_fail(err, SP_ERR_INVALID,
                           "topic %s: only {site}, {camera} and {kind} are replaced", topic);
    }
    if (topic[0] == '\0' || strpbrk(topic, "#+ \t"))
        return sp_fail(err, SP_ERR_INVALID,
                       "topic %s: empty, or contains '#', '+' or a blank; remove it", topic);
    return SP_OK;
}

static const struct sp_dialect_type *find(const char *name, struct sp_error *err)
{
    char names[NAMES_BYTES] = "";
    size_t used = 0;
    for (int i = 0; i < TYPES; i++) {
        if (strcmp(types[i]->name, name) == 0)
            return types[i];
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 types[i]->name);
    }
    sp_fail(err, SP_ERR_INVALID, "format %s: unknown; there are %s", name, names);
    return NULL;
}

int sp_dialect_open(struct sp_dialect **out, const char *name, const char *default_topic,
                    const struct sp_dialect_setup *setup, struct sp_error *err)
{
    const struct sp_dialect_type *type = find(name, err);
    if (!type)
        return SP_ERR_INVALID;
    struct sp_dialect *d = calloc(1, sizeof *d);
    if (d && type->state_bytes > 0)
        d->state = calloc(1, type->state_bytes);
    if (!d || (type->state_bytes > 0 && !d->state)) {
        free(d);
        return sp_fail(err, SP_ERR_NO_MEMORY, "format %s: out of memory", name);
    }
    const char *topic = setup->topic ? setup->topic : type->default_topic;
    const char *prefix = setup->prefix ? setup->prefix : type->default_prefix;
    d->type = type;
    snprintf(d->site, sizeof d->site, "%s", setup->site);
    snprintf(d->node, sizeof d->node, "%s", setup->node);
    snprintf(d->topic, sizeof d->topic, "%s", topic ? topic : default_topic);
    snprintf(d->prefix, sizeof d->prefix, "%s", prefix ? prefix : "spoton");
    int result = check_topic(d->topic, err);
    if (result < 0)
        sp_dialect_close(d);
    else
        *out = d;
    return result;
}

void sp_dialect_close(struct sp_dialect *d)
{
    if (!d)
        return;
    sp_json_release(&d->json);
    free(d->state);
    free(d);
}
