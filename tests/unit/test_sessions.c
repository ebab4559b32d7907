/* Sessions, and the brake on guessing. */
#include "api/sessions.h"
#include "base/log.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static const int64_t S = 1000000;
static struct sp_sessions sessions;

static int clear(void **state)
{
    (void)state;
    memset(&sessions, 0, sizeof sessions);
    sp_log_set_level(SP_LOG_ERROR);
    return 0;
}

static void begin(int64_t now_us, char id[SP_SESSION_ID_BYTES])
{
    struct sp_error err = {0};
    assert_int_equal(sp_sessions_begin(&sessions, now_us, id, &err), SP_OK);
}

static bool has(int64_t now_us, const char *id)
{
    return sp_sessions_has(&sessions, now_us, id, strlen(id));
}

static void test_each_login_is_a_session(void **state)
{
    (void)state;
    char a[SP_SESSION_ID_BYTES], b[SP_SESSION_ID_BYTES];
    begin(S, a);
    begin(S, b);
    assert_string_not_equal(a, b);
    assert_int_equal(strspn(a, "0123456789abcdef"), 64);
    assert_true(has(2 * S, a) && has(2 * S, b));
    sp_sessions_end(&sessions, a, strlen(a));
    assert_true(!has(2 * S, a) && has(2 * S, b));
    sp_sessions_end_all(&sessions);
    assert_false(has(2 * S, b));
}

static void test_what_is_no_session(void **state)
{
    (void)state;
    char a[SP_SESSION_ID_BYTES], longer[80];
    assert_false(has(S, ""));
    begin(S, a);
    assert_false(has(S, ""));
    assert_false(has(S, "0"));
    assert_false(sp_sessions_has(&sessions, S, a, 63));
    snprintf(longer, sizeof longer, "%s0", a);
    assert_false(has(S, longer));
    a[63] = a[63] == '0' ? '1' : '0';
    assert_false(has(S, a));
    sp_sessions_end(&sessions, "", 0); /* ends none of the free places, and no other */
    a[63] = '\0';
    sp_sessions_end(&sessions, a, 63);
    assert_int_not_equal(sessions.session[0].ends_us, 0);
}

static void test_a_session_ends_after_thirty_days(void **state)
{
    (void)state;
    char a[SP_SESSION_ID_BYTES];
    begin(S, a);
    assert_true(has(S + INT64_C(2591999) * S, a));
    assert_false(has(S + INT64_C(2592000) * S, a));
}

static void test_the_oldest_makes_room(void **state)
{
    (void)state;
    char id[66][SP_SESSION_ID_BYTES];
    for (int i = 0; i < 66; i++)
        begin((i + 1) * S, id[i]);
    assert_true(!has(100 * S, id[0]) && !has(100 * S, id[1]));
    for (int i = 2; i < 66; i++)
        assert_true(has(100 * S, id[i]));
}

static int wrong_until_refused(int64_t now_us, const char *address)
{
    int wait_s, count = 0;
    while (count < 100 && sp_sessions_may_try(&sessions, now_us, address, &wait_s)) {
        sp_sessions_wrong(&sessions, now_us, address, true);
        count++;
    }
    return count;
}

static void test_ten_wrong_logins_a_minute(void **state)
{
    (void)state;
    int wait_s;
    assert_int_equal(wrong_until_refused(S, "192.0.2.1"), 10);
    assert_false(sp_sessions_may_try(&sessions, S, "192.0.2.1", &wait_s));
    assert_in_range(wait_s, 6, 7);
    assert_int_equal(wrong_until_refused(7 * S + 1, "192.0.2.1"), 1);
    assert_int_equal(wrong_until_refused(37 * S + 2, "192.0.2.1"), 5);
    assert_int_equal(wrong_until_refused(3600 * S, "192.0.2.1"), 10);
}

static void test_right_logins_are_not_counted(void **state)
{
    (void)state;
    int wait_s;
    for (int i = 0; i < 1000; i++)
        assert_true(sp_sessions_may_try(&sessions, S, "192.0.2.1", &wait_s));
}

static void test_addresses_are_counted_apart(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true}, /* a network of version 6 */
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"127.0.0.1", "::1", false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        clear(NULL);
        assert_int_equal(wrong_until_refused(S, pairs[i].a), 10);
        assert_int_equal(wrong_until_refused(S, pairs[i].b), pairs[i].same ? 0 : 10);
    }
}

static void test_more_addresses_than_there_is_room_for(void **state)
{
    (void)state;
    char address[32];
    for (int i = 0; i < 1000; i++) {
        snprintf(address, sizeof address, "192.0.%d.%d", i / 250, i % 250);
        assert_int_equal(wrong_until_refused((i + 1) * 1000, address), 10);
    }
    assert_int_equal(wrong_until_refused(1000 * 1000, address), 0); /* the newest are kept */
}

static void test_the_log_has_a_line_a_minute(void **state)
{
    (void)state;
    sp_sessions_wrong(&sessions, S, "192.0.2.1", true);
    assert_int_equal(sessions.wrong, 0); /* told at once */
    for (int i = 0; i < 100; i++)
        sp_sessions_wrong(&sessions, 2 * S, "192.0.2.2", false);
    sp_sessions_tick(&sessions, 60 * S);
    assert_int_equal(sessions.wrong, 100);
    sp_sessions_tick(&sessions, 61 * S);
    assert_int_equal(sessions.wrong, 0);
    assert_int_equal(sessions.logged_us, 61 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_each_login_is_a_session, clear),
        cmocka_unit_test_setup(test_what_is_no_session, clear),
        cmocka_unit_test_setup(test_a_session_ends_after_thirty_days, clear),
        cmocka_unit_test_setup(test_the_oldest_makes_room, clear),
        cmocka_unit_test_setup(test_ten_wrong_logins_a_minute, clear),
        cmocka_unit_test_setup(test_right_logins_are_not_counted, clear),
        cmocka_unit_test_setup(test_addresses_are_counted_apart, clear),
        cmocka_unit_test_setup(test_more_addresses_than_there_is_room_for, clear),
        cmocka_unit_test_setup(test_the_log_has_a_line_a_minute, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
