/* The hub, its encoder, and the messages made of results. */
#include "base/clock.h"
#include "publish/downscale.h"
#include "publish/encoder.h"
#include "publish/message.h"

#include "unit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 64, HEIGHT = 48 };

struct fixture {
    struct sp_frame_pool *pool;
    struct sp_result_pool *results;
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    uint8_t luma[WIDTH * HEIGHT], chroma[WIDTH * HEIGHT / 4];
    atomic_int wakes;
};

static void count_wake(void *user, int camera)
{
    struct fixture *f = user;
    assert_int_equal(camera, 3);
    atomic_fetch_add(&f->wakes, 1);
}

static int open_all(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct sp_error err = {0};
    memset(f->luma, 90, sizeof f->luma);
    memset(f->chroma, 128, sizeof f->chroma);
    assert_int_equal(sp_frame_pool_open(&f->pool, &err), SP_OK);
    assert_int_equal(sp_result_pool_open(&f->results, &err), SP_OK);
    assert_int_equal(sp_hub_open(&f->hub, &err), SP_OK);
    struct sp_encoder_options options = {.hub = f->hub, .threads = 2};
    assert_int_equal(sp_encoder_open(&f->encoder, &options, &err), SP_OK);
    sp_encoder_listen(f->encoder, count_wake, f);
    struct sp_hub_options listeners = {.image = sp_encoder_offer, .image_user = f->encoder};
    sp_hub_listen(f->hub, &listeners);
    *state = f;
    return 0;
}

static int close_all(void **state)
{
    struct fixture *f = *state;
    sp_encoder_close(f->encoder);
    sp_hub_close(f->hub);
    sp_result_pool_close(f->results);
    sp_frame_pool_close(f->pool);
    free(f);
    return 0;
}

static void publish(struct fixture *f, uint64_t sequence, const struct sp_track *tracks,
                    size_t count)
{
    struct sp_frame *frame = sp_frame_pool_get(f->pool);
    frame->plane[0] = f->luma;
    frame->plane[1] = frame->plane[2] = f->chroma;
    frame->stride_bytes[0] = WIDTH;
    frame->stride_bytes[1] = frame->stride_bytes[2] = WIDTH / 2;
    frame->width_px = WIDTH;
    frame->height_px = HEIGHT;
    frame->sequence = sequence;
    frame->received_us = sp_clock_us();
    frame->camera = 3;
    struct sp_result *result = sp_result_new(f->results, frame);
    assert_non_null(result);
    result->inferred = true;
    result->track_count = count;
    for (size_t i = 0; i < count; i++)
        result->tracks[i] = tracks[i];
    assert_int_equal(sp_hub_publish(f->hub, result, frame), SP_OK);
    sp_result_unref(result);
    sp_frame_unref(frame);
}

/* The sequence of the next result, or -1. */
static int64_t next(struct fixture *f, struct sp_hub_cursor *cursor)
{
    bool news = sp_hub_has_next(f->hub, 3, cursor);
    struct sp_result *update = sp_hub_next(f->hub, 3, cursor);
    assert_int_equal(news, update != NULL);
    int64_t sequence = update ? (int64_t)update->sequence : -1;
    sp_result_unref(update);
    return sequence;
}

static void test_a_viewer_gets_each_result_once_in_order(void **state)
{
    struct fixture *f = *state;
    struct sp_hub_cursor cursor = {0};
    sp_hub_begin_camera(f->hub, 3, "door");
    assert_int_equal(next(f, &cursor), -1);
    publish(f, 10, NULL, 0);
    publish(f, 11, NULL, 0);
    assert_int_equal(next(f, &cursor), 11); /* a new viewer begins with the newest */
    assert_int_equal(next(f, &cursor), -1);
    for (uint64_t i = 12; i < 12 + SP_HUB_RING; i++)
        publish(f, i, NULL, 0);
    for (int i = 12; i < 12 + SP_HUB_RING; i++)
        assert_int_equal(next(f, &cursor), i);
    assert_int_equal(next(f, &cursor), -1);
    assert_int_equal(cursor.missed, 0);
}

static void test_a_slow_viewer_goes_on_with_the_newest(void **state)
{
    struct fixture *f = *state;
    struct sp_hub_cursor slow = {0};
    sp_hub_begin_camera(f->hub, 3, "door");
    publish(f, 0, NULL, 0);
    assert_int_equal(next(f, &slow), 0);
    for (uint64_t i = 1; i <= 100; i++)
        publish(f, i, NULL, 0);
    assert_int_equal(next(f, &slow), 100);
    assert_int_equal(slow.missed, 99);
    assert_int_equal(next(f, &slow), -1);
}

static void test_a_camera_index_forgets_its_last_camera(void **state)
{
    struct fixture *f = *state;
    struct sp_hub_cursor cursor = {0};
    struct sp_result *update;
    struct sp_frame *frame;
    sp_hub_begin_camera(f->hub, 3, "door");
    publish(f, 5, NULL, 0);
    assert_int_equal(next(f, &cursor), 5);
    uint64_t first = sp_hub_generation(f->hub, 3);
    sp_hub_end_camera(f->hub, 3);
    assert_int_equal(sp_hub_generation(f->hub, 3), 0);
    assert_false(sp_hub_latest(f->hub, 3, &update, &frame));
    sp_hub_begin_camera(f->hub, 3, "gate");
    assert_true(sp_hub_generation(f->hub, 3) > first);
    publish(f, 0, NULL, 0);
    assert_int_equal(next(f, &cursor), 0);
    assert_int_equal(cursor.missed, 0);
}

static void test_boxes_are_clipped_to_the_image(void **state)
{
    struct fixture *f = *state;
    struct sp_track tracks[] = {
        {.id = 1, .x1_px = -4, .y1_px = -1, .x2_px = 90, .y2_px = 60, .confidence = 0.5}};
    struct sp_result *update;
    struct sp_frame *frame;
    sp_hub_begin_camera(f->hub, 3, "door");
    publish(f, 0, tracks, 1);
    assert_true(sp_hub_latest(f->hub, 3, &update, &frame));
    assert_float_equal(update->tracks[0].x1_px, 0, 0);
    assert_float_equal(update->tracks[0].y1_px, 0, 0);
    assert_float_equal(update->tracks[0].x2_px, WIDTH, 0);
    assert_float_equal(update->tracks[0].y2_px, HEIGHT, 0);
    sp_result_unref(update);
    sp_frame_unref(frame);
}

static void wait_for(struct sp_stream *stream, uint64_t number)
{
    for (int i = 0; i < 2000 && sp_stream_number(stream) < number; i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_true(sp_stream_number(stream) >= number);
}

static void test_images_are_made_only_for_viewers_and_once(void **state)
{
    struct fixture *f = *state;
    struct sp_stream_options options = {
        .camera = 3, .width_px = 32, .quality = 80, .annotated = true};
    struct sp_stream *a, *b;
    struct sp_encoder_counts counts;
    sp_hub_begin_camera(f->hub, 3, "door");
    for (uint64_t i = 0; i < 20; i++)
        publish(f, i, NULL, 0);
    sp_encoder_count(f->encoder, &counts);
    assert_int_equal(counts.encoded, 0);

    assert_int_equal(sp_stream_join(f->encoder, &options, &a, NULL), SP_OK);
    assert_int_equal(sp_stream_join(f->encoder, &options, &b, NULL), SP_OK);
    assert_ptr_equal(a, b);
    wait_for(a, 1); /* of what was there already */
    publish(f, 20, NULL, 0);
    wait_for(a, 2);
    struct sp_image *image = sp_stream_newest(b, 1);
    assert_non_null(image);
    assert_int_equal(image->result->sequence, 20);
    assert_memory_equal(image->jpeg, "\xFF\xD8\xFF", 3);
    /* A browser shows a part when the header of the next one is there. */
    static const char end[] = "\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n";
    assert_memory_equal(image->part, "\xFF\xD8", 2);
    assert_memory_equal(image->part + image->part_bytes - (sizeof end - 1), end, sizeof end - 1);
    assert_null(sp_stream_newest(b, 2));
    sp_image_unref(image);
    sp_encoder_count(f->encoder, &counts);
    assert_int_equal(counts.encoded, 2);
    assert_int_equal(counts.streams, 1);
    assert_int_equal(atomic_load(&f->wakes), 2);
    sp_stream_leave(a);
    sp_stream_leave(b);
    sp_encoder_count(f->encoder, &counts);
    assert_int_equal(counts.streams, 0);
}

/* Tracks 4 and 7 in two frames, track 8 alone in a third. */
/* Viewers get the result that was published, and its memory is used again. */
static void test_results_are_shared(void **state)
{
    struct fixture *f = *state;
    struct sp_hub_cursor cursor = {0};
    sp_hub_begin_camera(f->hub, 3, "c3");
    struct sp_frame *frame = sp_frame_pool_get(f->pool);
    frame->camera = 3;
    frame->sequence = 8;
    frame->width_px = WIDTH;
    frame->height_px = HEIGHT;
    struct sp_result *made = sp_result_new(f->results, frame);
    made->track_count = 1;
    made->tracks[0] = (struct sp_track){.id = 4, .x1_px = -3, .x2_px = 9, .y2_px = 1000};
    assert_int_equal(sp_hub_publish(f->hub, made, frame), SP_OK);
    struct sp_result *seen = sp_hub_next(f->hub, 3, &cursor);
    assert_ptr_equal(seen, made);
    assert_int_equal(seen->sequence, 8);
    assert_string_equal(seen->name, "c3");
    assert_true(seen->tracks[0].x1_px == 0 && seen->tracks[0].y2_px == HEIGHT);
    sp_result_unref(made);
    sp_hub_end_camera(f->hub, 3);
    struct sp_result *other = sp_result_new(f->results, frame);
    assert_ptr_not_equal(other, seen); /* it is in use */
    assert_int_equal(sp_hub_publish(f->hub, other, frame), SP_ERR_NOT_FOUND);
    sp_result_unref(seen);
    struct sp_result *again = sp_result_new(f->results, frame);
    assert_ptr_equal(again, made);
    assert_int_equal(again->track_count, 0);
    assert_string_equal(again->name, "");
    sp_result_unref(again);
    sp_result_unref(other);
    sp_frame_unref(frame);
}

static void test_what_was_published_is_counted(void **state)
{
    struct fixture *f = *state;
    struct sp_track tracks[] = {{.id = 4, .x2_px = 9, .y2_px = 9, .confidence = 0.9},
                                {.id = 7, .x2_px = 9, .y2_px = 9, .confidence = 0.5}};
    struct sp_hub_totals totals;
    sp_hub_begin_camera(f->hub, 3, "door");
    publish(f, 1, tracks, 2);
    publish(f, 2, tracks, 2);
    tracks[0].id = 8;
    publish(f, 3, tracks, 1);
    sp_hub_count(f->hub, 3, &totals);
    assert_int_equal(totals.frames, 3);
    assert_int_equal(totals.boxes, 5);
    assert_int_equal(totals.confidence_milli, 900 + 500 + 900 + 500 + 900);
    assert_int_equal(totals.tracks, 3);
    sp_hub_count(f->hub, 2, &totals);
    assert_int_equal(totals.frames, 0);
}

static void *join_and_leave(void *argument)
{
    struct fixture *f = argument;
    for (int i = 0; i < 200; i++) {
        struct sp_stream_options options = {.camera = 3, .quality = 50 + i % 3};
        struct sp_stream *stream;
        assert_int_equal(sp_stream_join(f->encoder, &options, &stream, NULL), SP_OK);
        sp_image_unref(sp_stream_newest(stream, 0));
        sp_stream_leave(stream);
    }
    return NULL;
}

static void test_viewers_come_and_go_while_it_publishes(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[3];
    sp_hub_begin_camera(f->hub, 3, "door");
    for (int i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, join_and_leave, f);
    for (uint64_t i = 0; i < 300; i++)
        publish(f, i, NULL, 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void test_sizes_follow_width_and_scale(void **state)
{
    (void)state;
    struct sp_shrunk plan;
    sp_downscale_plan(&plan, 1920, 1080, 640, 1, false);
    assert_int_equal(plan.width_px * 10000 + plan.height_px, 640 * 10000 + 360);
    sp_downscale_plan(&plan, 1920, 1080, 0, 0.5, false);
    assert_int_equal(plan.width_px * 10000 + plan.height_px, 960 * 10000 + 540);
    sp_downscale_plan(&plan, 320, 240, 640, 0, false);
    assert_int_equal(plan.width_px * 10000 + plan.height_px, 320 * 10000 + 240);
    assert_int_equal(plan.inner_width_px * 10000 + plan.inner_height_px, 320 * 10000 + 240);
    sp_downscale_plan(&plan, 4096, 1, 16, 1, false);
    assert_int_equal(plan.width_px * 10000 + plan.height_px, 16 * 10000 + 1);
}

/* Frame, most wide; then the padded size, and where the frame lies in it. */
static void test_other_shapes_are_padded_to_16_9(void **state)
{
    static const int rows[][9] = {
        {640, 480, 640, 640, 360, 480, 360, 80, 0},    /* 4:3, pillars */
        {1920, 1080, 640, 640, 360, 640, 360, 0, 0},   /* nothing to pad */
        {1366, 768, 640, 640, 360, 640, 360, 0, 0},    /* off by less than a pixel */
        {2560, 1080, 640, 640, 360, 640, 270, 0, 44},  /* 21:9, bars; even above */
        {1080, 1920, 640, 640, 360, 203, 360, 218, 0}, /* upright */
        {320, 240, 640, 427, 240, 320, 240, 52, 0},    /* never enlarged */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int *r = rows[i];
        struct sp_shrunk plan;
        sp_downscale_plan(&plan, r[0], r[1], r[2], 1, true);
        assert_int_equal(plan.width_px * 10000 + plan.height_px, r[3] * 10000 + r[4]);
        assert_int_equal(plan.inner_width_px * 10000 + plan.inner_height_px, r[5] * 10000 + r[6]);
        assert_int_equal(plan.left_px * 10000 + plan.top_px, r[7] * 10000 + r[8]);
    }
}

/* White of 4:3 between black. */
static void test_padding_is_black_and_the_frame_in_its_middle(void **state)
{
    enum { W = 64, H = 48, WIDE = 85 };
    static uint8_t white[W * H], grey[W * H / 4];
    struct sp_downscaler downscaler = {0};
    struct sp_shrunk plan;
    struct sp_frame to, frame = {.format = SP_PIXEL_I420,
                                 .width_px = W,
                                 .height_px = H,
                                 .plane = {white, grey, grey},
                                 .stride_bytes = {W, W / 2, W / 2}};
    (void)state;
    memset(white, 235, sizeof white);
    memset(grey, 128, sizeof grey);
    sp_downscale_plan(&plan, W, H, 640, 1, true);
    assert_int_equal(sp_downscale(&downscaler, &frame, &plan, &to, NULL), SP_OK);
    assert_int_equal(to.width_px * 1000 + to.height_px, WIDE * 1000 + H);
    for (int y = 0; y < H; y++)
        for (int x = 0; x < WIDE; x++)
            assert_int_equal(to.plane[0][y * to.stride_bytes[0] + x],
                             x >= 10 && x < 10 + W ? 235 : 16);
    sp_downscaler_release(&downscaler);
}

static void fill(struct sp_result *update, size_t count)
{
    *update = (struct sp_result){.name = "c1",
                                 .sequence = 4711,
                                 .pts_us = 188440000,
                                 .wall_us = 1769860800123456,
                                 .inferred = true,
                                 .width_px = 1920,
                                 .height_px = 1080,
                                 .track_count = count};
    srand(1);
    for (size_t i = 0; i < count; i++)
        update->tracks[i] = (struct sp_track){
            .id = (uint32_t)(100 + i),
            .x1_px = rand() % 90000 / 97.0,
            .y1_px = rand() % 50000 / 97.0,
            .x2_px = 1000 + rand() % 80000 / 97.0,
            .y2_px = 600 + rand() % 40000 / 97.0,
            .confidence = 0.3 + rand() % 7000 / 10001.0,
        };
}

/* Boxes in whole pixels, as an engine that works in pixels gives them. */
static void fill_whole(struct sp_result *update, size_t count)
{
    fill(update, count);
    update->width_px = 640;
    update->height_px = 360;
    for (size_t i = 0; i < count; i++) {
        struct sp_track *track = &update->tracks[i];
        track->x1_px = (float)(rand() % 580);
        track->y1_px = (float)(rand() % 290);
        track->x2_px = track->x1_px + (float)(10 + rand() % 50);
        track->y2_px = track->y1_px + (float)(20 + rand() % 50);
    }
}

static void test_binary_is_a_quarter_of_json(void **state)
{
    (void)state;
    static struct sp_class_names classes;
    assert_true(sp_class_names_set(&classes, 0, "person", 6));
    struct sp_json json = {0};
    uint8_t out[SP_MESSAGE_BYTES_MAX];
    struct sp_result *update = malloc(sizeof *update);
    const size_t counts[] = {0, 1, 4, 20, 256, 300};
    for (size_t i = 0; i < 12; i++) {
        size_t count = counts[i / 2], id_bytes = count > 256 ? 2 : 1;
        (i % 2 ? fill_whole : fill)(update, count);
        sp_json_clear(&json);
        sp_message_json(&json, update, &classes, update->received_us + 41234);
        size_t bytes = sp_message_binary(out, update, false, update->received_us + 41234);
        assert_int_equal(bytes, 36 + (count ? 5 : 0) + ((i % 2 ? 7 : 8) + id_bytes) * count);
        print_message("%zu tracks%s: %.3f of %zu bytes\n", count, i % 2 ? " in whole pixels" : "",
                      (double)bytes / (double)json.used_bytes, json.used_bytes);
        assert_true(bytes * 4 <= json.used_bytes);
    }
    sp_json_release(&json);
    free(update);
}

static void test_binary_layout_byte_by_byte(void **state)
{
    (void)state;
    struct sp_result *update = malloc(sizeof *update);
    uint8_t out[SP_MESSAGE_BYTES_MAX];
    *update = (struct sp_result){.name = "ab",
                                 .sequence = 0x0102030405,
                                 .pts_us = -2,
                                 .wall_us = 0x1122334455667788,
                                 .width_px = 640,
                                 .height_px = 480,
                                 .track_count = 2};
    update->tracks[0] = (struct sp_track){.id = 70000, .x2_px = 640, .y2_px = 240, .confidence = 1};
    update->tracks[1] = (struct sp_track){
        .id = 7, .x1_px = 320, .y1_px = 0.5F, .confidence = 0.2F, .class_id = 300};
    uint8_t wanted[] = {
        'S',  'P',  'T',  2,    2 | 8 | 32, 2,    2,    0,       /* jpeg, classes, wide ids; n */
        5,    4,    3,    2,    0x80,       2,    0xE0, 1,       /* sequence, width, height */
        0x88, 0x77, 0x66, 0x55, 0x44,       0x33, 0x22, 0x11,    /* wall */
        0x39, 5,    0,    0,    0xFE,       0xFF, 0xFF, 0xFF,    /* latency, pts */
        0xFF, 0xFF, 'a',  'b',  7,          0,    0,    0,    0, /* name, base, class */
        0,    0,    0,    0xF0, 0xFF,       0x03, 0x80, 255,     /* box, confidence */
        0x69, 0x11, 1,    0,                                     /* id */
        0,    0x60, 4,    0,    0,          0,    0,    51,   0, 0, 0, 0, 0, 255};
    assert_int_equal(sp_message_binary(out, update, true, 1337), sizeof wanted);
    assert_memory_equal(out, wanted, sizeof wanted);

    update->tracks[0] = (struct sp_track){.id = 300, .x2_px = 640, .y2_px = 480, .confidence = 1};
    update->tracks[1] = (struct sp_track){.id = 7, .x1_px = 320, .y1_px = 18, .confidence = 0.2F};
    wanted[4] = 2 | 4 | 16;
    static const uint8_t tracks[] = {0,    0,    0,    0x80, 0x02, 0x1E, 255, 0x25, 1,
                                     0x40, 0x21, 0x01, 0,    0,    0,    51,  0,    0};
    memcpy(wanted + 41, tracks, sizeof tracks);
    assert_int_equal(sp_message_binary(out, update, true, 1337), 41 + sizeof tracks);
    assert_memory_equal(out, wanted, 41 + sizeof tracks);
    free(update);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_viewer_gets_each_result_once_in_order, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(test_a_slow_viewer_goes_on_with_the_newest, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(test_a_camera_index_forgets_its_last_camera, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(test_boxes_are_clipped_to_the_image, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_images_are_made_only_for_viewers_and_once, open_all,
                                        close_all),
        cmocka_unit_test_setup_teardown(test_results_are_shared, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_what_was_published_is_counted, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_viewers_come_and_go_while_it_publishes, open_all,
                                        close_all),
        cmocka_unit_test(test_sizes_follow_width_and_scale),
        cmocka_unit_test(test_other_shapes_are_padded_to_16_9),
        cmocka_unit_test(test_padding_is_black_and_the_frame_in_its_middle),
        cmocka_unit_test(test_binary_is_a_quarter_of_json),
        cmocka_unit_test(test_binary_layout_byte_by_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
