#include "command/subprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

int sp_subprocess_run(const char *const *argument, const char *out_path, const char *error_path,
                      int *status, struct sp_error *err)
{
    extern char **environ;
    posix_spawn_file_actions_t actions;
    pid_t subprocess;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, out_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_addopen(&actions, 2, error_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    /* POSIX guarantees that the arguments are not changed; the prototype predates const. */
    int why = posix_spawn(&subprocess, argument[0], &actions, NULL, (char *const *)(void *)argument,
                          environ);
    posix_spawn_file_actions_destroy(&actions);
    if (why)
        return sp_fail(err, SP_ERR_NOT_FOUND, "%s: %s", argument[0], strerror(why));
    while (waitpid(subprocess, status, 0) < 0) {
        if (errno != EINTR)
            return sp_fail(err, SP_ERR_IO, "%s: %s", argument[0], strerror(errno));
    }
    return SP_OK;
}

void sp_subprocess_last_line(const char *path, const char *sign, char *out, size_t out_bytes)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    snprintf(out, out_bytes, "no error message");
    while (file && getline(&line, &capacity, file) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        const char *text = sign ? strstr(line, sign) : line;
        if (text && *text)
            snprintf(out, out_bytes, "%s", text + (sign ? strlen(sign) : 0));
    }
    free(line);
    if (file)
        fclose(file);
}
