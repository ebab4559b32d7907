/* An opening that hangs is given up; its resources are released when it ends after all. */
#include "base/clock.h"
#include "capture/opening.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static atomic_bool hangs, notices, released;
static atomic_int opened, closed;
static const atomic_bool *adopted;
static int source;

static int open_slowly(void **out, const struct sp_source_options *options,
                       const atomic_bool *interrupted, struct sp_error *err)
{
    while (atomic_load(&hangs) && !atomic_load(&released))
        if (atomic_load(&notices) && atomic_load(interrupted))
            return sp_fail(err, SP_ERR_INTERRUPTED, "%s: noticed", options->url);
        else
            usleep(1000);
    if (strcmp(options->url, "bad") == 0)
        return sp_fail(err, SP_ERR_FORMAT, "bad: no video");
    atomic_fetch_add(&opened, 1);
    *out = &source;
    return SP_OK;
}

static void close_it(void *self)
{
    assert_ptr_equal(self, &source);
    atomic_fetch_add(&closed, 1);
}

static void adopt(void *self, const atomic_bool *interrupted)
{
    assert_ptr_equal(self, &source);
    adopted = interrupted;
}

static const struct sp_source_kind kind = {.open = open_slowly, .close = close_it, .adopt = adopt};

static void await(atomic_int *count, int wanted)
{
    int64_t until_us = sp_clock_us() + 30000000;
    while (atomic_load(count) < wanted && sp_clock_us() < until_us)
        usleep(1000);
    assert_int_equal(atomic_load(count), wanted);
}

static int reset(void **state)
{
    (void)state;
    atomic_store(&hangs, false);
    atomic_store(&notices, false);
    atomic_store(&released, false);
    atomic_store(&opened, 0);
    atomic_store(&closed, 0);
    adopted = NULL;
    return 0;
}

static void test_what_opens_is_handed_over(void **state)
{
    (void)state;
    atomic_bool flag = false;
    struct sp_error err = {0};
    void *self = NULL;
    struct sp_source_options options = {.url = "good", .open_timeout_us = 5000000};
    assert_int_equal(sp_opening_run(&self, &kind, &options, &flag, &err), SP_OK);
    assert_ptr_equal(self, &source);
    assert_ptr_equal(adopted, &flag);
    assert_int_equal(atomic_load(&closed), 0);
    options.url = "bad";
    assert_int_equal(sp_opening_run(&self, &kind, &options, &flag, &err), SP_ERR_FORMAT);
    assert_string_equal(err.text, "bad: no video");
}

static void test_a_hanging_one_is_given_up(void **state)
{
    (void)state;
    atomic_bool flag = false;
    struct sp_error err = {0};
    void *self = NULL;
    char url[] = "rtsp://user:secret@192.0.2.1/live";
    const struct sp_source_options options = {.url = url, .open_timeout_us = 100000};
    atomic_store(&hangs, true);
    int64_t begin_us = sp_clock_us();
    assert_int_equal(sp_opening_run(&self, &kind, &options, &flag, &err), SP_ERR_TIMEOUT);
    assert_true(sp_clock_us() - begin_us >= 100000);
    assert_non_null(strstr(err.text, "hangs"));
    assert_null(strstr(err.text, "secret"));
    memset(url, 0, sizeof url); /* it must not use the caller's memory */
    assert_int_equal(atomic_load(&closed), 0);
    atomic_store(&released, true);
    await(&closed, 1); /* it opened after all */
    assert_int_equal(atomic_load(&opened), 1);
    assert_null(adopted);
}

static void *interrupt(void *flag)
{
    usleep(50000);
    atomic_store((atomic_bool *)flag, true);
    return NULL;
}

static void test_an_interruption_does_not_wait(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        atomic_bool flag = false;
        struct sp_error err = {0};
        void *self = NULL;
        pthread_t thread;
        const struct sp_source_options options = {.url = "slow"}; /* without a limit */
        reset(NULL);
        atomic_store(&hangs, true);
        atomic_store(&notices, i == 0);
        assert_int_equal(pthread_create(&thread, NULL, interrupt, &flag), 0);
        assert_int_equal(sp_opening_run(&self, &kind, &options, &flag, &err), SP_ERR_INTERRUPTED);
        pthread_join(thread, NULL);
        if (i == 0)
            assert_string_equal(err.text, "slow: noticed"); /* it ended by itself */
    }
    atomic_store(&released, true);
    await(&closed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_what_opens_is_handed_over, reset),
        cmocka_unit_test_setup(test_a_hanging_one_is_given_up, reset),
        cmocka_unit_test_setup(test_an_interruption_does_not_wait, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
