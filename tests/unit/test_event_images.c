/* Images for events: which moment is kept, and how many are stored. */
#include "base/clock.h"
#include "command/event_images.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 320, HEIGHT = 240, CAMERA = 3, PER_MINUTE = 2 };

struct fixture {
    struct sp_frame_pool *pool;
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_stills stills;
    struct sp_event_images *images;
    uint8_t luma[WIDTH * HEIGHT], chroma[WIDTH * HEIGHT / 4];
    uint64_t sequence;
    int events, stored, of_events; /* given, with a JPEG, in all */
    struct sp_recorded_image last;
};

static void offer(void *user, struct sp_result *update, struct sp_frame *frame)
{
    struct fixture *f = user;
    sp_encoder_offer(f->encoder, update, frame);
    sp_event_images_see(f->images, update);
}

/* On the thread of sp_event_images_event. */
static bool store(void *user, const struct sp_recorded_image *image, const uint8_t *jpeg)
{
    struct fixture *f = user;
    f->of_events++;
    f->stored += image->bytes > 0;
    f->last = *image;
    assert_true(jpeg[0] == 0xff && jpeg[1] == 0xd8);
    return true;
}

static int open_all(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    memset(f->luma, 90, sizeof f->luma);
    memset(f->chroma, 128, sizeof f->chroma);
    assert_int_equal(sp_frame_pool_open(&f->pool, NULL), SP_OK);
    assert_int_equal(sp_hub_open(&f->hub, NULL), SP_OK);
    const struct sp_encoder_options encoder = {.hub = f->hub};
    assert_int_equal(sp_encoder_open(&f->encoder, &encoder, NULL), SP_OK);
    f->stills.hub = f->hub;
    atomic_store(&f->stills.encoder, f->encoder);
    const struct sp_event_images_options options = {
        .stills = &f->stills, .store = store, .user = f};
    assert_int_equal(sp_event_images_open(&f->images, &options, NULL), SP_OK);
    const struct sp_hub_options listeners = {.image = offer, .image_user = f};
    sp_hub_listen(f->hub, &listeners);
    sp_hub_begin_camera(f->hub, CAMERA, "door");
    *state = f;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *f = *state;
    sp_event_images_stop(f->images);
    sp_event_images_close(f->images);
    sp_encoder_close(f->encoder);
    sp_hub_close(f->hub);
    sp_frame_pool_close(f->pool);
    free(f);
    return 0;
}

static void publish(struct fixture *f, const struct sp_track *tracks, size_t count, uint32_t person)
{
    struct sp_world_position positions[4] = {{.person = person}};
    struct sp_frame *frame = sp_frame_pool_get(f->pool);
    frame->plane[0] = f->luma;
    frame->plane[1] = frame->plane[2] = f->chroma;
    frame->stride_bytes[0] = WIDTH;
    frame->stride_bytes[1] = frame->stride_bytes[2] = WIDTH / 2;
    frame->width_px = WIDTH;
    frame->height_px = HEIGHT;
    frame->sequence = f->sequence++;
    frame->received_us = sp_clock_us();
    frame->camera = CAMERA;
    struct sp_result_pool *results;
    assert_int_equal(sp_result_pool_open(&results, NULL), SP_OK);
    struct sp_result *result = sp_result_new(results, frame);
    assert_non_null(result);
    result->inferred = true;
    result->track_count = count;
    for (size_t i = 0; i < count; i++) {
        result->tracks[i] = tracks[i];
        result->positions[i] = positions[i];
    }
    result->has_world_positions = person != 0;
    assert_int_equal(sp_hub_publish(f->hub, result, frame), SP_OK);
    sp_result_unref(result);
    sp_result_pool_close(results); /* the hub's results keep it */
    sp_frame_unref(frame);
}

static struct sp_track person_of(uint32_t id, double size_px)
{
    return (struct sp_track){.id = id,
                             .x1_px = 100,
                             .y1_px = 10,
                             .x2_px = 100 + size_px / 2,
                             .y2_px = 10 + size_px,
                             .confidence = 0.9};
}

static void happen(struct fixture *f, const char *payload, int camera)
{
    struct sp_event event = {
        .camera_index = camera, .epoch = sp_hub_generation(f->hub, CAMERA), .kind = "line.crossed"};
    snprintf(event.id, sizeof event.id, "door/1/%d", ++f->events);
    snprintf(event.payload, sizeof event.payload, "%s", payload);
    sp_event_images_event(f->images, &event);
}

/* Publishes and asks until an event with this payload has another image than `before`. */
static void wait_for_image(struct fixture *f, const struct sp_track *tracks, size_t count,
                           uint32_t person, const char *payload, int64_t before)
{
    const struct timespec step = {.tv_nsec = 20000000};
    f->last.number = before;
    for (int i = 0; i < 6000 && f->last.number == before; i++) {
        publish(f, tracks, count, person);
        happen(f, payload, CAMERA);
        nanosleep(&step, NULL);
    }
    assert_true(f->last.number != before);
}

static void test_the_quality_prefers_large_whole_people(void **state)
{
    (void)state;
    struct sp_track small = person_of(1, 50), large = person_of(1, 100), cut = person_of(1, 100);
    cut.y1_px = 0;
    cut.y2_px = 100;
    double quality = sp_event_image_quality(&large, WIDTH, HEIGHT);
    assert_float_equal(quality, 2 * sp_event_image_quality(&small, WIDTH, HEIGHT), 1e-9);
    assert_float_equal(quality, 2 * sp_event_image_quality(&cut, WIDTH, HEIGHT), 1e-9);
    large.confidence = 0.45;
    assert_float_equal(quality, 2 * sp_event_image_quality(&large, WIDTH, HEIGHT), 1e-9);
    large.x2_px = large.x1_px;
    assert_float_equal(sp_event_image_quality(&large, WIDTH, HEIGHT), 0, 0);
}

static void test_the_best_moment_is_stored_once_for_all_events(void **state)
{
    struct fixture *f = *state;
    struct sp_track first = person_of(7, 60), better = person_of(7, 120), worse = person_of(7, 30);
    sp_event_images_begin(f->images, CAMERA, PER_MINUTE);
    happen(f, "{\"line\":\"x\",\"track\":7}", CAMERA); /* never seen */
    assert_int_equal(f->of_events, 0);
    wait_for_image(f, &first, 1, 5, "{\"track\":7}", 0);
    assert_string_equal(f->last.camera, "door");
    int64_t number = f->last.number;
    happen(f, "{\"track\":7}", CAMERA);
    assert_int_equal(f->stored, 1);
    assert_true(f->of_events > 1);
    assert_int_equal(f->last.bytes, 0); /* stored before */

    /* By person, for an event of no camera; not for another track, person or camera. */
    int before = f->of_events;
    happen(f, "{\"person\":\"P5\"}", -1);
    assert_int_equal(f->of_events, before + 1);
    assert_int_equal(f->last.number, number);
    happen(f, "{\"track\":8}", CAMERA);
    happen(f, "{\"person\":\"P6\"}", -1);
    happen(f, "{\"people\":3}", CAMERA);
    happen(f, "{\"track\":7}", CAMERA + 1);
    assert_int_equal(f->of_events, before + 1);

    wait_for_image(f, &better, 1, 5, "{\"track\":7}", number);
    int64_t best = f->last.number;
    assert_true(best > number);
    assert_int_equal(f->stored, 2);
    for (int i = 0; i < 3; i++)
        publish(f, &worse, 1, 5);
    happen(f, "{\"track\":7}", CAMERA);
    assert_int_equal(f->last.number, best);
    assert_int_equal(f->stored, PER_MINUTE);
}

static void test_a_camera_without_images_is_not_encoded(void **state)
{
    struct fixture *f = *state;
    struct sp_track track = person_of(7, 60);
    struct sp_encoder_counts counts;
    for (int i = 0; i < 5; i++)
        publish(f, &track, 1, 0);
    happen(f, "{\"track\":7}", CAMERA);
    sp_event_images_stop(f->images);
    sp_encoder_count(f->encoder, &counts);
    assert_int_equal(counts.encoded + counts.failed, 0);
    assert_int_equal(f->of_events, 0);
}

static void test_no_more_than_the_number_a_minute_is_stored(void **state)
{
    struct fixture *f = *state;
    struct sp_track tracks[2] = {person_of(1, 60), person_of(2, 60)};
    sp_event_images_begin(f->images, CAMERA, 1);
    wait_for_image(f, &tracks[0], 1, 0, "{\"track\":1}", 0);
    int64_t first = f->last.number;
    const struct timespec step = {.tv_nsec = 20000000};
    struct sp_encoder_counts counts = {0};
    for (int i = 0; i < 6000 && counts.encoded < 2; i++) { /* of the second person */
        publish(f, &tracks[1], 1, 0);
        nanosleep(&step, NULL);
        sp_encoder_count(f->encoder, &counts);
    }
    sp_event_images_stop(f->images);
    happen(f, "{\"track\":2}", CAMERA);
    assert_int_equal(f->last.number, first);
    assert_int_equal(f->stored, 1);
    happen(f, "{\"track\":1}", CAMERA); /* an image that is stored costs nothing */
    assert_int_equal(f->last.number, first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_quality_prefers_large_whole_people),
        cmocka_unit_test_setup_teardown(test_the_best_moment_is_stored_once_for_all_events,
                                        open_all, close_all),
        cmocka_unit_test_setup_teardown(test_a_camera_without_images_is_not_encoded, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(test_no_more_than_the_number_a_minute_is_stored, open_all,
                                        close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
