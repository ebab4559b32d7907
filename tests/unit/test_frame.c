#include "frame.h"

#include "unit.h"

static void count_release(void *owner)
{
    ++*(int *)owner;
}

static void test_last_unref_releases_the_planes_once(void **state)
{
    (void)state;
    struct sp_frame_pool *pool;
    int released = 0;
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_frame *frame = sp_frame_pool_get(pool);
    frame->owner = &released;
    frame->release = count_release;
    sp_frame_ref(frame);
    sp_frame_unref(frame);
    assert_int_equal(released, 0);
    sp_frame_unref(frame);
    assert_int_equal(released, 1);
    sp_frame_pool_close(pool);
}

static void test_shells_are_used_again(void **state)
{
    (void)state;
    struct sp_frame_pool *pool;
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_frame *first = sp_frame_pool_get(pool);
    first->sequence = 7;
    sp_frame_unref(first);
    struct sp_frame *second = sp_frame_pool_get(pool);
    assert_ptr_equal(first, second);
    assert_int_equal(second->sequence, 0);
    sp_frame_unref(second);
    sp_frame_pool_close(pool);
}

static void test_a_frame_may_outlive_its_pool(void **state)
{
    (void)state;
    struct sp_frame_pool *pool;
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_frame *frame = sp_frame_pool_get(pool);
    sp_frame_pool_close(pool);
    frame->sequence = 1;
    sp_frame_unref(frame); /* ASan says whether all is freed, and only once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_unref_releases_the_planes_once),
        cmocka_unit_test(test_shells_are_used_again),
        cmocka_unit_test(test_a_frame_may_outlive_its_pool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
