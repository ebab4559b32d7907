/* A file that is read again and again: each pass gives what a fresh source gives, and the decoder
 * of H.264 is made once (on a GPU that takes 80 ms). */
#include "clips.h"

#include <dlfcn.h>
#include <libavcodec/avcodec.h>

static int formats_chosen, flushes;

static enum AVPixelFormat choose_format(AVCodecContext *decoder, const enum AVPixelFormat *formats)
{
    formats_chosen++; /* a decoder begins anew */
    return avcodec_default_get_format(decoder, formats);
}

/* Both replace FFmpeg's in this program. */
int avcodec_open2(AVCodecContext *avctx, const AVCodec *codec, AVDictionary **options)
{
    int (*real)(AVCodecContext *, const AVCodec *, AVDictionary **);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_open2");
    avctx->get_format = choose_format;
    return real(avctx, codec, options);
}

void avcodec_flush_buffers(AVCodecContext *avctx)
{
    void (*real)(AVCodecContext *);
    *(void **)&real = dlsym(RTLD_NEXT, "avcodec_flush_buffers");
    flushes++;
    real(avctx);
}

static struct sp_frame_pool *pool;

static struct sp_source *open_rewinding(const char *url, int threads)
{
    struct sp_source *source;
    struct sp_error err;
    struct sp_source_options options = {
        .url = url, .pool = pool, .frame_skip = 1, .rewinds = true, .decode_threads = threads};
    if (sp_source_open(&source, &options, &err) < 0)
        fail_msg("%s", err.text);
    formats_chosen = flushes = 0; /* without those of FFmpeg's probing */
    return source;
}

/* One pass, or `most` frames of it. */
static void expect_pass(struct sp_source *source, const struct reel *once, int most)
{
    struct sp_frame *frame;
    struct sp_error err;
    int count = 0, rc = SP_OK;
    while (count < most && (rc = sp_source_read(source, &frame, &err)) == SP_OK) {
        struct shot shot = shoot(frame, true);
        assert_true(count < once->count);
        assert_int_equal(shot.sequence, once->shot[count].sequence);
        assert_int_equal(shot.pts_us, once->shot[count].pts_us);
        assert_true(shot.hash == once->shot[count].hash);
        assert_int_equal(shot.undecoded, 0);
        sp_frame_unref(frame);
        count++;
    }
    if (count < most && rc != SP_ERR_END)
        fail_msg("%s", err.text);
    assert_int_equal(count, most < once->count ? most : once->count);
    assert_int_equal(sp_source_failed(source), 0);
}

static void expect_passes(const char *name, int threads, bool kept)
{
    struct reel *once = read_all(clip(name), (struct read_options){.threads = threads});
    assert_int_equal(once->rc, SP_ERR_END);
    assert_true(once->count > 1);
    struct sp_source *source = open_rewinding(clip(name), threads);
    for (int pass = 0; pass < 4; pass++) {
        expect_pass(source, once, INT32_MAX);
        assert_int_equal(sp_source_read(source, &(struct sp_frame *){NULL}, NULL), SP_ERR_END);
        assert_int_equal(sp_source_seek(source, 0, NULL), SP_OK);
    }
    if (kept != (flushes == 0) || (kept && threads == 1 && formats_chosen != 1))
        fail_msg("%s: flushed %d times, made %d times", name, flushes, formats_chosen);
    expect_pass(source, once, 1);
    sp_source_close(source);
    free(once);
}

static void test_every_pass_is_the_same(void **state)
{
    (void)state;
    need_ffmpeg();
    static const struct {
        const char *name, *codec;
        bool kept;
    } kinds[] = {
        {"kept.mp4", "-c:v libx264 -preset ultrafast -bf 3 -b_strategy 0 -g 25", true},
        {"kept.mkv", "-c:v libx264 -preset ultrafast -bf 2 -refs 4 -slices 2", true},
        {"none.mp4", "-c:v libx264 -preset ultrafast -bf 0", true},
        {"hevc.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=error", false},
        {"two.mp4", "-c:v libx264 -preset ultrafast -bf 2 -frames:v 2", false},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments, MOVING("96x64", "25", "2") "%s -pix_fmt yuv420p @/%s",
                 kinds[i].codec, kinds[i].name);
        make(arguments);
        expect_passes(kinds[i].name, 1, kinds[i].kept);
        if (kinds[i].kept)
            expect_passes(kinds[i].name, 3, true);
    }
}

/* A seek to elsewhere, and a close, while the next pass has begun. */
static void test_seeks_between_passes(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "25", "2") "-c:v libx264 -preset ultrafast -bf 3 -b_strategy 0 -g 25 "
                                    "-pix_fmt yuv420p @/seek.mp4");
    struct reel *once = read_all(clip("seek.mp4"), (struct read_options){0});
    struct sp_source *source = open_rewinding(clip("seek.mp4"), 1);
    struct sp_frame *frame;
    expect_pass(source, once, INT32_MAX);
    assert_int_equal(sp_source_seek(source, 1000000, NULL), SP_OK);
    assert_int_equal(flushes, 1);
    assert_int_equal(sp_source_read(source, &frame, NULL), SP_OK);
    assert_true(shoot(frame, true).hash == once->shot[25].hash);
    assert_int_equal(frame->pts_us, 1000000);
    sp_frame_unref(frame);
    assert_int_equal(sp_source_seek(source, 0, NULL), SP_OK);
    expect_pass(source, once, INT32_MAX);
    sp_source_close(source); /* with a frame held back */
    free(once);
}

/* What follows damage is told at the end of its pass, as without. */
static void test_a_file_cut_short_is_told(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "25", "2") "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -movflags "
                                    "faststart @/cut.mp4");
    assert_true(run("truncate -s -2000 '%s'", clip("cut.mp4")));
    struct sp_source *source = open_rewinding(clip("cut.mp4"), 1);
    struct sp_frame *frame;
    int rc;
    while ((rc = sp_source_read(source, &frame, NULL)) == SP_OK)
        sp_frame_unref(frame);
    assert_int_equal(rc, SP_ERR_FORMAT);
    sp_source_close(source);
}

static int open_all(void **state)
{
    return sp_frame_pool_open(&pool, NULL) == SP_OK ? open_clips_dir(state) : -1;
}

static int close_all(void **state)
{
    sp_frame_pool_close(pool);
    return close_clips_dir(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pass_is_the_same),
        cmocka_unit_test(test_seeks_between_passes),
        cmocka_unit_test(test_a_file_cut_short_is_told),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
