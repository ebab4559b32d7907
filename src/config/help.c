#include "config/table.h"

#include <string.h>

enum { COLUMN = 36, WIDTH = 100 };

/* Breaks `text` at blanks into lines of WIDTH - COLUMN; all but the first are indented by COLUMN.
 */
static void print_wrapped(FILE *to, const char *text)
{
    size_t width = WIDTH - COLUMN;
    while (strlen(text) > width) {
        size_t n = width;
        while (n > 0 && text[n] != ' ')
            n--;
        if (n == 0)
            n = width;
        fprintf(to, "%.*s\n%*s", (int)n, text, COLUMN, "");
        text += n + (text[n] == ' ');
    }
    fprintf(to, "%s\n", text);
}

void sp_settings_print_help(FILE *to)
{
    const char *group = "";
    fputs("A setting is a flag, a line of the .env file or an environment variable:\n"
          "--frame-skip 2 is FRAME_SKIP=2. In brackets: [default; allowed values].\n\n",
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
    fprintf(to, "| `%s` | `%s` | `%s`%s | %s%s%s | %s | %s |\n", row->key, flag, row->yaml,
            row->per_camera ? " *" : "", *row->fallback ? "`" : "",
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
    "This page is printed by `spoton config` from the table in `src/config/table.c`; edit the "
    "table,\n"
    "then run `make docs`.\n"
    "\n"
    "A setting has the same name everywhere. Later sources override earlier ones:\n"
    "\n"
    "1. the default,\n"
    "2. the file `spoton.yaml` in the current directory, else `/etc/spoton/spoton.yaml`, or the "
    "file\n"
    "   given by `--config FILE`; there a setting has a section: `FRAME_SKIP` is "
    "`detector.frame_skip`,\n"
    "3. the file `.env` in the current directory, or the file given by `--env FILE`,\n"
    "4. environment variables; an empty variable counts as not set,\n"
    "5. command-line flags: `FRAME_SKIP` is `--frame-skip`.\n"
    "\n"
    "An unknown setting or an invalid value stops the start with an error that names the source, "
    "the\n"
    "nearest known name and the allowed values. Other environment variables are ignored.\n"
    "\n"
    "Switches accept true, false, yes, no, on, off, 1 or 0; the flag alone means true. Values that "
    "are\n"
    "words may be in upper or lower case. Numbers are decimal, with a point.\n"
    "\n"
    "## spoton.yaml\n"
    "\n"
    "```yaml\n"
    "# yaml-language-server: $schema=spoton.schema.json\n"
    "server: {host: 127.0.0.1, port: 3847}\n"
    "detector:\n"
    "  model: person.onnx\n"
    "  confidence: 0.3\n"
    "cameras:\n"
    "  - name: gate\n"
    "    url: rtsp://viewer:${GATE_PASSWORD}@10.0.0.7/stream1\n"
    "    frame_skip: 2\n"
    "    classes: [person, car]\n"
    "    tracker: {buffer_size: 60}\n"
    "  - {name: lobby, url: lobby.mp4, confidence: 0.4}\n"
    "```\n"
    "\n"
    "The column \"spoton.yaml\" of the tables below has the section and the key of each setting. "
    "Settings\n"
    "marked with * are keys of a camera, too (those of `tracker` in a map of that name); a "
    "camera's own\n"
    "value takes precedence over all sources of the setting for all cameras. Lists are accepted "
    "where a\n"
    "setting is a comma-separated list.\n"
    "\n"
    "Lines and zones of a camera, and of the map, are counted (docs/ANALYTICS.md has all keys):\n"
    "\n"
    "```yaml\n"
    "cameras:\n"
    "  - name: gate\n"
    "    url: gate.mp4\n"
    "    lines:\n"
    "      - {name: door, points: [[0.1, 0.5], [0.9, 0.5]]}          # fractions of the frame\n"
    "    zones:\n"
    "      - {name: hall, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]], crowded: 10, loitering_s: "
    "60}\n"
    "map:\n"
    "  lines: [{name: gate line, points: [[4, 2], [4, 9.5]]}]        # metres\n"
    "```\n"
    "\n"
    "`spoton serve` applies changed ones at SIGHUP. Those edited in the dashboard or over the API "
    "are\n"
    "in `ANALYTICS_FILE`, and replace those of `spoton.yaml` for the cameras that it has.\n"
    "\n"
    "With `spoton serve --config-write`, cameras that are added and removed over the API are "
    "added\n"
    "and removed in `spoton.yaml`, too. Comments, order, and references such as `!secret NAME` "
    "stay.\n"
    "A new file is written beside the old one, with its mode and owner, and takes its place, so "
    "the\n"
    "folder must be writable. A password in the URL of a new camera is written as it is. A file\n"
    "that cannot be edited (a camera's name that is a reference, a document in braces without\n"
    "`cameras`) and a camera that is set elsewhere are refused, and nothing changes.\n"
    "\n"
    "`spoton config --schema` prints a JSON Schema, which editors use to complete and check the "
    "file;\n"
    "`spoton config --from-env FILE` prints an `.env` file as YAML.\n"
    "\n";

static const char introduction_rest[] =
    "Secrets: `${NAME}` anywhere in a value is the environment variable NAME (`$${` is a literal "
    "`${`);\n"
    "`!secret NAME` is the text NAME in `secrets.yaml` in the same folder. A file that contains "
    "secrets\n"
    "and is readable by all users is reported in the log.\n"
    "\n"
    "The file is one UTF-8 document of at most 1 MB. Anchors, aliases, merge keys, duplicate keys "
    "and\n"
    "tabs as indentation are refused. Quoted numbers and switches are refused: `port: \"80\"`.\n"
    "\n"
    "## The .env file\n"
    "\n"
    "```sh\n"
    "# a comment\n"
    "YOLO_CONFIDENCE_THRESHOLD=0.4\n"
    "export FRAME_SKIP = 2              # \"export\" and blanks are allowed, and so is this "
    "comment\n"
    "CLASSES=\"person, dog\"              # quotes; inside double quotes \\\" \\\\ \\$ \\` are "
    "escapes\n"
    "CAMERA_door='rtsp://user:secret@192.0.2.7/live'\n"
    "```\n"
    "\n"
    "A `#` starts a comment at the start of a line or after a blank. Variables are not expanded: "
    "`$` is\n"
    "literal. A setting may appear in the file only once.\n"
    "\n"
    "## Cameras\n"
    "\n"
    "`cameras:` in `spoton.yaml`, `CAMERA_<NAME>=URL` in the `.env` file or in the environment, "
    "`--camera NAME=URL` or just the URL on "
    "the\n"
    "command line. A URL is a file or any input that FFmpeg opens. A name consists of letters, "
    "digits,\n"
    "`_`, `-` and `.`, does not start with `-` or `.`, and is the base name of the camera's "
    "output\n"
    "files. A plain URL is named after its file: `clips/door.mp4` is `door`, a second one "
    "`door-2`.\n"
    "Cameras of later sources are added to the others; for a camera of the same name, the URL is "
    "replaced. "
    "The\n"
    "maximum is 64 cameras per process.\n"
    "\n"
    "Secrets in URLs are never shown: user parts, query values other than harmless ones "
    "(`channel=1`)\n"
    "and tokens in paths. Passwords need no percent-encoding. Prefer the file (mode 600) or the\n"
    "environment to `--camera`: the program overwrites its command line at the start, but until "
    "then\n"
    "other users can read it, and the shell keeps it in its history.\n";

void sp_settings_print_markdown(FILE *to)
{
    const char *group = "";
    fputs(introduction, to);
    fputs(introduction_rest, to);
    for (size_t i = 0; i < sp_setting_count; i++) {
        if (strcmp(group, sp_setting_table[i].group) != 0) {
            group = sp_setting_table[i].group;
            fprintf(to,
                    "\n## %s\n\n| Setting | Flag | spoton.yaml | Default | Allowed | Meaning |\n"
                    "|---|---|---|---|---|---|\n",
                    group);
        }
        print_row(to, &sp_setting_table[i]);
    }
    fputs("\n## Settings of SpotOn without effect\n\n"
          "An `.env` file of SpotOn stays valid. These settings have no effect and are listed in "
          "the\n"
          "log at the start; a `*` is any suffix.\n\n"
          "| Setting | Instead |\n|---|---|\n",
          to);
    sp_setting_each_legacy(print_legacy, to);
    fputs("\n## Renamed settings\n\n"
          "The old names are still accepted.\n\n"
          "| Old name | Name |\n|---|---|\n",
          to);
    sp_setting_each_renamed(print_renamed, to);
}
