/* Files as live cameras: paced, looped, moved to another place; damaged and missing ones. */
#include "clips.h"
#include "live.h"

#include <dlfcn.h>
#include <libavcodec/avcodec.h>

static atomic_int decoders, flushes; /* that were opened; of decoders */

/* Both replace FFmpeg's in this program. */
int avcodec_open2(AVCodecContext *avctx, const AVCodec *codec, AVDictionary **options)
{
    int (*real)(AVCodecContext *, const AVCodec *, AVDictionary **);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    atomic_fetch_add(&decoders, 1);
    return real(avctx, codec, options);
}

void avcodec_flush_buffers(AVCodecContext *avctx)
{
    void (*real)(AVCodecContext *);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_flush_buffers");
    atomic_fetch_add(&flushes, 1);
    real(avctx);
}

static int make_clips(void **state)
{
    if (open_clips_dir(state) < 0)
        return -1;
    if (!run("ffmpeg -version >/dev/null 2>&1"))
        return 0;
    /* Key frames each second; B-frames, so that the order of decoding is another one. */
    make(MOVING("320x180", "25", "2") "-c:v libx264 -g 25 -bf 2 @/short.mp4");
    make(MOVING("320x180", "25", "60") "-c:v libx264 -g 25 -bf 2 -preset ultrafast @/long.mp4");
    make("-i @/long.mp4 -c copy @/long.mkv");
    return 0;
}

static void test_paced_by_its_timestamps(void **state)
{
    (void)state;
    need_ffmpeg();
    struct live *live = live_open("");
    int64_t begin_us = sp_clock_us();
    int camera = live_add(live, "file", clip("short.mp4"));
    live_await(&live->camera[camera].ends, 1);
    int64_t spent_us = sp_clock_us() - begin_us;
    assert_true(spent_us > 1900000);
    struct sp_camera_report report = live_report(live, camera);
    assert_int_equal(report.state, SP_CAMERA_ENDED);
    assert_int_equal(report.ledger.received, 50);
    assert_int_equal(report.file_position, 49);
    assert_int_equal(report.error.code, SP_OK);
    assert_int_equal(sp_pipeline_pause_camera(live->pipeline, camera, true, NULL), SP_ERR_INVALID);
    assert_int_equal(sp_pipeline_remove_camera(live->pipeline, camera, NULL), SP_OK);
    assert_int_equal(live_add(live, "file", clip("short.mp4")), camera);
    live_close(live);
}

static void test_loops(void **state)
{
    (void)state;
    need_ffmpeg();
    struct live *live = live_prepare("");
    live_start(live, true);
    int camera = live_add(live, "file", clip("short.mp4"));
    int64_t begin_us = sp_clock_us();
    live_await(&live->camera[camera].results, 1);
    int made = atomic_load(&decoders), flushed = atomic_load(&flushes);
    assert_true(made > 0);
    live_await(&live->camera[camera].results, 110);
    assert_true(sp_clock_us() - begin_us > 3900000);
    /* Each pass is an epoch, by the same decoder. */
    assert_true(atomic_load(&live->camera[camera].epoch) >= 2);
    assert_true(atomic_load(&live->camera[camera].epoch_sequence) >= 100);
    assert_int_equal(atomic_load(&decoders), made);
    assert_int_equal(atomic_load(&flushes), flushed);
    struct sp_camera_report report = live_report(live, camera);
    assert_int_equal(report.state, SP_CAMERA_LIVE);
    assert_int_equal(report.reconnects, 0);
    assert_int_equal(report.ledger.settled[SP_OUTCOME_FAILED], 0);
    assert_true(report.file_position < 50);
    live_close(live);
}

/* The position after a move, as soon as there is one of its neighbourhood. */
static void move(struct live *live, int camera, int64_t to)
{
    struct sp_error err = {0};
    int result = sp_pipeline_seek_camera(live->pipeline, camera, to, &err);
    if (result < 0)
        print_message("%s\n", err.text);
    assert_int_equal(result, SP_OK);
    int64_t deadline_us = sp_clock_us() + 60000000, position;
    do {
        usleep(1000);
        position = live_report(live, camera).file_position;
        assert_true(sp_clock_us() < deadline_us);
    } while (position < to || position > to + 100); /* a busy machine sees it some seconds late */
}

static void seek_in(const char *path)
{
    struct live *live = live_open("");
    int camera = live_add(live, "file", path);
    live_await(&live->camera[camera].results, 5);
    move(live, camera, 1010);
    move(live, camera, 3); /* before a key frame's own time */
    move(live, camera, 0);
    move(live, camera, 724);
    assert_int_equal(sp_pipeline_pause_camera(live->pipeline, camera, true, NULL), SP_OK);
    live_await_state(live, camera, SP_CAMERA_PAUSED);
    move(live, camera, 1490); /* goes on by itself */
    live_await(&live->camera[camera].ends, 1);
    struct sp_camera_report report = live_report(live, camera);
    assert_int_equal(report.error.code, SP_OK); /* what was passed over is not missing */
    assert_int_equal(report.file_position, 1499);
    assert_int_equal(report.ledger.settled[SP_OUTCOME_FAILED], 0);
    assert_true(report.ledger.received < 750); /* half of the file */
    assert_int_equal(sp_pipeline_seek_camera(live->pipeline, camera, 3, NULL), SP_ERR_INVALID);
    live_close(live);
}

static void test_seeks_in_mp4(void **state)
{
    (void)state;
    need_ffmpeg();
    seek_in(clip("long.mp4"));
}

static void test_seeks_in_matroska(void **state)
{
    (void)state;
    need_ffmpeg();
    seek_in(clip("long.mkv"));
}

static void test_seek_is_for_files(void **state)
{
    (void)state;
    need_ffmpeg();
    struct live *live = live_open("");
    int file = live_add(live, "file", clip("long.mp4"));
    int camera = live_add(live, "camera", "sim://walk");
    live_await(&live->camera[file].results, 2);
    live_await(&live->camera[camera].results, 2);
    struct sp_error err = {0};
    assert_int_equal(sp_pipeline_seek_camera(live->pipeline, file, 1500, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "1499"));
    assert_int_equal(sp_pipeline_seek_camera(live->pipeline, file, -1, &err), SP_ERR_INVALID);
    assert_int_equal(sp_pipeline_seek_camera(live->pipeline, camera, 0, &err), SP_ERR_UNSUPPORTED);
    live_close(live);
}

/* A file that is not there yet is tried again. */
static void test_a_file_may_come_later(void **state)
{
    (void)state;
    need_ffmpeg();
    struct live *live = live_open("");
    int camera = live_add(live, "file", clip("later.mp4"));
    live_await_state(live, camera, SP_CAMERA_OFFLINE);
    assert_non_null(strstr(live_report(live, camera).error.text, "no such file"));
    assert_true(run("cp '%s' '%s.part' && mv '%s.part' '%s'", clip("short.mp4"), clip("later.mp4"),
                    clip("later.mp4"), clip("later.mp4")));
    live_await(&live->camera[camera].results, 3);
    live_await_state(live, camera, SP_CAMERA_LIVE);
    assert_int_equal(live_report(live, camera).error.code, SP_OK);
    live_close(live);
}

/* One that is replaced by something else while it plays, and comes back. */
static void test_a_loop_survives_a_failed_opening(void **state)
{
    (void)state;
    need_ffmpeg();
    char loop[512];
    snprintf(loop, sizeof loop, "%s", clip("loop.mp4"));
    assert_true(run("cp '%s' '%s'", clip("short.mp4"), loop));
    struct live *live = live_prepare("");
    live_start(live, true);
    int camera = live_add(live, "file", loop);
    live_await(&live->camera[camera].results, 5);
    assert_true(run("echo 'no video at all' > '%s.new' && mv '%s.new' '%s'", loop, loop, loop));
    live_await_state(live, camera, SP_CAMERA_OFFLINE);
    struct sp_camera_report report = live_report(live, camera);
    assert_false(report.ended);
    assert_true(report.ledger.received >= 50);
    assert_true(run("cp '%s' '%s.new' && mv '%s.new' '%s'", clip("short.mp4"), loop, loop, loop));
    live_await_state(live, camera, SP_CAMERA_LIVE);
    live_await(&live->camera[camera].results, report.ledger.received + 5);
    assert_int_equal(live->camera[camera].disorder, 0);
    live_close(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paced_by_its_timestamps),
        cmocka_unit_test(test_loops),
        cmocka_unit_test(test_seeks_in_mp4),
        cmocka_unit_test(test_seeks_in_matroska),
        cmocka_unit_test(test_seek_is_for_files),
        cmocka_unit_test(test_a_file_may_come_later),
        cmocka_unit_test(test_a_loop_survives_a_failed_opening),
    };
    return cmocka_run_group_tests(tests, make_clips, close_clips_dir);
}
