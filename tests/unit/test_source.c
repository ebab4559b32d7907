/* Reading whole videos: every frame, its number, its time, its bytes. */
#include "clips.h"

#include <dlfcn.h>

/* Every frame, in order, and no more. */
static void expect_whole(const char *url, int images, struct read_options with)
{
    struct reel *reel = read_all(url, with);
    if (reel->rc != SP_ERR_END)
        fail_msg("%s: %s", url, reel->err.text);
    assert_int_equal(reel->count, images);
    assert_int_equal(reel->failed + reel->undecoded + reel->tail_undecoded, 0);
    for (int i = 0; i < reel->count; i++)
        assert_int_equal(reel->shot[i].sequence, i);
    free(reel);
}

static void test_every_image_of_every_codec(void **state)
{
    (void)state;
    need_ffmpeg();
    static const struct {
        const char *name, *codec;
    } kinds[] = {
        {"h264.mp4", "-c:v libx264 -preset ultrafast -bf 3 -b_strategy 0"},
        {"h264.mkv", "-c:v libx264 -preset ultrafast -bf 3"},
        {"h264.ts", "-c:v libx264 -preset ultrafast -bf 2"},
        {"h264.h264", "-c:v libx264 -preset ultrafast -bf 2"},
        {"hevc.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=error"},
        {"mpeg4.mp4", "-c:v mpeg4 -bf 2"},
        {"mpeg4.avi", "-c:v mpeg4 -bf 2 -vtag XVID"},
        {"msmpeg4.avi", "-c:v msmpeg4"},
        {"mjpeg.avi", "-c:v mjpeg"},
        {"mpeg2.mpg", "-c:v mpeg2video"},
        {"vp9.webm", "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"},
        {"field.ts", "-c:v libx264 -preset ultrafast -flags +ildct+ilme"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char arguments[256];
        snprintf(arguments, sizeof arguments,
                 MOVING("96x64", "25", "2.4") "%s -pix_fmt yuv420p @/%s", kinds[i].codec,
                 kinds[i].name);
        if (strcmp(kinds[i].name, "mjpeg.avi") == 0)
            snprintf(arguments, sizeof arguments, MOVING("96x64", "25", "2.4") "%s @/%s",
                     kinds[i].codec, kinds[i].name);
        make(arguments);
        expect_whole(clip(kinds[i].name), 60, (struct read_options){0});
        expect_whole(clip(kinds[i].name), 60, (struct read_options){.threads = 3});
    }
}

static void test_threads_change_no_byte(void **state)
{
    (void)state;
    need_ffmpeg();
    make(
        MOVING("320x240", "25", "3") "-c:v libx264 -bf 3 -slices 2 -pix_fmt yuv420p @/threads.mp4");
    struct reel *one = read_all(clip("threads.mp4"), (struct read_options){.threads = 1});
    struct reel *four = read_all(clip("threads.mp4"), (struct read_options){.threads = 4});
    assert_int_equal(one->count, 75);
    assert_int_equal(four->count, 75);
    for (int i = 0; i < 75; i++)
        assert_memory_equal(&one->shot[i], &four->shot[i], sizeof one->shot[i]);
    free(one);
    free(four);
}

/* Memory that counts allocations, and fails after so many blocks. */
static atomic_int blocks_out, blocks_taken, blocks_allowed;

static void *take_block(size_t bytes)
{
    if (atomic_load(&blocks_taken) >= atomic_load(&blocks_allowed))
        return NULL;
    atomic_fetch_add(&blocks_taken, 1);
    atomic_fetch_add(&blocks_out, 1);
    return aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
}

static void give_block(void *memory)
{
    atomic_fetch_sub(&blocks_out, 1);
    free(memory);
}

static void expect_same_in_memory(const char *url, int threads, int allowed, bool all)
{
    struct sp_source_memory memory = {.alloc = take_block, .release = give_block};
    struct reel *usual = read_all(url, (struct read_options){.threads = threads});
    atomic_store(&blocks_taken, 0);
    atomic_store(&blocks_allowed, allowed);
    struct reel *there = read_all(url, (struct read_options){.threads = threads, .memory = memory});
    assert_int_equal(usual->rc, SP_ERR_END);
    assert_int_equal(there->rc, SP_ERR_END);
    assert_int_equal(there->count, usual->count);
    for (int i = 0; i < usual->count; i++)
        assert_memory_equal(&there->shot[i], &usual->shot[i], sizeof usual->shot[i]);
    assert_int_equal(usual->pinned, 0);
    if (all)
        assert_int_equal(there->pinned, there->count);
    else
        assert_true(there->pinned < there->count);
    assert_true(atomic_load(&blocks_taken) <= 24); /* a pool, not one per frame */
    assert_int_equal(atomic_load(&blocks_out), 0);
    free(usual);
    free(there);
}

static void test_images_in_memory_of_the_engine(void **state)
{
    (void)state;
    need_ffmpeg();
    static const char *const kinds[][2] = {
        {"memory.mp4", "-c:v libx264 -preset ultrafast -bf 3 -pix_fmt yuv420p"},
        {"memory.mkv",
         "-c:v libx265 -preset ultrafast -x265-params log-level=error -pix_fmt yuv420p"},
        {"memory.avi", "-c:v mpeg4 -bf 2"},
        {"memory2.avi", "-c:v mjpeg -pix_fmt yuvj420p"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char arguments[300];
        snprintf(arguments, sizeof arguments, MOVING("202x118", "25", "2") "%s @/%s", kinds[i][1],
                 kinds[i][0]);
        make(arguments);
        expect_same_in_memory(clip(kinds[i][0]), 1, 1000, true);
        expect_same_in_memory(clip(kinds[i][0]), 3, 1000, true);
        expect_same_in_memory(clip(kinds[i][0]), 1, 0, false); /* there is none */
    }
    expect_same_in_memory(clip("memory.mp4"), 1, 2, false); /* not enough */
    make(MOVING("64x48", "25", "1") "-c:v ffv1 -pix_fmt yuv444p @/memory444.mkv");
    expect_same_in_memory(clip("memory444.mkv"), 1, 1000, false); /* is converted */
}

/* ---- on a GPU ---- */

static int asked, opened, closed, device_given;
static bool refuses;

static int choose_device(void *user, const struct sp_source_info *info)
{
    assert_ptr_equal(user, &asked);
    assert_string_equal(info->codec, "h264");
    assert_int_equal(info->width_px, 96);
    assert_true(info->frame_rate > 24 && info->frame_rate < 26);
    ++asked;
    return device_given;
}

static int open_decoding(struct spoton_decoding **out, int device, const char *backend_options,
                         void **context, void **stream, char *error, size_t error_bytes)
{
    assert_int_equal(device, device_given);
    assert_string_equal(backend_options, "graphs=0");
    if (refuses) {
        snprintf(error, error_bytes, "it is busy");
        return SPOTON_FAILED;
    }
    ++opened;
    *out = (struct spoton_decoding *)&opened;
    *context = &opened; /* FFmpeg searches for the driver first */
    *stream = NULL;
    return 0;
}

static void close_decoding(struct spoton_decoding *decoding)
{
    closed += decoding != NULL;
}

/* What a GPU cannot do is done on the CPU. */
static void test_without_a_gpu_the_cpu_decodes(void **state)
{
    (void)state;
    need_ffmpeg();
    if (dlopen("libcuda.so.1", RTLD_LAZY)) {
        print_message("skipped: there is a driver\n");
        skip();
    }
    const struct spoton_device_api device_api = {.struct_bytes = sizeof device_api,
                                                 .decoding_open = open_decoding,
                                                 .decoding_close = close_decoding};
    const struct spoton_engine_api api = {.struct_bytes = sizeof api, .device_api = &device_api};
    struct read_options with = {.gpu = {.api = &api,
                                        .backend_options = "graphs=0",
                                        .user = &asked,
                                        .choose_device = choose_device}};
    make(MOVING("96x64", "25", "2.4") "-c:v libx264 -bf 3 -pix_fmt yuv420p @/gpu.mp4");
    device_given = 2;
    expect_whole(clip("gpu.mp4"), 60, with);
    assert_int_equal(asked, 1);
    assert_int_equal(opened, 1);
    assert_int_equal(closed, 1);
    refuses = true;
    expect_whole(clip("gpu.mp4"), 60, with);
    device_given = -1; /* no device works */
    expect_whole(clip("gpu.mp4"), 60, with);
    assert_int_equal(asked, 3);
    assert_int_equal(opened, 1);
    make(MOVING("96x64", "25", "1") "-c:v mjpeg @/gpu.avi");
    expect_whole(clip("gpu.avi"), 25, with); /* intra-only codecs are decoded on the CPU */
    assert_int_equal(asked, 3);
}

/* Sparse reading returns the frames that full decoding returns, and every number is accounted for.
 */
static void expect_same_sparse(const char *url, int frame_skip, int threads)
{
    struct reel *full = read_all(url, (struct read_options){.threads = threads});
    struct reel *sparse =
        read_all(url, (struct read_options){.threads = threads, .frame_skip = frame_skip});
    assert_int_equal(full->rc, SP_ERR_END);
    assert_int_equal(sparse->rc, SP_ERR_END);
    assert_int_equal(sparse->count, (full->count + frame_skip - 1) / frame_skip);
    for (int i = 0; i < sparse->count; i++) {
        const struct shot *a = &sparse->shot[i], *b = &full->shot[i * frame_skip];
        assert_int_equal(a->sequence, i * frame_skip);
        assert_int_equal(a->sequence, b->sequence);
        assert_int_equal(a->pts_us, b->pts_us);
        assert_true(a->hash == b->hash);
        assert_int_equal(a->undecoded, i == 0 ? 0 : frame_skip - 1);
    }
    assert_int_equal(sparse->count + sparse->undecoded + sparse->tail_undecoded, full->count);
    assert_int_equal(sparse->failed, 0);
    free(full);
    free(sparse);
}

static void test_sparse_equals_full(void **state)
{
    (void)state;
    need_ffmpeg();
    static const char *const codecs[] = {
        "-c:v libx264 -bf 3 -b_strategy 0 -g 30 -pix_fmt yuv420p @/sparse%d.mp4",
        "-c:v libx264 -bf 3 -b-pyramid none -b_strategy 0 -pix_fmt yuv420p @/sparse%d.mkv",
        ("-c:v libx264 -bf 8 -b_strategy 0 -x264-params open-gop=1 -g 20 -pix_fmt yuv420p "
         "@/sparse%d.ts"),
        "-c:v libx264 -bf 0 -pix_fmt yuv420p @/sparse%d.mp4",
        "-c:v libx265 -bf 4 -x265-params log-level=error:b-adapt=0 -pix_fmt yuv420p @/sparse%d.mp4",
        ("-c:v libx265 -bf 4 -x265-params log-level=error:temporal-layers=3:b-adapt=0 "
         "-pix_fmt yuv420p @/sparse%d.mp4"),
        "-c:v mpeg4 -bf 2 -pix_fmt yuv420p @/sparse%d.mp4",
        "-c:v msmpeg4 @/sparse%d.avi",
        "-c:v mjpeg @/sparse%d.avi",
        "-c:v libx264 -bf 3 -flags +ildct+ilme -pix_fmt yuv420p @/sparse%d.ts",
    };
    for (size_t i = 0; i < sizeof codecs / sizeof codecs[0]; i++) {
        char arguments[320], name[32];
        const char *mark = strstr(codecs[i], "%d");
        snprintf(arguments, sizeof arguments,
                 MOVING("160x112", "25", "3.88") "-preset ultrafast %.*s%d%s",
                 (int)(mark - codecs[i]), codecs[i], (int)i, mark + 2);
        make(arguments);
        snprintf(name, sizeof name, "sparse%d%s", (int)i, mark + 2);
        static const int skips[] = {2, 3, 5};
        for (size_t k = 0; k < sizeof skips / sizeof skips[0]; k++)
            expect_same_sparse(clip(name), skips[k], k == 1 ? 3 : 1);
    }
}

static void test_times_rise_and_start_at_zero(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("64x64", "10", "2") "-c:v libx264 -bf 2 -pix_fmt yuv420p @/times.ts");
    struct reel *reel = read_all(clip("times.ts"), (struct read_options){0});
    assert_int_equal(reel->count, 20);
    for (int i = 0; i < reel->count; i++)
        assert_in_range(reel->shot[i].pts_us, i * 100000, i * 100000 + 20);
    free(reel);
    /* An elementary stream has no timestamps: the nominal period is used. */
    make("-i @/times.ts -c copy @/times.h264");
    reel = read_all(clip("times.h264"), (struct read_options){0});
    assert_int_equal(reel->count, 20);
    for (int i = 1; i < reel->count; i++)
        assert_in_range(reel->shot[i].pts_us - reel->shot[i - 1].pts_us, 1, 1000000);
    free(reel);
}

static void test_size_changes_midway_and_clock_jumps_back(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "10", "2") "-c:v libx264 -bf 2 -pix_fmt yuv420p @/a.ts");
    make(MOVING("128x96", "10", "1.5") "-c:v libx264 -bf 2 -pix_fmt yuv420p @/b.ts");
    assert_true(run("cat %s %s > %s", clip("a.ts"), clip("b.ts"), clip("ab.ts")));
    struct reel *reel = read_all(clip("ab.ts"), (struct read_options){0});
    assert_int_equal(reel->count, 35);
    for (int i = 0; i < reel->count; i++) {
        assert_int_equal(reel->shot[i].sequence, i);
        assert_int_equal(reel->shot[i].width_px, i < 20 ? 96 : 128);
        assert_int_equal(reel->shot[i].height_px, i < 20 ? 64 : 96);
        assert_in_range(reel->shot[i].pts_us + 50, i * 100000, i * 100000 + 100);
    }
    struct reel *sparse = read_all(clip("ab.ts"), (struct read_options){.frame_skip = 3});
    assert_int_equal(sparse->count, 12);
    for (int i = 0; i < sparse->count; i++) {
        assert_int_equal(sparse->shot[i].sequence, 3 * i);
        assert_true(sparse->shot[i].hash == reel->shot[3 * i].hash);
        assert_int_equal(sparse->shot[i].pts_us, reel->shot[3 * i].pts_us);
    }
    free(reel);
    free(sparse);
}

static void test_images_one_and_many(void **state)
{
    (void)state;
    need_ffmpeg();
    make("-f lavfi -i color=c=gray:size=82x46:rate=1:duration=5 -vf format=rgb24,scale=81:45 "
         "-start_number 1 @/img%03d.jpg");
    make("-f lavfi -i color=c=gray:size=82x46 -vf format=rgb24,scale=81:45 -frames:v 1 @/one.png");
    make("-f lavfi -i color=c=gray:size=82x46 -vf format=rgb24,scale=81:45 -frames:v 1 -pix_fmt "
         "gray @/grey.png");
    expect_whole(clip("img001.jpg"), 1, (struct read_options){0});
    expect_whole(clip("img%03d.jpg"), 5, (struct read_options){.threads = 3});
    expect_whole(clip("one.png"), 1, (struct read_options){.threads = 2});
    struct reel *reel = read_all(clip("img%03d.jpg"), (struct read_options){.frame_skip = 2});
    assert_int_equal(reel->count, 3);
    assert_int_equal(reel->shot[2].sequence, 4);
    assert_true(reel->shot[0].full_range);
    assert_int_equal(reel->shot[0].matrix, SP_MATRIX_BT601);
    assert_int_equal(reel->shot[0].width_px, 81);
    assert_int_equal(reel->shot[0].height_px, 45);
    assert_in_range(reel->shot[0].luma, 126, 130);
    free(reel);
    /* RGB becomes limited range: 128 is (235 - 16) * 128 / 255 + 16. */
    reel = read_all(clip("one.png"), (struct read_options){0});
    assert_false(reel->shot[0].full_range);
    assert_in_range(reel->shot[0].luma, 125, 127);
    free(reel);
    reel = read_all(clip("grey.png"), (struct read_options){0});
    assert_true(reel->shot[0].full_range);
    assert_in_range(reel->shot[0].luma, 127, 129);
    free(reel);
}

/* All of these are the same grey frame; yuv420p is passed on, the others are converted. */
static void test_pixel_formats_and_odd_sizes(void **state)
{
    (void)state;
    need_ffmpeg();
    static const struct {
        const char *arguments, *name;
        bool full;
        int luma; /* 0: of a middle grey */
    } cases[] = {
        {"-c:v libx264 -pix_fmt yuv420p", "p420.mp4", false},
        {"-c:v libx264 -pix_fmt yuvj420p", "j420.mp4", true},
        {"-c:v libx264 -pix_fmt yuv422p", "p422.mp4", false},
        {"-c:v libx264 -pix_fmt yuv444p", "p444.mp4", false},
        {"-c:v libx264 -pix_fmt yuv420p10le", "p10.mp4", false},
        {"-c:v mjpeg -pix_fmt yuvj422p", "j422.avi", true},
        {"-c:v mjpeg -pix_fmt yuvj420p", "j420.avi", true},
        {"-c:v libx264 -pix_fmt gray", "grey.mp4", true},
        {"-c:v ffv1 -pix_fmt yuva420p", "alpha.mkv", false},
        {"-c:v rawvideo -pix_fmt nv12 -vtag NV12", "nv12.nut", false},
        {"-c:v png -pix_fmt pal8", "pal.mov", false, 142} /* in the palette that ffmpeg uses */,
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char arguments[256];
        bool even = !strstr(cases[i].arguments, "444") && !strstr(cases[i].arguments, "gray") &&
                    !strstr(cases[i].arguments, "ffv1") && !strstr(cases[i].arguments, "png") &&
                    !strstr(cases[i].arguments, "mjpeg");
        snprintf(
            arguments, sizeof arguments,
            "-f lavfi -i color=c=0x808080:size=98x66:rate=5:duration=1 -vf format=rgb24,scale=%s "
            "%s @/%s",
            even ? "98:66" : "97:65", cases[i].arguments, cases[i].name);
        make(arguments);
        struct reel *reel = read_all(clip(cases[i].name), (struct read_options){0});
        if (reel->rc != SP_ERR_END)
            fail_msg("%s: %s", cases[i].name, reel->err.text);
        assert_int_equal(reel->count, 5);
        const struct shot *shot = &reel->shot[4];
        assert_int_equal(shot->width_px, even ? 98 : 97);
        assert_int_equal(shot->height_px, even ? 66 : 65);
        assert_int_equal(shot->full_range, cases[i].full);
        assert_int_equal(shot->matrix, SP_MATRIX_BT601);
        assert_int_equal(shot->format,
                         strcmp(cases[i].name, "nv12.nut") == 0 ? SP_PIXEL_NV12 : SP_PIXEL_I420);
        int luma = cases[i].luma ? cases[i].luma : cases[i].full ? 128 : 126;
        assert_in_range(shot->luma, luma - 1, luma + 1);
        free(reel);
    }
    /* The middle of a colour bar keeps its position when 4:4:4 of an odd size is scaled to 4:2:0.
     */
    make("-f lavfi -i smptebars=size=1282x722:rate=1:duration=1 -vf format=rgb24,scale=1281:721 "
         "-c:v libx264 -qp 1 "
         "-pix_fmt yuv444p @/bars444.mp4");
    make("-f lavfi -i smptebars=size=1282x722:rate=1:duration=1 -c:v libx264 -qp 1 "
         "-pix_fmt yuv420p @/bars420.mp4");
    struct reel *a = read_all(clip("bars444.mp4"), (struct read_options){0});
    struct reel *b = read_all(clip("bars420.mp4"), (struct read_options){0});
    assert_int_equal(a->count, 1);
    assert_in_range(a->shot[0].luma, b->shot[0].luma - 2, b->shot[0].luma + 2);
    assert_int_equal(a->shot[0].matrix, SP_MATRIX_BT709); /* by its size */
    free(a);
    free(b);
}

/* Planes come directly from the decoder and outlive their source; shells are reused. */
static void test_frames_outlive_their_source(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "25", "1") "-c:v libx264 -bf 2 -pix_fmt yuv420p @/outlive.mp4");
    make(MOVING("96x64", "25", "1") "-c:v libx264 -bf 2 -pix_fmt yuv444p @/outlive444.mp4");
    static const char *const names[] = {"outlive.mp4", "outlive444.mp4"};
    for (int k = 0; k < 2; k++) {
        struct reel *reel = read_all(clip(names[k]), (struct read_options){0});
        struct sp_frame_pool *pool;
        struct sp_source *source;
        struct sp_frame *frames[25];
        assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
        struct sp_source_options options = {.url = clip(names[k]), .pool = pool, .frame_skip = 1};
        assert_int_equal(sp_source_open(&source, &options, NULL), SP_OK);
        for (int i = 0; i < 25; i++)
            assert_int_equal(sp_source_read(source, &frames[i], NULL), SP_OK);
        sp_source_close(source);
        sp_frame_pool_close(pool);
        for (int i = 0; i < 25; i++) {
            assert_true(shoot(frames[i], true).hash == reel->shot[i].hash);
            sp_frame_unref(frames[i]);
        }
        free(reel);
    }
}

static void test_info_tells_what_is_announced(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "25", "2") "-c:v libx264 -pix_fmt yuv420p @/info.mp4");
    struct reel *reel = read_all(clip("info.mp4"), (struct read_options){0});
    assert_string_equal(reel->info.codec, "h264");
    assert_non_null(strstr(reel->info.format, "mp4"));
    assert_int_equal(reel->info.width_px, 96);
    assert_int_equal(reel->info.height_px, 64);
    assert_true(reel->info.frame_rate > 24.99 && reel->info.frame_rate < 25.01);
    assert_int_equal(reel->info.frames_total, 50);
    assert_false(reel->info.live);
    free(reel);
}

/* A cut by an edit list hides frames: neither missing nor returned. */
static void test_edit_list_is_not_damage(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "25", "4") "-c:v libx264 -bf 2 -g 50 -pix_fmt yuv420p @/long.mp4");
    make("-ss 1.0 -i @/long.mp4 -t 2 -c copy @/edit.mp4");
    struct reel *reel = read_all(clip("edit.mp4"), (struct read_options){0});
    if (reel->rc != SP_ERR_END)
        fail_msg("%s", reel->err.text);
    assert_in_range(reel->count, 45, 55);
    expect_same_sparse(clip("edit.mp4"), 3, 1);
    free(reel);
}

static void test_real_clips_are_whole(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int images;
    } clips[] = {{"shop-1080p-hevc.mp4", 603},
                 {"lobby-360p-h264.mp4", 641},
                 {"one-by-one-432p-h264.mp4", 1394}};
    char dir[512], path[600];
    const char *shared = getenv("SPOTON_SHARED"), *root = getenv("SPOTON_SOURCE_DIR");
    snprintf(dir, sizeof dir, "%s%s/data/clips",
             shared ? shared
             : root ? root
                    : ".",
             shared ? "" : "/../shared");
    if (access(dir, R_OK) != 0) {
        print_message("%s: not found\n", dir);
        skip();
    }
    for (size_t i = 0; i < sizeof clips / sizeof clips[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, clips[i].name);
        expect_whole(path, clips[i].images, (struct read_options){.threads = 2, .no_hash = true});
        if (strstr(path, "lobby"))
            expect_same_sparse(path, 2, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_image_of_every_codec),
        cmocka_unit_test(test_threads_change_no_byte),
        cmocka_unit_test(test_images_in_memory_of_the_engine),
        cmocka_unit_test(test_without_a_gpu_the_cpu_decodes),
        cmocka_unit_test(test_sparse_equals_full),
        cmocka_unit_test(test_times_rise_and_start_at_zero),
        cmocka_unit_test(test_size_changes_midway_and_clock_jumps_back),
        cmocka_unit_test(test_images_one_and_many),
        cmocka_unit_test(test_pixel_formats_and_odd_sizes),
        cmocka_unit_test(test_frames_outlive_their_source),
        cmocka_unit_test(test_info_tells_what_is_announced),
        cmocka_unit_test(test_edit_list_is_not_damage),
        cmocka_unit_test(test_real_clips_are_whole),
    };
    return cmocka_run_group_tests(tests, open_clips_dir, close_clips_dir);
}
