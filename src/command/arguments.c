#include "command/arguments.h"

#include "base/redact.h"
#include "config/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Length of the secret setting's flag that the word starts with ("--api-token"); 0: none. */
static size_t secret_flag(const char *word)
{
    for (size_t i = 0; i < sp_setting_count; i++) {
        char flag[SP_FLAG_BYTES];
        if (!sp_setting_table[i].secret)
            continue;
        sp_setting_flag(&sp_setting_table[i], flag);
        size_t n = strlen(flag);
        if (strncmp(word, flag, n) == 0 && (word[n] == '\0' || word[n] == '='))
            return n;
    }
    return 0;
}

/* The words are adjacent in memory; shortened words are moved together, so that neither the rest of
 * a secret nor an empty word remains between them. */
static void overwrite(int argc, char **argv)
{
    char *to = argv[0], *end = argv[argc - 1] + strlen(argv[argc - 1]);
    bool hide = false;
    for (int i = 0; i < argc; i++) {
        size_t length = strlen(argv[i]), flag = secret_flag(argv[i]);
        char *shown = malloc(length + 1);
        if (!shown) /* showing less is better than a secret */
            break;
        sp_redact_url(argv[i], shown, length + 1);
        const char *text = hide ? "***" : shown;
        size_t n = strlen(text) < length ? strlen(text) : length;
        if (!hide && flag > 0 && argv[i][flag] == '=') {
            memset(shown + flag + 1, '*', length - flag - 1);
            n = flag + 4 < length ? flag + 4 : length;
        }
        hide = !hide && flag > 0 && argv[i][flag] == '\0';
        memmove(to, text, n);
        to[n] = '\0';
        to += n + 1;
        free(shown);
    }
    if (to < end)
        memset(to, '\0', (size_t)(end - to));
}

char **sp_arguments_take(int argc, char **argv)
{
    /* static: reachable for a leak checker that runs after main's stack is gone */
    static char **copy;
    bool together = true;
    copy = calloc((size_t)argc + 1, sizeof *copy);
    if (!copy)
        return argv;
    for (int i = 0; i < argc; i++) {
        copy[i] = strdup(argv[i]);
        if (!copy[i]) {
            while (i > 0)
                free(copy[--i]);
            free(copy);
            copy = NULL;
            return argv;
        }
        together = together && (i == 0 || argv[i] == argv[i - 1] + strlen(argv[i - 1]) + 1);
    }
    if (together)
        overwrite(argc, argv);
    return copy;
}
