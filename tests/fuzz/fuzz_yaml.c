/* A YAML document of any bytes. Each node of what was accepted lies in its text, inside its parent,
 * and its text has no NUL. The same document as spoton.yaml gives settings or an error, and can be
 * edited or is refused: a camera that was added can be removed again. */
#include "base/yaml.h"
#include "config/edit.h"

#include "fuzz.h"

static void check(const struct sp_yaml_node *node, size_t bytes)
{
    char path[SP_YAML_PATH_BYTES], shown[32];
    struct sp_error err = {0};
    double number;
    int count = 0;
    FUZZ_CHECK(node->line >= 1 && node->column >= 1);
    FUZZ_CHECK(node->begin <= node->end && node->end <= bytes);
    if (node->parent)
        FUZZ_CHECK(node->begin >= node->parent->begin);
    sp_yaml_path(node, path);
    sp_yaml_show(node, shown, sizeof shown);
    FUZZ_CHECK(strchr(shown, '\n') == NULL && strchr(path, '\n') == NULL);
    fuzz_check_result(sp_yaml_number(node, 0, 1, &number, &err), &err);
    for (const struct sp_yaml_node *child = node->first; child; child = child->next, count++) {
        FUZZ_CHECK(child->parent == node && (node->kind == SP_YAML_MAP) == (child->key != NULL));
        if (child->key)
            FUZZ_CHECK(sp_yaml_get(node, child->key->text) == child);
        if (count < 64) /* paths of many items cost a walk each */
            check(child, bytes);
    }
    FUZZ_CHECK(count == node->count);
}

static void edit(const char *text, size_t bytes)
{
    const struct sp_camera_setting camera = {.name = "added-by-the-fuzzer", .url = "sim://walk"};
    struct sp_config_edit edit = {.path = "none/spoton.yaml", .add = &camera};
    struct sp_error err = {0};
    char *more, *again;
    size_t more_bytes, again_bytes;
    int result = sp_config_edit_text(&edit, text, bytes, &more, &more_bytes, &err);
    fuzz_check_result(result, &err);
    if (result < 0)
        return;
    edit = (struct sp_config_edit){.path = "none/spoton.yaml", .remove = camera.name};
    result = sp_config_edit_text(&edit, more, more_bytes, &again, &again_bytes, &err);
    fuzz_check_result(result, &err);
    if (result == SP_OK)
        free(again);
    free(more);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sp_yaml *document = NULL;
    struct sp_error err = {0};
    static struct sp_settings settings; /* large: not on the stack */
    char *text = fuzz_text(data, bytes);
    sp_settings_default(&settings);
    fuzz_check_result(
        sp_settings_read_yaml_text(&settings, text, bytes, "none/spoton.yaml", NULL, &err), &err);
    err = (struct sp_error){0};
    int result = sp_yaml_read_text(&document, text, bytes, "spoton.yaml", &err);
    edit(text, bytes);
    free(text);
    fuzz_check_result(result, &err);
    FUZZ_CHECK((result == SP_OK) == (document != NULL));
    if (!document)
        return 0;
    size_t source_bytes;
    sp_yaml_source(document, &source_bytes);
    FUZZ_CHECK(source_bytes == bytes);
    check(sp_yaml_root(document), bytes);
    sp_yaml_close(document);
    return 0;
}
