/* Settings as spoton.yaml. */
#include "base/number.h"
#include "config/table.h"

#include <string.h>
#include <strings.h>

/* Whether YAML reads the text without quotes as this very text, in a block and in brackets. */
static bool is_plain(const char *text)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n",  "nan"};
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    double number;
    size_t length = strlen(text);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(text, words[i]) == 0)
            return false;
    return length > 0 && (strchr(letters, text[0]) || text[0] == '/') &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "_./:@-=%+") == length &&
           text[length - 1] != ':' && !sp_number_read(text, &number);
}

void sp_yaml_print_text(const char *text, FILE *to)
{
    if (is_plain(text)) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (const char *c = text; *c; c++) {
        if (strncmp(c, "${", 2) == 0) /* literal: it is not a variable in .env */
            fputc('$', to);
        if (*c == '"' || *c == '\\')
            fputc('\\', to);
        fputc(*c, to);
    }
    fputc('"', to);
}

void sp_setting_print_yaml(const struct sp_setting_row *row, const void *field, FILE *to)
{
    char value[SP_PATH_BYTES];
    sp_setting_format_field(row, field, value, sizeof value);
    if (row->type == SP_SETTING_INTEGER || row->type == SP_SETTING_REAL ||
        row->type == SP_SETTING_SWITCH)
        fputs(value, to);
    else
        sp_yaml_print_text(value, to);
}

static void print_section(const struct sp_settings *settings, const char *section, FILE *to)
{
    bool any = false;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        char value[SP_PATH_BYTES];
        if (!sp_setting_is_in(row, section))
            continue;
        sp_setting_format(row, settings, value, sizeof value);
        if (strcmp(value, row->fallback) == 0)
            continue;
        if (!any)
            fprintf(to, "%s:\n", section);
        any = true;
        fprintf(to, "  %s: ", sp_setting_yaml_name(row));
        sp_setting_print_yaml(row, (const char *)settings + row->offset, to);
        fputc('\n', to);
    }
}

static void print_own(const struct sp_camera_setting *camera, bool nested, FILE *to)
{
    bool any = false;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        if (!row->per_camera || !(camera->own & sp_setting_camera_bit(row)) ||
            nested != sp_setting_is_in(row, sp_setting_nested_section))
            continue;
        if (nested && !any)
            fprintf(to, "    %s:\n", sp_setting_nested_section);
        any = true;
        fprintf(to, "    %s%s: ", nested ? "  " : "", sp_setting_yaml_name(row));
        sp_setting_print_yaml(row, (const char *)camera + row->camera_offset, to);
        fputc('\n', to);
    }
}

static void print_camera(const struct sp_camera_setting *camera, FILE *to)
{
    fputs("  - name: ", to);
    sp_yaml_print_text(camera->name, to);
    fputs("\n    url: ", to);
    sp_yaml_print_text(camera->url, to);
    fputc('\n', to);
    print_own(camera, false, to);
    print_own(camera, true, to);
}

void sp_camera_setting_print_yaml(const struct sp_camera_setting *camera, FILE *to)
{
    fputs("cameras:\n", to);
    print_camera(camera, to);
}

int sp_camera_setting_text(const struct sp_camera_setting *camera, char **text)
{
    size_t bytes;
    FILE *to = open_memstream(text, &bytes);
    if (!to)
        return SP_ERR_NO_MEMORY;
    sp_camera_setting_print_yaml(camera, to);
    return fclose(to) == 0 ? SP_OK : SP_ERR_NO_MEMORY;
}

void sp_settings_print_yaml(const struct sp_settings *settings, FILE *to)
{
    const char *section;
    fputs("# Settings of spoton; docs/CONFIG.md lists all. May contain secrets: keep mode 600.\n",
          to);
    for (size_t i = 0; (section = sp_setting_section(i)); i++)
        print_section(settings, section, to);
    if (settings->camera_count > 0)
        fputs("cameras:\n", to);
    for (int i = 0; i < settings->camera_count; i++)
        print_camera(&settings->camera[i], to);
}
