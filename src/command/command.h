/* A command of the program: gets its words, says its exit code. */
#pragma once

#include <stdbool.h>

enum sp_exit {
    SP_EXIT_OK = 0,
    SP_EXIT_FAILED = 1, /* some camera, output or the work itself failed; the log says which */
    SP_EXIT_USAGE = 2,  /* the words or the settings are wrong; nothing was started */
    SP_EXIT_INTERRUPTED = 130, /* by a signal; outputs so far are complete */
};

struct sp_command_context {
    int argc;
    char **argv; /* argv[0] is the command's name */
    char **environment;
    bool (*interrupted)(void); /* a signal asked the program to end */
};

struct sp_options;
struct sp_command_usage;

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
