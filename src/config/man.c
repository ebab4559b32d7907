#include "config/table.h"

#include "base/man.h"

#include <string.h>

void sp_settings_print_man(FILE *to)
{
    const char *group = "";
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        char flag[SP_FLAG_BYTES], allowed[SP_ALLOWED_BYTES];
        if (strcmp(group, row->group) != 0) {
            group = row->group;
            fputs(".SS \"", to);
            sp_man_print(to, group);
            fputs("\"\n", to);
        }
        sp_setting_flag(row, flag);
        sp_setting_allowed(row, allowed);
        fputs(".TP\n.BR ", to);
        sp_man_print(to, row->key);
        fputs(" \", \" ", to);
        sp_man_print(to, flag);
        if (row->argument) {
            fputs(" \" \" ", to);
            sp_man_print(to, row->argument);
        }
        fputc('\n', to);
        sp_man_print(to, row->meaning);
        fputs("\n.br\nDefault: ", to);
        sp_man_print(to, *row->fallback ? row->fallback : "empty");
        fputs(". Allowed: ", to);
        sp_man_print(to, allowed);
        fputs(". In spoton.yaml: ", to);
        sp_man_print(to, row->yaml);
        fputs(".\n", to);
    }
}
