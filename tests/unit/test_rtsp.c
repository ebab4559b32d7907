/* Live cameras of a real RTSP server, which is killed and restarted. */
#include "live.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { CAMERAS = 2, NOT_THERE = 77 };

static int port;

/* A port that is free now. */
static int find_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
    close(fd);
    return ntohs(at.sin_port);
}

/* The server's process id once it listens; 0 when it cannot run here. */
static pid_t start_server(const char *codec)
{
    char script[512], number[16], cameras[16], line[256] = "";
    const char *root = getenv("SPOTON_SOURCE_DIR");
    int ends[2];
    snprintf(script, sizeof script, "%s/tests/tools/rtsp_server.py", root ? root : ".");
    snprintf(number, sizeof number, "%d", port);
    snprintf(cameras, sizeof cameras, "%d", CAMERAS);
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no server running */
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl(script, script, number, cameras, codec, (char *)NULL);
        _exit(NOT_THERE);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    bool ready = fgets(line, sizeof line, out) && strncmp(line, "ready", 5) == 0;
    fclose(out);
    if (ready)
        return pid;
    int status;
    waitpid(pid, &status, 0);
    print_message("%s", line);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == NOT_THERE);
    return 0;
}

static void kill_server(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void check_ledgers(struct live *live, const int *camera)
{
    for (int i = 0; i < CAMERAS; i++) {
        struct sp_camera_report report = live_report(live, camera[i]);
        assert_true(sp_ledger_balances(&report.ledger));
    }
}

/* NULL: the server is not installed. */
static struct live *start(const char *stream, const char *transport, pid_t *server, int *camera)
{
    port = find_port();
    *server = start_server(stream);
    if (*server == 0)
        return NULL;
    struct live *live = live_prepare("");
    live->settings.stall_timeout_ms = 8000; /* on a busy machine the server may pause for seconds */
    live_start(live, false);
    for (int i = 0; i < CAMERAS; i++) {
        char name[16], url[128];
        snprintf(name, sizeof name, "rtsp%d", i);
        snprintf(url, sizeof url, "rtsp://user:secret@127.0.0.1:%d/%d%s", port, i, transport);
        camera[i] = live_add(live, name, url);
    }
    for (int i = 0; i < CAMERAS; i++)
        live_await(&live->camera[camera[i]].results, 25);
    return live;
}

static void finish(struct live *live, pid_t server, const int *camera, unsigned restarts)
{
    for (int i = 0; i < CAMERAS; i++) {
        live_await_state(live, camera[i], SP_CAMERA_LIVE);
        struct sp_camera_report report = live_report(live, camera[i]);
        assert_true(report.reconnects >= restarts && (restarts > 0 || report.reconnects == 0));
        assert_null(strstr(report.url, "secret"));
        assert_int_equal(live->camera[camera[i]].begins, 1);
    }
    live_close(live);
    kill_server(server);
}

/* Kills the server and restarts it, possibly with another stream, until the cameras run. */
static void restart_server(struct live *live, pid_t *server, const int *camera, const char *stream)
{
    uint64_t seen[CAMERAS];
    kill_server(*server);
    for (int i = 0; i < CAMERAS; i++) {
        live_await_state(live, camera[i], SP_CAMERA_OFFLINE);
        assert_null(strstr(live_report(live, camera[i]).error.text, "secret"));
        seen[i] = atomic_load(&live->camera[camera[i]].results);
    }
    check_ledgers(live, camera);
    *server = start_server(stream);
    int64_t begin_us = sp_clock_us();
    for (int i = 0; i < CAMERAS; i++) {
        live_await(&live->camera[camera[i]].results, seen[i] + 1);
        print_message("%s: camera %d is back after %.2f s\n", stream, i,
                      (double)(sp_clock_us() - begin_us) / 1e6);
    }
    for (int i = 0; i < CAMERAS; i++)
        live_await(&live->camera[camera[i]].results, seen[i] + 25);
    check_ledgers(live, camera);
}

static void play(const char *stream, const char *transport, unsigned restarts)
{
    pid_t server;
    int camera[CAMERAS];
    struct live *live = start(stream, transport, &server, camera);
    if (!live)
        skip();
    for (unsigned i = 0; i < restarts; i++)
        restart_server(live, &server, camera, stream);
    finish(live, server, camera, restarts);
}

static void test_h264_over_tcp(void **state)
{
    (void)state;
    play("h264", "", 1);
}

static void test_h264_over_udp(void **state)
{
    (void)state;
    play("h264", "?udp", 0);
}

/* The frame size changes twice within one connection. */
static void change_size(const char *stream)
{
    pid_t server;
    int camera[CAMERAS];
    struct live *live = start(stream, "", &server, camera);
    if (!live)
        skip();
    for (int i = 0; i < CAMERAS; i++) {
        struct live_camera *c = &live->camera[camera[i]];
        for (int changes = 0; changes < 2; changes++) {
            int64_t width_px = atomic_load(&c->width_px);
            int64_t deadline_us = sp_clock_us() + 20000000;
            while (atomic_load(&c->width_px) == width_px && sp_clock_us() < deadline_us)
                usleep(2000);
            assert_int_equal(atomic_load(&c->width_px), width_px == 320 ? 640 : 320);
            live_await(&c->results, atomic_load(&c->results) + 5);
        }
        assert_int_equal(c->failed, 0);
    }
    check_ledgers(live, camera);
    finish(live, server, camera, 0);
}

static void test_size_changes_within_h264(void **state)
{
    (void)state;
    change_size("h264:320x240:1");
}

static void test_size_changes_within_mjpeg(void **state)
{
    (void)state;
    change_size("mjpeg:320x240:1");
}

/* The camera's settings were changed while it was offline. */
static void test_comes_back_with_another_codec_and_size(void **state)
{
    (void)state;
    static const char *const streams[] = {"h265:640x360", "mjpeg:480x640"};
    static const struct {
        const char *codec;
        int width_px, height_px;
    } expected[] = {{"hevc", 640, 360}, {"mjpeg", 480, 640}};
    pid_t server;
    int camera[CAMERAS];
    struct live *live = start("h264:320x240", "", &server, camera);
    if (!live)
        skip();
    for (int round = 0; round < 2; round++) {
        restart_server(live, &server, camera, streams[round]);
        for (int i = 0; i < CAMERAS; i++) {
            struct sp_camera_report report = live_report(live, camera[i]);
            assert_string_equal(report.info.codec, expected[round].codec);
            assert_int_equal(report.info.width_px, expected[round].width_px);
            assert_int_equal(report.info.height_px, expected[round].height_px);
            assert_int_equal(live->camera[camera[i]].width_px, expected[round].width_px);
        }
    }
    finish(live, server, camera, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_h264_over_tcp),
        cmocka_unit_test(test_h264_over_udp),
        cmocka_unit_test(test_size_changes_within_h264),
        cmocka_unit_test(test_size_changes_within_mjpeg),
        cmocka_unit_test(test_comes_back_with_another_codec_and_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
