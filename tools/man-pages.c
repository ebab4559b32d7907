/* Writes the man pages: man-pages FOLDER. The build runs it. */
#include "command/man.h"

#include <stdio.h>
#include <stdlib.h>

static FILE *create(const char *folder, const char *name, const char *section)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/spoton%s%s.%s", folder, *name ? "-" : "", name, section);
    FILE *file = fopen(path, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void finish(FILE *file)
{
    if (ferror(file) || fclose(file) != 0) {
        perror("man-pages");
        exit(1);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: man-pages FOLDER\n", stderr);
        return 2;
    }
    FILE *page = create(argv[1], "", "1");
    sp_man_print_program(page);
    finish(page);
    for (size_t i = 0; i < sp_command_count; i++) {
        page = create(argv[1], sp_commands[i].name, "1");
        sp_man_print_command(page, &sp_commands[i]);
        finish(page);
    }
    page = create(argv[1], "settings", "5");
    sp_man_print_settings(page);
    finish(page);
    return 0;
}
