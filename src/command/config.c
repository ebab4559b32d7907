#include "command/config.h"

#include "base/redact.h"
#include "command/command.h"
#include "config/settings.h"

#include <stdlib.h>
#include <string.h>

static int print_env_as_yaml(const char *path)
{
    struct sp_error err = {0};
    struct sp_settings *settings = calloc(1, sizeof *settings);
    int code = SP_EXIT_OK;
    if (!settings) {
        fputs("spoton config: out of memory\n", stderr);
        return SP_EXIT_FAILED;
    }
    sp_settings_default(settings);
    int result = sp_settings_read_env_file(settings, path, &err);
    if (result == SP_OK)
        result = sp_settings_check(settings, &err);
    if (result == SP_OK) {
        sp_settings_print_yaml(settings, stdout);
    } else {
        fprintf(stderr, "spoton config: %s\n", err.text);
        code = SP_EXIT_USAGE;
    }
    free(settings);
    return code;
}

static int refuse(const char *word)
{
    char shown[96];
    sp_redact_url(word, shown, sizeof shown);
    fprintf(
        stderr,
        "spoton config: %s: unexpected argument; use no argument, --schema or --from-env FILE\n",
        shown);
    return SP_EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (argc == 1) {
        sp_settings_print_markdown(stdout);
        return SP_EXIT_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        puts("usage: spoton config                    print the settings page, docs/CONFIG.md\n"
             "       spoton config --schema           print the JSON Schema of spoton.yaml\n"
             "       spoton config --from-env FILE    print an .env file as spoton.yaml");
        return SP_EXIT_OK;
    }
    if (strcmp(word, "--schema") == 0) {
        if (argc > 2)
            return refuse(argv[2]);
        return sp_settings_print_schema(stdout) ? SP_EXIT_OK : SP_EXIT_FAILED;
    }
    if (strcmp(word, "--from-env") == 0) {
        if (argc < 3) {
            fputs("spoton config: --from-env: no value; write --from-env FILE\n", stderr);
            return SP_EXIT_USAGE;
        }
        return argc > 3 ? refuse(argv[3]) : print_env_as_yaml(argv[2]);
    }
    if (strncmp(word, "--from-env=", 11) == 0)
        return argc > 2 ? refuse(argv[2]) : print_env_as_yaml(word + 11);
    return refuse(word);
}

int sp_command_config_main(int argc, char **argv)
{
    int code = run(argc, argv);
    if (fflush(stdout) != 0 && code == SP_EXIT_OK) {
        fputs("spoton config: standard output: write failed\n", stderr);
        code = SP_EXIT_FAILED;
    }
    return code;
}
