#include "pipeline/counting_setup.h"

#include "base/json.h"
#include "base/yaml.h"
#include "pipeline/file_saver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDITED_MAX = SP_COUNTING_CAMERAS_MAX + 1, PATH_BYTES = 4096 };

static const char what[] = "ANALYTICS_FILE";

/* Of a camera, or, with an empty name, of the map. */
struct edits {
    int count;
    struct sp_scope_config scope[EDITED_MAX];
};

struct sp_counting_setup {
    char path[PATH_BYTES];
    struct sp_file_saver *saver; /* NULL: no file */
    struct sp_counting_config yaml, merged, next;
    struct edits edits, next_edits;
    struct sp_scope_config none;
    struct sp_json text;
};

static int find_edit(const struct edits *edits, const char *camera)
{
    for (int i = 0; i < edits->count; i++)
        if (strcmp(edits->scope[i].name, camera ? camera : "") == 0)
            return i;
    return -1;
}

static struct sp_scope_config *find_scope(struct sp_counting_config *config, const char *camera)
{
    for (int i = 0; i < config->camera_count; i++)
        if (strcmp(config->cameras[i].name, camera) == 0)
            return &config->cameras[i];
    return NULL;
}

/* setup->next: `yaml` with the edits over it. */
static int merge(struct sp_counting_setup *setup, const struct sp_counting_config *yaml,
                 const struct edits *edits, struct sp_error *err)
{
    struct sp_counting_config *next = &setup->next;
    *next = *yaml;
    for (int i = 0; i < edits->count; i++) {
        const struct sp_scope_config *edit = &edits->scope[i];
        struct sp_scope_config *scope = edit->name[0] ? find_scope(next, edit->name) : &next->map;
        if (!scope && edit->line_count == 0 && edit->zone_count == 0)
            continue;
        if (!scope && next->camera_count == SP_COUNTING_CAMERAS_MAX)
            return sp_fail(err, SP_ERR_INVALID,
                           "camera %s: too many cameras with lines or zones; the limit is %d",
                           edit->name, SP_COUNTING_CAMERAS_MAX);
        if (!scope)
            scope = &next->cameras[next->camera_count++];
        *scope = *edit;
    }
    return sp_counting_config_check_names(next, err);
}

/* --- the file --------------------------------------------------------------------------------- */

static int read_edit(struct edits *edits, const struct sp_yaml_node *node, bool on_map,
                     struct sp_error *err)
{
    static const char *const keys[] = {"name", "lines", "zones", NULL};
    static const char *const map_keys[] = {"lines", "zones", NULL};
    const char *name = "";
    if (sp_yaml_expect(node, SP_YAML_MAP, err) < 0 ||
        sp_yaml_check_keys(node, on_map ? map_keys : keys, err) < 0)
        return SP_ERR_INVALID;
    const struct sp_yaml_node *key = sp_yaml_get(node, "name");
    if (!on_map && !key)
        return sp_yaml_fail(node, err, "`name` is missing; give the camera's name");
    if (key && sp_yaml_text(key, &name, err) < 0)
        return SP_ERR_INVALID;
    if (!on_map && (name[0] == '\0' || strlen(name) >= SP_COUNTING_NAME_BYTES))
        return sp_yaml_fail(key, err, "invalid name; give the camera's name");
    if (find_edit(edits, name) >= 0)
        return sp_yaml_fail(node, err, "camera %s: a second entry; remove one", name);
    if (edits->count == EDITED_MAX)
        return sp_yaml_fail(node, err, "too many entries; the limit is %d", EDITED_MAX);
    struct sp_scope_config *scope = &edits->scope[edits->count++];
    memset(scope, 0, sizeof *scope);
    snprintf(scope->name, sizeof scope->name, "%s", name);
    return sp_counting_scope_read(scope, node, on_map, err);
}

static int read_edits(struct edits *edits, const struct sp_yaml_node *root, struct sp_error *err)
{
    static const char *const keys[] = {"cameras", "map", NULL};
    int result = SP_OK;
    if (sp_yaml_expect(root, SP_YAML_MAP, err) < 0 || sp_yaml_check_keys(root, keys, err) < 0)
        return SP_ERR_INVALID;
    const struct sp_yaml_node *cameras = sp_yaml_get(root, "cameras");
    const struct sp_yaml_node *map = sp_yaml_get(root, "map");
    if (cameras && sp_yaml_expect(cameras, SP_YAML_LIST, err) < 0)
        return SP_ERR_INVALID;
    for (const struct sp_yaml_node *node = cameras ? cameras->first : NULL; node && result == SP_OK;
         node = node->next)
        result = read_edit(edits, node, false, err);
    return map && result == SP_OK ? read_edit(edits, map, true, err) : result;
}

static int read_file(struct sp_counting_setup *setup, struct sp_error *err)
{
    struct sp_yaml *document;
    struct sp_error why = {0};
    int result = sp_yaml_read_file(&document, setup->path, &why);
    if (result == SP_ERR_NOT_FOUND)
        return SP_OK;
    if (result == SP_OK) {
        result = read_edits(&setup->edits, sp_yaml_root(document), &why);
        sp_yaml_close(document);
    }
    return result < 0 ? sp_fail(err, result, "%s: %.400s", what, why.text) : SP_OK;
}

static int save(struct sp_counting_setup *setup, struct sp_error *err)
{
    struct sp_json *json = &setup->text;
    if (!setup->saver)
        return SP_OK;
    sp_json_clear(json);
    sp_json_begin_object(json);
    sp_json_key(json, "cameras");
    sp_json_begin_array(json);
    for (int i = 0; i < setup->edits.count; i++) {
        if (!setup->edits.scope[i].name[0])
            continue;
        sp_json_begin_object(json);
        sp_json_member_string(json, "name", setup->edits.scope[i].name);
        sp_counting_scope_members_json(json, &setup->edits.scope[i]);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    int map = find_edit(&setup->edits, NULL);
    if (map >= 0) {
        sp_json_key(json, "map");
        sp_json_begin_object(json);
        sp_counting_scope_members_json(json, &setup->edits.scope[map]);
        sp_json_end_object(json);
    }
    sp_json_end_object(json);
    sp_json_raw(json, "\n");
    if (json->failed)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", what);
    return sp_file_saver_put(setup->saver, json->text, json->used_bytes, err);
}

/* --- open and close --------------------------------------------------------------------------- */

int sp_counting_setup_open(struct sp_counting_setup **out, const char *path, struct sp_error *err)
{
    struct sp_counting_setup *setup = calloc(1, sizeof *setup);
    if (!setup)
        return sp_fail(err, SP_ERR_NO_MEMORY, "lines and zones: out of memory");
    snprintf(setup->path, sizeof setup->path, "%s", path);
    int result = SP_OK;
    if (path[0])
        result = read_file(setup, err);
    if (result == SP_OK)
        result = merge(setup, &setup->yaml, &setup->edits, err);
    if (result == SP_OK && path[0])
        result = sp_file_saver_open(&setup->saver, what, setup->path, err);
    if (result < 0) {
        sp_counting_setup_close(setup);
        return result;
    }
    setup->merged = setup->next;
    *out = setup;
    return SP_OK;
}

void sp_counting_setup_close(struct sp_counting_setup *setup)
{
    if (!setup)
        return;
    sp_file_saver_close(setup->saver);
    sp_json_release(&setup->text);
    free(setup);
}

/* --- changes ---------------------------------------------------------------------------------- */

int sp_counting_setup_read_yaml(struct sp_counting_setup *setup, const char *path,
                                struct sp_error *err)
{
    struct sp_counting_config *yaml = calloc(1, sizeof *yaml);
    struct sp_yaml *document;
    if (!yaml)
        return sp_fail(err, SP_ERR_NO_MEMORY, "lines and zones: out of memory");
    int result = path[0] ? sp_yaml_read_file(&document, path, err) : SP_OK;
    if (path[0] && result == SP_OK) {
        result = sp_counting_config_read(yaml, sp_yaml_root(document), err);
        sp_yaml_close(document);
    }
    if (result == SP_OK)
        result = merge(setup, yaml, &setup->edits, err);
    if (result == SP_OK) {
        setup->yaml = *yaml;
        setup->merged = setup->next;
    }
    free(yaml);
    return result;
}

/* setup->next, merged of setup->next_edits, takes effect, and is written. */
static int apply(struct sp_counting_setup *setup, bool *changed, struct sp_error *err)
{
    setup->edits = setup->next_edits;
    setup->merged = setup->next;
    *changed = true;
    return save(setup, err);
}

static int read_scope(struct sp_scope_config *scope, const char *camera, const char *text,
                      size_t bytes, struct sp_error *err)
{
    static const char *const keys[] = {"lines", "zones", NULL};
    struct sp_yaml *document;
    int result = sp_yaml_read_text(&document, text, bytes, "body", err);
    if (result < 0)
        return result;
    const struct sp_yaml_node *root = sp_yaml_root(document);
    if (sp_yaml_expect(root, SP_YAML_MAP, err) < 0 || sp_yaml_check_keys(root, keys, err) < 0)
        result = SP_ERR_INVALID;
    if (result == SP_OK)
        result = sp_counting_scope_read(scope, root, camera == NULL, err);
    sp_yaml_close(document);
    snprintf(scope->name, sizeof scope->name, "%s", camera ? camera : "");
    return result;
}

int sp_counting_setup_put(struct sp_counting_setup *setup, const struct sp_counting_put *put,
                          bool *changed, struct sp_error *err)
{
    struct edits *next = &setup->next_edits;
    *changed = false;
    *next = setup->edits;
    int at = find_edit(next, put->camera);
    if (at < 0 && next->count == EDITED_MAX)
        return sp_fail(err, SP_ERR_INVALID,
                       "too many cameras with edited lines or zones; delete those of a camera that "
                       "is gone");
    if (at < 0)
        at = next->count++;
    memset(&next->scope[at], 0, sizeof next->scope[at]);
    int result = read_scope(&next->scope[at], put->camera, put->text, put->bytes, err);
    if (result == SP_OK)
        result = merge(setup, &setup->yaml, next, err);
    if (result == SP_OK && put->camera && put->width_px > 0)
        result = sp_counting_config_check_size(&setup->next, put->camera, put->width_px,
                                               put->height_px, err);
    return result < 0 ? result : apply(setup, changed, err);
}

int sp_counting_setup_remove(struct sp_counting_setup *setup, const char *camera, bool *changed,
                             struct sp_error *err)
{
    struct edits *next = &setup->next_edits;
    *changed = false;
    *next = setup->edits;
    int at = find_edit(next, camera);
    if (at < 0)
        return sp_fail(err, SP_ERR_NOT_FOUND,
                       "%s%s: no edited lines or zones; those of spoton.yaml are in effect",
                       camera ? "camera " : "map", camera ? camera : "");
    next->scope[at] = next->scope[--next->count];
    int result = merge(setup, &setup->yaml, next, err);
    return result < 0 ? result : apply(setup, changed, err);
}

/* --- queries ---------------------------------------------------------------------------------- */

const struct sp_counting_config *sp_counting_setup_config(const struct sp_counting_setup *setup)
{
    return &setup->merged;
}

bool sp_counting_setup_is_edited(const struct sp_counting_setup *setup, const char *camera)
{
    return find_edit(&setup->edits, camera) >= 0;
}

const struct sp_scope_config *sp_counting_setup_scope(const struct sp_counting_setup *setup,
                                                      const char *camera)
{
    if (!camera)
        return &setup->merged.map;
    for (int i = 0; i < setup->merged.camera_count; i++)
        if (strcmp(setup->merged.cameras[i].name, camera) == 0)
            return &setup->merged.cameras[i];
    return &setup->none;
}
