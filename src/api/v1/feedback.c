/* Viewers' feedback on re-identifications: thumbs up or down.
 *
 * Data flow: POST -> a ring of the newest SP_FEEDBACK_MAX records -> GET; a writer thread
 * writes all of them to FEEDBACK_FILE atomically, one JSON object per line, oldest first. The
 * server's thread holds the mutex to add a record, the writer to copy the lines: neither waits for
 * the disk. A failed write is retried every ten seconds. */
#include "api/v1/feedback.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_S = 10, LINE_BYTES_MAX = 64 * 1024 };

struct record {
    json_t *value; /* read by the server's thread only */
    char *line;    /* the same as text, with a line break */
};

struct sp_feedback {
    char path[SP_PATH_BYTES]; /* empty: kept in memory only */
    pthread_t thread;
    bool started;
    pthread_cond_t wake;

    pthread_mutex_t mutex;                 /* guards the rest, except for the records' values */
    struct record record[SP_FEEDBACK_MAX]; /* a ring */
    uint64_t count;                        /* records added so far */
    uint64_t written;                      /* records in the file */
    bool stopping;
    struct sp_error error; /* of the last write; code 0: none */
};

static uint64_t first_kept(const struct sp_feedback *feedback)
{
    return feedback->count > SP_FEEDBACK_MAX ? feedback->count - SP_FEEDBACK_MAX : 0;
}

/* --- the file --------------------------------------------------------------------------------- */

/* All lines in one text; NULL: out of memory. The mutex is held. */
static char *copy_lines(const struct sp_feedback *feedback, size_t *bytes)
{
    *bytes = 0;
    for (uint64_t i = first_kept(feedback); i < feedback->count; i++)
        *bytes += strlen(feedback->record[i % SP_FEEDBACK_MAX].line);
    char *text = malloc(*bytes + 1), *at = text;
    for (uint64_t i = first_kept(feedback); text && i < feedback->count; i++)
        at = stpcpy(at, feedback->record[i % SP_FEEDBACK_MAX].line);
    return text;
}

static int write_whole(const char *path, const char *text, size_t bytes)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t done = 0;
    if (file < 0)
        return errno;
    while (done < bytes) {
        ssize_t n = write(file, text + done, bytes - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    int code = done < bytes || fsync(file) < 0 ? (errno ? errno : EIO) : 0;
    if (close(file) < 0 && code == 0)
        code = errno;
    return code;
}

static int write_file(const char *path, const char *text, size_t bytes, struct sp_error *err)
{
    char part[SP_PATH_BYTES + 8];
    snprintf(part, sizeof part, "%s.part", path);
    int code = text ? write_whole(part, text, bytes) : ENOMEM;
    if (code == 0 && rename(part, path) < 0)
        code = errno;
    if (code == 0)
        return SP_OK;
    unlink(part);
    return sp_fail(err, sp_error_from_errno(code),
                   "FEEDBACK_FILE=%s: %s; feedback is kept in memory until a write succeeds", path,
                   strerror(code));
}

static void *writer_main(void *argument)
{
    struct sp_feedback *feedback = argument;
    pthread_mutex_lock(&feedback->mutex);
    while (!feedback->stopping || feedback->written < feedback->count) {
        if (feedback->written == feedback->count) {
            pthread_cond_wait(&feedback->wake, &feedback->mutex);
            continue;
        }
        size_t bytes;
        uint64_t count = feedback->count;
        bool last = feedback->stopping;
        char *text = copy_lines(feedback, &bytes);
        pthread_mutex_unlock(&feedback->mutex);
        struct sp_error err = {0};
        int result = write_file(feedback->path, text, bytes, &err);
        free(text);
        pthread_mutex_lock(&feedback->mutex);
        if (result < 0 && feedback->error.code == SP_OK)
            sp_log(SP_LOG_WARNING, "%s", err.text);
        feedback->error = err;
        if (result == SP_OK || last)
            feedback->written = count;
        if (result == SP_OK || feedback->stopping)
            continue;
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += RETRY_S;
        pthread_cond_timedwait(&feedback->wake, &feedback->mutex, &until);
    }
    pthread_mutex_unlock(&feedback->mutex);
    return NULL;
}

/* Takes ownership of both. False: out of memory, both are freed. The mutex is held, or there is no
 * writer. */
static bool keep(struct sp_feedback *feedback, json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15));
    size_t bytes = text ? strlen(text) : 0;
    char *line = text ? realloc(text, bytes + 2) : NULL;
    if (!line) {
        free(text);
        json_decref(value);
        return false;
    }
    memcpy(line + bytes, "\n", 2);
    struct record *record = &feedback->record[feedback->count++ % SP_FEEDBACK_MAX];
    json_decref(record->value);
    free(record->line);
    *record = (struct record){value, line};
    return true;
}

static int read_lines(struct sp_feedback *feedback, FILE *file, struct sp_error *err)
{
    char *line = NULL;
    size_t room = 0;
    int number = 0, result = SP_OK;
    while (result == SP_OK && getline(&line, &room, file) > 0) {
        number++;
        json_t *value = strlen(line) < LINE_BYTES_MAX ? json_loads(line, 0, NULL) : NULL;
        if (!sp_feedback_is_record(value)) {
            json_decref(value);
            result =
                sp_fail(err, SP_ERR_FORMAT,
                        "FEEDBACK_FILE=%s: line %d: not a feedback record; remove the line, or "
                        "choose another file",
                        feedback->path, number);
        } else if (!keep(feedback, value)) {
            result = sp_fail(err, SP_ERR_NO_MEMORY, "feedback: out of memory");
        }
    }
    free(line);
    return result;
}

static int read_file(struct sp_feedback *feedback, struct sp_error *err)
{
    FILE *file = feedback->path[0] ? fopen(feedback->path, "re") : NULL;
    if (!file) {
        if (feedback->path[0] == '\0' || errno == ENOENT)
            return SP_OK; /* created with the first record */
        return sp_fail(err, sp_error_from_errno(errno), "FEEDBACK_FILE=%s: %s", feedback->path,
                       strerror(errno));
    }
    int result = read_lines(feedback, file, err);
    (void)fclose(file);
    feedback->written = feedback->count;
    return result;
}

int sp_feedback_open(struct sp_feedback **out, const char *path, struct sp_error *err)
{
    struct sp_feedback *feedback = calloc(1, sizeof *feedback);
    if (!feedback)
        return sp_fail(err, SP_ERR_NO_MEMORY, "feedback: out of memory");
    snprintf(feedback->path, sizeof feedback->path, "%s", path);
    pthread_mutex_init(&feedback->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&feedback->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int result = read_file(feedback, err);
    if (result == SP_OK && path[0]) {
        result = sp_thread_start(&feedback->thread, "feedback", writer_main, feedback, err);
        feedback->started = result == SP_OK;
    }
    if (result < 0)
        sp_feedback_close(feedback);
    else
        *out = feedback;
    return result;
}

void sp_feedback_close(struct sp_feedback *feedback)
{
    if (!feedback)
        return;
    pthread_mutex_lock(&feedback->mutex);
    feedback->stopping = true;
    pthread_cond_signal(&feedback->wake);
    pthread_mutex_unlock(&feedback->mutex);
    if (feedback->started)
        pthread_join(feedback->thread, NULL);
    for (int i = 0; i < SP_FEEDBACK_MAX; i++) {
        json_decref(feedback->record[i].value);
        free(feedback->record[i].line);
    }
    pthread_cond_destroy(&feedback->wake);
    pthread_mutex_destroy(&feedback->mutex);
    free(feedback);
}

int sp_feedback_add(struct sp_feedback *feedback, json_t *value, struct sp_error *err)
{
    pthread_mutex_lock(&feedback->mutex);
    bool kept = keep(feedback, value);
    pthread_cond_signal(&feedback->wake);
    pthread_mutex_unlock(&feedback->mutex);
    return kept ? SP_OK : sp_fail(err, SP_ERR_NO_MEMORY, "feedback: out of memory");
}

int sp_feedback_count(const struct sp_feedback *feedback)
{
    return (int)(feedback->count - first_kept(feedback));
}

const json_t *sp_feedback_get(const struct sp_feedback *feedback, int index)
{
    return feedback->record[(feedback->count - 1 - (uint64_t)index) % SP_FEEDBACK_MAX].value;
}

int sp_feedback_error(struct sp_feedback *feedback, struct sp_error *error)
{
    pthread_mutex_lock(&feedback->mutex);
    *error = feedback->error;
    pthread_mutex_unlock(&feedback->mutex);
    return error->code;
}
