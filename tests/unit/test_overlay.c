/* What a device draws for viewers: the same pixels as the CPU; frames there are not fetched. */
#include "overlay_case.h"

#include "base/clock.h"
#include "publish/downscale.h"
#include "publish/encoder.h"

#include <stdio.h>
#include <time.h>

static struct sp_text *text;

struct difference {
    size_t count, over; /* numbers; those that differ by more than 3 */
    int largest;
    double mean;
};

static void compare(struct difference *d, const struct sp_canvas *canvas,
                    const struct overlay_planes *found)
{
    *d = (struct difference){.count = found->bytes};
    for (int i = 0; i < 3; i++)
        for (int y = 0; y < found->rows[i]; y++)
            for (int x = 0; x < found->stride_bytes[i]; x++) {
                int a = canvas->plane[i][y * canvas->stride_bytes[i] + x];
                int off =
                    abs(a - found->memory[found->at[i] + (size_t)(y * found->stride_bytes[i] + x)]);
                d->largest = off > d->largest ? off : d->largest;
                d->over += off > 3;
                d->mean += off / (double)found->bytes;
            }
}

/* Both ways, for the frame at its place in an image of this size. */
static void draw_both(const struct overlay_case *c, const struct sp_shrunk *size,
                      struct difference *d)
{
    struct overlay o;
    struct sp_canvas canvas = {0};
    struct sp_marks marks = {0};
    struct sp_downscaler downscaler = {{0}};
    struct sp_frame small;
    overlay_make(c, &o);
    size_t count = (size_t)c->tracks;
    assert_int_equal(sp_downscale(&downscaler, &o.frame, size, &small, NULL), SP_OK);
    assert_int_equal(sp_canvas_load(&canvas, &small, SP_CANVAS_JPEG, NULL), SP_OK);
    sp_draw_tracks(&canvas, text, o.track, count, &o.style);

    struct spoton_image image = sp_frame_image(&o.frame);
    image.left = size->left_px;
    image.top = size->top_px;
    image.scaled_width = size->inner_width_px;
    image.scaled_height = size->inner_height_px;
    struct overlay_planes planes = overlay_planes(size->width_px, size->height_px);
    for (int round = 0; round < 2; round++) { /* what was there is replaced */
        assert_int_equal(sp_draw_marks(&marks, size->width_px, size->height_px, text, o.track,
                                       count, &o.style, NULL),
                         SP_OK);
        assert_true(marks.count > 0);
    }
    struct cuda_overlay overlay =
        overlay_describe(&o.frame, &image, &marks, size->width_px, size->height_px);
    overlay_point(&overlay, &planes, planes.memory);
    overlay_interpret(&overlay);
    compare(d, &canvas, &planes);

    free(planes.memory);
    sp_downscaler_release(&downscaler);
    sp_canvas_release(&canvas);
    sp_marks_release(&marks);
    overlay_free(&o);
}

static void test_it_draws_what_the_cpu_draws(void **state)
{
    (void)state;
    for (int i = 0; i < OVERLAY_CASES; i++) {
        const struct overlay_case *c = &overlay_cases[i];
        struct difference d;
        const struct sp_shrunk whole = {.width_px = c->width,
                                        .height_px = c->height,
                                        .inner_width_px = c->width,
                                        .inner_height_px = c->height};
        draw_both(c, &whole, &d);
        if (d.largest > 0)
            fail_msg("case %d: %d, mean %.4f", i, d.largest, d.mean);
    }
}

/* Scaling rounds a little differently; drawing does not. */
static void test_scaled_frames_are_alike(void **state)
{
    (void)state;
    for (int i = 0; i < OVERLAY_CASES - 1; i++) {
        const struct overlay_case *c = &overlay_cases[i];
        struct difference d;
        struct sp_shrunk size;
        sp_downscale_plan(&size, c->width, c->height, c->width * 2 / 3, 0, i % 2);
        draw_both(c, &size, &d);
        if (d.mean > 0.8 || d.over > d.count / 200)
            fail_msg("case %d: mean %.3f, %zu of %zu over 3", i, d.mean, d.over, d.count);
    }
}

/* ---- a device that draws ---- */

static const uint8_t made[] = {0xff, 0xd8, 0xff, 0xd9};
static atomic_int drawn, fetched, freed, closed, fails;
static struct spoton_image last_image;
static struct spoton_drawing last_drawing;
static char object;

static int no_decoding(struct spoton_decoding **out, int device, const char *backend_options,
                       void **context, void **stream, char *error, size_t error_bytes)
{
    (void)out, (void)device, (void)backend_options, (void)context, (void)stream;
    snprintf(error, error_bytes, "none");
    return SPOTON_FAILED;
}

static void close_decoding(struct spoton_decoding *decoding)
{
    (void)decoding;
}

static int no_surface(struct spoton_decoding *decoding, const struct spoton_image *image,
                      struct spoton_surface **out, char *error, size_t error_bytes)
{
    (void)decoding, (void)image, (void)out;
    snprintf(error, error_bytes, "none");
    return SPOTON_FAILED;
}

static int read_surface(struct spoton_surface *surface, uint8_t *planes, char *error,
                        size_t error_bytes)
{
    assert_ptr_equal(surface, &object);
    (void)error, (void)error_bytes;
    memset(planes, 100, 320 * 180 * 3 / 2);
    atomic_fetch_add(&fetched, 1);
    return 0;
}

static void free_surface(struct spoton_surface *surface)
{
    atomic_fetch_add(&freed, surface != NULL);
}

static int open_jpeg(struct spoton_jpeg **out, int device, const char *backend_options, char *error,
                     size_t error_bytes)
{
    (void)device, (void)backend_options, (void)error, (void)error_bytes;
    *out = (struct spoton_jpeg *)&object;
    return 0;
}

static void close_jpeg(struct spoton_jpeg *jpeg)
{
    assert_ptr_equal(jpeg, &object);
    atomic_fetch_add(&closed, 1);
}

static int no_planes(struct spoton_jpeg *jpeg, const struct spoton_image *image, int quality,
                     const uint8_t **data, size_t *bytes, char *error, size_t error_bytes)
{
    (void)jpeg, (void)image, (void)quality, (void)data, (void)bytes, (void)error, (void)error_bytes;
    fail_msg("planes of the host");
    return SPOTON_FAILED;
}

static int draw_jpeg(struct spoton_jpeg *jpeg, const struct spoton_image *image,
                     const struct spoton_surface *surface, const struct spoton_drawing *drawing,
                     int quality, const uint8_t **data, size_t *bytes, char *error,
                     size_t error_bytes)
{
    assert_ptr_equal(jpeg, &object);
    assert_ptr_equal(surface, &object);
    assert_int_equal(quality, 71);
    last_image = *image;
    last_drawing = *drawing;
    *data = made;
    *bytes = sizeof made;
    snprintf(error, error_bytes, "it has gone");
    atomic_fetch_add(&drawn, 1);
    return atomic_load(&fails) ? SPOTON_DEVICE_LOST : 0;
}

static const struct spoton_device_api device_api = {
    .struct_bytes = sizeof device_api,
    .decoding_open = no_decoding,
    .decoding_close = close_decoding,
    .surface_take = no_surface,
    .surface_read = read_surface,
    .surface_free = free_surface,
    .jpeg_open = open_jpeg,
    .jpeg_close = close_jpeg,
    .jpeg_encode = no_planes,
    .jpeg_draw = draw_jpeg,
};
static const struct spoton_engine_api api = {.struct_bytes = sizeof api, .device_api = &device_api};

static struct sp_jpeg_device use_device(void *user, int thread)
{
    (void)user, (void)thread;
    return (struct sp_jpeg_device){.api = &api};
}

static void publish(struct sp_hub *hub, struct sp_frame_pool *pool, uint64_t sequence)
{
    struct sp_frame *frame = sp_frame_pool_get(pool);
    frame->width_px = 320;
    frame->height_px = 180;
    frame->format = SP_PIXEL_NV12;
    frame->sequence = sequence;
    frame->received_us = sp_clock_us();
    sp_frame_attach(frame, &api, (struct spoton_surface *)&object);
    frame->camera = 3;
    struct sp_result_pool *results;
    assert_int_equal(sp_result_pool_open(&results, NULL), SP_OK);
    struct sp_result *result = sp_result_new(results, frame);
    assert_non_null(result);
    result->inferred = true;
    result->tracks[0] =
        (struct sp_track){.id = 4, .x1_px = 20, .y1_px = 30, .x2_px = 90, .y2_px = 160};
    result->track_count = 1;
    assert_int_equal(sp_hub_publish(hub, result, frame), SP_OK);
    sp_result_unref(result);
    sp_result_pool_close(results); /* the hub's results keep it */
    sp_frame_unref(frame);
}

static struct sp_image *await_image(struct sp_stream *stream, uint64_t number)
{
    int64_t until_us = sp_clock_us() + 120000000;
    while (sp_stream_number(stream) < number && sp_clock_us() < until_us)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    struct sp_image *image = sp_stream_newest(stream, number - 1);
    assert_non_null(image);
    return image;
}

static void test_frames_on_a_device_are_drawn_there(void **state)
{
    (void)state;
    struct sp_frame_pool *pool;
    struct sp_hub *hub;
    struct sp_encoder *encoder;
    struct sp_stream *stream;
    assert_true(spoton_engine_draws(&api));
    assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
    assert_int_equal(sp_hub_open(&hub, NULL), SP_OK);
    const struct sp_encoder_options options = {.hub = hub, .threads = 1, .device = use_device};
    assert_int_equal(sp_encoder_open(&encoder, &options, NULL), SP_OK);
    const struct sp_hub_options listeners = {.image = sp_encoder_offer, .image_user = encoder};
    sp_hub_listen(hub, &listeners);
    sp_hub_begin_camera(hub, 3, "door");
    const struct sp_stream_options wish = {
        .camera = 3, .width_px = 160, .quality = 71, .annotated = true};
    assert_int_equal(sp_stream_join(encoder, &wish, &stream, NULL), SP_OK);

    publish(hub, pool, 0);
    struct sp_image *image = await_image(stream, 1);
    assert_int_equal(image->jpeg_bytes, sizeof made);
    assert_memory_equal(image->jpeg, made, sizeof made);
    sp_image_unref(image);
    assert_int_equal(atomic_load(&drawn), 1);
    assert_int_equal(atomic_load(&fetched), 0);
    assert_int_equal(last_drawing.width, 160);
    assert_int_equal(last_drawing.height, 90);
    assert_true(last_drawing.mark_count > 10);
    assert_int_equal(last_image.width, 320);
    assert_int_equal(last_image.scaled_width, 160);
    assert_int_equal(last_image.interleaved_chroma, 1);

    /* A device that fails is left: the frame is fetched, and the CPU draws. */
    atomic_store(&fails, 1);
    publish(hub, pool, 1);
    for (uint64_t number = 2; number < 4; number++) {
        image = await_image(stream, number);
        assert_true(image->jpeg_bytes > 100);
        assert_memory_equal(image->jpeg, "\xff\xd8\xff\xe0", 4);
        sp_image_unref(image);
        if (number == 2)
            publish(hub, pool, 2);
    }
    assert_int_equal(atomic_load(&drawn), 2);
    assert_int_equal(atomic_load(&fetched), 2);
    assert_int_equal(atomic_load(&closed), 1);

    sp_stream_leave(stream);
    sp_encoder_close(encoder);
    sp_hub_close(hub);
    sp_frame_pool_close(pool);
    assert_int_equal(atomic_load(&freed), 3);
    assert_int_equal(atomic_load(&closed), 1);
}

static int open_text(void **state)
{
    (void)state;
    return sp_text_open(&text, NULL, NULL) == SP_OK ? 0 : -1;
}

static int close_text(void **state)
{
    (void)state;
    sp_text_close(text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_draws_what_the_cpu_draws),
        cmocka_unit_test(test_scaled_frames_are_alike),
        cmocka_unit_test(test_frames_on_a_device_are_drawn_there),
    };
    return cmocka_run_group_tests(tests, open_text, close_text);
}
