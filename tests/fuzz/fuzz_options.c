/* A command line and an environment of any words: lines of the input, those that begin with '$' are
 * the environment's. */
#include "base/log.h"
#include "command/options.h"

#include "fuzz.h"

enum { WORDS_MAX = 96 };

static const struct sp_command_usage usages[] = {
    {.name = "run", .takes = SP_TAKES_CAMERAS | SP_TAKES_OUT_DIR | SP_TAKES_VIDEO | SP_TAKES_LIMIT},
    {.name = "track", .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_FILE},
    {.name = "bench",
     .takes = SP_TAKES_CAMERAS | SP_TAKES_SECONDS | SP_TAKES_FRAMES | SP_TAKES_JSON},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct sp_options options; /* large */
    struct sp_error err = {0};
    char *words[WORDS_MAX + 1] = {(char[]){"spoton"}}, *environment[WORDS_MAX + 1] = {NULL};
    int count = 1, variables = 0;
    if (bytes == 0)
        return 0;
    const struct sp_command_usage *usage = &usages[data[0] % 3];
    char *text = fuzz_text(data + 1, bytes - 1), *rest = NULL;
    for (char *word = strtok_r(text, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
        /* It would read files of this machine. */
        if (strncmp(word, "--env", 5) == 0)
            continue;
        if (word[0] == '$' && variables < WORDS_MAX)
            environment[variables++] = word + 1;
        else if (word[0] != '$' && count < WORDS_MAX)
            words[count++] = word;
    }
    int result = sp_options_parse(&options, usage, count, words, environment, &err);
    fuzz_check_result(result, &err);
    FUZZ_CHECK(options.settings.camera_count <= SP_CAMERAS_MAX);
    sp_log_set_level(SP_LOG_ERROR);
    free(text);
    return 0;
}
