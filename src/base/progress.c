#include "base/progress.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    DRAW_EVERY_US = 100000,
    PLAIN_EVERY_US = 5000000,
    LINE_BYTES = 512,
    BAR_MIN = 10,
    BAR_MAX = 40,
};

struct sp_progress {
    int fd;
    bool terminal;
    _Atomic int64_t next_us; /* read without the lock: nothing to do before it */
    _Atomic uint64_t frames_done, frames_total;

    /* under the lock */
    bool drawn; /* a line is on the terminal, the cursor at its start */
    int64_t opened_us, rate_us;
    uint64_t rate_frames; /* done at rate_us */
    struct sp_progress_state state;
};

/* One progress at a time, so that the log's hook, which takes no argument, finds it; a log line may
 * come while it closes, hence a lock that outlives it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sp_progress *current;

static bool total_known(const struct sp_progress_state *state)
{
    return state->frames_total > 0 && state->frames_total >= state->frames_done;
}

/* "0:07", "12:34", "1:02:03" */
static void format_time(double seconds, char out[32])
{
    if (!(seconds < 360000)) {
        snprintf(out, 32, "--:--");
        return;
    }
    int s = (int)(seconds + 0.5);
    if (s >= 3600)
        snprintf(out, 32, "%d:%02d:%02d", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%d:%02d", s / 60, s % 60);
}

static void format_rate(double rate, char out[32])
{
    if (rate <= 0 || !isfinite(rate))
        snprintf(out, 32, "-");
    else
        snprintf(out, 32, rate < 99.95 ? "%.1f" : "%.0f", rate);
}

static int percent_of(const struct sp_progress_state *state)
{
    /* rounded down: 100 only when all is done */
    return (int)((double)state->frames_done * 100.0 / (double)state->frames_total);
}

struct parts {
    char count[64], rate[32], time[32];
    const char *meaning; /* of the time */
};

static void make_parts(const struct sp_progress_state *state, struct parts *parts)
{
    unsigned long long done = state->frames_done, total = state->frames_total;
    format_rate(state->frames_per_s, parts->rate);
    bool known = total_known(state);
    snprintf(parts->count, sizeof parts->count, known ? "%llu/%llu" : "%llu", done, total);
    parts->meaning = state->finished ? "in all" : known ? "left" : "so far";
    if (state->finished || !known)
        format_time((double)state->elapsed_us / 1e6, parts->time);
    else if (state->frames_per_s > 0)
        format_time((double)(total - done) / state->frames_per_s, parts->time);
    else
        snprintf(parts->time, sizeof parts->time, "--:--");
}

/* The text right of the bar: all items at `level` 0, fewer at each further level. */
static void render_right(const struct parts *parts, int level, char out[LINE_BYTES])
{
    const char *meaning = parts->meaning;
    switch (level) {
    case 0:
        snprintf(out, LINE_BYTES, "%s frames  %s frames/s  %s %s", parts->count, parts->rate,
                 parts->time, meaning);
        return;
    case 1:
        snprintf(out, LINE_BYTES, "%s  %s/s  %s %s", parts->count, parts->rate, parts->time,
                 meaning);
        return;
    case 2:
        snprintf(out, LINE_BYTES, "%s/s  %s %s", parts->rate, parts->time, meaning);
        return;
    case 3:
        snprintf(out, LINE_BYTES, "%s/s", parts->rate);
        return;
    default:
        out[0] = '\0';
        return;
    }
}

static void render_bar(double share, int width, char out[BAR_MAX + 3])
{
    int full = (int)(share * width);
    out[0] = '[';
    for (int i = 0; i < width; i++)
        out[1 + i] = i < full ? '=' : i == full ? '>' : ' ';
    out[1 + width] = ']';
    out[2 + width] = '\0';
}

size_t sp_progress_render(const struct sp_progress_state *state, int columns, char *out,
                          size_t out_bytes)
{
    struct parts parts;
    char line[LINE_BYTES * 2], right[LINE_BYTES];
    bool known = total_known(state);
    make_parts(state, &parts);
    line[0] = '\0';
    for (int level = 0; level <= 4; level++) {
        render_right(&parts, level, right);
        int used = (int)strlen(right);
        if (!known) {
            snprintf(line, sizeof line, "%s", level < 4 ? right : parts.count);
        } else {
            char bar[BAR_MAX + 3] = "";
            int width = columns - used - 9; /* "100% [" "]  " */
            if (width > BAR_MAX)
                width = BAR_MAX;
            /* The bar takes precedence over labels, but not over rate and remaining time. */
            if (width < BAR_MIN && level < 2)
                continue;
            if (width >= BAR_MIN)
                render_bar((double)state->frames_done / (double)state->frames_total, width, bar);
            snprintf(line, sizeof line, "%3d%%%s%s%s%s", percent_of(state), *bar ? " " : "", bar,
                     used ? "  " : "", right);
        }
        if ((int)strlen(line) <= columns)
            break;
    }
    if (columns < 0)
        columns = 0;
    snprintf(out, out_bytes, "%.*s", columns, line);
    return strlen(out);
}

size_t sp_progress_render_plain(const struct sp_progress_state *state, char *out, size_t out_bytes)
{
    struct parts parts;
    make_parts(state, &parts);
    if (total_known(state))
        snprintf(out, out_bytes, "%llu of %llu frames (%d%%), %s frames/s, %s %s",
                 (unsigned long long)state->frames_done, (unsigned long long)state->frames_total,
                 percent_of(state), parts.rate, parts.time, parts.meaning);
    else
        snprintf(out, out_bytes, "%s frames, %s frames/s, %s %s", parts.count, parts.rate,
                 parts.time, parts.meaning);
    return strlen(out);
}

static void put(int fd, const char *text, size_t bytes)
{
    ssize_t written = write(fd, text, bytes);
    (void)written; /* a closed terminal does not stop the run */
}

static int columns_of(int fd)
{
    struct winsize size = {0};
    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

/* The cursor stays at the line's start. So when the terminal becomes narrower and breaks the line,
 * clearing from the cursor to the end of the screen still clears all of it. */
static const char clear[] = "\r\x1b[J";

static void draw(struct sp_progress *progress, bool last)
{
    char text[LINE_BYTES + 32], line[LINE_BYTES];
    int columns = columns_of(progress->fd) - 1; /* the last column would break the line */
    if (columns > LINE_BYTES - 1)
        columns = LINE_BYTES - 1;
    sp_progress_render(&progress->state, columns, line, sizeof line);
    int n = snprintf(text, sizeof text, "%s%s%s", clear, line, last ? "\n" : "\r");
    put(progress->fd, text, (size_t)n);
    progress->drawn = !last;
}

static void print_plain(const struct sp_progress *progress)
{
    char line[LINE_BYTES];
    size_t n = sp_progress_render_plain(&progress->state, line, sizeof line - 1);
    line[n++] = '\n';
    put(progress->fd, line, n);
}

/* Called by sp_log before it writes a line. The next drawing waits its full time, so that it does
 * not fall between the clearing and the line. */
static void before_log_line(void)
{
    pthread_mutex_lock(&lock);
    if (current && current->drawn) {
        put(current->fd, clear, sizeof clear - 1);
        current->drawn = false;
        atomic_store(&current->next_us, sp_clock_us() + DRAW_EVERY_US);
    }
    pthread_mutex_unlock(&lock);
}

int sp_progress_open(struct sp_progress **out, int fd, struct sp_error *err)
{
    struct sp_progress *progress = calloc(1, sizeof *progress);
    if (!progress)
        return sp_fail(err, SP_ERR_NO_MEMORY, "no memory for the progress display");
    const char *term = getenv("TERM");
    progress->fd = fd;
    progress->terminal = isatty(fd) && term && *term && strcmp(term, "dumb") != 0;
    progress->opened_us = progress->rate_us = sp_clock_us();
    atomic_store(&progress->next_us,
                 progress->opened_us + (progress->terminal ? DRAW_EVERY_US : PLAIN_EVERY_US));
    pthread_mutex_lock(&lock);
    bool busy = current != NULL;
    if (!busy)
        current = progress;
    pthread_mutex_unlock(&lock);
    if (busy) {
        free(progress);
        return sp_fail(err, SP_ERR_INVALID, "a progress display is open already");
    }
    if (progress->terminal)
        sp_log_set_before_line(before_log_line);
    *out = progress;
    return SP_OK;
}

/* Smoothed over some 3 seconds, so that the time left neither jumps nor lags. */
static void measure(struct sp_progress *progress, int64_t now_us)
{
    struct sp_progress_state *state = &progress->state;
    double dt_s = (double)(now_us - progress->rate_us) / 1e6;
    state->elapsed_us = now_us - progress->opened_us;
    state->frames_done = atomic_load(&progress->frames_done);
    state->frames_total = atomic_load(&progress->frames_total);
    if (dt_s <= 0)
        return;
    double rate = (double)(state->frames_done - progress->rate_frames) / dt_s;
    /* at first the mean since the start */
    double weight = fmax(1 - exp(-dt_s / 3), dt_s * 1e6 / (double)state->elapsed_us);
    state->frames_per_s += weight * (rate - state->frames_per_s);
    progress->rate_us = now_us;
    progress->rate_frames = state->frames_done;
}

void sp_progress_update(struct sp_progress *progress, uint64_t frames_done, uint64_t frames_total)
{
    int64_t now_us = sp_clock_us();
    uint64_t before = atomic_load(&progress->frames_done);
    while (frames_done > before && /* a late thread does not count back */
           !atomic_compare_exchange_weak(&progress->frames_done, &before, frames_done)) {
    }
    atomic_store(&progress->frames_total, frames_total);
    if (now_us < atomic_load_explicit(&progress->next_us, memory_order_relaxed))
        return;
    pthread_mutex_lock(&lock);
    if (now_us >= atomic_load(&progress->next_us)) {
        measure(progress, now_us);
        if (progress->terminal)
            draw(progress, false);
        else
            print_plain(progress);
        atomic_store(&progress->next_us,
                     now_us + (progress->terminal ? DRAW_EVERY_US : PLAIN_EVERY_US));
    }
    pthread_mutex_unlock(&lock);
}

void sp_progress_close(struct sp_progress *progress)
{
    if (!progress)
        return;
    sp_log_set_before_line(NULL);
    pthread_mutex_lock(&lock);
    struct sp_progress_state *state = &progress->state;
    measure(progress, sp_clock_us());
    state->finished = true;
    state->frames_per_s =
        state->elapsed_us > 0 ? (double)state->frames_done * 1e6 / (double)state->elapsed_us : 0;
    if (progress->terminal)
        draw(progress, true);
    else
        print_plain(progress);
    current = NULL;
    pthread_mutex_unlock(&lock);
    free(progress);
}
