#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/queue.h"
#include "base/redact.h"
#include "base/stats.h"
#include "base/thread.h"
#include "base/url.h"

#include "unit.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_error_prefix_keeps_the_text(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(sp_fail(&err, SP_ERR_FORMAT, "line %d is odd", 3), SP_ERR_FORMAT);
    assert_int_equal(sp_fail_prefix(&err, SP_ERR_IO, "file %s", "a.env"), SP_ERR_FORMAT);
    assert_string_equal(err.text, "file a.env: line 3 is odd");
    assert_int_equal(sp_fail(NULL, SP_ERR_IO, "connection refused"), SP_ERR_IO);
    assert_int_equal(sp_error_from_errno(ENOSPC), SP_ERR_NO_SPACE);
    assert_string_equal(sp_error_name(SP_ERR_CLOSED), "closed");
}

static void test_an_error_is_one_line(void **state)
{
    (void)state;
    struct sp_error err = {0};
    sp_fail(&err, SP_ERR_INVALID, "group \"%s\" is odd", "a\nb\x1b[2J\x7f\xc3\xa9");
    assert_string_equal(err.text, "group \"a?b?[2J?\xc3\xa9\" is odd");
    sp_fail_prefix(&err, SP_ERR_INVALID, "%s", "c\td");
    assert_string_equal(err.text, "c?d: group \"a?b?[2J?\xc3\xa9\" is odd");
}

static void test_redact_hides_every_secret(void **state)
{
    (void)state;
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"rtsp://user:pa:ss@host:554/live", "rtsp://user:***@host:554/live"},
        {"rtsp://user:p@ss@host/live", "rtsp://user:***@host/live"},
        {"rtsp://host/live?user=a&password=b&x=1", "rtsp://host/live?user=a&password=***&x=1"},
        {"http://h/v?api_key=123", "http://h/v?api_key=***"},
        {"/videos/a:b@c.mp4", "/videos/a:b@c.mp4"},
        {"/videos/what?key=1", "/videos/what?key=1"},
        {"rtsp://user:p#s/s?w@host/live", "rtsp://user:***@host/live"},
        {"rtsp://10.0.0.1:554/a@b", "rtsp://10.0.0.1:554/a@b"},
        {"rtsp://[fe80::1]:554/live", "rtsp://[fe80::1]:554/live"},
        {"http://proxy/?from=rtsp://u:p@h/x?pwd=1&k=2&token=3",
         "http://proxy/?from=rtsp://u:***@h/x?pwd=***&k=2&token=***"},
        {"a://u:p@h/b://u:p@h/", "a://u:***@h/b://u:***@h/"},
        {"sim://world?people=3&seed=12345&black@5-9", "sim://world?people=3&seed=12345&black@5-9"},
        {"rtsp://10.0.0.5:554/Streaming/Channels/101?transportmode=unicast&profile=Profile_1",
         "rtsp://10.0.0.5:554/Streaming/Channels/101?transportmode=***&profile=Profile_1"},
        {"rtsp://10.0.0.5/h264Preview_01_main", "rtsp://10.0.0.5/h264Preview_01_main"},
        {"file:///a:b@c.mp4", "file:///a:b@c.mp4"},
        /* a user part without a password may be a token */
        {"http://user@host/a", "http://***@host/a"},
        {"http://Token:@host/a", "http://***@host/a"},
        /* nothing escaped */
        {"http://admin:p@ss/w:#%1@127.0.0.1:8391/basic", "http://admin:***@127.0.0.1:8391/basic"},
        {"rtsp://admin:12345/6@cam/live", "rtsp://admin:***@cam/live"},
        {"rtsp://admin:p@ss/w?r=d@cam/live", "rtsp://admin:***@cam/live"},
        {"rtsp://admin:my pass@cam/live", "rtsp://admin:***@cam/live"},
        {"rtsp://to/k#en@cam/live", "rtsp://***@cam/live"},
        {"RTSP://admin:p/w@[fe80::1%25eth0]/live", "RTSP://admin:***@[fe80::1%25eth0]/live"},
        /* secrets in the path */
        {"rtsp://h/user=admin_password=S_channel=1_stream=0.sdp",
         "rtsp://h/user=admin_password=***_channel=1_stream=0.sdp"},
        {"rtsp://h/user=admin_password=S_channel=1_stream=0.sdp?real_stream",
         "rtsp://h/user=admin_password=***_channel=1_stream=0.sdp?real_stream"},
        {"rtsp://h/user=admin&password=a_b/c&channel=1",
         "rtsp://h/user=admin&password=***&channel=1"},
        {"rtsp://10.0.0.1/0/admin:secret/main", "rtsp://10.0.0.1/0/admin:***/main"},
        {"rtsps://10.0.0.1:7441/Rl0ZJ3ThYd0o8ivK?enableSrtp",
         "rtsps://10.0.0.1:7441/***?enableSrtp"},
        /* in the query and the fragment, of keys that no list has */
        {"http://h/v?loginpas=S", "http://h/v?loginpas=***"},
        {"http://h/v?psw=12", "http://h/v?psw=***"},
        {"http://h/v?jwt=S&w=1", "http://h/v?jwt=***&w=1"},
        {"http://h/v?sig=S", "http://h/v?sig=***"},
        {"http://h/v?sessionid=S", "http://h/v?sessionid=***"},
        {"http://h/v#access_token=S", "http://h/v#access_token=***"},
        {"http://h/v?kennwort=Hund", "http://h/v?kennwort=***"},
        {"http://h/v?url=rtsp%3A%2F%2Fu%3Ap%40h", "http://h/v?url=***"},
        {"http://h/v?pwd=a&b?c&channel=2", "http://h/v?pwd=***&channel=2"},
        /* no URL, but meant as one */
        {"admin:secret@10.0.0.1/live", "***@10.0.0.1/live"},
        {"rtsp:/admin:secret@10.0.0.1/live", "rtsp:/***@10.0.0.1/live"},
        {"//admin:secret@10.0.0.1/live", "//***@10.0.0.1/live"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[128];
        sp_redact_url(cases[i].url, out, sizeof out);
        assert_string_equal(out, cases[i].shown);
    }
    char small[8];
    sp_redact_url("rtsp://user:secret@host/", small, sizeof small);
    assert_string_equal(small, "rtsp://");
}

/* The same question, asked to connect: where the host is, and how FFmpeg is to read the user part.
 */
static void test_user_parts_are_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *url, *encoded;
    } cases[] = {
        {"rtsp://u:p@host/live", "rtsp://u:p@host/live"},
        {"RTSP://u:p@Host/Live", "rtsp://u:p@Host/Live"},
        {"HTTP://host/a?B=C#d", "http://host/a?B=C#d"},
        {"http://admin:p@ss/w:#%1@127.0.0.1:8391/x",
         "http://admin:p%40ss%2Fw:%23%251@127.0.0.1:8391/x"},
        {"rtsp://u:a%40b%2f@h/x", "rtsp://u:a%40b%2f@h/x"}, /* encoded already */
        {"rtsp://u:100%@h/x", "rtsp://u:100%25@h/x"},
        {"rtsp://u:a?b#c/d@cam:554/x", "rtsp://u:a%3Fb%23c%2Fd@cam:554/x"},
        {"rtsp://u:p@10.0.0.1/a@b", "rtsp://u:p@10.0.0.1/a@b"},
        {"rtsp://cam/a@b", "rtsp://cam/a@b"},
        {"http://u:p@cam/x?mail=a@b.c", "http://u:p@cam/x?mail=a@b.c"},
        {"http://u:a b@h/c d", "http://u:a%20b@h/c%20d"},
        {"/videos/A:b @c.mp4", "/videos/A:b @c.mp4"},
        {"FILE:///videos/A:b @c%20.mp4", "file:///videos/A:b @c%20.mp4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[128];
        assert_int_equal(sp_url_normalise(cases[i].url, out, sizeof out, NULL), SP_OK);
        assert_string_equal(out, cases[i].encoded);
    }
    char small[16];
    assert_int_equal(sp_url_normalise("http://host/longer", small, sizeof small, NULL),
                     SP_ERR_INVALID);
    assert_true(sp_url_has_scheme("HtTp://x", "http"));
    assert_false(sp_url_has_scheme("https://x", "http"));
    assert_false(sp_url_has_scheme("http:/x", "http"));
}

static int numbers[10];

static void *push_ten(void *queue)
{
    for (int i = 0; i < 10; i++)
        if (sp_queue_push(queue, &numbers[i]) != SP_OK)
            return NULL;
    sp_queue_close(queue);
    return NULL;
}

static void test_queue_keeps_order_and_closes_without_loss(void **state)
{
    (void)state;
    struct sp_queue *queue;
    pthread_t thread;
    void *item;
    assert_int_equal(sp_queue_open(&queue, 3, NULL), SP_OK);
    assert_int_equal(sp_queue_pop(queue, &item, 1000), SP_ERR_TIMEOUT);
    assert_int_equal(sp_thread_start(&thread, "push_ten", push_ten, queue, NULL), SP_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(sp_queue_pop(queue, &item, -1), SP_OK);
        assert_ptr_equal(item, &numbers[i]);
    }
    assert_int_equal(sp_queue_pop(queue, &item, -1), SP_ERR_CLOSED);
    pthread_join(thread, NULL);
    assert_int_equal(sp_queue_push(queue, &item), SP_ERR_CLOSED);
    sp_queue_free(queue);
}

static void test_queue_refuses_when_full(void **state)
{
    (void)state;
    struct sp_queue *queue;
    int item;
    assert_int_equal(sp_queue_open(&queue, 1, NULL), SP_OK);
    assert_int_equal(sp_queue_try_push(queue, &item), SP_OK);
    assert_int_equal(sp_queue_try_push(queue, &item), SP_ERR_TIMEOUT);
    assert_int_equal(sp_queue_depth(queue), 1);
    sp_queue_free(queue);
}

static void test_histogram_percentiles_are_near(void **state)
{
    (void)state;
    static struct sp_histogram histogram;
    assert_true(sp_histogram_percentile(&histogram, 0.5) == 0.0);
    for (int i = 1; i <= 100000; i++)
        sp_histogram_add(&histogram, i);
    static const double shares[] = {0.01, 0.5, 0.95, 0.99};
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        double exact = shares[i] * 100000;
        double found = sp_histogram_percentile(&histogram, shares[i]);
        assert_true(fabs(found - exact) <= 0.016 * exact + 1);
    }
    assert_true(fabs(sp_histogram_mean_us(&histogram) - 50000.5) < 0.01);
    sp_histogram_add(&histogram, -5);
    sp_histogram_add(&histogram, INT64_MAX); /* neither may leave the array */
}

static void test_json_is_well_formed(void **state)
{
    (void)state;
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_json_key(&json, "text");
    sp_json_string(&json, "a\"b\\c\n\xC3\xA4\xFF");
    sp_json_key(&json, "list");
    sp_json_begin_array(&json);
    sp_json_int(&json, -3);
    sp_json_number(&json, 1.500, 3);
    sp_json_number(&json, -0.0001, 2);
    sp_json_number(&json, NAN, 2);
    sp_json_bool(&json, true);
    sp_json_string(&json, NULL);
    sp_json_begin_object(&json);
    sp_json_end_object(&json);
    sp_json_end_array(&json);
    sp_json_end_object(&json);
    assert_string_equal(json.text, "{\"text\":\"a\\\"b\\\\c\\u000a\xC3\xA4\xEF\xBF\xBD\","
                                   "\"list\":[-3,1.5,0,null,true,null,{}]}");
    sp_json_clear(&json);
    sp_json_int(&json, 1);
    assert_string_equal(json.text, "1");
    sp_json_release(&json);
}

/* What printf writes, without the zeros at the end. */
static void check_number(struct sp_json *json, double value, int decimals)
{
    char expected[352];
    int n = snprintf(expected, sizeof expected, "%.*f", decimals, value);
    while (decimals > 0 && expected[n - 1] == '0')
        expected[--n] = '\0';
    if (expected[n - 1] == '.')
        expected[--n] = '\0';
    sp_json_clear(json);
    sp_json_number(json, value, decimals);
    assert_string_equal(json->text, strcmp(expected, "-0") == 0 ? "0" : expected);
}

static void test_json_numbers_are_those_of_printf(void **state)
{
    (void)state;
    struct sp_json json = {0};
    static const double some[] = {0,         0.125,   0.375,     1.005,        2.675,        0.995,
                                  0.0049999, 99.9951, 1e6 + 0.5, 4294967.2951, 42949672.955, 1e12,
                                  1e300};
    unsigned seed = 7;
    for (int decimals = 0; decimals <= 5; decimals++) {
        for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
            check_number(&json, some[i], decimals);
            check_number(&json, -some[i], decimals);
        }
        for (int i = 0; i < 20000; i++) {
            double value = ((double)rand_r(&seed) / RAND_MAX - 0.5) * pow(10, i % 11);
            check_number(&json, i % 2 ? value : (double)(float)value, decimals);
            check_number(&json, floor(value) + 0.125 * (i % 8), decimals); /* in the middle */
        }
    }
    static const int64_t whole[] = {0, 9, -10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%lld", (long long)whole[i]);
        sp_json_clear(&json);
        sp_json_int(&json, whole[i]);
        assert_string_equal(json.text, expected);
    }
    sp_json_release(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_prefix_keeps_the_text),
        cmocka_unit_test(test_an_error_is_one_line),
        cmocka_unit_test(test_redact_hides_every_secret),
        cmocka_unit_test(test_user_parts_are_encoded),
        cmocka_unit_test(test_queue_keeps_order_and_closes_without_loss),
        cmocka_unit_test(test_queue_refuses_when_full),
        cmocka_unit_test(test_histogram_percentiles_are_near),
        cmocka_unit_test(test_json_is_well_formed),
        cmocka_unit_test(test_json_numbers_are_those_of_printf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
