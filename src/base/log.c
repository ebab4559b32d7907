#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int level_now = SP_LOG_INFO;
static void (*_Atomic before_line)(void);

void sp_log_set_level(enum sp_log_level level)
{
    atomic_store(&level_now, (int)level);
}

bool sp_log_enabled(enum sp_log_level level)
{
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

void sp_log_set_before_line(void (*hook)(void))
{
    atomic_store(&before_line, hook);
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
    write_line(names[level], format, args);
    va_end(args);
}

void sp_log_tagged(enum sp_log_level level, const char *tag, const char *format, ...)
{
    if (!sp_log_enabled(level))
        return;
    va_list args;
    va_start(args, format);
    write_line(tag, format, args);
    va_end(args);
}
