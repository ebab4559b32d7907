#include "base/thread.h"
#include "schedule/frame_scheduler.h"

#include "unit.h"

static struct sp_frame_pool *pool;
static struct sp_ledger ledgers[4];

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        sp_ledger_init(&ledgers[i]);
    return sp_frame_pool_open(&pool, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        sp_ledger_release(&ledgers[i]);
    sp_frame_pool_close(pool);
    return 0;
}

static struct sp_frame_scheduler *open_frame_scheduler(int cameras, int depth, bool live)
{
    struct sp_frame_scheduler *scheduler;
    struct sp_frame_scheduler_options options = {
        .cameras = cameras, .mailbox_frames = depth, .live = live, .ledgers = ledgers};
    assert_int_equal(sp_frame_scheduler_open(&scheduler, &options, NULL), SP_OK);
    return scheduler;
}

static void push(struct sp_frame_scheduler *scheduler, int camera, uint64_t sequence)
{
    struct sp_frame *frame = sp_frame_pool_get(pool);
    frame->camera = camera;
    frame->sequence = sequence;
    sp_ledger_receive(&ledgers[camera], 1);
    assert_int_equal(sp_frame_scheduler_push(scheduler, camera, frame), SP_OK);
}

static void expect(struct sp_frame_scheduler *scheduler, int camera, uint64_t sequence)
{
    struct sp_schedule_item item;
    assert_int_equal(sp_frame_scheduler_next(scheduler, &item, 0), SP_OK);
    assert_int_equal(item.camera, camera);
    assert_non_null(item.frame);
    assert_int_equal(item.frame->sequence, sequence);
    sp_frame_unref(item.frame);
}

static void test_cameras_take_turns(void **state)
{
    (void)state;
    struct sp_frame_scheduler *b = open_frame_scheduler(3, 4, false);
    for (uint64_t i = 0; i < 4; i++)
        push(b, 0, i); /* a fast camera */
    push(b, 2, 0);
    push(b, 2, 1);
    expect(b, 0, 0);
    expect(b, 2, 0); /* camera 1 is silent and passed over */
    expect(b, 0, 1);
    expect(b, 2, 1);
    expect(b, 0, 2);
    expect(b, 0, 3);
    struct sp_schedule_item item;
    assert_int_equal(sp_frame_scheduler_next(b, &item, 1000), SP_ERR_TIMEOUT);
    sp_frame_scheduler_free(b);
}

static void test_a_camera_with_one_credit_waits_for_its_frame(void **state)
{
    (void)state;
    struct sp_frame_scheduler *b = open_frame_scheduler(2, 4, false);
    struct sp_schedule_item item;
    sp_frame_scheduler_set_credits(b, 0, 1);
    for (uint64_t i = 0; i < 3; i++) {
        push(b, 0, i);
        push(b, 1, i);
    }
    expect(b, 0, 0);
    expect(b, 1, 0);
    expect(b, 1, 1); /* camera 0 has a frame in flight */
    expect(b, 1, 2);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 1000), SP_ERR_TIMEOUT);
    sp_frame_scheduler_done(b, 0);
    expect(b, 0, 1);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_ERR_TIMEOUT);
    sp_frame_scheduler_set_credits(b, 0, 0); /* the next camera of this index */
    expect(b, 0, 2);
    sp_frame_scheduler_free(b);
}

static void push_at(struct sp_frame_scheduler *scheduler, int camera, uint64_t sequence,
                    int64_t pts_us)
{
    struct sp_frame *frame = sp_frame_pool_get(pool);
    frame->camera = camera;
    frame->sequence = sequence;
    frame->pts_us = pts_us;
    sp_ledger_receive(&ledgers[camera], 1);
    assert_int_equal(sp_frame_scheduler_push(scheduler, camera, frame), SP_OK);
}

/* Whatever the cameras' rates: the earliest of all, and on a tie the first camera's. */
static void test_by_time(void **state)
{
    (void)state;
    struct sp_schedule_item item;
    struct sp_frame_scheduler *b;
    struct sp_frame_scheduler_options options = {
        .cameras = 3, .mailbox_frames = 4, .by_time = true, .ledgers = ledgers};
    assert_int_equal(sp_frame_scheduler_open(&b, &options, NULL), SP_OK);
    push_at(b, 0, 0, 0);
    push_at(b, 0, 1, 40000);
    push_at(b, 2, 0, 10000);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0),
                     SP_ERR_TIMEOUT); /* camera 1 may be earlier */
    push_at(b, 1, 0, 0);
    expect(b, 0, 0);
    expect(b, 1, 0);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_ERR_TIMEOUT); /* and again */
    sp_frame_scheduler_end_camera(b, 1);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_OK);
    assert_true(item.camera == 1 && !item.frame);
    expect(b, 2, 0); /* who is over is not waited for */
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_ERR_TIMEOUT);
    push_at(b, 2, 1, 30000);
    expect(b, 2, 1);
    sp_frame_scheduler_close(b); /* after a stop nothing more comes: what is there is given out */
    expect(b, 0, 1);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_ERR_CLOSED);
    sp_frame_scheduler_free(b);
}

static void test_live_keeps_the_newest_and_counts_the_rest(void **state)
{
    (void)state;
    struct sp_frame_scheduler *b = open_frame_scheduler(1, 2, true);
    for (uint64_t i = 0; i < 5; i++)
        push(b, 0, i);
    expect(b, 0, 3);
    expect(b, 0, 4);
    sp_ledger_settle(&ledgers[0], SP_OUTCOME_INFERRED, 2);
    struct sp_ledger_counts counts;
    sp_ledger_read(&ledgers[0], &counts);
    assert_int_equal(counts.settled[SP_OUTCOME_DROPPED], 3);
    assert_int_equal(counts.in_flight, 0);
    assert_true(sp_ledger_balances(&counts));
    sp_frame_scheduler_free(b);
}

/* A held camera keeps its newest frame to itself; another size, its end or a close lets it out.
 */
static void test_a_held_camera_is_passed_over(void **state)
{
    (void)state;
    struct sp_schedule_item item;
    struct sp_frame_scheduler *b = open_frame_scheduler(2, 1, true);
    push(b, 0, 0);
    push(b, 1, 0);
    assert_true(sp_frame_scheduler_hold(b, 0, 0, 0));
    expect(b, 1, 0);
    push(b, 0, 1);
    push(b, 1, 1);
    expect(b, 1, 1);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 1000), SP_ERR_TIMEOUT);
    sp_frame_scheduler_release(b);
    expect(b, 0, 1);

    assert_true(sp_frame_scheduler_hold(b, 0, 640, 480)); /* not the size of what comes */
    push(b, 0, 2);
    expect(b, 0, 2);
    assert_true(sp_frame_scheduler_hold(b, 0, 0, 0));
    push(b, 0, 3);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 1000), SP_ERR_TIMEOUT);
    sp_frame_scheduler_end_camera(b, 0);
    assert_false(sp_frame_scheduler_hold(b, 0, 0, 0));
    expect(b, 0, 3);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_OK);
    assert_null(item.frame);

    assert_true(sp_frame_scheduler_hold(b, 1, 0, 0));
    push(b, 1, 2);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 1000), SP_ERR_TIMEOUT);
    sp_frame_scheduler_close(b);
    expect(b, 1, 2);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_ERR_CLOSED);
    sp_frame_scheduler_free(b);
}

/* Healthy cameras first, one of the others at a time, and no camera starves. */
static void test_healthy_cameras_come_first(void **state)
{
    (void)state;
    struct sp_schedule_item item;
    struct sp_frame_scheduler *b = open_frame_scheduler(3, 1, true);
    uint64_t taken[3] = {0};
    push(b, 1, 0);
    expect(b, 1, 0); /* no camera is healthy: all are equal */
    push(b, 1, 1);
    expect(b, 1, 1);
    sp_frame_scheduler_done(b, 1);
    sp_frame_scheduler_done(b, 1);

    sp_frame_scheduler_set_healthy(b, 0, true);
    push(b, 1, 2);
    push(b, 2, 0);
    push(b, 0, 0);
    expect(b, 0, 0);
    expect(b, 1, 2);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0),
                     SP_ERR_TIMEOUT); /* 1 has one on its way */
    push(b, 0, 1);
    expect(b, 0, 1);
    sp_frame_scheduler_done(b, 1);
    expect(b, 2, 0);
    sp_frame_scheduler_done(b, 2);

    sp_frame_scheduler_set_capacity(b, 3); /* two of the others then */
    for (int i = 0; i < 3; i++)
        push(b, i, 10);
    expect(b, 0, 10);
    expect(b, 1, 10);
    expect(b, 2, 10);
    push(b, 1, 11);
    assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_ERR_TIMEOUT);
    sp_frame_scheduler_set_healthy(b, 0, false); /* no steady one is left */
    expect(b, 1, 11);
    for (int i = 0; i < 2; i++)
        sp_frame_scheduler_done(b, 1);
    sp_frame_scheduler_done(b, 2);

    sp_frame_scheduler_set_healthy(b, 0, true);
    for (uint64_t turn = 0; turn < 100; turn++) { /* 0 alone would keep the engine busy */
        for (int i = 0; i < 3; i++)
            if (sp_frame_scheduler_depth(b, i) == 0)
                push(b, i, 100 + turn);
        assert_int_equal(sp_frame_scheduler_next(b, &item, 0), SP_OK);
        taken[item.camera]++;
        sp_frame_unref(item.frame);
        sp_frame_scheduler_done(b, item.camera);
    }
    assert_true(taken[1] >= 10 && taken[2] >= 10 && taken[0] >= 75);
    sp_frame_scheduler_free(b);
}

static void test_end_comes_after_the_last_frame_and_once(void **state)
{
    (void)state;
    struct sp_schedule_item item;
    struct sp_frame_scheduler *b = open_frame_scheduler(2, 2, false);
    push(b, 1, 7);
    sp_frame_scheduler_end_camera(b, 1);
    sp_frame_scheduler_close(b);
    expect(b, 1, 7);
    assert_int_equal(sp_frame_scheduler_next(b, &item, -1), SP_OK);
    assert_int_equal(item.camera, 1);
    assert_null(item.frame);
    assert_int_equal(sp_frame_scheduler_next(b, &item, -1), SP_ERR_CLOSED);
    struct sp_frame *late = sp_frame_pool_get(pool);
    assert_int_equal(sp_frame_scheduler_push(b, 0, late), SP_ERR_CLOSED);
    sp_frame_scheduler_free(b);
}

struct producer {
    struct sp_frame_scheduler *scheduler;
    int camera;
};

static void *produce(void *argument)
{
    struct producer *p = argument;
    for (uint64_t i = 0; i < 500; i++)
        push(p->scheduler, p->camera, i);
    sp_frame_scheduler_end_camera(p->scheduler, p->camera);
    return NULL;
}

static void test_lossless_loses_nothing_under_threads(void **state)
{
    (void)state;
    struct sp_frame_scheduler *b = open_frame_scheduler(4, 2, false);
    struct producer producers[4];
    pthread_t threads[4];
    uint64_t next[4] = {0};
    int ended = 0;
    for (int i = 0; i < 4; i++) {
        producers[i] = (struct producer){b, i};
        assert_int_equal(sp_thread_start(&threads[i], "produce", produce, &producers[i], NULL), 0);
    }
    while (ended < 4) {
        struct sp_schedule_item item;
        assert_int_equal(sp_frame_scheduler_next(b, &item, -1), SP_OK);
        if (!item.frame) {
            ended++;
            continue;
        }
        assert_int_equal(item.frame->sequence, next[item.camera]++);
        sp_frame_unref(item.frame);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(next[i], 500);
        pthread_join(threads[i], NULL);
    }
    sp_frame_scheduler_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cameras_take_turns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_camera_with_one_credit_waits_for_its_frame, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_by_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_live_keeps_the_newest_and_counts_the_rest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_held_camera_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_healthy_cameras_come_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_comes_after_the_last_frame_and_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lossless_loses_nothing_under_threads, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
