/* A command of the program: gets its words, says its exit code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sp_command_usage;

enum sp_exit {
    SP_EXIT_OK = 0,
    SP_EXIT_FAILED = 1, /* some camera, output or the work itself failed; the log says which */
    SP_EXIT_USAGE = 2,  /* invalid arguments or settings; nothing was started */
    SP_EXIT_INTERRUPTED = 130, /* by a signal; outputs so far are complete */
};

struct sp_command_context {
    int argc;
    char **argv; /* argv[0] is the command's name */
    char **environment;
    bool (*interrupted)(void); /* a signal asked the program to end */
    /* Set: the command only stores its usage there and returns. For man pages. */
    const struct sp_command_usage **usage_out;
};

struct sp_command {
    const char *name, *what; /* "serve", and a line on it */
    int (*main)(const struct sp_command_context *context);
};

/* All commands but `config`, in the order of the help. */
extern const struct sp_command sp_commands[];
extern const size_t sp_command_count;

struct sp_options;

/* What every command does first: parses its words. NULL: the program is to end with *exit_code
 * (help was printed, or a text said what is wrong). Else the options are the caller's, to be freed.
 */
struct sp_options *sp_command_start(const struct sp_command_context *context,
                                    const struct sp_command_usage *usage, int *exit_code);

int sp_command_serve_main(const struct sp_command_context *context);
int sp_command_run_main(const struct sp_command_context *context);
int sp_command_track_main(const struct sp_command_context *context);
int sp_command_eval_main(const struct sp_command_context *context);
int sp_command_bench_main(const struct sp_command_context *context);
int sp_command_tune_main(const struct sp_command_context *context);
int sp_command_export_main(const struct sp_command_context *context);
int sp_command_doctor_main(const struct sp_command_context *context);
