#include "publish/files.h"
#include "publish/mp4.h"

#include "full_disk.h"
#include "unit.h"

#include <jansson.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/spoton-files-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"a.txt", "a.jsonl", "a.mp4", "b.txt", "b.jsonl", "b.mp4"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unlink(path_of(names[i]));
    return rmdir(folder); /* fails when a test left anything else behind */
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static char *contents(const char *name, size_t *bytes)
{
    FILE *file = fopen(path_of(name), "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    *bytes = fread(text, 1, (1 << 20) - 1, file);
    text[*bytes] = '\0';
    fclose(file);
    return text;
}

static void assert_contents(const char *name, const char *wanted)
{
    size_t bytes;
    char *text = contents(name, &bytes);
    assert_string_equal(text, wanted);
    free(text);
}

static void assert_same_bytes(const char *one, const char *other)
{
    size_t a_bytes, b_bytes;
    char *a = contents(one, &a_bytes), *b = contents(other, &b_bytes);
    assert_true(a_bytes > 0);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(a, b, a_bytes);
    free(a);
    free(b);
}

static struct sp_files *open_files(const char *camera, bool video)
{
    struct sp_files *files;
    struct sp_error err = {0};
    const struct sp_files_options options = {.dir = folder, .camera = camera, .video = video};
    if (sp_files_open(&files, &options, &err))
        fail_msg("%s", err.text);
    return files;
}

static void test_rows_and_lines_are_as_documented(void **state)
{
    (void)state;
    struct sp_files *files = open_files("a", false);
    const struct sp_detection detections[] = {{10.5, 20, 30.25, 60, 0.875, 0}};
    const struct sp_track tracks[] = {
        {1, 10.5, 20, 30.25, 60, 0.875, 0},
        {42, -3.00049, 1.5, 7, 9, 1, 2},
    };
    struct sp_files_frame frame = {.sequence = 0,
                                   .width_px = 640,
                                   .height_px = 360,
                                   .pts_us = 40000,
                                   .inferred = true,
                                   .detections = detections,
                                   .detection_count = 1,
                                   .tracks = tracks,
                                   .track_count = 2};
    assert_int_equal(sp_files_frame(files, &frame, NULL), SP_OK);
    frame = (struct sp_files_frame){
        .sequence = 2, .pts_us = 120000, .tracks = tracks, .track_count = 1};
    const struct sp_track_earlier earlier[] = {{.track = tracks[0], .sequence = 1}};
    frame.earlier = earlier;
    frame.earlier_count = 1;
    assert_int_equal(sp_files_frame(files, &frame, NULL), SP_OK);
    assert_false(exists("a.txt"));
    assert_true(exists("a.txt.part"));
    assert_int_equal(sp_files_finish(files, NULL, NULL), SP_OK);
    assert_false(exists("a.txt.part"));
    assert_contents("a.txt", "1,1,10.500,20.000,19.750,40.000,0.8750,-1,-1,-1\n"
                             "1,42,-3.000,1.500,10.000,7.500,1.0000,-1,-1,-1\n"
                             "2,1,10.500,20.000,19.750,40.000,0.8750,-1,-1,-1\n"
                             "3,1,10.500,20.000,19.750,40.000,0.8750,-1,-1,-1\n");
    assert_contents(
        "a.jsonl",
        "{\"sequence\":0,\"pts_us\":40000,\"width\":640,\"height\":360,\"inferred\":true,"
        "\"detections\":[[10.5,20,30.25,60,0.875,0]],"
        "\"tracks\":[[1,10.5,20,30.25,60,0.875,0],[42,-3,1.5,7,9,1,2]]}\n"
        "{\"sequence\":2,\"pts_us\":120000,\"inferred\":false,\"detections\":[],"
        "\"tracks\":[[1,10.5,20,30.25,60,0.875,0]],"
        "\"earlier\":[[1,1,10.5,20,30.25,60,0.875,0]]}\n");
    assert_false(exists("a.mp4"));
}

static void test_the_results_log_keeps_every_bit_of_a_detection(void **state)
{
    (void)state;
    static struct sp_detection detections[SP_DETECTIONS_MAX];
    srand(7);
    for (int i = 0; i < SP_DETECTIONS_MAX; i++)
        detections[i] = (struct sp_detection){
            .x1_px = (float)rand() / 3e6f,
            .y1_px = (double)rand() / 7e5,
            .x2_px = ldexp(rand() / 3.0, -60 + i % 70),
            .y2_px = i / 10.0,
            .confidence = (float)rand() / (float)RAND_MAX,
            .class_id = i,
        };
    struct sp_files *files = open_files("a", false);
    const struct sp_files_frame frame = {
        .inferred = true, .detections = detections, .detection_count = SP_DETECTIONS_MAX};
    assert_int_equal(sp_files_frame(files, &frame, NULL), SP_OK);
    assert_int_equal(sp_files_finish(files, NULL, NULL), SP_OK);

    json_t *line = json_load_file(path_of("a.jsonl"), 0, NULL);
    assert_non_null(line);
    json_t *rows = json_object_get(line, "detections");
    assert_int_equal(json_array_size(rows), SP_DETECTIONS_MAX);
    for (size_t i = 0; i < SP_DETECTIONS_MAX; i++) {
        const json_t *row = json_array_get(rows, i);
        const struct sp_detection *d = &detections[i];
        const double wanted[] = {d->x1_px, d->y1_px,      d->x2_px,
                                 d->y2_px, d->confidence, d->class_id};
        for (size_t k = 0; k < 6; k++)
            assert_true(json_number_value(json_array_get(row, k)) == wanted[k]);
    }
    json_decref(line);
}

static void test_abandoned_files_leave_the_earlier_ones(void **state)
{
    (void)state;
    assert_int_equal(sp_files_write_whole(folder, "a.txt", "old", 3, NULL), SP_OK);
    struct sp_files *files = open_files("a", true);
    const struct sp_files_frame frame = {.sequence = 0};
    struct sp_error err = {0};
    assert_int_equal(sp_files_frame(files, &frame, &err), SP_ERR_INVALID); /* no frame */
    assert_non_null(strstr(err.text, "a.mp4"));
    assert_int_equal(sp_files_frame(files, &frame, NULL), SP_ERR_INVALID);
    sp_files_abandon(files);
    assert_contents("a.txt", "old");
    assert_false(exists("a.txt.part") || exists("a.jsonl.part") || exists("a.mp4.part"));
    sp_files_abandon(NULL);
}

static void test_names_and_folders_that_cannot_be(void **state)
{
    (void)state;
    struct sp_files *files;
    struct sp_error err = {0};
    struct sp_files_options options = {.dir = folder, .camera = "../a"};
    assert_int_equal(sp_files_open(&files, &options, &err), SP_ERR_INVALID);
    options.camera = ".hidden";
    assert_int_equal(sp_files_open(&files, &options, &err), SP_ERR_INVALID);
    char lengthy[400];
    memset(lengthy, 'x', sizeof lengthy);
    lengthy[sizeof lengthy - 1] = '\0';
    options.camera = lengthy;
    assert_int_equal(sp_files_open(&files, &options, &err), SP_ERR_INVALID);
    options = (struct sp_files_options){.dir = "/nowhere/at/all", .camera = "a"};
    assert_int_equal(sp_files_open(&files, &options, &err), SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "a.txt: No such file or directory (in /nowhere/at/all)"));
}

static struct sp_canvas moving_canvas(int width, int height, int step)
{
    int cw = (width + 1) / 2, ch = (height + 1) / 2;
    uint8_t *y = malloc((size_t)width * (size_t)height), *u = malloc((size_t)cw * (size_t)ch);
    memset(u, 100, (size_t)cw * (size_t)ch);
    for (int i = 0; i < height; i++)
        for (int k = 0; k < width; k++)
            y[i * width + k] = (uint8_t)(60 + (k + 3 * step) / 8 % 16 * 6 + i / 16 % 4 * 9);
    const struct sp_frame frame = {.plane = {y, u, u},
                                   .stride_bytes = {width, cw, cw},
                                   .width_px = width,
                                   .height_px = height,
                                   .matrix = SP_MATRIX_BT709};
    struct sp_canvas canvas = {0};
    assert_int_equal(sp_canvas_load(&canvas, &frame, SP_CANVAS_AS_FRAME, NULL), SP_OK);
    free(y);
    free(u);
    return canvas;
}

static void add_image(struct sp_files *files, int width, int height, int step, int64_t pts_us)
{
    struct sp_canvas canvas = moving_canvas(width, height, step);
    const struct sp_track track = {.id = 1, .x2_px = 5, .y2_px = 5, .confidence = 0.5};
    const struct sp_files_frame frame = {.sequence = (uint64_t)step,
                                         .pts_us = pts_us,
                                         .tracks = &track,
                                         .track_count = 1,
                                         .image = &canvas};
    struct sp_error err = {0};
    if (sp_files_frame(files, &frame, &err))
        fail_msg("%s", err.text);
    sp_canvas_release(&canvas);
}

/* What a player finds in a video: frames in the order of showing. */
struct seen {
    int width, height, count;
    int64_t time_us[64], duration_us;
    double luma[64], edge_luma[64]; /* means of the whole and of the leftmost column */
    enum AVColorSpace space;
    enum AVColorRange range;
    enum AVCodecID codec;
};

static void look_at(struct seen *seen, const AVFrame *frame, AVRational time_base)
{
    assert_true(seen->count < 64);
    long sum = 0, edge = 0;
    for (int y = 0; y < frame->height; y++) {
        edge += frame->data[0][y * frame->linesize[0]];
        for (int x = 0; x < frame->width; x++)
            sum += frame->data[0][y * frame->linesize[0] + x];
    }
    seen->time_us[seen->count] =
        av_rescale_q(frame->best_effort_timestamp, time_base, AV_TIME_BASE_Q);
    seen->luma[seen->count] = (double)sum / frame->width / frame->height;
    seen->edge_luma[seen->count++] = (double)edge / frame->height;
}

static struct seen watch(const char *name)
{
    struct seen seen = {0};
    AVFormatContext *demuxer = NULL;
    assert_int_equal(avformat_open_input(&demuxer, path_of(name), NULL, NULL), 0);
    assert_true(avformat_find_stream_info(demuxer, NULL) >= 0);
    assert_int_equal(demuxer->nb_streams, 1);
    const AVCodecParameters *parameters = demuxer->streams[0]->codecpar;
    seen.duration_us = demuxer->duration;
    seen.width = parameters->width;
    seen.height = parameters->height;
    seen.space = parameters->color_space;
    seen.range = parameters->color_range;
    seen.codec = parameters->codec_id;
    AVCodecContext *decoder = avcodec_alloc_context3(avcodec_find_decoder(parameters->codec_id));
    avcodec_parameters_to_context(decoder, parameters);
    assert_int_equal(avcodec_open2(decoder, NULL, NULL), 0);
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    bool more = true;
    while (more) {
        more = av_read_frame(demuxer, packet) >= 0;
        assert_true(avcodec_send_packet(decoder, more ? packet : NULL) >= 0);
        while (avcodec_receive_frame(decoder, frame) >= 0)
            look_at(&seen, frame, demuxer->streams[0]->time_base);
        av_packet_unref(packet);
    }
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&decoder);
    avformat_close_input(&demuxer);
    return seen;
}

static void test_the_video_has_every_image_at_its_time(void **state)
{
    (void)state;
    static const int64_t gaps_us[] = {40000, 33367, 1000, 200000, 66733};
    int64_t times_us[40], pts_us = 7000000;
    struct sp_files *files = open_files("a", true);
    for (int i = 0; i < 40; i++) {
        times_us[i] = pts_us;
        add_image(files, 321, 241, i, pts_us);
        pts_us += gaps_us[i % 5];
    }
    struct sp_error err = {0};
    if (sp_files_finish(files, NULL, &err))
        fail_msg("%s", err.text);
    struct seen seen = watch("a.mp4");
    assert_int_equal(seen.count, 40);
    assert_int_equal(seen.width, 320);
    assert_int_equal(seen.height, 240);
    /* the last frame stays as long as the one before it */
    assert_true(llabs(seen.duration_us - (times_us[39] - times_us[0] + 200000)) < 1000);
    assert_int_equal(seen.space, AVCOL_SPC_BT709);
    assert_int_equal(seen.range, AVCOL_RANGE_MPEG);
    for (int i = 0; i < 40; i++) {
        struct sp_canvas canvas = moving_canvas(320, 240, i);
        double sum = 0;
        for (int y = 0; y < 240; y++)
            for (int x = 0; x < 320; x++)
                sum += canvas.plane[0][y * canvas.stride_bytes[0] + x];
        assert_true(fabs(seen.luma[i] - sum / 320 / 240) < 1.5);
        assert_true(llabs(seen.time_us[i] - (times_us[i] - times_us[0])) <= 12); /* a tick */
        sp_canvas_release(&canvas);
    }
}

static void test_times_that_stand_still_are_moved_on(void **state)
{
    (void)state;
    struct sp_files *files = open_files("a", true);
    static const int64_t times_us[] = {0, 0, 0, 40000, 20000, INT64_MIN};
    for (int i = 0; i < 6; i++)
        add_image(files, 64, 64, i, times_us[i]);
    assert_int_equal(sp_files_finish(files, NULL, NULL), SP_OK);
    struct seen seen = watch("a.mp4");
    assert_int_equal(seen.count, 6);
    for (int i = 1; i < 6; i++)
        assert_true(seen.time_us[i] > seen.time_us[i - 1]);
}

static void test_images_of_another_size_get_bars(void **state)
{
    (void)state;
    struct sp_files *files = open_files("a", true);
    add_image(files, 320, 240, 0, 0);
    add_image(files, 120, 240, 1, 40000); /* narrow: bars at the sides */
    add_image(files, 1, 1, 2, 80000);
    add_image(files, 640, 480, 3, 120000); /* the same shape: none */
    assert_int_equal(sp_files_finish(files, NULL, NULL), SP_OK);
    struct seen seen = watch("a.mp4");
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.width, 320);
    assert_true(seen.edge_luma[0] > 50);
    assert_true(seen.edge_luma[1] < 25);
    assert_true(seen.luma[1] > 30);
    assert_true(seen.edge_luma[3] > 50);
}

static void test_tiny_images_end_well_or_say_why(void **state)
{
    (void)state;
    for (int side = 1; side <= 17; side += 4) {
        struct sp_files *files = open_files("a", true);
        struct sp_canvas canvas = moving_canvas(side, side, 0);
        const struct sp_files_frame frame = {.image = &canvas};
        struct sp_error err = {0};
        int rc = sp_files_frame(files, &frame, &err);
        assert_true(rc == SP_OK || (rc == SP_ERR_UNSUPPORTED && strstr(err.text, "a.mp4")));
        assert_int_equal(sp_files_finish(files, NULL, NULL), rc);
        if (rc == SP_OK)
            assert_int_equal(watch("a.mp4").count, 1);
        sp_canvas_release(&canvas);
    }
}

static void test_the_fallback_encoder_makes_a_video_too(void **state)
{
    (void)state;
    struct sp_atomic_file *part;
    struct sp_mp4 *mp4;
    struct sp_error err = {0};
    bool complete;
    assert_int_equal(sp_atomic_file_open(&part, folder, "a.mp4", NULL), SP_OK);
    struct sp_mp4_options options = {.encoder = "no-such-encoder", .frame_rate = 25, .crf = 23};
    assert_int_equal(sp_mp4_open(&mp4, part, &options, &err), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "no-such-encoder"));
    options.encoder = "mpeg4";
    assert_int_equal(sp_mp4_open(&mp4, part, &options, NULL), SP_OK);
    for (int i = 0; i < 10; i++) {
        struct sp_canvas canvas = moving_canvas(160, 120, i);
        if (sp_mp4_frame(mp4, &canvas, i * 33333, &err))
            fail_msg("%s", err.text);
        sp_canvas_release(&canvas);
    }
    assert_int_equal(sp_mp4_finish(mp4, part, &complete, NULL), SP_OK);
    assert_true(complete);
    sp_mp4_close(mp4);
    assert_int_equal(sp_atomic_file_sync(part, NULL), SP_OK);
    assert_int_equal(sp_atomic_file_publish(part, NULL), SP_OK);
    sp_atomic_file_close(part);
    struct seen seen = watch("a.mp4");
    assert_int_equal(seen.codec, AV_CODEC_ID_MPEG4);
    assert_int_equal(seen.count, 10);
    assert_true(llabs(seen.time_us[9] - 9 * 33333) <= 17);
}

static void test_a_video_without_images_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(sp_files_finish(open_files("a", true), NULL, NULL), SP_OK);
    assert_true(exists("a.txt") && exists("a.jsonl"));
    assert_false(exists("a.mp4") || exists("a.mp4.part"));
}

static void test_the_same_input_gives_the_same_bytes(void **state)
{
    (void)state;
    struct sp_files *one = open_files("a", true), *other = open_files("b", true);
    for (int i = 0; i < 60; i++)
        add_image(one, 352, 288, i, i * 40000);
    for (int i = 0; i < 60; i++)
        add_image(other, 352, 288, i, i * 40000);
    assert_int_equal(sp_files_finish(one, NULL, NULL), SP_OK);
    assert_int_equal(sp_files_finish(other, NULL, NULL), SP_OK);
    assert_same_bytes("a.txt", "b.txt");
    assert_same_bytes("a.jsonl", "b.jsonl");
    assert_same_bytes("a.mp4", "b.mp4");
}

/* Exits with the number of the step that went wrong. */
static void fill_the_disk(bool video)
{
    int wanted = make_small_disk(folder);
    struct sp_files *files;
    struct sp_error err = {0}, again = {0};
    if (sp_files_write_whole(folder, "a.txt", "old", 3, NULL))
        _exit(1);
    const struct sp_files_options options = {
        .dir = folder, .camera = "a", .video = video, .video_crf = 1};
    if (sp_files_open(&files, &options, NULL))
        _exit(2);
    static struct sp_detection detections[SP_DETECTIONS_MAX];
    struct sp_canvas canvas = moving_canvas(320, 240, 0);
    int rc = SP_OK, frames = 0;
    for (int i = 0; i < 2000 && !rc; i++, frames++) {
        for (size_t k = 0; k < 320 * 200; k++) /* noise takes room */
            canvas.plane[0][k] = (uint8_t)rand();
        const struct sp_files_frame frame = {.sequence = (uint64_t)i,
                                             .pts_us = i * 40000,
                                             .detections = detections,
                                             .detection_count = video ? 0 : SP_DETECTIONS_MAX,
                                             .tracks = &(struct sp_track){.id = 1, .confidence = 1},
                                             .track_count = 1,
                                             .image = &canvas};
        rc = sp_files_frame(files, &frame, &err);
    }
    sp_canvas_release(&canvas);
    if (rc != wanted)
        _exit(3);
    const char *text = wanted == SP_ERR_NO_SPACE ? "No space left on device" : "File too large";
    if (strncmp(err.text, video ? "a.mp4: " : "a.jsonl: ", 7) != 0 || !strstr(err.text, text))
        _exit(4);
    if (sp_files_frame(files, &(struct sp_files_frame){0}, &again) != wanted ||
        strcmp(again.text, err.text) != 0)
        _exit(5);
    again = (struct sp_error){0};
    if (sp_files_finish(files, NULL, &again) != wanted || strcmp(again.text, err.text) != 0)
        _exit(6);
    if (exists("a.txt.part") || exists("a.jsonl.part") || exists("a.mp4.part") ||
        exists("a.mp4.part2"))
        _exit(7);
    /* What was whole stays: as many lines as fit, the last one too, and rows up to the same frame.
     */
    int lines = whole_lines(path_of("a.jsonl"), frames), rows = whole_rows(path_of("a.txt"), lines);
    if (lines < 3 || lines > frames || rows != lines || (!video && lines > frames - 1))
        _exit(8);
    _exit(wanted == SP_ERR_NO_SPACE ? 100 : 101);
}

/* Only what is written at the end does not fit: the last buffers are found out too. */
static void fill_the_disk_at_the_end(void)
{
    int wanted = make_small_disk(folder);
    struct sp_error err = {0};
    static char text[80 << 10];
    memset(text, 'x', sizeof text);
    struct sp_files *files;
    const struct sp_files_options options = {.dir = folder, .camera = "a"};
    if (sp_files_open(&files, &options, NULL))
        _exit(11);
    const struct sp_track track = {.id = 1};
    for (int i = 0; i < 600; i++) { /* within the buffers, but together too much for the disk */
        const struct sp_files_frame frame = {
            .sequence = (uint64_t)i, .tracks = &track, .track_count = 1};
        if (sp_files_frame(files, &frame, NULL))
            _exit(12);
    }
    if (wanted == SP_ERR_NO_SPACE && sp_files_finish(files, NULL, &err) != wanted)
        _exit(13);
    int lines = whole_lines(path_of("a.jsonl"), 600);
    if (wanted == SP_ERR_NO_SPACE &&
        (lines < 100 || whole_rows(path_of("a.txt"), 600) != lines || exists("a.txt.part")))
        _exit(14);
    if (sp_files_write_whole(folder, "summary.json", text, sizeof text, &err) != wanted ||
        strncmp(err.text, "summary.json: ", 14) != 0)
        _exit(15);
    if (exists("summary.json") || exists("summary.json.part"))
        _exit(16);
    _exit(100);
}

static void test_a_full_disk_is_found_and_told(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (round == 2)
                fill_the_disk_at_the_end();
            fill_the_disk(round == 1);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 101)
            print_message("no small disk allowed here: a limit on the files' size stood in\n");
        else
            assert_int_equal(WEXITSTATUS(status), 100);
        unlink(path_of("a.txt"));
        unlink(path_of("a.txt.part")); /* when the size limit stood in */
        unlink(path_of("a.jsonl.part"));
        unlink(path_of("a.jsonl"));
        unlink(path_of("a.mp4"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    av_log_set_level(AV_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        TEST(test_rows_and_lines_are_as_documented),
        TEST(test_the_results_log_keeps_every_bit_of_a_detection),
        TEST(test_abandoned_files_leave_the_earlier_ones),
        TEST(test_names_and_folders_that_cannot_be),
        TEST(test_the_video_has_every_image_at_its_time),
        TEST(test_times_that_stand_still_are_moved_on),
        TEST(test_images_of_another_size_get_bars),
        TEST(test_tiny_images_end_well_or_say_why),
        TEST(test_the_fallback_encoder_makes_a_video_too),
        TEST(test_a_video_without_images_is_no_file),
        TEST(test_the_same_input_gives_the_same_bytes),
        TEST(test_a_full_disk_is_found_and_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
