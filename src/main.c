/* Entry point: selects the command, handles signals and the exit code. */
#include "base/nearest.h"
#include "base/redact.h"
#include "command/arguments.h"
#include "command/command.h"
#include "command/config.h"
#include "command/options.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 32 };

static atomic_int interrupts; /* lock-free, as required in a signal handler */

static bool interrupted(void)
{
    return atomic_load(&interrupts) > 0;
}

/* The first signal requests an orderly end; the second ends the program immediately. */
static void on_interrupt(int number)
{
    atomic_fetch_add(&interrupts, 1);
    signal(number, SIG_DFL);
}

static void print_usage(FILE *to)
{
    fprintf(to, "spoton %s: person detection and tracking over many cameras\n\n", SPOTON_VERSION);
    fprintf(to, "usage: spoton COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < sp_command_count; i++)
        fprintf(to, "  %-8s %s\n", sp_commands[i].name, sp_commands[i].what);
    fprintf(to, "  %-8s print the settings page, a JSON Schema, or an .env file as YAML\n",
            "config");
    fprintf(to, "\n  spoton COMMAND --help     print the options of a command\n"
                "  spoton --help-settings    print all settings\n"
                "  spoton --version          print the version\n");
}

static int refuse_command(const char *word)
{
    static const char *const others[] = {"config", "--help", "--help-settings", "--version"};
    const char *names[NAMES_MAX] = {0};
    size_t count = 0;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        names[count++] = others[i];
    for (size_t i = 0; i < sp_command_count && count + 1 < NAMES_MAX; i++)
        names[count++] = sp_commands[i].name;
    const char *near = sp_nearest_word(word, names);
    char shown[96]; /* a URL given as the command may hold a password */
    sp_redact_url(word, shown, sizeof shown);
    fprintf(stderr, "spoton: %s: unknown %s; %s%s%s spoton --help\n", shown,
            *word == '-' ? "option" : "command", near ? "did you mean " : "", near ? near : "",
            near ? "? See" : "see");
    return SP_EXIT_USAGE;
}

/* Defers a reload requested during the start until serve has installed its handler. */
static void block_hangup(void)
{
    sigset_t hangup;
    sigemptyset(&hangup);
    sigaddset(&hangup, SIGHUP);
    sigprocmask(SIG_BLOCK, &hangup, NULL);
}

int main(int argc, char **argv)
{
    extern char **environ;
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        block_hangup();
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
    if (strcmp(word, "--help-settings") == 0) {
        sp_settings_print_help(stdout);
        return SP_EXIT_OK;
    }
    if (strcmp(word, "config") == 0)
        return sp_command_config_main(argc - 1, argv + 1);
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failed write */
    signal(SIGXFSZ, SIG_IGN); /* so is the file size limit */
    for (size_t i = 0; i < sp_command_count; i++) {
        struct sp_command_context context = {argc - 1, argv + 1, environ, interrupted, NULL};
        if (strcmp(word, sp_commands[i].name) == 0)
            return sp_commands[i].main(&context);
    }
    return refuse_command(word);
}
