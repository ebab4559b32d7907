#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int level_now = SP_LOG_INFO;
static void (*_Atomic before_line)(void);
static _Thread_local struct sp_log_sink *thread_sink;

struct sp_log_sink {
    atomic_int refs;
    enum sp_log_level level;
    pthread_mutex_t mutex; /* recursive: `line` may call what logs; guards `line` */
    void (*line)(void *user, int level, const char *text);
    void *user;
};

/* ---- sinks ---- */

int sp_log_sink_open(struct sp_log_sink **out, enum sp_log_level level,
                     void (*line)(void *user, int level, const char *text), void *user,
                     struct sp_error *err)
{
    struct sp_log_sink *sink = calloc(1, sizeof *sink);
    if (!sink)
        return sp_fail(err, SP_ERR_NO_MEMORY, "log: out of memory");
    pthread_mutexattr_t recursive;
    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&sink->mutex, &recursive);
    pthread_mutexattr_destroy(&recursive);
    atomic_init(&sink->refs, 1);
    sink->level = level;
    sink->line = line;
    sink->user = user;
    *out = sink;
    return SP_OK;
}

struct sp_log_sink *sp_log_sink_ref(struct sp_log_sink *sink)
{
    if (sink)
        atomic_fetch_add_explicit(&sink->refs, 1, memory_order_relaxed);
    return sink;
}

void sp_log_sink_unref(struct sp_log_sink *sink)
{
    if (!sink || atomic_fetch_sub_explicit(&sink->refs, 1, memory_order_acq_rel) != 1)
        return;
    pthread_mutex_destroy(&sink->mutex);
    free(sink);
}

void sp_log_sink_close(struct sp_log_sink *sink)
{
    if (!sink)
        return;
    pthread_mutex_lock(&sink->mutex);
    sink->line = NULL;
    pthread_mutex_unlock(&sink->mutex);
    sp_log_sink_unref(sink);
}

struct sp_log_sink *sp_log_use(struct sp_log_sink *sink)
{
    struct sp_log_sink *previous = thread_sink;
    thread_sink = sink;
    return previous;
}

struct sp_log_sink *sp_log_used(void)
{
    return thread_sink;
}

/* ---- lines ---- */

void sp_log_set_level(enum sp_log_level level)
{
    atomic_store(&level_now, (int)level);
}

bool sp_log_enabled(enum sp_log_level level)
{
    if (thread_sink)
        return level <= thread_sink->level;
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

void sp_log_set_before_line(void (*hook)(void))
{
    atomic_store(&before_line, hook);
}

static void call_sink(enum sp_log_level level, const char *tag, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));

static void call_sink(enum sp_log_level level, const char *tag, const char *format, va_list args)
{
    char text[1400];
    int used = tag ? snprintf(text, sizeof text, "[%s] ", tag) : 0;
    vsnprintf(text + used, sizeof text - (size_t)used, format, args);
    struct sp_log_sink *sink = thread_sink;
    pthread_mutex_lock(&sink->mutex);
    if (sink->line)
        sink->line(sink->user, level, text);
    pthread_mutex_unlock(&sink->mutex);
}

static void write_line(const char *tag, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void write_line(const char *tag, const char *format, va_list args)
{
    char line[1400];
    struct timespec now;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    size_t used = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S", &local);
    used += (size_t)snprintf(line + used, sizeof line - used, ",%03ld - [%s] ",
                             now.tv_nsec / 1000000, tag);
    int text = vsnprintf(line + used, sizeof line - used - 1, format, args);
    if (text < 0)
        return;
    used += (size_t)text;
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    line[used++] = '\n';

    void (*hook)(void) = atomic_load(&before_line);
    if (hook)
        hook();
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written; /* a failure to write to stderr cannot be reported */
}

void sp_log(enum sp_log_level level, const char *format, ...)
{
    static const char *const names[] = {"ERROR", "WARNING", "INFO", "DEBUG"};
    if (!sp_log_enabled(level))
        return;
    va_list args;
    va_start(args, format);
    if (thread_sink)
        call_sink(level, NULL, format, args);
    else
        write_line(names[level], format, args);
    va_end(args);
}

void sp_log_tagged(enum sp_log_level level, const char *tag, const char *format, ...)
{
    if (!sp_log_enabled(level))
        return;
    va_list args;
    va_start(args, format);
    if (thread_sink)
        call_sink(level, tag, format, args);
    else
        write_line(tag, format, args);
    va_end(args);
}
