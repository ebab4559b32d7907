#include "base/log.h"
#include "base/progress.h"
#include "base/thread.h"

#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void test_lines(void **state)
{
    (void)state;
    static const struct {
        struct sp_progress_state state;
        int columns;
        const char *line;
    } cases[] = {
        {{400, 800, 40, 10000000, false},
         80,
         " 50% [===============>               ]  400/800 frames  40.0 frames/s  0:10 left"},
        {{400, 800, 40, 10000000, false},
         60,
         " 50% [=====>     ]  400/800 frames  40.0 frames/s  0:10 left"},
        {{400, 800, 40, 10000000, false}, 39, " 50% [======>      ]  40.0/s  0:10 left"},
        {{400, 800, 40, 10000000, false}, 24, " 50%  40.0/s  0:10 left"},
        {{400, 800, 40, 10000000, false}, 12, " 50%  40.0/s"},
        {{400, 800, 40, 10000000, false}, 5, " 50%"},
        {{400, 800, 40, 10000000, false}, 0, ""},
        {{400, 800, 40, 10000000, false}, -1, ""},
        {{0, 800, 0, 0, false}, 39, "  0% [>              ]  -/s  --:-- left"},
        {{799, 800, 400, 0, false}, 39, " 99% [=============>]  400/s  0:00 left"},
        {{800, 800, 40, 20000000, true}, 39, "100% [===========]  40.0/s  0:20 in all"},
        {{400, 0, 40, 10000000, false}, 79, "400 frames  40.0 frames/s  0:10 so far"},
        {{400, 0, 40, 3723000000, false}, 30, "400  40.0/s  1:02:03 so far"},
        {{400, 399, 40, 10000000, false}, 10, "40.0/s"}, /* the announced total was wrong */
        {{400, 0, 40, 10000000, false}, 3, "400"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[256];
        size_t n = sp_progress_render(&cases[i].state, cases[i].columns, line, sizeof line);
        assert_string_equal(line, cases[i].line);
        assert_int_equal(n, strlen(line));
    }
}

static void test_no_line_is_wider_than_asked(void **state)
{
    (void)state;
    static const uint64_t counts[] = {0, 1, 795, 123456789, UINT64_MAX};
    static const double rates[] = {0, 0.01, 99.97, 1e9, 1e300};
    for (int columns = 0; columns < 200; columns++)
        for (size_t d = 0; d < 5; d++)
            for (size_t t = 0; t < 5; t++)
                for (size_t r = 0; r < 5; r++) {
                    struct sp_progress_state s = {counts[d], counts[t], rates[r], 3600000000,
                                                  r & 1};
                    char line[201], plain[256];
                    size_t n = sp_progress_render(&s, columns, line, sizeof line);
                    assert_true(n <= (size_t)columns);
                    assert_null(strpbrk(line, "\r\n\x1b"));
                    assert_true(sp_progress_render_plain(&s, plain, sizeof plain) < 200 || r == 4);
                }
}

static void test_plain_lines(void **state)
{
    (void)state;
    char line[128];
    struct sp_progress_state s = {400, 800, 40, 10000000, false};
    sp_progress_render_plain(&s, line, sizeof line);
    assert_string_equal(line, "400 of 800 frames (50%), 40.0 frames/s, 0:10 left");
    s.frames_total = 0;
    sp_progress_render_plain(&s, line, sizeof line);
    assert_string_equal(line, "400 frames, 40.0 frames/s, 0:10 so far");
    s.finished = true;
    sp_progress_render_plain(&s, line, sizeof line);
    assert_string_equal(line, "400 frames, 40.0 frames/s, 0:10 in all");
}

/* A terminal of one's own, and the little of its language that the display uses. */
enum { ROWS = 64, COLUMNS_MAX = 256 };

struct screen {
    int master, slave, keep;
    int columns, row, column;
    char cell[ROWS][COLUMNS_MAX + 1];
    int redraws;
};

static void resize(struct screen *screen, int columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal(ioctl(screen->slave, TIOCSWINSZ, &size), 0);
    screen->columns = columns;
}

/* stderr becomes the terminal, as the log writes there too. */
static void open_screen(struct screen *screen, int columns)
{
    memset(screen, 0, sizeof *screen);
    screen->master = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(screen->master >= 0 && grantpt(screen->master) == 0);
    assert_int_equal(unlockpt(screen->master), 0);
    screen->slave = open(ptsname(screen->master), O_RDWR | O_NOCTTY);
    assert_true(screen->slave >= 0);
    resize(screen, columns);
    screen->keep = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(screen->slave, STDERR_FILENO);
    setenv("TERM", "xterm", 1);
}

static void show_character(struct screen *screen, char c)
{
    if (c == '\r') {
        screen->column = 0;
    } else if (c == '\n') {
        screen->row++;
    } else {
        if (screen->column == screen->columns) { /* the line breaks */
            screen->row++;
            screen->column = 0;
        }
        screen->cell[screen->row][screen->column++] = c;
    }
    assert_true(screen->row < ROWS);
}

static void drain(struct screen *screen)
{
    char bytes[4096];
    struct pollfd ready = {screen->master, POLLIN, 0};
    while (poll(&ready, 1, 50) == 1 && (ready.revents & POLLIN)) {
        ssize_t n = read(screen->master, bytes, sizeof bytes);
        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++) {
            if (bytes[i] == '\x1b') { /* "\x1b[J": clear to the end of the screen */
                assert_true(i + 2 < n && bytes[i + 1] == '[' && bytes[i + 2] == 'J');
                memset(screen->cell[screen->row] + screen->column, 0,
                       (size_t)(COLUMNS_MAX - screen->column));
                for (int row = screen->row + 1; row < ROWS; row++)
                    memset(screen->cell[row], 0, COLUMNS_MAX);
                screen->redraws++;
                i += 2;
            } else {
                show_character(screen, bytes[i]);
            }
        }
    }
}

static void close_screen(struct screen *screen)
{
    dup2(screen->keep, STDERR_FILENO);
    close(screen->keep);
    close(screen->slave);
    close(screen->master);
}

static void wait_ms(int ms)
{
    poll(NULL, 0, ms);
}

static void test_a_terminal_of_40_columns(void **state)
{
    (void)state;
    struct sp_error err = {0};
    static struct screen screen;
    struct sp_progress *progress, *second;
    open_screen(&screen, 40);
    assert_int_equal(sp_progress_open(&progress, STDERR_FILENO, &err), SP_OK);
    assert_int_equal(sp_progress_open(&second, STDERR_FILENO, &err), SP_ERR_INVALID);
    wait_ms(110);
    for (uint64_t i = 1; i <= 1000; i++) /* many calls, one drawing */
        sp_progress_update(progress, i, 2000);
    drain(&screen);
    assert_int_equal(screen.redraws, 1);
    assert_int_equal(screen.row, 0);
    assert_int_equal(screen.column, 0);
    assert_memory_equal(screen.cell[0], "  0% [", 6);

    sp_log(SP_LOG_WARNING, "one thing");
    drain(&screen);
    assert_non_null(strstr(screen.cell[0], "[WARNING] one "));
    assert_int_equal(strlen(screen.cell[0]), 40); /* nothing of the bar behind it */
    assert_string_equal(screen.cell[1], "thing");

    sp_progress_update(progress, 1001, 2000); /* too early after a line of the log */
    drain(&screen);
    assert_string_equal(screen.cell[2], "");
    wait_ms(110);
    sp_progress_update(progress, 1500, 2000);
    drain(&screen);
    assert_memory_equal(screen.cell[2], " 75% [=", 7);
    assert_true(strlen(screen.cell[2]) <= 39);

    resize(&screen, 20);
    wait_ms(110);
    sp_progress_update(progress, 1600, 2000);
    drain(&screen);
    assert_memory_equal(screen.cell[2], " 80%  ", 6);
    assert_true(strlen(screen.cell[2]) <= 19);
    assert_string_equal(screen.cell[3], "");

    resize(&screen, 100);
    sp_progress_update(progress, 2000, 2000);
    sp_progress_close(progress);
    sp_log(SP_LOG_WARNING, "the end");
    drain(&screen);
    close_screen(&screen);
    assert_memory_equal(screen.cell[2], "100% [====", 10);
    assert_non_null(strstr(screen.cell[2], "2000/2000 frames"));
    assert_non_null(strstr(screen.cell[2], " in all"));
    assert_non_null(strstr(screen.cell[3], "[WARNING] the end"));
}

static void test_a_dumb_terminal_gets_plain_lines(void **state)
{
    (void)state;
    static struct screen screen;
    struct sp_progress *progress;
    open_screen(&screen, 80);
    setenv("TERM", "dumb", 1);
    assert_int_equal(sp_progress_open(&progress, STDERR_FILENO, NULL), SP_OK);
    sp_progress_update(progress, 3, 10);
    sp_progress_close(progress);
    drain(&screen);
    close_screen(&screen);
    assert_int_equal(screen.redraws, 0);
    assert_memory_equal(screen.cell[0], "3 of 10 frames (30%), ", 22);
    assert_string_equal(screen.cell[1], "");
}

struct worker {
    struct sp_progress *progress;
    _Atomic uint64_t *done;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    for (int i = 0; i < 3000; i++) {
        sp_progress_update(worker->progress, atomic_fetch_add(worker->done, 1) + 1, 12000);
        if (i % 500 == 0) {
            sp_log(SP_LOG_WARNING, "step %d", i);
            wait_ms(20);
        }
    }
    return NULL;
}

/* From four threads with a log between; the highest count stays. */
static void test_many_threads(void **state)
{
    (void)state;
    static struct screen screen;
    static _Atomic uint64_t done;
    struct sp_progress *progress;
    pthread_t threads[4];
    open_screen(&screen, 80);
    assert_int_equal(sp_progress_open(&progress, STDERR_FILENO, NULL), SP_OK);
    struct worker worker = {progress, &done};
    for (int i = 0; i < 4; i++)
        assert_int_equal(sp_thread_start(&threads[i], "work", work, &worker, NULL), SP_OK);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    sp_progress_close(progress);
    sp_progress_close(NULL);
    drain(&screen);
    close_screen(&screen);
    int steps = 0;
    for (int row = 0; row < ROWS; row++)
        if (strstr(screen.cell[row], "[WARNING] step ")) {
            assert_true(screen.cell[row][0] == '2'); /* the line begins with its date */
            steps++;
        }
    assert_int_equal(steps, 24);
    assert_memory_equal(screen.cell[24], "100% [", 6);
    assert_non_null(strstr(screen.cell[24], "12000/12000 frames"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_no_line_is_wider_than_asked),
        cmocka_unit_test(test_plain_lines),
        cmocka_unit_test(test_a_terminal_of_40_columns),
        cmocka_unit_test(test_a_dumb_terminal_gets_plain_lines),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
