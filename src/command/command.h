/* A command of the program: from arguments to exit code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sp_command_usage;

enum sp_exit {
    SP_EXIT_OK = 0,
    SP_EXIT_FAILED = 1,        /* a camera, an output or the work failed; the log names it */
    SP_EXIT_USAGE = 2,         /* invalid arguments or settings; nothing was started */
    SP_EXIT_INTERRUPTED = 130, /* by a signal; the outputs so far are complete */
};

struct sp_command_context {
    int argc;
    char **argv; /* argv[0] is the command's name */
    char **environment;
    bool (*interrupted)(void); /* a signal requested the end */
    /* If set, the command only stores its usage there and returns. For man pages. */
    const struct sp_command_usage **usage_out;
};

struct sp_command {
    const char *name, *what; /* "serve", one-line description */
    int (*main)(const struct sp_command_context *context);
};

/* All commands except `config`, in the order of the help. */
extern const struct sp_command sp_commands[];
extern const size_t sp_command_count;

struct sp_options;

/* Parses the arguments. NULL: exit with *exit_code (help or an error was printed). The caller frees
 * the options. */
struct sp_options *sp_command_start(const struct sp_command_context *context,
                                    const struct sp_command_usage *usage, int *exit_code);

int sp_command_serve_main(const struct sp_command_context *context);
int sp_command_init_main(const struct sp_command_context *context);
int sp_command_run_main(const struct sp_command_context *context);
int sp_command_track_main(const struct sp_command_context *context);
int sp_command_count_main(const struct sp_command_context *context);
int sp_command_store_main(const struct sp_command_context *context);
int sp_command_eval_main(const struct sp_command_context *context);
int sp_command_bench_main(const struct sp_command_context *context);
int sp_command_tune_main(const struct sp_command_context *context);
int sp_command_export_main(const struct sp_command_context *context);
int sp_command_outputs_main(const struct sp_command_context *context);
int sp_command_cluster_main(const struct sp_command_context *context);
int sp_command_doctor_main(const struct sp_command_context *context);
