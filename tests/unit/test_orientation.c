/* The eight orientations, by the definition of a display matrix. */
#include "capture/orientation.h"

#include <string.h>

#include "unit.h"

enum { WIDTH = 6, HEIGHT = 4, ONE = 1 << 16 };

static const struct {
    int exif;
    int a, b, c, d; /* x' = a x + c y, y' = b x + d y */
} eight[] = {{1, 1, 0, 0, 1}, {2, -1, 0, 0, 1}, {3, -1, 0, 0, -1}, {4, 1, 0, 0, -1},
             {5, 0, 1, 1, 0}, {6, 0, 1, -1, 0}, {7, 0, -1, -1, 0}, {8, 0, -1, 1, 0}};

static struct sp_orientation of(int a, int b, int c, int d)
{
    const int32_t matrix[9] = {a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30};
    return sp_orientation_from_matrix(matrix);
}

static bool equal(struct sp_orientation one, struct sp_orientation other)
{
    return one.flip_x == other.flip_x && one.flip_y == other.flip_y &&
           one.transposed == other.transposed;
}

/* The displayed position of a pixel's centre, in half pixels, around the frame's middle. */
static void check_plane(const uint8_t *from, int width, int height, const uint8_t *to, int stride,
                        int i)
{
    bool transposed = eight[i].a == 0;
    int to_width = transposed ? height : width, to_height = transposed ? width : height;
    for (int y = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
            int cx = 2 * x + 1 - width, cy = 2 * y + 1 - height;
            int px = eight[i].a * cx + eight[i].c * cy, py = eight[i].b * cx + eight[i].d * cy;
            int to_x = (px + to_width - 1) / 2, to_y = (py + to_height - 1) / 2;
            assert_int_equal(to[to_y * stride + to_x], from[y * width + x]);
        }
    }
}

static void test_every_pixel_of_the_eight(void **state)
{
    (void)state;
    uint8_t luma[WIDTH * HEIGHT], chroma[2][WIDTH * HEIGHT / 4], both[WIDTH * HEIGHT / 2];
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        luma[i] = (uint8_t)(10 + i);
    for (int i = 0; i < WIDTH * HEIGHT / 4; i++) {
        both[2 * i] = chroma[0][i] = (uint8_t)(100 + i);
        both[2 * i + 1] = chroma[1][i] = (uint8_t)(200 + i);
    }
    for (int i = 0; i < 16; i++) {
        bool nv12 = i >= 8;
        struct sp_frame frame = {.width_px = WIDTH, .height_px = HEIGHT, .plane = {luma}};
        frame.format = nv12 ? SP_PIXEL_NV12 : SP_PIXEL_I420;
        frame.plane[1] = nv12 ? both : chroma[0];
        frame.plane[2] = nv12 ? NULL : chroma[1];
        frame.stride_bytes[0] = WIDTH;
        frame.stride_bytes[1] = nv12 ? WIDTH : WIDTH / 2;
        frame.stride_bytes[2] = WIDTH / 2;
        uint8_t out[3][64];
        memset(out, 0, sizeof out);
        uint8_t *const planes[3] = {out[0], out[1], out[2]};
        const int strides[3] = {8, 8, 8};
        int k = i % 8;
        struct sp_orientation o = of(eight[k].a, eight[k].b, eight[k].c, eight[k].d);
        assert_true(equal(o, sp_orientation_from_exif(eight[k].exif)));
        assert_true(sp_orientation_is_plain(o) == (k == 0));
        assert_true(sp_orientation_apply(o, &frame, planes, strides));
        check_plane(luma, WIDTH, HEIGHT, out[0], 8, k);
        check_plane(chroma[0], WIDTH / 2, HEIGHT / 2, out[1], 8, k);
        check_plane(chroma[1], WIDTH / 2, HEIGHT / 2, out[2], 8, k);
    }
}

static void test_what_is_none_of_them(void **state)
{
    (void)state;
    assert_true(sp_orientation_is_plain(of(0, 0, 0, 0)));
    assert_true(sp_orientation_is_plain(sp_orientation_from_exif(0)));
    assert_true(sp_orientation_is_plain(sp_orientation_from_exif(9)));
    const int32_t ten_degrees[9] = {64540, 11380, 0, -11380, 64540, 0, 0, 0, 1 << 30};
    assert_true(sp_orientation_is_plain(sp_orientation_from_matrix(ten_degrees)));
    const int32_t extreme[9] = {INT32_MIN, 0, 0, 0, INT32_MIN, 0, 0, 0, 0};
    assert_true(equal(sp_orientation_from_matrix(extreme), sp_orientation_from_exif(3)));
    const int32_t doubled[9] = {0, 2 * ONE, 0, -2 * ONE, 0, 0, 0, 0, 1 << 30}; /* and scaled */
    assert_true(equal(sp_orientation_from_matrix(doubled), sp_orientation_from_exif(6)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pixel_of_the_eight),
        cmocka_unit_test(test_what_is_none_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
