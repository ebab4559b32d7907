#include "pipeline/file_saver.h"

#include "base/log.h"
#include "base/thread.h"
#include "publish/files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FOLDER_BYTES = 4096 };

struct sp_file_saver {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    pthread_t thread;
    bool started, ending;   /* guarded */
    struct sp_error failed; /* of the last write; guarded */
    char *text;             /* to be written; guarded; NULL: nothing */
    size_t bytes;
    const char *what;
    char folder[FOLDER_BYTES];
    const char *name; /* in the folder */
};

static void *work(void *argument)
{
    struct sp_file_saver *saver = argument;
    pthread_mutex_lock(&saver->mutex);
    for (;;) {
        while (!saver->text && !saver->ending)
            pthread_cond_wait(&saver->changed, &saver->mutex);
        if (!saver->text)
            break;
        struct sp_error err = {0}, why = {0};
        char *text = saver->text;
        size_t bytes = saver->bytes;
        saver->text = NULL;
        pthread_mutex_unlock(&saver->mutex);
        int result = sp_files_write_whole(saver->folder, saver->name, text, bytes, &why);
        free(text);
        if (result < 0) {
            sp_fail(&err, result, "%s: %.400s", saver->what, why.text);
            sp_log(SP_LOG_ERROR, "%s", err.text);
        }
        pthread_mutex_lock(&saver->mutex);
        saver->failed = err;
    }
    pthread_mutex_unlock(&saver->mutex);
    return NULL;
}

int sp_file_saver_open(struct sp_file_saver **out, const char *what, const char *path,
                       struct sp_error *err)
{
    const char *slash = strrchr(path, '/');
    struct sp_file_saver *saver = calloc(1, sizeof *saver);
    if (!saver)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", what);
    pthread_mutex_init(&saver->mutex, NULL);
    pthread_cond_init(&saver->changed, NULL);
    saver->what = what;
    saver->name = slash ? slash + 1 : path;
    if (slash)
        snprintf(saver->folder, sizeof saver->folder, "%.*s",
                 slash == path ? 1 : (int)(slash - path), path);
    else
        snprintf(saver->folder, sizeof saver->folder, ".");
    int result = sp_thread_start(&saver->thread, "file-saver", work, saver, err);
    saver->started = result == SP_OK;
    if (result < 0)
        sp_file_saver_close(saver);
    else
        *out = saver;
    return result;
}

void sp_file_saver_close(struct sp_file_saver *saver)
{
    if (!saver)
        return;
    pthread_mutex_lock(&saver->mutex);
    saver->ending = true;
    pthread_cond_signal(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    if (saver->started)
        pthread_join(saver->thread, NULL);
    pthread_mutex_destroy(&saver->mutex);
    pthread_cond_destroy(&saver->changed);
    free(saver->text);
    free(saver);
}

int sp_file_saver_put(struct sp_file_saver *saver, const char *text, size_t bytes,
                      struct sp_error *err)
{
    int result = SP_OK;
    char *copy = malloc(bytes + 1);
    if (!copy)
        return sp_fail(err, SP_ERR_NO_MEMORY, "%s: out of memory", saver->what);
    memcpy(copy, text, bytes);
    if (access(saver->folder, W_OK | X_OK) < 0)
        result = sp_fail(err, sp_error_from_errno(errno),
                         "%s: cannot be written: %s/%s: %s; the change is in effect until the "
                         "program ends",
                         saver->what, saver->folder, saver->name, strerror(errno));
    pthread_mutex_lock(&saver->mutex);
    if (result == SP_OK && saver->failed.code != SP_OK)
        result = sp_fail(err, saver->failed.code, "%s", saver->failed.text);
    free(saver->text);
    saver->text = copy;
    saver->bytes = bytes;
    pthread_cond_signal(&saver->changed);
    pthread_mutex_unlock(&saver->mutex);
    return result;
}
