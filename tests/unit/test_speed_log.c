/* The line is compared as a whole: the log's stderr goes into a file meanwhile. */
#include "base/log.h"
#include "pipeline/speed_log.h"

#include "unit.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char captured[8192];

static void capture_log(void (*work)(struct sp_speed_log *log), struct sp_speed_log *log)
{
    char path[] = "/tmp/spoton-speed-log-XXXXXX";
    int file = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    dup2(file, STDERR_FILENO);
    work(log);
    dup2(kept, STDERR_FILENO);
    ssize_t bytes = pread(file, captured, sizeof captured - 1, 0);
    captured[bytes > 0 ? bytes : 0] = '\0';
    close(kept);
    close(file);
    unlink(path);
}

static void finish(struct sp_speed_log *log, struct sp_batch_record *record, int64_t submitted_us)
{
    sp_batch_note_engine(record, submitted_us, submitted_us + 2500);
    sp_batch_note_tracking(record, 100, 200);
    sp_speed_log_done(log, record);
}

/* Two cameras, two frames of each in what the engine gets, every second frame skipped. */
static void two_batches(struct sp_speed_log *log)
{
    struct sp_batch_record *open = NULL;
    for (uint64_t sequence = 60; sequence < 68; sequence++) {
        for (int camera = 0; camera < 2; camera++) {
            bool inferred = sequence % 2 == 0;
            struct sp_batch_record *record =
                sp_speed_log_add(log, &open, camera, sequence, inferred, 1000);
            assert_non_null(record);
            if (inferred)
                finish(log, record, 1000);
            else
                sp_speed_log_done(log, record);
        }
        if (sequence % 4 == 3) /* it goes to the engine */
            sp_speed_log_flush(log, &open);
    }
    assert_null(open);
}

static void test_a_line_a_batch_in_the_given_form(void **state)
{
    (void)state;
    struct sp_speed_log *log = calloc(1, sizeof *log);
    regex_t form;
    sp_log_set_level(SP_LOG_DEBUG);
    sp_speed_log_init(log, "campus");
    capture_log(two_batches, log);

    assert_int_equal(
        regcomp(&form,
                "^[-0-9]{10} [:0-9]{8},[0-9]{3} - \\[SPEED_DEBUG\\] MEGA-BATCH Env=campus "
                "Frames=60-63 \\| Total=[0-9]+\\.[0-9]ms \\| Read=8\\.0ms BatchDet=2\\.5ms "
                "Track=0\\.4ms SpaceMatch=0\\.0ms Enc=0\\.8ms WsSend=0\\.0ms \\| Cams=2 "
                "BatchSize=4 FPS=[0-9]+\\.[0-9] \\(Eff: [0-9]+\\.[0-9]\\)$",
                REG_EXTENDED | REG_NEWLINE | REG_NOSUB),
        0);
    assert_int_equal(regexec(&form, captured, 0, NULL, 0), 0);
    regfree(&form);
    assert_non_null(strstr(captured, "Frames=64-67"));
    int lines = 0;
    for (const char *at = captured; *at; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 2);

    double fps, effective;
    const char *rates = strstr(captured, "FPS=");
    assert_int_equal(sscanf(rates, "FPS=%lf (Eff: %lf)", &fps, &effective), 2);
    assert_true(effective > 1.9 * fps && effective < 2.1 * fps); /* counted: twice as many */
    sp_speed_log_release(log);
    free(log);
}

static void silent_batch(struct sp_speed_log *log)
{
    struct sp_batch_record *open = NULL;
    assert_null(sp_speed_log_add(log, &open, 0, 0, true, 1000));
    assert_null(open);
    finish(log, NULL, 0);
}

static void test_nothing_above_debug(void **state)
{
    (void)state;
    struct sp_speed_log *log = calloc(1, sizeof *log);
    sp_log_set_level(SP_LOG_INFO);
    sp_speed_log_init(log, "campus");
    capture_log(silent_batch, log);
    assert_string_equal(captured, "");
    sp_speed_log_release(log);
    free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_a_batch_in_the_given_form),
        cmocka_unit_test(test_nothing_above_debug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
