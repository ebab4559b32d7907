/* Damaged, truncated and invalid input: all decodable frames are returned, then one clear line;
 * never a crash, a hang or a password. */
#include "clips.h"

#include "base/clock.h"
#include "base/thread.h"
#include "capture/libav_log.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void expect_text(const struct reel *reel, const char *words)
{
    if (!strstr(reel->err.text, words))
        fail_msg("\"%s\" is not in: %s", words, reel->err.text);
    assert_null(strchr(reel->err.text, '\n'));
}

static struct reel *expect_refused(const char *url, int code, const char *words)
{
    struct reel *reel = read_all(url, (struct read_options){0});
    print_message("  %s\n", reel->err.text);
    assert_int_equal(reel->count, 0);
    expect_text(reel, words);
    assert_int_equal(reel->rc, code);
    return reel;
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static uint8_t *load(const char *path, size_t *n)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc((size_t)st.st_size);
    assert_non_null(file);
    assert_non_null(bytes);
    *n = fread(bytes, 1, (size_t)st.st_size, file);
    fclose(file);
    return bytes;
}

static void cut(const char *from, const char *to, double share)
{
    size_t n;
    uint8_t *bytes = load(from, &n);
    write_file(to, bytes, (size_t)((double)n * share));
    free(bytes);
}

static void test_what_is_no_video_is_refused(void **state)
{
    (void)state;
    need_ffmpeg();
    const char *text = "This is a letter, not a video.\nIt has two lines.\n";
    write_file(clip("zero.mp4"), "", 0);
    write_file(clip("text.mp4"), text, strlen(text));
    write_file(clip("text.txt"), text, strlen(text));
    mkdir(clip("dir"), 0777);
    make("-f lavfi -i sine=duration=1 -c:a aac @/audio.mp4");
    make("-f lavfi -i sine=duration=1 -f lavfi -i color=size=64x64:rate=1 -frames:v 1 -c:v mjpeg "
         "-disposition:v attached_pic -c:a aac -shortest @/cover.m4a");
    free(expect_refused(clip("none.mp4"), SP_ERR_NOT_FOUND, "no such file"));
    free(expect_refused(clip("zero.mp4"), SP_ERR_FORMAT, "empty (0 bytes)"));
    free(expect_refused(clip("text.mp4"), SP_ERR_FORMAT, "begins with text"));
    free(expect_refused(clip("text.txt"), SP_ERR_FORMAT, "text"));
    free(expect_refused(clip("dir"), SP_ERR_UNSUPPORTED, "a directory"));
    free(expect_refused(clip("audio.mp4"), SP_ERR_FORMAT, "no video stream"));
    free(expect_refused(clip("cover.m4a"), SP_ERR_FORMAT, "cover image"));
    free(expect_refused(clip("no%03d.jpg"), SP_ERR_NOT_FOUND, "no%03d.jpg"));
    free(expect_refused("nonsense://x/y", SP_ERR_UNSUPPORTED, "nonsense"));
    free(expect_refused("", SP_ERR_INVALID, "empty"));
    struct reel *reel = expect_refused(clip("zero.mp4"), SP_ERR_FORMAT, clips_dir);
    expect_text(reel, "zero.mp4");
    free(reel);
}

/* A long path keeps its end, and the message stays complete. */
static void test_long_names_fit(void **state)
{
    (void)state;
    char path[1024];
    memset(path, 'x', sizeof path);
    snprintf(path + 900, sizeof path - 900, "/the-end.mp4");
    struct reel *reel = read_all(path, (struct read_options){0});
    expect_text(reel, "xx/the-end.mp4: ");
    expect_text(reel, "check the path");
    free(reel);
}

/* Truncated to a part of its bytes: what is left is decoded, equal to the whole clip's beginning.
 */
static void expect_cut(const char *name, double share, bool count_is_known)
{
    cut(clip(name), clip("cut"), share);
    struct reel *whole = read_all(clip(name), (struct read_options){0});
    struct reel *part = read_all(clip("cut"), (struct read_options){0});
    print_message("  %s: %d of %d: %s\n", name, part->count, whole->count, part->err.text);
    assert_int_equal(whole->rc, SP_ERR_END);
    assert_int_equal(part->rc, SP_ERR_FORMAT);
    expect_text(part, "/cut: damaged or cut short after frame ");
    if (count_is_known)
        expect_text(part, " of 50: ");
    assert_in_range(part->count, 10, 49);
    /* The last ones may depend on the packet that was cut. */
    for (int i = 0; i < part->count - 4; i++) {
        assert_int_equal(part->shot[i].sequence, i);
        assert_true(part->shot[i].hash == whole->shot[i].hash);
    }
    free(whole);
    free(part);
}

static void test_a_cut_file_gives_its_beginning(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("160x120", "10", "5") "-c:v libx264 -bf 2 -g 10 -pix_fmt yuv420p "
                                      "-movflags +faststart @/cut.mp4");
    make(MOVING("160x120", "10", "5") "-c:v msmpeg4 @/cut.avi");
    make("-i @/cut.mp4 -c copy @/cut.mkv");
    make(MOVING("160x120", "10", "5") "-c:v mjpeg @/cutm.avi");
    expect_cut("cut.mp4", 0.6, true);
    expect_cut("cut.avi", 0.6, true);
    expect_cut("cut.mkv", 0.6, true);
    expect_cut("cutm.avi", 0.5, true);
    /* The index of this one is at its end. */
    make("-i @/cut.mp4 -c copy -movflags 0 @/tail.mp4");
    cut(clip("tail.mp4"), clip("tail-cut.mp4"), 0.7);
    free(expect_refused(clip("tail-cut.mp4"), SP_ERR_FORMAT, "moov atom not found"));
}

static void test_a_cut_image_is_told(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("160x120", "10", "1") "-frames:v 1 @/still.jpg");
    cut(clip("still.jpg"), clip("still-cut.jpg"), 0.6);
    struct reel *reel = read_all(clip("still-cut.jpg"), (struct read_options){0});
    print_message("  %s\n", reel->err.text);
    assert_int_equal(reel->rc, SP_ERR_FORMAT);
    expect_text(reel, "still-cut.jpg");
    free(reel);
}

/* A hole in the middle: later numbers stay correct, and every number is accounted for. */
static void expect_hole(const char *name, int threads)
{
    size_t n;
    uint8_t *bytes = load(clip(name), &n);
    if (strstr(name, ".avi")) { /* the headers of five frames; the container stays valid */
        uint8_t *at = bytes + n / 2;
        for (int i = 0; i < 5; i++) {
            at = memmem(at, (size_t)(bytes + n - at), "\xff\xd8\xff", 3);
            assert_non_null(at);
            memset(at, 0, 640);
        }
    } else {
        memset(bytes + n / 2, 0x55, n / 20);
    }
    write_file(clip("hole"), bytes, n);
    free(bytes);
    struct reel *whole = read_all(clip(name), (struct read_options){.threads = threads});
    struct reel *part = read_all(clip("hole"), (struct read_options){.threads = threads});
    print_message("  %s: %d of %d: %s\n", name, part->count, whole->count, part->err.text);
    assert_int_equal(part->rc, SP_ERR_FORMAT);
    expect_text(part, "damaged or cut short after frame ");
    assert_in_range(part->count, whole->count / 2, whole->count);
    assert_int_equal(part->count + part->failed, whole->count);
    const struct shot *last = &part->shot[part->count - 1];
    assert_int_equal(last->sequence, whole->count - 1);
    assert_int_equal(last->pts_us, whole->shot[whole->count - 1].pts_us);
    assert_true(last->hash == whole->shot[whole->count - 1].hash);
    struct reel *sparse =
        read_all(clip("hole"), (struct read_options){.threads = threads, .frame_skip = 3});
    assert_int_equal(sparse->count + sparse->undecoded + sparse->tail_undecoded + sparse->failed,
                     whole->count);
    for (int i = 0; i < sparse->count; i++)
        assert_int_equal(sparse->shot[i].sequence % 3, 0);
    if (strstr(name, ".avi")) { /* five in a row are broken; skipped ones are not decoded */
        assert_int_equal(part->failed, 5);
        assert_in_range(sparse->failed, 1, 2);
    }
    free(whole);
    free(part);
    free(sparse);
}

static void test_numbers_stay_true_behind_a_hole(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("160x120", "10", "10") "-c:v mjpeg -q:v 20 @/hole.avi");
    make(MOVING("160x120", "10", "10") "-c:v libx264 -bf 2 -g 10 -pix_fmt yuv420p @/hole.mp4");
    make(MOVING(
        "160x120", "10",
        "10") "-c:v libx265 -x265-params log-level=error:keyint=10 -pix_fmt yuv420p @/hole5.mp4");
    expect_hole("hole.mp4", 1);
    expect_hole("hole.mp4", 3);
    expect_hole("hole5.mp4", 1);
    expect_hole("hole.avi", 1);
}

/* A recording that begins between two key frames is not damaged. */
static void test_a_start_between_keyframes_is_no_damage(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "25", "6") "-c:v libx264 -bf 2 -g 25 -pix_fmt yuv420p @/mid.ts");
    size_t n;
    uint8_t *bytes = load(clip("mid.ts"), &n);
    size_t from = n / 5 / 188 * 188;
    write_file(clip("mid-cut.ts"), bytes + from, n - from);
    free(bytes);
    struct reel *reel = read_all(clip("mid-cut.ts"), (struct read_options){0});
    print_message("  %d frames, %s\n", reel->count, reel->err.text);
    assert_int_equal(reel->rc, SP_ERR_END);
    assert_int_equal(reel->failed, 0);
    assert_in_range(reel->count, 90, 149);
    assert_int_equal(reel->shot[0].sequence, 0);
    free(reel);
}

static void test_random_damage_never_crashes(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("64x48", "10", "3") "-c:v libx264 -bf 2 -pix_fmt yuv420p @/fuzz.mp4");
    make(MOVING("64x48", "10", "3") "-c:v msmpeg4 @/fuzz.avi");
    make(MOVING("64x48", "10", "3") "-c:v libx264 -bf 2 -pix_fmt yuv420p @/fuzz.ts");
    static const char *const names[] = {"fuzz.mp4", "fuzz.avi", "fuzz.ts"};
    for (unsigned seed = 0; seed < 51; seed++) {
        const char *name = names[seed % 3];
        size_t n;
        uint8_t *bytes = load(clip(name), &n);
        unsigned random = seed * 2654435761U + 1;
        int flips = 1 << (seed % 8);
        for (int i = 0; i < flips; i++) {
            random = random * 1664525U + 1013904223U;
            size_t at = (size_t)random * 2654435761U % n;
            bytes[at] ^= (uint8_t)(1U << (random >> 29));
        }
        write_file(clip(name + 4), bytes, n); /* ".mp4" */
        free(bytes);
        struct reel *reel =
            read_all(clip(name + 4), (struct read_options){.threads = 1 + (int)(seed % 2),
                                                           .frame_skip = 1 + (int)(seed % 4)});
        assert_true(reel->rc < 0);
        assert_true(strlen(reel->err.text) > 0);
        free(reel);
    }
}

static void test_no_password_in_any_text(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "rtsp://user:secret@127.0.0.1:1/x",  "http://user:secret@127.0.0.1:1/x.mp4?token=secret",
        "nonsense://user:secret@127.0.0.1/", "rtsp://user:secret word@127.0.0.1:1/x",
        "tcp://user:secret@127.0.0.1:1",
    };
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct reel *reel = read_all(urls[i], (struct read_options){0});
        print_message("  %s\n", reel->err.text);
        assert_true(reel->rc < 0);
        expect_text(reel, "127.0.0.1");
        assert_null(strstr(reel->err.text, "secret"));
        assert_null(strstr(reel->err.text, "word@"));
        free(reel);
    }
    char out[256];
    sp_libav_redact_text("Opening 'rtsp://a:secret@h/x' and http://b:secret@h?key=secret now", out,
                         sizeof out);
    assert_null(strstr(out, "secret"));
    assert_non_null(strstr(out, "Opening 'rtsp://a:***@h/x' and http://b:***@h?key=***"));
}

/* A server that accepts a connection and sends nothing, or only the beginning of a video. */
static int listen_here(char *url, size_t url_bytes, const char *scheme)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    snprintf(url, url_bytes, "%s://127.0.0.1:%d/x", scheme, ntohs(address.sin_port));
    return fd;
}

static void test_a_silent_server_times_out(void **state)
{
    (void)state;
    static const char *const schemes[] = {"http", "rtsp", "tcp"};
    for (int i = 0; i < 3; i++) {
        char url[64];
        int fd = listen_here(url, sizeof url, schemes[i]);
        struct sp_source_options options = {.url = url, .open_timeout_us = 300000};
        struct sp_source *source = NULL;
        struct sp_error err;
        int64_t start_us = sp_clock_us();
        assert_int_equal(sp_source_open(&source, &options, &err), SP_ERR_TIMEOUT);
        assert_in_range(sp_clock_us() - start_us, 300000, 8000000); /* the usual limit is 10 s */
        assert_non_null(strstr(err.text, url));
        close(fd);
    }
}

struct server {
    int fd;
    uint8_t *bytes;
    size_t n;
    atomic_bool stop;
};

static void *serve_a_beginning(void *argument)
{
    struct server *server = argument;
    int client = accept(server->fd, NULL, NULL);
    for (size_t at = 0; at < server->n;) {
        ssize_t n = send(client, server->bytes + at, server->n - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    while (!atomic_load(&server->stop))
        usleep(10000);
    close(client);
    return NULL;
}

static void *interrupt_soon(void *source)
{
    usleep(200000);
    sp_source_interrupt(source);
    return NULL;
}

static void test_interrupt_and_read_timeout(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("160x120", "25", "10") "-c:v libx264 -g 25 -pix_fmt yuv420p @/live.ts");
    for (int timeout = 0; timeout < 2; timeout++) {
        char url[64];
        struct server server = {.fd = listen_here(url, sizeof url, "tcp")};
        pthread_t serving, interrupting;
        server.bytes = load(clip("live.ts"), &server.n);
        assert_int_equal(sp_thread_start(&serving, "serve", serve_a_beginning, &server, NULL),
                         SP_OK);
        struct sp_frame_pool *pool;
        struct sp_source *source;
        struct sp_error err = {0};
        assert_int_equal(sp_frame_pool_open(&pool, NULL), SP_OK);
        struct sp_source_options options = {.url = url,
                                            .pool = pool,
                                            .frame_skip = 1,
                                            .decode_threads = 2,
                                            .open_timeout_us = 10000000,
                                            .read_timeout_us = timeout ? 2000000 : 60000000};
        if (sp_source_open(&source, &options, &err) != SP_OK)
            fail_msg("%s", err.text);
        struct sp_source_info info;
        sp_source_info(source, &info);
        assert_true(info.live);
        if (!timeout)
            assert_int_equal(
                sp_thread_start(&interrupting, "interrupt", interrupt_soon, source, NULL), SP_OK);
        int64_t start_us = sp_clock_us();
        struct sp_frame *frame;
        int rc, count = 0;
        while ((rc = sp_source_read(source, &frame, &err)) == SP_OK) {
            sp_frame_unref(frame);
            count++;
        }
        assert_int_equal(rc, timeout ? SP_ERR_TIMEOUT : SP_ERR_INTERRUPTED);
        assert_true(sp_clock_us() - start_us < 40000000);
        assert_in_range(count, timeout ? 200 : 0, 250);
        if (!timeout) {
            assert_int_equal(sp_source_read(source, &frame, &err), SP_ERR_INTERRUPTED);
            pthread_join(interrupting, NULL);
        }
        atomic_store(&server.stop, true);
        sp_source_close(source);
        sp_frame_pool_close(pool);
        pthread_join(serving, NULL);
        close(server.fd);
        free(server.bytes);
    }
}

static void expect_whole(const char *name, int frames)
{
    struct reel *reel = read_all(clip(name), (struct read_options){0});
    if (reel->rc != SP_ERR_END)
        fail_msg("%s: %s", name, reel->err.text);
    assert_int_equal(reel->count, frames);
    free(reel);
}

/* Matroska's DURATION is the time at which a stream ends: for a segment, not its length. */
static void test_segments_that_do_not_begin_at_zero(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "10", "12") "-c:v libx264 -g 10 -bf 2 -preset ultrafast @/twelve.mp4");
    make("-i @/twelve.mp4 -c copy -f segment -segment_time 4 @/s%d.mkv");
    make("-i @/twelve.mp4 -c copy -f segment -segment_time 4 @/s%d.webm.ts");
    make("-i @/twelve.mp4 -c copy -output_ts_offset 100 @/late.flv");
    make("-i @/twelve.mp4 -c copy -output_ts_offset 100 @/late.mkv");
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "s%d.mkv", i);
        expect_whole(name, 40);
        snprintf(name, sizeof name, "s%d.webm.ts", i);
        expect_whole(name, 40);
    }
    expect_whole("late.mkv", 120);
    expect_whole("late.flv", 120);
    /* A truncated segment is still reported. */
    assert_true(run("head -c $(( $(stat -c %%s '%s') / 2 )) '%s' > '%s'", clip("s2.mkv"),
                    clip("s2.mkv"), clip("cut.mkv")));
    struct reel *reel = read_all(clip("cut.mkv"), (struct read_options){0});
    assert_int_equal(reel->rc, SP_ERR_FORMAT);
    free(reel);
}

/* AVI fills gaps with empty chunks, which its headers count. */
static void test_empty_chunks_are_no_frames(void **state)
{
    (void)state;
    need_ffmpeg();
    make(MOVING("96x64", "10", "4") "-c:v libx264 -g 10 -bf 2 -preset ultrafast @/four.mp4");
    make("-i @/four.mp4 -c copy @/h264.avi");
    make("-i @/four.mp4 -vf \"setpts=PTS+floor(N/10)*0.5/TB\" -vsync vfr -c:v mjpeg @/gaps.avi");
    expect_whole("h264.avi", 40);
    expect_whole("gaps.avi", 40);
    static const char *const names[] = {"h264.avi", "gaps.avi"};
    for (int i = 0; i < 2; i++) {
        char whole[512];
        snprintf(whole, sizeof whole, "%s", clip(names[i]));
        assert_true(run("head -c $(( $(stat -c %%s '%s') / 2 )) '%s' > '%s'", whole, whole,
                        clip("cut.avi")));
        struct reel *reel = read_all(clip("cut.avi"), (struct read_options){0});
        assert_int_equal(reel->rc, SP_ERR_FORMAT);
        assert_non_null(strstr(reel->err.text, "missing"));
        free(reel);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_video_is_refused),
        cmocka_unit_test(test_long_names_fit),
        cmocka_unit_test(test_a_cut_file_gives_its_beginning),
        cmocka_unit_test(test_segments_that_do_not_begin_at_zero),
        cmocka_unit_test(test_empty_chunks_are_no_frames),
        cmocka_unit_test(test_a_cut_image_is_told),
        cmocka_unit_test(test_numbers_stay_true_behind_a_hole),
        cmocka_unit_test(test_a_start_between_keyframes_is_no_damage),
        cmocka_unit_test(test_random_damage_never_crashes),
        cmocka_unit_test(test_no_password_in_any_text),
        cmocka_unit_test(test_a_silent_server_times_out),
        cmocka_unit_test(test_interrupt_and_read_timeout),
    };
    return cmocka_run_group_tests(tests, open_clips_dir, close_clips_dir);
}
