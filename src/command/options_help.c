#include "command/options_table.h"

void sp_options_print_help(const struct sp_command_usage *usage, FILE *to)
{
    fprintf(to, "Usage: spoton %s %s\n\n%s\nOptions:\n", usage->name, usage->synopsis,
            usage->about);
    for (size_t i = 0; i < sp_option_count; i++) {
        const struct sp_option_row *row = &sp_option_table[i];
        if (row->needs != 0 && !(usage->takes & row->needs))
            continue;
        char left[64];
        snprintf(left, sizeof left, "  %s%s%s%s%s", row->short_flag ? row->short_flag : "",
                 row->short_flag && row->flag ? ", " : "", row->flag ? row->flag : "",
                 row->argument ? " " : "", row->argument ? row->argument : "");
        fprintf(to, "%-36s%s\n", left, row->meaning);
    }
    fprintf(to,
            "\nEvery setting is also a flag (FRAME_SKIP=2 is --frame-skip 2): spoton %s "
            "--help-settings\n",
            usage->name);
}
