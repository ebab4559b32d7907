/* Calibration frames from images and videos, upright. */
#include "clips.h"
#include "pipeline/calibration_frames.h"

enum { WIDTH = 160, HEIGHT = 96 };

/* Puts EXIF's orientation into a JPEG. */
static void tag_orientation(const char *from, const char *to, uint8_t tag)
{
    const uint8_t exif[] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0,    0,    'M', 'M',
                            0,    42,   0, 0,  0,   8,   0,   1,   0x01, 0x12, 0,   3,
                            0,    0,    0, 1,  0,   tag, 0,   0,   0,    0,    0,   0};
    static uint8_t data[1 << 18];
    FILE *in = fopen(clip(from), "rb");
    assert_non_null(in);
    size_t bytes = fread(data, 1, sizeof data, in);
    fclose(in);
    assert_in_range(bytes, 100, sizeof data - 1);
    FILE *out = fopen(clip(to), "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, 2, out), 2);
    assert_int_equal(fwrite(exif, 1, sizeof exif, out), sizeof exif);
    assert_int_equal(fwrite(data + 2, 1, bytes - 2, out), bytes - 2);
    fclose(out);
}

static void collect(struct sp_calibration_frames *samples, const char *name)
{
    struct sp_error err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s", clip(name));
    const char *const names[] = {path};
    struct sp_calibration_frames_options options = {.name = names,
                                                    .name_count = 1,
                                                    .wanted = 1,
                                                    .width_px = WIDTH,
                                                    .height_px = HEIGHT,
                                                    .layout = SPOTON_LAYOUT_NHWC};
    if (sp_calibration_frames_collect(samples, &options, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(samples->check.count, 1);
}

static double difference(const char *one, const char *other)
{
    struct sp_calibration_frames a, b;
    collect(&a, one);
    collect(&b, other);
    double sum = 0;
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
        sum += abs(sp_image(&a.check, 0)[i] - sp_image(&b.check, 0)[i]);
    sp_calibration_frames_release(&a);
    sp_calibration_frames_release(&b);
    return sum / (WIDTH * HEIGHT * 3);
}

static void test_images_stand_upright(void **state)
{
    (void)state;
    need_ffmpeg();
    make("-f lavfi -i testsrc=size=320x192 -frames:v 1 -q:v 2 @/upright.jpg");
    make("-i @/upright.jpg -vf transpose=cclock -q:v 2 @/lying.jpg");
    tag_orientation("lying.jpg", "tagged.jpg", 6); /* "turn it clockwise" */
    assert_true(difference("upright.jpg", "tagged.jpg") < 4);
    assert_true(difference("upright.jpg", "lying.jpg") > 20);
}

static void test_frames_have_square_pixels(void **state)
{
    (void)state;
    need_ffmpeg();
    make("-f lavfi -i testsrc=size=320x192 -frames:v 1 -c:v libx264 -crf 1 @/square.mp4");
    make("-i @/square.mp4 -vf scale=160:192:flags=area,setsar=2/1 -c:v libx264 -crf 1 @/half.mp4");
    assert_true(difference("square.mp4", "half.mp4") < 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images_stand_upright),
        cmocka_unit_test(test_frames_have_square_pixels),
    };
    return cmocka_run_group_tests(tests, open_clips_dir, close_clips_dir);
}
