/* A bad camera beside a good one: the good one's rate and latency stay what they are alone. */
#include "live.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

enum { FPS = 25, SECONDS = 4, TRIES = 5 };

struct measured {
    uint64_t frames, stale;
    double p50_ms, p95_ms;
};

static const char good_url[] = "sim://walk?fps=25";
/* Starts within the time, ends within it, and goes on and on. */
static const char *const bad_urls[] = {
    "sim://walk?fps=25&stall=0.5:2:3&seed=1",
    "sim://walk?fps=25&garbage=0:1000000&seed=2",
    "sim://walk?fps=25&flap=0.6&seed=3",
};

static struct measured measure(bool beside_bad_ones)
{
    /* An engine with room for all: what good cameras share of it is no matter of isolation. */
    struct live *live = live_prepare("delay_us=10000");
    live->settings.streams = 4;
    live_start(live, false);
    int good = live_add(live, "good", good_url);
    for (int i = 0; beside_bad_ones && i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "bad%d", i);
        live_add(live, name, bad_urls[i]);
    }
    live_await(&live->camera[good].results, 5);
    usleep(SECONDS * 1000000);
    struct sp_camera_report report = live_report(live, good);
    struct measured m = {.frames = report.ledger.settled[SP_OUTCOME_INFERRED],
                         .stale = report.ledger.settled[SP_OUTCOME_STALE],
                         .p50_ms = report.latency_p50_us / 1000,
                         .p95_ms = report.latency_p95_us / 1000};
    if (beside_bad_ones) { /* and the bad ones are what they are meant to be */
        struct sp_camera_report garbage = live_report(live, good + 2);
        assert_true(garbage.ledger.settled[SP_OUTCOME_FAILED] > FPS);
        assert_true(live_report(live, good + 3).reconnects > 0);
    }
    assert_int_equal(report.state, SP_CAMERA_LIVE);
    assert_int_equal(report.reconnects, 0);
    assert_int_equal(live->camera[good].highest_id, 3);
    live_close(live);
    return m;
}

/* Other programs on the machine can only make a round worse: one clean round shows it. */
static void test_good_camera_does_not_notice(void **state)
{
    (void)state;
    bool kept = false;
    for (int i = 0; i < TRIES && !kept; i++) {
        struct measured alone = measure(false), beside = measure(true);
        print_message("alone: %llu frames, %llu stale, p50 %.2f ms, p95 %.2f ms; beside three bad "
                      "ones: %llu frames, %llu stale, p50 %.2f ms, p95 %.2f ms\n",
                      (unsigned long long)alone.frames, (unsigned long long)alone.stale,
                      alone.p50_ms, alone.p95_ms, (unsigned long long)beside.frames,
                      (unsigned long long)beside.stale, beside.p50_ms, beside.p95_ms);
        bool enough = beside.frames >= FPS * SECONDS * 95 / 100;
        kept = SANITIZED || (enough && beside.p95_ms < alone.p95_ms * 1.1);
    }
    assert_true(kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_good_camera_does_not_notice)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
