#include "command/man.h"

#include "base/man.h"
#include "command/options_table.h"
#include "config/settings.h"

#include <stddef.h>
#include <string.h>

enum { USAGE_INDENT = sizeof "Usage: " - 1 }; /* of further lines of a synopsis */

static const char exit_status[] =
    ".SH EXIT STATUS\n"
    ".TP\n.B 0\nsuccess\n"
    ".TP\n.B 1\na camera, an output or the work failed; the log names it\n"
    ".TP\n.B 2\ninvalid arguments or settings; nothing was started\n"
    ".TP\n.B 130\ninterrupted by a signal; the outputs so far are complete and valid\n";

static void print_title(FILE *to, const char *name, const char *dash_name, const char *section,
                        const char *what)
{
    fprintf(to, ".TH \"");
    for (const char *c = name; *c; c++)
        fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, to);
    if (dash_name) {
        fputs("\\-", to);
        for (const char *c = dash_name; *c; c++)
            fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, to);
    }
    fprintf(to, "\" %s \"\" \"spoton %s\" \"spoton manual\"\n", section, SPOTON_VERSION);
    /* No hyphenation and no justification: names of settings are long. */
    fprintf(to, ".nh\n.ad l\n.SH NAME\n%s%s%s \\- ", name, dash_name ? "\\-" : "",
            dash_name ? dash_name : "");
    sp_man_print(to, what);
    fputc('\n', to);
}

static void print_option(FILE *to, const struct sp_option_row *row)
{
    fputs(".TP\n.BR ", to);
    if (row->short_flag)
        sp_man_print(to, row->short_flag);
    if (row->short_flag && row->flag)
        fputs(" \", \" ", to);
    if (row->flag)
        sp_man_print(to, row->flag);
    if (row->argument) {
        fputs(" \" \" ", to);
        sp_man_print(to, row->argument);
    }
    fputc('\n', to);
    sp_man_print(to, row->meaning);
    fputc('\n', to);
}

void sp_man_print_program(FILE *to)
{
    print_title(to, "spoton", NULL, "1", "detect and track people across many camera streams");
    fputs(".SH SYNOPSIS\n"
          ".B spoton\n.I COMMAND\n[\\fIOPTIONS\\fR]\n.br\n"
          ".B spoton \\-\\-help\n|\n.B \\-\\-help\\-settings\n|\n.B \\-\\-version\n"
          ".SH DESCRIPTION\n"
          "spoton detects and tracks people across many camera streams on a single machine.\n"
          "It decodes, detects, tracks and draws in one pipeline, on CPUs or NVIDIA GPUs, and\n"
          "serves the results as MJPEG, WebSocket, REST, Prometheus metrics and files.\n"
          ".SH COMMANDS\n",
          to);
    for (size_t i = 0; i < sp_command_count; i++) {
        fprintf(to, ".TP\n.BR spoton\\-%s (1)\n", sp_commands[i].name);
        sp_man_print(to, sp_commands[i].what);
        fputc('\n', to);
    }
    fputs(
        ".TP\n.B spoton config\n[\n.B \\-\\-schema\n|\n.BI \\-\\-from\\-env \" FILE\"\n]\n.br\n"
        "print the settings page in Markdown, the JSON Schema of spoton.yaml, or an .env file as\n"
        "YAML\n",
        to);
    fputs(exit_status, to);
    fputs(".SH FILES\n"
          ".TP\n.IR spoton.yaml \", \" /etc/spoton/spoton.yaml\nsettings and cameras; see\n"
          ".BR spoton\\-settings (5)\n"
          ".TP\n.I .env\nsettings of the current directory; see\n.BR spoton\\-settings (5)\n"
          ".TP\n.I PREFIX/lib/spoton/engines\nengine plugins, spoton\\-engine\\-NAME.so\n"
          ".TP\n.I PREFIX/lib/spoton\ninference runtimes: openvino, onnxruntime, gpu\n"
          ".TP\n.I PREFIX/share/spoton/models\nthe bundled models with their manifests\n"
          ".SH ENVIRONMENT\n"
          "Besides the settings:\n"
          ".TP\n.B SPOTON_ENGINE_DIR\na folder that is searched for engine plugins first\n"
          ".TP\n.B SPOTON_ONNXRUNTIME\nthe file of ONNX Runtime\\(aqs library\n"
          ".TP\n.B SPOTON_PYTHON\na Python with NNCF, for INT8 quantization\n"
          ".TP\n.B LD_LIBRARY_PATH\nfolders that are searched for inference runtimes before\n"
          "PREFIX/lib/spoton\n"
          ".TP\n.B XDG_CACHE_HOME\ncompiled models are cached in its folder spoton; default "
          "~/.cache\n"
          ".SH SEE ALSO\n.BR spoton\\-settings (5)",
          to);
    for (size_t i = 0; i < sp_command_count; i++)
        fprintf(to, ",\n.BR spoton\\-%s (1)", sp_commands[i].name);
    fputc('\n', to);
}

void sp_man_print_command(FILE *to, const struct sp_command *command)
{
    const struct sp_command_usage *usage = NULL;
    const struct sp_command_context context = {.usage_out = &usage};
    command->main(&context);
    print_title(to, "spoton", command->name, "1", command->what);
    fprintf(to, ".SH SYNOPSIS\n.nf\n\\fBspoton %s\\fR ", command->name);
    for (const char *line = usage->synopsis; line;) {
        char text[256];
        const char *end = strchr(line, '\n');
        snprintf(text, sizeof text, "%.*s", end ? (int)(end - line) : -1, line);
        sp_man_print(to, text);
        line = end ? end + 1 : NULL;
        if (line) {
            fputc('\n', to);
            line += strspn(line, " ") < USAGE_INDENT ? strspn(line, " ") : USAGE_INDENT;
        }
    }
    fputs("\n.fi\n.SH DESCRIPTION\n", to);
    sp_man_print(to, usage->about);
    fputs(".SH OPTIONS\n"
          "Every setting is an option too: see\n.BR spoton\\-settings (5).\n",
          to);
    for (size_t i = 0; i < sp_option_count; i++)
        if (sp_option_table[i].needs == 0 || (usage->takes & sp_option_table[i].needs))
            print_option(to, &sp_option_table[i]);
    fputs(exit_status, to);
    fputs(".SH SEE ALSO\n.BR spoton (1),\n.BR spoton\\-settings (5)\n", to);
}

void sp_man_print_settings(FILE *to)
{
    print_title(to, "spoton", "settings", "5", "settings of spoton");
    fputs(
        ".SH DESCRIPTION\n"
        "A setting has the same name everywhere. Later sources override earlier ones: the default; "
        "the file\n"
        ".I spoton.yaml\n"
        "in the current directory or in /etc/spoton, or the file that\n.B \\-\\-config\n"
        "names; the file\n"
        ".I .env\n"
        "in the current directory, or the file that\n.B \\-\\-env\nnames; the environment, where\n"
        "an empty variable counts as not set; the flag on the command line: FRAME_SKIP=2 is\n"
        ".BR \"\\-\\-frame\\-skip 2\" .\n"
        "An unknown name or a value out of range stops the start with an error that names it.\n"
        ".PP\n"
        "Switches take true, false, yes, no, on, off, 1 or 0; the flag alone means true.\n"
        ".SS \"The .env file\"\n"
        "Lines of the form KEY=VALUE, optionally preceded by\n.BR export .\n"
        "A # begins a comment at the start of a line or after a blank. Values may be in\n"
        "single or double quotes. Variables are not expanded. A setting may appear only once.\n"
        ".SS \"The YAML file\"\n"
        "Maps server, detector, video, tracker, images, association, outputs, outbox and log, and "
        "a list "
        "cameras\n"
        "whose items have name, url and settings of their own. ${NAME} is an environment "
        "variable,\n"
        ".B !secret\n.I NAME\na text of secrets.yaml in the same folder. The place of a setting "
        "follows its default.\n"
        ".SS Cameras\n"
        ".BI CAMERA_ NAME = URL\n"
        "in the file or in the environment, or\n"
        ".B \\-\\-camera\n.IR NAME = URL\n"
        "on the command line. A URL is a file or any input that FFmpeg opens. NAME consists of\n"
        "letters, digits, \\(dq_\\(dq, \\(dq\\-\\(dq and \\(dq.\\(dq, and starts with a letter, a "
        "digit or "
        "\\(dq_\\(dq.\n"
        ".SH SETTINGS\n",
        to);
    sp_settings_print_man(to);
    fputs(".SH SEE ALSO\n.BR spoton (1)\n", to);
}
