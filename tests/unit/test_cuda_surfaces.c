/* Images in a device's memory. Needs a device; without one it is skipped. */
#include "../../src/engine/cuda/jpeg.h"
#include "../../src/engine/cuda/surfaces.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_device.h"
#include "overlay_case.h"

enum { THREADS = 4, ROUNDS = 200, PAD = 37 };

struct planes {
    uint8_t *memory, *packed;
    size_t packed_bytes;
    struct spoton_image image;
};

/* With gaps between the rows, and what is expected without them. */
static void make_planes(struct planes *p, int width, int height, int interleaved, unsigned seed)
{
    int half = (width + 1) / 2, rows = (height + 1) / 2, planes = interleaved ? 2 : 3;
    int widths[3] = {width, interleaved ? 2 * half : half, half};
    size_t bytes = 0;
    p->image =
        (struct spoton_image){.width = width, .height = height, .interleaved_chroma = interleaved};
    p->packed_bytes = 0;
    for (int i = 0; i < planes; ++i) {
        bytes += (size_t)(widths[i] + PAD) * (size_t)(i ? rows : height);
        p->packed_bytes += (size_t)widths[i] * (size_t)(i ? rows : height);
    }
    p->memory = malloc(bytes);
    p->packed = malloc(p->packed_bytes);
    assert_non_null(p->memory);
    assert_non_null(p->packed);
    for (size_t i = 0; i < bytes; ++i) {
        seed = seed * 1664525u + 1013904223u;
        p->memory[i] = (uint8_t)(seed >> 24);
    }
    uint8_t *from = p->memory, *to = p->packed;
    for (int i = 0; i < planes; ++i) {
        p->image.plane[i] = from;
        p->image.stride_bytes[i] = widths[i] + PAD;
        for (int y = 0; y < (i ? rows : height); ++y, from += widths[i] + PAD, to += widths[i])
            memcpy(to, from, (size_t)widths[i]);
    }
}

static void free_planes(struct planes *p)
{
    free(p->memory);
    free(p->packed);
}

static struct spoton_decoding *open_decoding(void)
{
    struct spoton_decoding *decoding = NULL;
    void *context = NULL, *stream = NULL;
    char error[200] = "";
    assert_int_equal(cuda_decoding_open(&decoding, 0, NULL, &context, &stream, error, sizeof error),
                     0);
    assert_non_null(context);
    assert_non_null(stream);
    return decoding;
}

static void test_what_is_taken_is_read(void **state)
{
    static const struct {
        int width, height, interleaved;
    } cases[] = {{1920, 1080, 1}, {641, 361, 0}, {641, 361, 1}, {16, 16, 0}, {1, 1, 1}};
    (void)state;
    if (!have_device())
        skip();
    struct spoton_decoding *decoding = open_decoding();
    struct spoton_surface *surface[sizeof cases / sizeof *cases];
    struct planes planes[sizeof cases / sizeof *cases];
    char error[200] = "";
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        make_planes(&planes[i], cases[i].width, cases[i].height, cases[i].interleaved, (unsigned)i);
        assert_int_equal(
            cuda_surface_take(decoding, &planes[i].image, &surface[i], error, sizeof error), 0);
        memset(planes[i].memory, 0, 1); /* it is the caller's again */
    }
    cuda_decoding_close(decoding);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        uint8_t *found = malloc(planes[i].packed_bytes);
        assert_non_null(found);
        assert_int_equal(cuda_surface_read(surface[i], found, error, sizeof error), 0);
        assert_memory_equal(found, planes[i].packed, planes[i].packed_bytes);
        free(found);
        free_planes(&planes[i]);
        cuda_surface_free(surface[i]);
    }
    cuda_surface_free(NULL);
}

static void *take_and_read(void *argument)
{
    unsigned seed = *(const unsigned *)argument;
    struct spoton_decoding *decoding = open_decoding();
    char error[200];
    void *wrong = NULL;
    for (int i = 0; i < ROUNDS && !wrong; ++i) {
        struct planes planes;
        struct spoton_surface *surface = NULL;
        make_planes(&planes, 320, 180, i % 2, seed + (unsigned)i);
        uint8_t *found = malloc(planes.packed_bytes);
        if (cuda_surface_take(decoding, &planes.image, &surface, error, sizeof error) < 0 ||
            cuda_surface_read(surface, found, error, sizeof error) < 0 ||
            memcmp(found, planes.packed, planes.packed_bytes) != 0)
            wrong = argument;
        cuda_surface_free(surface);
        free(found);
        free_planes(&planes);
    }
    cuda_decoding_close(decoding);
    return wrong;
}

/* Memory goes round between cameras, and no image gets into another one. */
static void test_cameras_beside_each_other(void **state)
{
    static unsigned seed[THREADS] = {1, 1000, 2000, 3000};
    pthread_t thread[THREADS];
    (void)state;
    if (!have_device())
        skip();
    for (int i = 0; i < THREADS; ++i)
        assert_int_equal(pthread_create(&thread[i], NULL, take_and_read, &seed[i]), 0);
    for (int i = 0; i < THREADS; ++i) {
        void *wrong;
        pthread_join(thread[i], &wrong);
        assert_null(wrong);
    }
}

/* The JPEG of a surface with an overlay is that of the planes that the CPU has of it. */
static void draw_on_surface(const struct overlay_case *c, struct spoton_decoding *decoding,
                            struct spoton_jpeg *drawing_jpeg, struct spoton_jpeg *plain_jpeg)
{
    struct overlay o;
    struct sp_marks marks = {0};
    struct spoton_surface *surface = NULL;
    const uint8_t *drawn, *plain;
    size_t drawn_bytes, plain_bytes;
    char error[200] = "";
    overlay_make(c, &o);
    assert_int_equal(sp_draw_marks(&marks, c->width, c->height, NULL, o.track, (size_t)c->tracks,
                                   &o.style, NULL),
                     SP_OK);
    struct spoton_image image = sp_frame_image(&o.frame);
    image.scaled_width = c->width;
    image.scaled_height = c->height;
    struct overlay_planes planes = overlay_planes(c->width, c->height);
    struct cuda_overlay overlay = overlay_describe(&o.frame, &image, &marks, c->width, c->height);
    overlay_point(&overlay, &planes, planes.memory);
    overlay_interpret(&overlay);
    struct spoton_image of_planes = {.width = c->width, .height = c->height};
    for (int i = 0; i < 3; ++i) {
        of_planes.plane[i] = planes.memory + planes.at[i];
        of_planes.stride_bytes[i] = planes.stride_bytes[i];
    }
    assert_int_equal(cuda_surface_take(decoding, &image, &surface, error, sizeof error), 0);
    const struct spoton_drawing drawing = {.struct_bytes = sizeof drawing,
                                           .width = c->width,
                                           .height = c->height,
                                           .marks = marks.mark,
                                           .mark_count = marks.count,
                                           .coverage = marks.coverage,
                                           .coverage_bytes = marks.coverage_bytes};
    assert_int_equal(cuda_jpeg_draw(drawing_jpeg, &image, surface, &drawing, 85, &drawn,
                                    &drawn_bytes, error, sizeof error),
                     0);
    assert_int_equal(
        cuda_jpeg_encode(plain_jpeg, &of_planes, 85, &plain, &plain_bytes, error, sizeof error), 0);
    assert_int_equal(drawn_bytes, plain_bytes);
    assert_memory_equal(drawn, plain, plain_bytes);
    cuda_surface_free(surface);
    free(planes.memory);
    sp_marks_release(&marks);
    overlay_free(&o);
}

static void test_overlays_on_surfaces(void **state)
{
    struct spoton_jpeg *one = NULL, *other = NULL;
    char error[200] = "";
    (void)state;
    if (!have_device())
        skip();
    if (cuda_jpeg_open(&one, 0, NULL, error, sizeof error) < 0) {
        print_message("skipped: %s\n", error);
        skip();
    }
    assert_int_equal(cuda_jpeg_open(&other, 0, NULL, error, sizeof error), 0);
    struct spoton_decoding *decoding = open_decoding();
    for (int i = 0; i < OVERLAY_CASES; ++i)
        draw_on_surface(&overlay_cases[i], decoding, one, other);
    cuda_decoding_close(decoding);
    cuda_jpeg_close(one);
    cuda_jpeg_close(other);
}

static void test_a_device_that_is_not_there(void **state)
{
    struct spoton_decoding *decoding = NULL;
    void *context, *stream;
    char error[200] = "";
    (void)state;
    assert_true(cuda_decoding_open(&decoding, 31, NULL, &context, &stream, error, sizeof error) <
                0);
    assert_true(error[0] != '\0');
    assert_true(
        cuda_decoding_open(&decoding, 0, "devise=1", &context, &stream, error, sizeof error) < 0);
    assert_non_null(strstr(error, "devise"));
    assert_null(decoding);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken_is_read),
        cmocka_unit_test(test_cameras_beside_each_other),
        cmocka_unit_test(test_overlays_on_surfaces),
        cmocka_unit_test(test_a_device_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
