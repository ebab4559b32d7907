/* Still images as live cameras: read periodically, replaced, damaged and missing ones. */
#include "clips.h"
#include "live.h"

static int make_images(void **state)
{
    if (open_clips_dir(state) < 0)
        return -1;
    if (!run("ffmpeg -version >/dev/null 2>&1"))
        return 0;
    make("-f lavfi -i testsrc=size=320x180 -frames:v 1 -q:v 2 @/small.jpg");
    make("-f lavfi -i testsrc=size=640x360 -frames:v 1 -q:v 2 @/large.jpg");
    make("-f lavfi -i testsrc=size=320x180 -frames:v 1 @/small.png");
    return 0;
}

struct still {
    struct sp_frame_pool *pool;
    struct sp_source *source;
};

static struct still open_still(const char *url, int64_t interval_us, int frame_skip)
{
    struct still still = {0};
    struct sp_error err = {0};
    assert_int_equal(sp_frame_pool_open(&still.pool, &err), SP_OK);
    struct sp_source_options options = {.url = url,
                                        .pool = still.pool,
                                        .frame_skip = frame_skip,
                                        .sparse = frame_skip > 1,
                                        .read_timeout_us = 300000,
                                        .snapshot_interval_us = interval_us};
    if (sp_source_open(&still.source, &options, &err) < 0)
        fail_msg("%s", err.text);
    return still;
}

static void close_still(struct still *still)
{
    sp_source_close(still->source);
    sp_frame_pool_close(still->pool);
}

/* The next frame's width; negative: the error. */
static int read_width(struct still *still, uint64_t *sequence, int64_t *pts_us)
{
    struct sp_frame *frame;
    struct sp_error err = {0};
    int rc = sp_source_read(still->source, &frame, &err);
    if (rc < 0)
        return rc;
    *sequence = frame->sequence;
    *pts_us = frame->pts_us;
    int width_px = frame->width_px;
    sp_frame_unref(frame);
    return width_px;
}

static void put(const char *from, const char *to)
{
    char source[512];
    snprintf(source, sizeof source, "%s", clip(from));
    assert_true(run("cp '%s' '%s.new' && mv '%s.new' '%s'", source, clip(to), clip(to), clip(to)));
}

static void test_read_again_at_the_interval(void **state)
{
    (void)state;
    need_ffmpeg();
    static const char *const names[] = {"small.jpg", "small.png"};
    for (int n = 0; n < 2; n++) {
        struct still still = open_still(clip(names[n]), 60000, 1);
        struct sp_source_info info;
        sp_source_info(still.source, &info);
        assert_true(info.live && info.snapshot);
        assert_int_equal(info.frames_total, 0);
        int64_t begin_us = sp_clock_us();
        for (uint64_t i = 0; i < 6; i++) {
            uint64_t sequence;
            int64_t pts_us = -1;
            assert_int_equal(read_width(&still, &sequence, &pts_us), 320);
            assert_int_equal(sequence, i);
            assert_true(i == 0 ? pts_us == 0 : pts_us > 0);
        }
        assert_true(sp_clock_us() - begin_us >= 5 * 60000 - 60000);
        assert_int_equal(sp_source_failed(still.source), 0);
        close_still(&still);
    }
}

static void test_without_an_interval_it_is_read_once(void **state)
{
    (void)state;
    need_ffmpeg();
    struct still still = open_still(clip("small.jpg"), 0, 1);
    uint64_t sequence;
    int64_t pts_us;
    assert_int_equal(read_width(&still, &sequence, &pts_us), 320);
    assert_int_equal(read_width(&still, &sequence, &pts_us), SP_ERR_END);
    close_still(&still);
}

/* With `sparse` the numbers in between are skipped without a request, and accounted for. */
static void test_sparse(void **state)
{
    (void)state;
    need_ffmpeg();
    struct still still = open_still(clip("small.jpg"), 20000, 3);
    int64_t begin_us = sp_clock_us();
    for (int i = 0; i < 3; i++) {
        struct sp_frame *frame;
        struct sp_error err = {0};
        assert_int_equal(sp_source_read(still.source, &frame, &err), SP_OK);
        assert_int_equal(frame->sequence, 3 * i);
        assert_int_equal(frame->undecoded, i ? 2 : 0);
        sp_frame_unref(frame);
    }
    assert_true(sp_clock_us() - begin_us >= 2 * 60000 - 20000);
    close_still(&still);
}

static void test_replaced_damaged_and_missing(void **state)
{
    (void)state;
    need_ffmpeg();
    uint64_t sequence = 0;
    int64_t pts_us;
    put("small.jpg", "now.jpg");
    struct still still = open_still(clip("now.jpg"), 20000, 1);
    assert_int_equal(read_width(&still, &sequence, &pts_us), 320);
    put("large.jpg", "now.jpg");
    int width = 320;
    for (int i = 0; i < 50 && width == 320; i++)
        width = read_width(&still, &sequence, &pts_us);
    assert_int_equal(width, 640);

    /* Half of it, as while it is being written: counted, never returned. */
    assert_int_equal(sp_source_failed(still.source), 0);
    put("large.jpg", "whole.jpg");
    assert_true(run("head -c 4000 '%s' > '%s'", clip("whole.jpg"), clip("now.jpg")));
    do /* one may have been read before it was truncated */
        width = read_width(&still, &sequence, &pts_us);
    while (width > 0);
    assert_int_equal(width, SP_ERR_TIMEOUT);
    assert_true(sp_source_failed(still.source) > 0);
    assert_true(run("rm '%s'", clip("now.jpg")));
    assert_int_equal(read_width(&still, &sequence, &pts_us), SP_ERR_TIMEOUT);
    put("small.jpg", "now.jpg");
    uint64_t before = sequence + sp_source_failed(still.source);
    while ((width = read_width(&still, &sequence, &pts_us)) == SP_ERR_TIMEOUT)
        continue;
    assert_int_equal(width, 320);
    assert_true(sequence >= before); /* failed ones have numbers too */
    close_still(&still);
}

static void test_a_camera_in_the_pipeline(void **state)
{
    (void)state;
    need_ffmpeg();
    struct live *live = live_prepare("");
    live->settings.snapshot_interval_ms = 50;
    live_start(live, true);
    put("small.jpg", "cam.jpg");
    int camera = live_add(live, "still", clip("cam.jpg"));
    int64_t begin_us = sp_clock_us();
    live_await(&live->camera[camera].results, 11);
    assert_true(sp_clock_us() - begin_us >= 9 * 50000);
    struct sp_camera_report report = live_report(live, camera);
    assert_true(report.info.live);
    assert_int_equal(report.reconnects, 0);
    assert_int_equal(report.file_position, -1);
    /* It disappears and returns, like any camera. */
    assert_true(run("rm '%s'", clip("cam.jpg")));
    live_await_state(live, camera, SP_CAMERA_OFFLINE);
    put("large.jpg", "cam.jpg");
    live_await_state(live, camera, SP_CAMERA_LIVE);
    live_await(&live->camera[camera].results, live->camera[camera].results + 2);
    assert_int_equal(live->camera[camera].width_px, 640);
    report = live_report(live, camera);
    assert_int_equal(report.ended, false);
    assert_int_equal(live->camera[camera].disorder, 0);
    live_close(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_again_at_the_interval),
        cmocka_unit_test(test_without_an_interval_it_is_read_once),
        cmocka_unit_test(test_sparse),
        cmocka_unit_test(test_replaced_damaged_and_missing),
        cmocka_unit_test(test_a_camera_in_the_pipeline),
    };
    return cmocka_run_group_tests(tests, make_images, close_clips_dir);
}
