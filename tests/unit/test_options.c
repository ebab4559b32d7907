#include "base/log.h"
#include "command/camera_name.h"
#include "command/options.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sp_options options; /* large: not on the stack */

static const struct sp_command_usage run = {"run", "[URL...] --out DIR", "Tracks people.\n",
                                            SP_TAKES_CAMERAS | SP_TAKES_OUT_DIR | SP_TAKES_VIDEO |
                                                SP_TAKES_LIMIT};
static const struct sp_command_usage track = {"track", "DETS -o OUT.txt", "Only the tracker.\n",
                                              SP_TAKES_INPUTS | SP_TAKES_OUT_FILE};
static const struct sp_command_usage bench = {
    "bench", "[URL...]", "Measures.\n",
    SP_TAKES_CAMERAS | SP_TAKES_SECONDS | SP_TAKES_FRAMES | SP_TAKES_JSON | SP_TAKES_NO_JPEG};
static const struct sp_command_usage bare = {"doctor", "", "Checks.\n", 0};

static const char *const empty_environment[] = {NULL};
static const char *const *environment = empty_environment;

enum { WORDS_MAX = 80 };

static int parse(const struct sp_command_usage *usage, const char *const *words,
                 struct sp_error *err)
{
    const char *argv[WORDS_MAX + 2] = {usage->name};
    int argc = 1;
    for (; words[argc - 1]; argc++) {
        assert_true(argc <= WORDS_MAX);
        argv[argc] = words[argc - 1];
    }
    memset(&options, 0xA5, sizeof options);
    return sp_options_parse(&options, usage, argc, (char **)argv, (char *const *)environment, err);
}

#define PARSE(usage, err, ...) parse(&(usage), (const char *const[]){__VA_ARGS__, NULL}, err)

static void test_everything_a_run_takes(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(PARSE(run, &err, "a/vtest.avi", "--camera", "door=rtsp://u:p@h/live", "--out",
                           "results", "--video", "--limit=10", "--frame-skip", "3", "a/vtest.avi",
                           "-v", "--", "--odd-name.mp4"),
                     SP_OK);
    assert_int_equal(options.settings.camera_count, 4);
    assert_string_equal(options.settings.camera[0].name, "door");
    assert_string_equal(options.settings.camera[0].url, "rtsp://u:p@h/live");
    assert_string_equal(options.settings.camera[1].name, "vtest");
    assert_string_equal(options.settings.camera[1].url, "a/vtest.avi");
    assert_string_equal(options.settings.camera[2].name, "vtest-2");
    assert_string_equal(options.settings.camera[3].name, "odd-name");
    assert_string_equal(options.settings.camera[3].url, "--odd-name.mp4");
    assert_string_equal(options.out_dir, "results");
    assert_true(options.video);
    assert_int_equal(options.limit, 10);
    assert_int_equal(options.settings.frame_skip, 3);
    assert_int_equal(options.settings.log_level, SP_LOG_DEBUG);
    assert_true(sp_log_enabled(SP_LOG_DEBUG));
    assert_false(options.help);
    assert_null(options.out_file);
    assert_int_equal(options.input_count, 0);
}

static void test_what_other_commands_take(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(PARSE(track, &err, "dets.txt", "-o", "out.txt", "--track-dt=frames"), SP_OK);
    assert_int_equal(options.input_count, 1);
    assert_string_equal(options.input[0], "dets.txt");
    assert_string_equal(options.out_file, "out.txt");
    assert_int_equal(options.settings.track_dt, SP_TRACK_DT_FRAMES);
    assert_int_equal(options.settings.camera_count, 0);
    assert_false(sp_log_enabled(SP_LOG_DEBUG)); /* the level of the last parse is gone */

    assert_int_equal(PARSE(bench, &err, "--seconds", "2.5", "--frames", "400", "--json",
                           "--no-jpeg", "--jpeg-rate", "30"),
                     SP_OK);
    assert_true(options.seconds == 2.5);
    assert_int_equal(options.frames, 400);
    assert_true(options.json && options.no_jpeg);
    assert_int_equal(options.jpeg_rate, 30);

    assert_int_equal(PARSE(bare, &err, "--help", "--nonsense"), SP_OK);
    assert_true(options.help);
    assert_int_equal(PARSE(run, &err, "-h"), SP_OK);
    assert_true(options.help);
    assert_false(options.help_settings);
    assert_int_equal(PARSE(bare, &err, "--help-settings", "--nonsense"), SP_OK);
    assert_true(options.help_settings);
    const char *const none[] = {NULL};
    assert_int_equal(parse(&bare, none, &err), SP_OK);
    assert_int_equal(options.settings.frame_skip, 1);
}

struct refusal {
    const struct sp_command_usage *usage;
    const char *words[4];
    const char *text;
};

static void expect_refusals(const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct sp_error err = {0};
        assert_true(parse(cases[i].usage, cases[i].words, &err) < 0);
        assert_string_equal(err.text, cases[i].text);
        assert_null(strstr(err.text, "secret"));
    }
}

static void test_unknown_options(void **state)
{
    (void)state;
#define SEE(command) " `spoton " command " --help` and --help-settings"
    static const struct refusal cases[] = {
        {&run,
         {"--frame-skpi", "2"},
         "--frame-skpi: unknown option; did you mean --frame-skip? See" SEE("run")},
        {&run, {"--vidoe"}, "--vidoe: unknown option; did you mean --video? See" SEE("run")},
        {&run,
         {"--help-setings"},
         "--help-setings: unknown option; did you mean --help-settings? See" SEE("run")},
        {&run, {"--xyzzy=rtsp://u:secret@h/"}, "--xyzzy: unknown option; see" SEE("run")},
        {&run, {"--json"}, "--json: not an option of this command; see" SEE("run")},
        {&track,
         {"--out", "x"},
         "--out: not an option of this command; did you mean -o? See" SEE("track")},
        {&track, {"--camera", "a=b"}, "--camera: not an option of this command; see" SEE("track")},
    };
#undef SEE
    expect_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {&run, {"--out"}, "--out: no value; write --out DIR"},
        {&run, {"--out", "--video"}, "--out: no value before --video; write --out DIR"},
        {&run, {"--out", ""}, "--out: no value; write --out DIR"},
        {&run, {"--out="}, "--out: empty value; write --out DIR"},
        {&track, {"-o"}, "-o: no value; write -o FILE"},
        {&run, {"--video=yes"}, "--video: takes no value; remove it"},
        {&run, {"--limit", "0"}, "--limit 0: invalid; must be a whole number from 1"},
        {&run, {"--limit", "-3"}, "--limit -3: invalid; must be a whole number from 1"},
        {&run, {"--limit", "3x"}, "--limit 3x: invalid; must be a whole number from 1"},
        {&run,
         {"--limit", "99999999999999999999"},
         "--limit 99999999999999999999: invalid; must be a whole number from 1"},
        {&bench, {"--seconds", "0"}, "--seconds 0: invalid; must be a number of seconds above 0"},
        {&bench,
         {"--seconds", "nan"},
         "--seconds nan: invalid; must be a number of seconds above 0"},
        {&bench,
         {"--seconds", "1.2.3"},
         "--seconds 1.2.3: invalid; must be a number of seconds above 0"},
        {&run,
         {"--camera", "rtsp://u:secret@h/a?x=1"},
         "--camera rtsp://u:***@h/a?x=1: invalid; must be NAME=URL"},
        {&run, {"--camera", "door"}, "--camera door: invalid; must be NAME=URL"},
        {&run, {"--camera", "door="}, "--camera: camera door: no URL; set a file or a stream"},
        {&run,
         {"--camera", "a=x", "--camera=a=y"},
         "--camera: camera a: duplicate name; choose another name"},
        {&run, {""}, "empty argument; give a URL or file"},
        {&bare,
         {"rtsp://u:secret@h/"},
         "rtsp://u:***@h/: unexpected argument; see `spoton doctor --help`"},
        {&run,
         {"--frame-skip", "0"},
         "--frame-skip 0: out of range; must be a whole number from 1 to 100"},
        {&run,
         {"--track-low-threshold", "0.9"},
         "TRACK_LOW_THRESHOLD=0.9: not below TRACK_HIGH_THRESHOLD=0.5; lower it, as the second "
         "association uses the detections in between"},
        {&run,
         {"--env", "/nonexistent/.env"},
         "/nonexistent/.env: cannot be opened: No such file or directory; check the path"},
    };
    expect_refusals(cases, sizeof cases / sizeof cases[0]);
}

static void test_the_65th_camera_is_refused(void **state)
{
    (void)state;
    struct sp_error err = {0};
    const char *words[SP_CAMERAS_MAX + 2] = {0};
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        words[i] = "same.mp4";
    assert_int_equal(parse(&run, words, &err), SP_OK);
    assert_string_equal(options.settings.camera[63].name, "same-64");
    words[SP_CAMERAS_MAX] = "one-more.mp4";
    assert_int_equal(parse(&run, words, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "one-more.mp4: too many cameras; the limit is 64");
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_places_in_their_order(void **state)
{
    (void)state;
    struct sp_error err = {0};
    char folder[] = "/tmp/spoton-options-XXXXXX", before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    write_file(".env", "FRAME_SKIP=2\nVIDEO_CRF=20\nTHREADS=2\nCAMERA_door=file-door\n"
                       "CAMERA_vtest=file-vtest\nLOG_LEVEL=warning\n");
    write_file("other.env", "FRAME_SKIP=7\n");
    const char *const set[] = {"FRAME_SKIP=3", "VIDEO_CRF=21", "CAMERA_yard=env-yard", NULL};
    environment = set;

    assert_int_equal(
        PARSE(run, &err, "--frame-skip", "4", "--camera", "door=line-door", "clips/vtest.avi"),
        SP_OK);
    assert_int_equal(options.settings.frame_skip, 4);
    assert_int_equal(options.settings.video_crf, 21);
    assert_int_equal(options.settings.threads, 2);
    assert_int_equal(options.settings.camera_count, 4);
    assert_string_equal(options.settings.camera[0].url, "line-door");
    assert_string_equal(options.settings.camera[1].url, "file-vtest");
    assert_string_equal(options.settings.camera[2].url, "env-yard");
    assert_string_equal(options.settings.camera[3].name, "vtest-2");
    assert_false(sp_log_enabled(SP_LOG_INFO));
    /* one camera of the file may be replaced once, not twice */
    assert_int_equal(PARSE(run, &err, "--camera", "door=a", "--camera", "door=b"), SP_ERR_INVALID);

    environment = empty_environment;
    assert_int_equal(PARSE(run, &err, "--env", "other.env"), SP_OK);
    assert_int_equal(options.settings.frame_skip, 7);
    assert_int_equal(options.settings.camera_count, 0); /* .env was not read */
    assert_string_equal(options.env_path, "other.env");

    write_file(".env", "FRAME_SKIP=x\n");
    assert_int_equal(PARSE(run, &err, "a.mp4"), SP_ERR_INVALID);
    assert_string_equal(err.text,
                        ".env line 1: FRAME_SKIP=x: invalid; must be a whole number from 1 to 100");
    assert_int_equal(PARSE(run, &err, "--help"), SP_OK); /* help comes in spite of it */

    unlink(".env"); /* a Python environment of that name is none of ours */
    assert_int_equal(mkdir(".env", 0700), 0);
    assert_int_equal(PARSE(run, &err, "a.mp4"), SP_OK);
    assert_int_equal(PARSE(run, &err, "--env", ".env"), SP_ERR_INVALID);
    rmdir(".env");
    unlink("other.env");
    assert_int_equal(chdir(before), 0);
    rmdir(folder);
}

static void test_camera_names(void **state)
{
    (void)state;
    static const struct {
        const char *url, *name;
    } cases[] = {
        {"vtest.avi", "vtest"},
        {"/clips/my clip (1).tar.mp4", "my-clip-1-.tar"},
        {"clips/", "clips"},
        {"v1.2/clip", "clip"},
        {".hidden", "hidden"},
        {"/dev/video0", "video0"},
        {"../..", "camera"},
        {"/", "camera"},
        {"\xC3\xA4\xC3\xB6.mp4", "camera"},
        {"t\xC3\xBCr.mp4", "t-r"},
        {"what?.mp4", "what"},
        {"rtsp://user:secret@cam.example.org:554/live/main?token=secret", "main"},
        {"rtsp://user:secret@cam.example.org:554/", "cam.example.org"},
        {"rtsp://user:secret@cam.example.org", "cam.example.org"},
        {"rtsp://user:sec/secret@cam", "cam"},
        {"rtsp://user:sec@ret/w#rd@cam/", "cam"},
        {"rtsp://cam7/user=admin_password=secret_channel=1_stream=0.sdp?real_stream", "cam7"},
        {"rtsp://u:p@cam8:554/0/admin:secret", "cam8"},
        {"rtsps://10.0.0.1:7441/Rl0ZJ3ThYd0o8ivK?enableSrtp", "10.0.0.1"},
        {"http://h/stream.m3u8#t=1", "stream"},
        {"rtsp://", "camera"},
        {"-", "camera"},
        {"img_%04d.png", "img_-04d"},
        {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg.mp4",
         "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeef"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[SP_CAMERA_NAME_BYTES];
        sp_settings_default(&options.settings);
        sp_camera_name_from_url(&options.settings, cases[i].url, name);
        assert_string_equal(name, cases[i].name);
        assert_int_equal(sp_settings_add_camera(&options.settings, name, "x", false, "here", NULL),
                         SP_OK);
    }
}

static void test_former_option(void **state)
{
    (void)state;
    static const struct sp_command_usage tune = {"tune", "", "Tunes.\n", SP_TAKES_TUNE};
    struct sp_error err = {0};
    const char *words[] = {"--ground-truth", "a", NULL}, *former[] = {"--truth=b", NULL};
    assert_int_equal(parse(&tune, words, &err), SP_OK);
    assert_string_equal(options.ground_truth, "a");
    assert_int_equal(parse(&tune, former, &err), SP_OK);
    assert_string_equal(options.ground_truth, "b");
    assert_int_equal(parse(&run, former, &err), SP_ERR_INVALID);
}

static void test_help(void **state)
{
    (void)state;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    sp_options_print_help(&track, file);
    fclose(file);
    assert_ptr_equal(strstr(text, "Usage: spoton track DETS -o OUT.txt\n"), text);
    assert_non_null(strstr(text, "\n  -o FILE "));
    assert_non_null(strstr(text, "\n  -v, --verbose "));
    assert_non_null(strstr(text, "\n  --env FILE "));
    assert_non_null(strstr(text, "\n  --help-settings "));
    /* settings take one line, which names the page of all */
    assert_null(strstr(text, "--track-dt"));
    const char *settings = strstr(text, "\nEvery setting");
    assert_non_null(settings);
    assert_ptr_equal(strchr(settings + 1, '\n'), text + bytes - 1);
    assert_non_null(strstr(settings, "spoton track --help-settings"));
    assert_null(strstr(text, "--video "));
    assert_null(strstr(text, "--camera"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_a_run_takes),
        cmocka_unit_test(test_what_other_commands_take),
        cmocka_unit_test(test_unknown_options),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_the_65th_camera_is_refused),
        cmocka_unit_test(test_places_in_their_order),
        cmocka_unit_test(test_camera_names),
        cmocka_unit_test(test_former_option),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
