#include "command/command.h"
#include "command/options.h"

#include <stdlib.h>

struct sp_options *sp_command_start(const struct sp_command_context *context,
                                    const struct sp_command_usage *usage, int *exit_code)
{
    if (context->usage_out) {
        *context->usage_out = usage;
        *exit_code = SP_EXIT_OK;
        return NULL;
    }
    struct sp_error err = {0};
    struct sp_options *options = calloc(1, sizeof *options);
    *exit_code = SP_EXIT_OK;
    if (!options) {
        fprintf(stderr, "spoton %s: out of memory\n", usage->name);
        *exit_code = SP_EXIT_FAILED;
    } else if (sp_options_parse(options, usage, context->argc, context->argv, context->environment,
                                &err) < 0) {
        fprintf(stderr, "spoton %s: %s\n", usage->name, err.text);
        *exit_code = SP_EXIT_USAGE;
    } else if (options->help) {
        sp_options_print_help(usage, stdout);
    } else if (options->help_settings) {
        sp_settings_print_help(stdout);
    } else {
        return options;
    }
    free(options);
    return NULL;
}
