/* Class names in each of the forms that exporters write, and CLASSES by them. The first byte
 * chooses the form. */
#include "detect/names.h"
#include "detect/names_text.h"
#include "pipeline/classes.h"

#include "fuzz.h"

static bool list(struct sp_class_names *names, const char *text, size_t bytes)
{
    return sp_names_list(names, text, bytes, ' ');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static bool (*const forms[])(struct sp_class_names *, const char *,
                                 size_t) = {sp_names_literal, sp_names_member, sp_names_yaml, list,
                                            sp_names_onnx,    sp_names_ir,     sp_names_zip};
    static struct sp_model model;
    struct sp_class_names *names = &model.class_names;
    struct sp_error err = {0};
    char number[16], setting[256];
    if (bytes == 0)
        return 0;
    memset(names, 0, sizeof *names);
    /* A copy of its own, so that every byte beyond the end is seen. */
    char *text = malloc(bytes);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data + 1, bytes - 1);
    bool found = forms[data[0] % (sizeof forms / sizeof *forms)](names, text, bytes - 1);
    free(text);
    FUZZ_CHECK(found == (names->named > 0));
    FUZZ_CHECK(names->named <= names->count && names->count <= SP_CLASSES_MAX);
    for (int i = 0; i < names->count; i++) {
        const char *name = sp_class_name(names, i, number);
        FUZZ_CHECK(name[0] != '\0' && strlen(name) < SP_CLASS_NAME_BYTES && !strchr(name, '\n'));
    }
    model.classes = names->count ? names->count : 3;
    model.person_class = -1;
    snprintf(setting, sizeof setting, "%.*s", (int)(bytes - 1 < 255 ? bytes - 1 : 255),
             (const char *)data + 1);
    bool *wanted = NULL;
    fuzz_check_result(sp_classes_choose(&wanted, &model, setting, &err), &err);
    free(wanted);
    return 0;
}
