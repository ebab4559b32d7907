#include "pipeline/reading.h"

#include <stdlib.h>
#include <string.h>

#include "engines.h"

/* tests/integration/test_reading.py holds the real engine to it; here is what the fake one can do.
 */
enum { WIDTH = 320, HEIGHT = 192 };

static struct sp_model_choice choice;
static struct sp_settings settings;

static void prepare(void)
{
    struct sp_error err = {0};
    sp_settings_default(&settings);
    memset(&choice, 0, sizeof choice);
    choice.engine = load_fake();
    choice.input_size_px = WIDTH;
    assert_int_equal(sp_model_open(&choice.model, choice.engine, "fake", NULL, &err), SP_OK);
}

/* Dark, with as many bright rectangles. */
static struct sp_frame *make_frame(struct sp_frame_pool *pool, int people)
{
    struct sp_frame *frame = sp_frame_pool_get(pool);
    uint8_t *luma = malloc(WIDTH * HEIGHT * 3 / 2);
    assert_true(frame && luma);
    uint8_t *chroma = luma + WIDTH * HEIGHT;
    memset(luma, 32, WIDTH * HEIGHT);
    memset(chroma, 128, WIDTH * HEIGHT / 2);
    frame->owner = luma;
    frame->release = free;
    for (int i = 0; i < people; i++)
        for (size_t y = 64; y < 128; y++)
            memset(luma + y * WIDTH + 32 + 64 * (size_t)i, 235, 32);
    frame->width_px = WIDTH;
    frame->height_px = HEIGHT;
    frame->format = SP_PIXEL_I420;
    frame->plane[0] = luma;
    frame->plane[1] = chroma;
    frame->plane[2] = chroma + WIDTH * HEIGHT / 4;
    frame->stride_bytes[0] = WIDTH;
    frame->stride_bytes[1] = frame->stride_bytes[2] = WIDTH / 2;
    return frame;
}

static void test_what_a_reading_finds(void **state)
{
    (void)state;
    struct sp_frame_pool *pool = NULL;
    const struct sp_model_wish as_it_is = {0}, impossible = {.head_type = SP_HEAD_RTDETR};
    int boxes = -1;
    prepare();
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_frame *frames[] = {make_frame(pool, 2), make_frame(pool, 0), make_frame(pool, 1)};
    assert_int_equal(sp_reading_evaluate(&choice, &settings, &as_it_is, frames, 3, &boxes), 2);
    assert_int_equal(boxes, 3);
    assert_int_equal(sp_reading_evaluate(&choice, &settings, &impossible, frames, 3, &boxes), -1);
    for (int i = 0; i < 3; i++)
        sp_frame_unref(frames[i]);
    sp_frame_pool_close(pool);
}

static void test_it_is_said_once_and_only_while_nothing_was_found(void **state)
{
    (void)state;
    struct sp_frame_pool *pool = NULL;
    struct sp_reading *reading = NULL;
    struct sp_reading_options options = {.choice = &choice, .settings = &settings};
    char text[SP_READING_TEXT_BYTES];
    prepare();
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_frame *people = make_frame(pool, 2), *empty = make_frame(pool, 0);

    assert_int_equal(sp_reading_open(&reading, &options, NULL), SP_OK);
    assert_false(sp_reading_try(reading, text)); /* no frame yet */
    sp_reading_note(reading, empty, 0);
    assert_false(sp_reading_try(reading, text)); /* another one finds nothing either */
    /* As if the reading that is in use had missed them. */
    for (int i = 0; i < 100; i++)
        sp_reading_note(reading, people, 0);
    assert_true(sp_reading_try(reading, text));
    assert_non_null(strstr(text, "model fake: no detections so far"));
    assert_non_null(strstr(text, "it has 8 in 4 of 4 frames: try MODEL_INPUT_RANGE=0..255"));
    assert_false(sp_reading_try(reading, text));
    sp_reading_close(reading);

    assert_int_equal(sp_reading_open(&reading, &options, NULL), SP_OK);
    sp_reading_note(reading, people, 0);
    sp_reading_note(reading, people, 1); /* found */
    assert_false(sp_reading_try(reading, text));
    sp_reading_close(reading);
    sp_frame_unref(people);
    sp_frame_unref(empty);
    sp_frame_pool_close(pool);
}

static void test_the_watch_ends_when_it_is_closed(void **state)
{
    (void)state;
    struct sp_frame_pool *pool = NULL;
    struct sp_reading *reading = NULL;
    struct sp_reading_options options = {.choice = &choice, .settings = &settings, .watch = true};
    prepare();
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    struct sp_frame *people = make_frame(pool, 2);
    for (int round = 0; round < 2; round++) { /* while it waits, and while it tries */
        assert_int_equal(sp_reading_open(&reading, &options, NULL), SP_OK);
        sp_reading_note(reading, people, 0);
        sp_reading_close(reading);
        options.first_us = options.second_us = 1;
    }
    sp_reading_note(NULL, people, 0);
    sp_reading_close(NULL);
    sp_frame_unref(people);
    sp_frame_pool_close(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_reading_finds),
        cmocka_unit_test(test_it_is_said_once_and_only_while_nothing_was_found),
        cmocka_unit_test(test_the_watch_ends_when_it_is_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
