/* spoton outputs check: tries each output of the settings and prints one line for it. */
#include "command/command.h"
#include "command/options.h"
#include "library/output_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sp_command_usage usage = {
    .name = "outputs",
    .synopsis = "check",
    .about = "Tries each output of OUTPUTS: connects, and sends one message of type \"check\". "
             "Prints a\n"
             "line for each; the exit status is 1 if one does not work.\n",
};

/* False: it does not work, and a line says why. */
static bool check_one(const struct sp_settings *settings, const char *entry)
{
    struct sp_error err = {0};
    struct sp_fan_out *fan_out = NULL;
    struct sp_output_settings outputs;
    sp_output_settings_fill(&outputs, settings);
    outputs.options.outputs = entry;
    outputs.options.check = true;
    int result = sp_fan_out_open(&fan_out, &outputs.options, &err);
    if (result == SP_OK && sp_fan_out_count(fan_out) > 0)
        result = sp_fan_out_check(fan_out, 0, &err);
    if (result == SP_OK)
        printf("output %.*s: works\n", (int)strcspn(entry, "?"), entry);
    else
        printf("%s\n", err.text);
    fflush(stdout);
    sp_fan_out_close(fan_out);
    return result == SP_OK;
}

static int check_all(const struct sp_settings *settings)
{
    int code = SP_EXIT_OK;
    char *list = strdup(settings->outputs), *rest = NULL;
    if (!list || strspn(list, " \t") == strlen(list)) {
        fprintf(stderr, "spoton outputs: %s\n",
                list ? "OUTPUTS is empty; set it, or outputs: in spoton.yaml" : "out of memory");
        free(list);
        return SP_EXIT_FAILED;
    }
    for (char *word = strtok_r(list, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest))
        if (!check_one(settings, word))
            code = SP_EXIT_FAILED;
    free(list);
    return code;
}

int sp_command_outputs_main(const struct sp_command_context *context)
{
    int exit_code;
    struct sp_command_context rest = *context;
    bool check = context->argc > 1 && strcmp(context->argv[1], "check") == 0;
    if (check) {
        rest.argc--;
        rest.argv++;
    } else if (!context->usage_out && (context->argc < 2 || context->argv[1][0] != '-')) {
        fputs("spoton outputs: no action; write spoton outputs check\n", stderr);
        return SP_EXIT_USAGE;
    }
    struct sp_options *options = sp_command_start(&rest, &usage, &exit_code);
    if (!options)
        return exit_code;
    exit_code = check_all(&options->settings);
    free(options);
    return exit_code;
}
