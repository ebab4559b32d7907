/* The network's thread: whether it goes round. */
#include "base/clock.h"
#include "publish/server.h"

#include "unit.h"

#include <stdatomic.h>
#include <unistd.h>

static atomic_bool blocks;

static void tick(void *user)
{
    (void)user;
    while (atomic_load(&blocks))
        usleep(1000);
}

/* Until the silence is between these; false: not in twenty seconds. */
static bool await_silence(struct sp_server *server, int64_t from_us, int64_t to_us)
{
    int64_t deadline_us = sp_clock_us() + 20000000, us;
    while (us = sp_server_silence_us(server), us < from_us || us > to_us) {
        if (sp_clock_us() > deadline_us)
            return false;
        usleep(1000);
    }
    return true;
}

/* So that a watchdog finds it. */
static void test_a_thread_that_hangs_is_seen(void **state)
{
    (void)state;
    struct sp_error err = {0};
    struct sp_server *server = NULL;
    struct sp_server_options options = {.site = {.tick = tick}, .host = "127.0.0.1"};
    assert_int_equal(sp_server_open(&server, &options, &err), SP_OK);
    assert_int_equal(sp_server_start(server, &err), SP_OK);
    assert_true(await_silence(server, 500000, INT64_MAX));
    assert_true(await_silence(server, 0, 500000)); /* a second later */
    atomic_store(&blocks, true);
    assert_true(await_silence(server, 2500000, INT64_MAX)); /* two rounds are missing */
    atomic_store(&blocks, false);
    assert_true(await_silence(server, 0, 500000));
    sp_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_thread_that_hangs_is_seen)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
