#include "config/table.h"

#include <string.h>

enum { COLUMN = 36, WIDTH = 100 };

/* Breaks `text` at blanks into lines of WIDTH - COLUMN, indented by COLUMN but for the first. */
static void print_wrapped(FILE *to, const char *text)
{
    size_t room = WIDTH - COLUMN;
    while (strlen(text) > room) {
        size_t n = room;
        while (n > 0 && text[n] != ' ')
            n--;
        if (n == 0)
            n = room;
        fprintf(to, "%.*s\n%*s", (int)n, text, COLUMN, "");
        text += n + (text[n] == ' ');
    }
    fprintf(to, "%s\n", text);
}

void sp_settings_print_help(FILE *to)
{
    const char *group = "";
    fputs("Settings are flags, lines of the .env file or environment variables: --frame-skip 2 is "
          "FRAME_SKIP=2.\nIn brackets: the default; what is allowed.\n\n",
          to);
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        char flag[SP_FLAG_BYTES], allowed[SP_ALLOWED_BYTES], text[1024];
        if (strcmp(group, row->group) != 0)
            fprintf(to, "%s%s:\n", i ? "\n" : "", row->group);
        group = row->group;
        sp_setting_flag(row, flag);
        sp_setting_allowed(row, allowed);
        int used = fprintf(to, "  %s%s%s", flag, row->argument ? " " : "",
                           row->argument ? row->argument : "");
        if (used >= COLUMN)
            used = fprintf(to, "\n") - 1;
        fprintf(to, "%*s", COLUMN - used, "");
        snprintf(text, sizeof text, "%s [%s; %s]", row->meaning,
                 *row->fallback ? row->fallback : "empty", allowed);
        print_wrapped(to, text);
    }
}

static void print_row(FILE *to, const struct sp_setting_row *row)
{
    char flag[SP_FLAG_BYTES], allowed[SP_ALLOWED_BYTES];
    sp_setting_flag(row, flag);
    sp_setting_allowed(row, allowed);
    fprintf(to, "| `%s` | `%s` | %s%s%s | %s | %s |\n", row->key, flag, *row->fallback ? "`" : "",
            *row->fallback ? row->fallback : "empty", *row->fallback ? "`" : "", allowed,
            row->meaning);
}

static void print_legacy(void *user, const char *key, const char *advice)
{
    fprintf(user, "| `%s` | %s |\n", key, advice);
}

static void print_renamed(void *user, const char *key, const char *name)
{
    fprintf(user, "| `%s` | `%s` |\n", key, name);
}

static const char introduction[] =
    "# Settings\n"
    "\n"
    "This page is printed by the program from its table of settings (`spoton config`); a "
    "test\n"
    "compares them. Change `src/config/table.c`, not this page.\n"
    "\n"
    "A setting has the same name everywhere. The later place wins:\n"
    "\n"
    "1. the default,\n"
    "2. the file `.env` in the current directory, or the one that `--env FILE` names,\n"
    "3. the environment; a variable that is empty counts as not set,\n"
    "4. the flag on the command line: `FRAME_SKIP` is `--frame-skip`.\n"
    "\n"
    "What is not a setting, or not in its range, stops the start: the message says where it was\n"
    "found, the nearest name, and what is allowed. Only variables of the environment that have\n"
    "other names are left alone.\n"
    "\n"
    "Switches take true, false, yes, no, on, off, 1 or 0; the flag alone means true. Words may be\n"
    "written in capitals. Numbers are decimal, with a point.\n"
    "\n"
    "## The .env file\n"
    "\n"
    "```sh\n"
    "# a comment\n"
    "YOLO_CONFIDENCE_THRESHOLD=0.4\n"
    "export FRAME_SKIP = 2              # \"export\" and blanks are allowed, and so is this "
    "comment\n"
    "CLASSES=\"person, dog\"              # quotes; inside double ones \\\" \\\\ \\$ \\` are "
    "escapes\n"
    "CAMERA_door='rtsp://user:secret@192.0.2.7/live'\n"
    "```\n"
    "\n"
    "A `#` begins a comment at the start of a line or after a blank. Nothing is expanded: `$` "
    "stands\n"
    "for itself. A setting may stand in the file only once.\n"
    "\n"
    "## Cameras\n"
    "\n"
    "`CAMERA_<NAME>=URL` in the file or in the environment, `--camera NAME=URL` on the command "
    "line,\n"
    "or just the URL there. A URL is a file or anything else that FFmpeg opens. The name has\n"
    "letters, digits, `_`, `-` and `.`, begins with none of the last two, and names the camera's\n"
    "files. A plain URL is named after its file: `clips/door.mp4` is `door`, a second one "
    "`door-2`.\n"
    "Cameras of the command line are added to the others; one of the same name replaces it. At "
    "most\n"
    "64 cameras run in one process.\n"
    "\n"
    "Secrets in URLs are never shown: user parts, values of keys other than harmless ones\n"
    "(`channel=1`), tokens in paths. A password does not have to be percent-encoded. Prefer the "
    "file\n"
    "(mode 600) or the environment to `--camera`: the program overwrites its command line, but\n"
    "other users of the machine can read it until it has started, and the shell keeps it in its\n"
    "history.\n";

void sp_settings_print_markdown(FILE *to)
{
    const char *group = "";
    fputs(introduction, to);
    for (size_t i = 0; i < sp_setting_count; i++) {
        if (strcmp(group, sp_setting_table[i].group) != 0) {
            group = sp_setting_table[i].group;
            fprintf(to,
                    "\n## %s\n\n| Setting | Flag | Default | Allowed | Meaning |\n"
                    "|---|---|---|---|---|\n",
                    group);
        }
        print_row(to, &sp_setting_table[i]);
    }
    fputs("\n## Settings of the system that spoton replaces\n\n"
          "An `.env` file may still hold these. They have no effect and are named in the log at\n"
          "the start; a `*` stands for the rest of a name.\n\n"
          "| Setting | Instead |\n|---|---|\n",
          to);
    sp_setting_each_legacy(print_legacy, to);
    fputs("\n## Renamed settings\n\n"
          "The old names are still accepted.\n\n"
          "| Old name | Name |\n|---|---|\n",
          to);
    sp_setting_each_renamed(print_renamed, to);
}
