/* The log of events: ids, order, the ring. */
#include "output/event_log.h"

#include <stdlib.h>
#include <string.h>

#include "unit.h"

struct heard {
    size_t count;
    uint64_t last;
};

static void listen(void *user, const struct sp_event *event)
{
    struct heard *heard = user;
    heard->count++;
    assert_int_equal(event->serial, heard->last + 1);
    heard->last = event->serial;
}

static void test_ids_count_within_an_epoch(void **state)
{
    (void)state;
    struct sp_event_log *log;
    struct sp_event_log_options options = {0};
    assert_int_equal(sp_event_log_open(&log, &options, NULL), SP_OK);
    sp_event_log_add(log, 0, "gate", 7, "camera.added", 1000, "{}");
    sp_event_log_add(log, 1, "hall", 8, "camera.added", 1001, "{}");
    sp_event_log_add(log, 0, "gate", 7, "camera.state", 1002, "{\"state\":\"live\"}");
    sp_event_log_add(log, 0, "gate", 9, "camera.added", 1003, "{}");
    struct sp_event found[8];
    uint64_t oldest, newest;
    assert_int_equal(sp_event_log_read(log, 0, found, 8, &oldest, &newest), 4);
    assert_int_equal(oldest, 1);
    assert_int_equal(newest, 4);
    const char *ids[] = {"gate/7/1", "hall/8/1", "gate/7/2", "gate/9/1"};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(found[i].id, ids[i]);
        assert_int_equal(found[i].serial, i + 1);
        assert_int_equal(found[i].wall_us, 1000 + i);
    }
    assert_string_equal(found[2].payload, "{\"state\":\"live\"}");
    assert_int_equal(sp_event_log_read(log, 4, found, 8, &oldest, &newest), 0);
    assert_int_equal(sp_event_log_read(log, 1, found, 2, &oldest, &newest), 2);
    assert_int_equal(found[0].serial, 2);
    sp_event_log_close(log);
}

static void test_the_oldest_make_room(void **state)
{
    (void)state;
    struct heard heard = {0};
    struct sp_event_log *log;
    struct sp_event_log_options options = {.listener = listen, .user = &heard};
    assert_int_equal(sp_event_log_open(&log, &options, NULL), SP_OK);
    for (int i = 0; i < SP_EVENT_LOG_MAX + 10; i++)
        sp_event_log_add(log, 3, "gate", 1, "camera.state", i, "{}");
    assert_int_equal(heard.count, SP_EVENT_LOG_MAX + 10);
    struct sp_event *found = calloc(SP_EVENT_LOG_MAX, sizeof *found);
    uint64_t oldest, newest;
    assert_int_equal(sp_event_log_read(log, 0, found, SP_EVENT_LOG_MAX, &oldest, &newest),
                     SP_EVENT_LOG_MAX);
    assert_int_equal(oldest, 11);
    assert_int_equal(newest, SP_EVENT_LOG_MAX + 10);
    assert_int_equal(found[0].serial, 11);
    assert_int_equal(found[SP_EVENT_LOG_MAX - 1].serial, SP_EVENT_LOG_MAX + 10);
    /* A reader that has seen what is gone continues with the oldest; one ahead of all gets nothing.
     */
    assert_int_equal(sp_event_log_read(log, 5, found, 1, &oldest, &newest), 1);
    assert_int_equal(found[0].serial, 11);
    assert_int_equal(sp_event_log_read(log, UINT64_MAX, found, 1, &oldest, &newest), 0);
    free(found);
    sp_event_log_close(log);
}

static void test_what_does_not_fit_stays_valid(void **state)
{
    (void)state;
    char payload[SP_EVENT_PAYLOAD_BYTES + 2];
    struct sp_event_log *log;
    struct sp_event_log_options options = {0};
    struct sp_event found;
    uint64_t oldest, newest;
    memset(payload, ' ', sizeof payload);
    payload[0] = '{';
    payload[SP_EVENT_PAYLOAD_BYTES] = '}';
    payload[SP_EVENT_PAYLOAD_BYTES + 1] = '\0';
    assert_int_equal(sp_event_log_open(&log, &options, NULL), SP_OK);
    sp_event_log_add(log, 0, "gate", 1, "camera.state", 0, payload);
    assert_int_equal(sp_event_log_read(log, 0, &found, 1, &oldest, &newest), 1);
    assert_string_equal(found.payload, "{}");
    sp_event_log_close(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_count_within_an_epoch),
        cmocka_unit_test(test_the_oldest_make_room),
        cmocka_unit_test(test_what_does_not_fit_stays_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
