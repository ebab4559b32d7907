/* Finds the command, owns the signals and the exit code. */
#include "command/arguments.h"
#include "command/command.h"
#include "command/options.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int interrupts; /* lock-free, so a handler on any thread may touch it */

static bool interrupted(void)
{
    return atomic_load(&interrupts) > 0;
}

/* The first asks for an orderly end; the second ends the program at once. */
static void on_interrupt(int number)
{
    atomic_fetch_add(&interrupts, 1);
    signal(number, SIG_DFL);
}

static const struct {
    const char *name, *what;
    int (*main)(const struct sp_command_context *context);
} commands[] = {
    {"serve", "watch live cameras; dashboard, API and metrics", sp_command_serve_main},
    {"run", "track people in files, every frame, and write the results", sp_command_run_main},
    {"track", "run the tracker alone on stored detections", sp_command_track_main},
    {"eval", "measure a model on labelled pictures, or tracks against the truth",
     sp_command_eval_main},
    {"bench", "measure the pipeline against the engine alone", sp_command_bench_main},
    {"tune", "find the settings that serve the most cameras here", sp_command_tune_main},
    {"export", "compile a model into a bundle, in INT8 too", sp_command_export_main},
    {"doctor", "say what this machine has and what is wrong", sp_command_doctor_main},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *to)
{
    fprintf(to, "spoton %s: person detection and tracking over many cameras\n\n", SPOTON_VERSION);
    fprintf(to, "usage: spoton COMMAND [OPTIONS]\n\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i].name, commands[i].what);
    fprintf(to, "  %-8s print docs/CONFIG.md, made from the table of settings\n", "config");
    fprintf(to, "\nspoton COMMAND --help lists a command's options.\n");
}

static int refuse_command(const char *word)
{
    const char *names[COMMANDS + 1] = {0};
    for (int i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = sp_nearest_word(word, names);
    fprintf(stderr, "spoton: '%s' is not a command%s%s%s; see spoton --help\n", word,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return SP_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    extern char **environ;
    if (argc < 2) {
        print_usage(stderr);
        return SP_EXIT_USAGE;
    }
    argv = sp_arguments_take(argc, argv);
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_usage(stdout);
        return SP_EXIT_OK;
    }
    if (strcmp(word, "--version") == 0) {
        printf("spoton %s\n", SPOTON_VERSION);
        return SP_EXIT_OK;
    }
    if (strcmp(word, "config") == 0) {
        sp_settings_print_markdown(stdout);
        return SP_EXIT_OK;
    }
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a failed write, not our end */
    signal(SIGXFSZ, SIG_IGN); /* so is a limit on file sizes */
    for (int i = 0; i < COMMANDS; i++) {
        struct sp_command_context context = {argc - 1, argv + 1, environ, interrupted};
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].main(&context);
    }
    return refuse_command(word);
}
