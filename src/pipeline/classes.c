#include "pipeline/classes.h"

#include "base/nearest.h"
#include "config/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_between(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

/* Marks the classes with that name; returns how many. */
static int want_name(bool *wanted, const struct sp_model *model, const char *name)
{
    int found = 0;
    for (int exact = 1; exact >= 0 && found == 0; exact--) {
        for (int i = 0; i < model->classes; i++) {
            const char *other = sp_class_names_get(&model->class_names, i);
            if (!other || (exact ? strcmp(other, name) != 0 : !sp_class_names_alike(other, name)))
                continue;
            wanted[i] = true;
            found++;
        }
    }
    if (found == 0 && model->person_class >= 0 && sp_class_names_alike(name, "person")) {
        wanted[model->person_class] = true;
        found = 1;
    }
    return found;
}

static int refuse_name(const struct sp_model *model, const char *name, struct sp_error *err)
{
    char classes[240];
    sp_classes_text(model, classes, sizeof classes);
    const char *slash = strrchr(model->path, '/'), *file = slash ? slash + 1 : model->path;
    if (model->class_names.count == 0)
        return sp_fail(
            err, SP_ERR_INVALID,
            "CLASSES: \"%.60s\" is not a number, and %.100s has %d classes without names; "
            "set CLASSES to numbers from 0 to %d, or to all",
            name, file, model->classes, model->classes - 1);
    const char *words[SP_CLASSES_MAX + 1];
    int count = 0;
    for (int i = 0; i < model->classes; i++) {
        const char *other = sp_class_names_get(&model->class_names, i);
        if (other)
            words[count++] = other;
    }
    words[count] = NULL;
    const char *nearest = sp_nearest_word(name, words);
    return sp_fail(err, SP_ERR_INVALID,
                   "CLASSES: \"%.60s\" is not a class of %.100s%s%.60s%s; its classes are %s", name,
                   file, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                   nearest ? "\"?" : "", classes);
}

/* One number, or the longest name that starts at `at`. Returns its end. */
static const char *take_one(bool *wanted, const struct sp_model *model, const char *at, int *result,
                            struct sp_error *err)
{
    char name[SP_CLASS_NAME_BYTES + 16];
    const char *end = at + strlen(at);
    *result = SP_OK;
    size_t first = strcspn(at, ","), word = strcspn(at, ", \t");
    size_t digits = strspn(at, "0123456789");
    bool is_number = digits == word;
    for (; end > at + (is_number ? word : 0); end--) {
        bool whole = *end == '\0' || is_between(*end);
        if (!whole || is_between(end[-1]) || (size_t)(end - at) >= sizeof name)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(end - at), at);
        if (want_name(wanted, model, name) > 0)
            return end;
    }
    if (is_number) {
        long number = strtol(at, NULL, 10);
        if (word > 6 || number >= model->classes)
            *result = sp_fail(err, SP_ERR_INVALID,
                              "CLASSES: %.*s is out of range; %s has classes 0 to %d",
                              word > 20 ? 20 : (int)word, at, model->path, model->classes - 1);
        else
            wanted[number] = true;
        return at + word;
    }
    while (first > 0 && is_between(at[first - 1]))
        first--;
    snprintf(name, sizeof name, "%.*s", (int)first, at);
    *result = refuse_name(model, name, err);
    return at;
}

static bool says_all(const char *at)
{
    return strncmp(at, "all", 3) == 0 && (at[3] == '\0' || is_between(at[3]));
}

int sp_classes_choose(bool **wanted, const struct sp_model *model, const char *list,
                      struct sp_error *err)
{
    bool *chosen = calloc((size_t)model->classes, sizeof *chosen);
    if (!chosen)
        return sp_fail(err, SP_ERR_NO_MEMORY, "out of memory");
    int result = SP_OK;
    bool all = false;
    const char *at = list;
    while (result == SP_OK && !all) {
        while (is_between(*at))
            at++;
        if (*at == '\0')
            break;
        all = says_all(at);
        if (!all)
            at = take_one(chosen, model, at, &result, err);
    }
    if (result < 0 || all)
        free(chosen);
    if (result < 0)
        return result;
    *wanted = all ? NULL : chosen;
    return SP_OK;
}

void sp_classes_text(const struct sp_model *model, char *text, size_t bytes)
{
    enum { REST_BYTES = 20 };
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < model->classes; i++) {
        char one[SP_CLASS_NAME_BYTES + 16], number[16];
        const char *name = sp_class_names_get(&model->class_names, i);
        int length = snprintf(one, sizeof one, "%s%s%s%s", i ? ", " : "",
                              name ? sp_class_name(NULL, i, number) : "", name ? " " : "",
                              name ? name : sp_class_name(NULL, i, number));
        if (used + (size_t)length + REST_BYTES > bytes) {
            snprintf(text + used, bytes - used, " and %d more", model->classes - i);
            return;
        }
        memcpy(text + used, one, (size_t)length + 1);
        used += (size_t)length;
    }
}

int sp_classes_single(const struct sp_model *model, const bool *wanted)
{
    int single = -1;
    for (int i = 0; i < model->classes; i++) {
        if (wanted && !wanted[i])
            continue;
        if (single >= 0)
            return -1;
        single = i;
    }
    return single;
}
