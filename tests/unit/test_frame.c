#include "frame.h"

#include <stdlib.h>
#include <string.h>

#include "engines.h"
#include "surface.h"

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

/* ---- frames on a device: the fake engine's, in the host's memory ---- */

static struct spoton_decoding *open_decoding(const struct spoton_engine_api *api)
{
    struct spoton_decoding *decoding = NULL;
    void *context, *stream;
    char text[128] = "";
    assert_true(spoton_engine_decodes(api));
    assert_int_equal(
        api->device_api->decoding_open(&decoding, 0, NULL, &context, &stream, text, sizeof text),
        0);
    return decoding;
}

/* Planes with gaps between the rows, of an odd size. */
enum { W = 33, H = 17, STRIDE = 48, HALF = (W + 1) / 2, ROWS = (H + 1) / 2 };

static void fill_frame(struct sp_frame *frame, uint8_t planes[3][H * STRIDE],
                       enum sp_pixel_format format)
{
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < H * STRIDE; k++)
            planes[i][k] = (uint8_t)(k * 7 + i * 50);
    frame->width_px = W;
    frame->height_px = H;
    frame->format = format;
    for (int i = 0; i < (format == SP_PIXEL_NV12 ? 2 : 3); i++) {
        frame->plane[i] = planes[i];
        frame->stride_bytes[i] = STRIDE;
    }
}

static void expect_planes(const struct sp_frame *frame, uint8_t planes[3][H * STRIDE])
{
    bool two = frame->format == SP_PIXEL_NV12;
    for (int i = 0; i < (two ? 2 : 3); i++)
        for (int y = 0; y < (i ? ROWS : H); y++)
            assert_memory_equal(frame->plane[i] + y * frame->stride_bytes[i],
                                planes[i] + (ptrdiff_t)y * STRIDE, i ? (two ? 2 : 1) * HALF : W);
}

static void move_to_device(struct sp_frame *frame, const struct spoton_engine_api *api,
                           struct spoton_decoding *decoding)
{
    struct spoton_image image = sp_frame_image(frame);
    struct spoton_surface *surface = NULL;
    assert_int_equal(sp_surface_take(&surface, api, decoding, &image, NULL), SP_OK);
    sp_frame_attach(frame, api, surface);
}

static void test_a_image_on_a_device_is_fetched_when_it_is_read(void **state)
{
    (void)state;
    static uint8_t planes[3][H * STRIDE], before[3][H * STRIDE];
    const struct spoton_engine_api *api = load_fake();
    struct spoton_decoding *decoding = open_decoding(api);
    struct sp_frame_pool *pool;
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    for (int format = SP_PIXEL_I420; format <= SP_PIXEL_NV12; format++) {
        int released = 0;
        struct sp_frame *frame = sp_frame_pool_get(pool);
        fill_frame(frame, planes, (enum sp_pixel_format)format);
        memcpy(before, planes, sizeof planes);
        frame->owner = &released;
        frame->release = count_release;
        frame->pinned = true;
        move_to_device(frame, api, decoding);
        assert_int_equal(released, 1); /* the decoder has its memory again */
        memset(planes, 0, sizeof planes);
        assert_null(frame->plane[0]);
        assert_false(frame->pinned);
        assert_int_equal(sp_frame_fetch(frame, NULL), SP_OK);
        expect_planes(frame, before);
        const uint8_t *first = frame->plane[0];
        assert_int_equal(sp_frame_fetch(frame, NULL), SP_OK); /* the same again */
        assert_ptr_equal(frame->plane[0], first);
        sp_frame_unref(frame);
        assert_int_equal(released, 1);
    }
    api->device_api->decoding_close(decoding);
    struct sp_frame *plain = sp_frame_pool_get(pool);
    fill_frame(plain, planes, SP_PIXEL_I420);
    assert_int_equal(sp_frame_fetch(plain, NULL), SP_OK);
    assert_ptr_equal(plain->plane[0], planes[0]);
    sp_frame_unref(plain);
    sp_frame_pool_close(pool);
}

static int reads, failing_code;

static int failing_read(struct spoton_surface *surface, uint8_t *planes, char *error,
                        size_t error_bytes)
{
    (void)surface, (void)planes;
    ++reads;
    snprintf(error, error_bytes, "it has gone");
    return failing_code;
}

static void test_what_cannot_be_fetched_is_an_error(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum sp_error_code wanted;
    } cases[] = {{SPOTON_FAILED, SP_ERR_ENGINE},
                 {SPOTON_NO_MEMORY, SP_ERR_NO_MEMORY},
                 {SPOTON_DEVICE_LOST, SP_ERR_DEVICE}};
    static uint8_t planes[3][H * STRIDE];
    struct spoton_engine_api api = *load_fake();
    struct spoton_device_api device_api = *api.device_api;
    device_api.surface_read = failing_read;
    api.device_api = &device_api;
    struct spoton_decoding *decoding = open_decoding(&api);
    struct sp_frame_pool *pool;
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_error err = {0};
        struct sp_frame *frame = sp_frame_pool_get(pool);
        fill_frame(frame, planes, SP_PIXEL_I420);
        move_to_device(frame, &api, decoding);
        failing_code = cases[i].code;
        reads = 0;
        assert_int_equal(sp_frame_fetch(frame, &err), cases[i].wanted);
        assert_non_null(strstr(err.text, "it has gone"));
        assert_null(frame->plane[0]);
        assert_int_equal(sp_frame_fetch(frame, &err), cases[i].wanted); /* it is tried again */
        assert_int_equal(reads, 2);
        sp_frame_unref(frame);
    }
    api.device_api->decoding_close(decoding);
    sp_frame_pool_close(pool);
}

static void *fetch_it(void *argument)
{
    struct sp_frame *frame = argument;
    return sp_frame_fetch(frame, NULL) == SP_OK ? (void *)frame->plane[0] : NULL;
}

/* Run under ThreadSanitizer too. */
static void test_several_may_fetch_at_once(void **state)
{
    (void)state;
    enum { READERS = 4 };
    static uint8_t planes[3][H * STRIDE];
    const struct spoton_engine_api *api = load_fake();
    struct spoton_decoding *decoding = open_decoding(api);
    struct sp_frame_pool *pool;
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    for (int round = 0; round < 50; round++) {
        pthread_t reader[READERS];
        void *found[READERS];
        struct sp_frame *frame = sp_frame_pool_get(pool);
        fill_frame(frame, planes, SP_PIXEL_NV12);
        move_to_device(frame, api, decoding);
        for (int i = 0; i < READERS; i++)
            assert_int_equal(pthread_create(&reader[i], NULL, fetch_it, frame), 0);
        for (int i = 0; i < READERS; i++)
            pthread_join(reader[i], &found[i]);
        for (int i = 0; i < READERS; i++) {
            assert_non_null(found[i]);
            assert_ptr_equal(found[i], found[0]);
        }
        sp_frame_unref(frame);
    }
    api->device_api->decoding_close(decoding);
    sp_frame_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_unref_releases_the_planes_once),
        cmocka_unit_test(test_shells_are_used_again),
        cmocka_unit_test(test_a_frame_may_outlive_its_pool),
        cmocka_unit_test(test_a_image_on_a_device_is_fetched_when_it_is_read),
        cmocka_unit_test(test_what_cannot_be_fetched_is_an_error),
        cmocka_unit_test(test_several_may_fetch_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
