#include "base/log.h"
#include "base/nearest.h"
#include "config/settings.h"
#include "config/table.h"
#include "spoton/engine.h"

#include "unit.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static struct sp_settings settings, other; /* large: not on the stack */

static int read_text(const char *text, struct sp_error *err)
{
    sp_settings_default(&settings);
    return sp_settings_read_env_text(&settings, text, strlen(text), ".env", err);
}

static void test_every_row_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        assert_int_equal(sp_setting_parse(row, row->fallback, NULL), SP_VALUE_GOOD);
        assert_ptr_equal(sp_setting_find(row->key, strlen(row->key)), row); /* no key twice */
        assert_null(sp_setting_legacy(row->key));
        assert_null(strchr(row->meaning, '|')); /* it would break the page's table */
        assert_true(row->offset + row->bytes <= offsetof(struct sp_settings, camera));
        if (row->type == SP_SETTING_INTEGER || row->type == SP_SETTING_CHOICE)
            assert_int_equal(row->bytes, sizeof(int));
        if (row->type == SP_SETTING_REAL)
            assert_int_equal(row->bytes, sizeof(double));
        if (row->type == SP_SETTING_SWITCH)
            assert_int_equal(row->bytes, sizeof(bool));
        assert_true((row->type == SP_SETTING_CHOICE) == (row->choices != NULL));
        assert_true((row->type == SP_SETTING_SWITCH) == (row->argument == NULL));
        if (row->type == SP_SETTING_INTEGER || row->type == SP_SETTING_REAL)
            assert_true(row->low < row->high);
        if (i > 0) /* a group stands together */
            for (size_t j = 0; j + 1 < i; j++)
                assert_true(strcmp(sp_setting_table[j].group, row->group) != 0 ||
                            strcmp(sp_setting_table[i - 1].group, row->group) == 0);
    }
}

static void test_defaults(void **state)
{
    (void)state;
    sp_settings_default(&settings);
    assert_string_equal(settings.model_path, "");
    assert_string_equal(settings.engine, "auto");
    assert_int_equal(settings.precision, SPOTON_PRECISION_AUTO);
    assert_int_equal(settings.input_size_px, 640);
    assert_false(settings.square_input);
    assert_true(settings.confidence_threshold == 0.3);
    assert_true(settings.nms_iou == 0.7);
    assert_string_equal(settings.classes, "person");
    assert_int_equal(settings.threads, 0);
    assert_int_equal(settings.streams, 0);
    assert_int_equal(settings.engine_batch, 0);
    assert_string_equal(settings.engine_options, "");
    assert_string_equal(settings.cache_dir, "");
    assert_int_equal(settings.batch_accumulation, 4);
    assert_int_equal(settings.frame_skip, 1);
    assert_int_equal(settings.output_frames, SP_OUTPUT_FRAMES_ALL);
    assert_int_equal(settings.decode_threads, 0);
    assert_int_equal(settings.decoder, SP_DECODER_AUTO);
    assert_int_equal(settings.track_buffer_frames, 30);
    assert_true(settings.track_high_thresh == 0.5);
    assert_true(settings.track_low_thresh == 0.1);
    assert_true(settings.track_new_thresh == 0.6);
    assert_true(settings.track_match_thresh == 0.8);
    assert_int_equal(settings.track_dt, SP_TRACK_DT_AUTO);
    assert_int_equal(settings.jpeg_quality, 85);
    assert_true(settings.stream_resize_factor == 1.0);
    assert_int_equal(settings.video_crf, 23);
    assert_int_equal(settings.log_level, SP_LOG_INFO);
    assert_int_equal(settings.camera_count, 0);
    struct sp_error err = {0};
    assert_int_equal(sp_settings_check(&settings, &err), SP_OK);
}

static const struct {
    const char *key, *value, *shown; /* shown NULL: refused */
} values[] = {
    {"FRAME_SKIP", "1", "1"},
    {"FRAME_SKIP", "100", "100"},
    {"FRAME_SKIP", "007", "7"},
    {"FRAME_SKIP", "0", NULL},
    {"FRAME_SKIP", "101", NULL},
    {"FRAME_SKIP", "-1", NULL},
    {"FRAME_SKIP", "+1", NULL},
    {"FRAME_SKIP", "2x", NULL},
    {"FRAME_SKIP", "2 ", NULL},
    {"FRAME_SKIP", " 2", NULL},
    {"FRAME_SKIP", "2.0", NULL},
    {"FRAME_SKIP", "0x2", NULL},
    {"FRAME_SKIP", "", NULL},
    {"FRAME_SKIP", "auto", NULL},
    {"FRAME_SKIP", "4294967297", NULL}, /* 1 when cut to 32 bits */
    {"FRAME_SKIP", "18446744073709551617", NULL},
    {"BATCH_ACCUMULATION_SIZE", "auto", "auto"},
    {"BATCH_ACCUMULATION_SIZE", "AUTO", "auto"},
    {"BATCH_ACCUMULATION_SIZE", "0", "auto"},
    {"BATCH_ACCUMULATION_SIZE", "32", "32"},
    {"BATCH_ACCUMULATION_SIZE", "33", NULL},
    {"BATCH_ACCUMULATION_SIZE", "-1", NULL},
    {"YOLO_INPUT_SIZE", "32", "32"},
    {"YOLO_INPUT_SIZE", "4096", "4096"},
    {"YOLO_INPUT_SIZE", "640", "640"},
    {"YOLO_INPUT_SIZE", "650", NULL},
    {"YOLO_INPUT_SIZE", "0", NULL},
    {"YOLO_INPUT_SIZE", "4128", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "0", "0"},
    {"YOLO_CONFIDENCE_THRESHOLD", "1", "1"},
    {"YOLO_CONFIDENCE_THRESHOLD", "-0", "0"},
    {"YOLO_CONFIDENCE_THRESHOLD", ".25", "0.25"},
    {"YOLO_CONFIDENCE_THRESHOLD", "1.", "1"},
    {"YOLO_CONFIDENCE_THRESHOLD", "1e-1", "0.1"},
    {"YOLO_CONFIDENCE_THRESHOLD", "0.30000000000000004", "0.30000000000000004"},
    {"YOLO_CONFIDENCE_THRESHOLD", "1.0001", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "-0.1", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "nan", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "inf", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "1e999", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "0x0.8p0", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "0,3", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", ".", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "1e", NULL},
    {"YOLO_CONFIDENCE_THRESHOLD", "--1", NULL},
    {"STREAM_RESIZE_FACTOR", "0.1", "0.1"},
    {"STREAM_RESIZE_FACTOR", "0.09", NULL},
    {"SQUARE_INPUT", "true", "true"},
    {"SQUARE_INPUT", "1", "true"},
    {"SQUARE_INPUT", "Yes", "true"},
    {"SQUARE_INPUT", "ON", "true"},
    {"SQUARE_INPUT", "False", "false"},
    {"SQUARE_INPUT", "0", "false"},
    {"SQUARE_INPUT", "no", "false"},
    {"SQUARE_INPUT", "off", "false"},
    {"SQUARE_INPUT", "2", NULL},
    {"SQUARE_INPUT", "", NULL},
    {"PRECISION", "bf16", "bf16"},
    {"PRECISION", "FP16", "f16"},
    {"PRECISION", "bf8", NULL},
    {"TRACK_DT", "timestamps", "timestamps"},
    {"OUTPUT_FRAMES", "inferred", "inferred"},
    {"LOG_LEVEL", "WARNING", "warning"},
    {"LOG_LEVEL", "warn", "warning"},
    {"LOG_LEVEL", "loud", NULL},
    {"ENGINE", "openvino", "openvino"},
    {"ENGINE", "../evil", NULL},
    {"ENGINE", "", NULL},
    {"ENGINE", "a-name-of-more-than-thirty-one-bytes", NULL},
    {"CLASSES", "person, dog", "person, dog"},
    {"CLASSES", "", NULL},
    {"YOLO_MODEL_PATH", "", ""},
    {"YOLO_MODEL_PATH", "mod\xC3\xA8les/a b.onnx", "mod\xC3\xA8les/a b.onnx"},
    {"YOLO_MODEL_PATH", "a\nb", NULL},
    {"YOLO_MODEL_PATH", "a\x1b[2Jb", NULL},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct sp_error err = {0};
        char text[SP_PATH_BYTES];
        const struct sp_setting_row *row = sp_setting_find(values[i].key, strlen(values[i].key));
        sp_settings_default(&settings);
        other = settings;
        int result = sp_settings_set(&settings, values[i].key, values[i].value, "here", &err);
        if (values[i].shown) {
            assert_int_equal(result, SP_OK);
            sp_setting_format(row, &settings, text, sizeof text);
            assert_string_equal(text, values[i].shown);
            assert_string_equal(err.text, ""); /* left alone on success */
        } else {
            assert_int_equal(result, SP_ERR_INVALID);
            assert_memory_equal(&settings, &other, sizeof settings); /* and so are these */
            assert_non_null(strstr(err.text, values[i].key));
            assert_ptr_equal(strstr(err.text, "here: "), err.text);
            assert_null(strpbrk(err.text, "\n\x1b"));
        }
    }
}

static void test_numbers_do_not_hang_on_the_locale(void **state)
{
    (void)state;
    struct sp_error err = {0};
    char text[64];
    const struct sp_setting_row *row = sp_setting_find("TRACK_LOW_THRESHOLD", 19);
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        print_message("no locale with a decimal comma on this machine: skipped\n");
        skip();
    }
    int result = sp_settings_set(&settings, row->key, "0.25", "here", &err);
    sp_setting_format(row, &settings, text, sizeof text);
    setlocale(LC_ALL, "C");
    assert_int_equal(result, SP_OK);
    assert_string_equal(text, "0.25");
}

static void test_later_places_win(void **state)
{
    (void)state;
    struct sp_error err = {0};
    const char *environment[] = {
        "FRAME_SKIP=3",   "YOLO_INPUT_SIZE=", "CAMERA_z=env-z", "PATH=/bin",
        "CAMERA_a=env-a", "frame_skip=9",     "CAMERA_=x",      NULL};
    const char *argv[] = {"run", "--frame-skip", "4", "--threads=2", "--square-input", "x.mp4",
                          NULL};
    assert_int_equal(read_text("FRAME_SKIP=2\nYOLO_INPUT_SIZE=320\nCAMERA_z=file-z\nTHREADS=9\n"
                               "LOG_LEVEL=error\n",
                               &err),
                     SP_OK);
    assert_int_equal(settings.frame_skip, 2);
    assert_int_equal(sp_settings_read_environment(&settings, (char **)environment, &err), SP_OK);
    assert_int_equal(settings.frame_skip, 3);
    assert_int_equal(settings.input_size_px, 320); /* an empty variable is none */
    assert_int_equal(settings.camera_count, 2);
    assert_string_equal(settings.camera[0].url, "env-z");
    assert_string_equal(settings.camera[1].name, "a");

    int at = 1;
    assert_int_equal(sp_settings_take_flag(&settings, 6, (char **)argv, &at, &err), 1);
    assert_int_equal(at, 2);
    assert_int_equal(settings.frame_skip, 4);
    at = 3;
    assert_int_equal(sp_settings_take_flag(&settings, 6, (char **)argv, &at, &err), 1);
    assert_int_equal(at, 3);
    assert_int_equal(settings.threads, 2);
    at = 4;
    assert_int_equal(sp_settings_take_flag(&settings, 6, (char **)argv, &at, &err), 1);
    assert_int_equal(at, 4); /* x.mp4 is no value of a switch */
    assert_true(settings.square_input);
    at = 5;
    assert_int_equal(sp_settings_take_flag(&settings, 6, (char **)argv, &at, &err), 0);
    assert_int_equal(settings.log_level, SP_LOG_ERROR);

    const char *bad[] = {"FRAME_SKIP=0", NULL};
    assert_int_equal(sp_settings_read_environment(&settings, (char **)bad, &err), SP_ERR_INVALID);
    assert_string_equal(err.text,
                        "the environment: FRAME_SKIP=0: out of range; must be a whole number "
                        "from 1 to 100");
    assert_int_equal(sp_settings_read_environment(&settings, NULL, &err), SP_OK);
}

static void test_flags(void **state)
{
    (void)state;
    static const struct {
        const char *word, *next, *text;
    } bad[] = {
        {"--frame-skip", "0", "--frame-skip 0: out of range; must be a whole number from 1 to 100"},
        {"--frame-skip=x", NULL, "--frame-skip x: invalid; must be a whole number from 1 to 100"},
        {"--frame-skip=", NULL, "--frame-skip: empty; must be a whole number from 1 to 100"},
        {"--frame-skip", NULL,
         "--frame-skip: no value, found the end of the command line; must be a "
         "whole number from 1 to 100"},
        {"--frame-skip", "--video",
         "--frame-skip: no value, found --video; must be a whole "
         "number from 1 to 100"},
        {"--square-input=2", NULL, "--square-input 2: invalid; must be true or false"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sp_error err = {0};
        char *argv[] = {(char *)bad[i].word, (char *)bad[i].next, NULL};
        int at = 0;
        sp_settings_default(&settings);
        assert_int_equal(sp_settings_take_flag(&settings, bad[i].next ? 2 : 1, argv, &at, &err),
                         SP_ERR_INVALID);
        assert_string_equal(err.text, bad[i].text);
    }
    for (size_t i = 0; i < sp_setting_count; i++) { /* each flag takes its own default */
        const struct sp_setting_row *row = &sp_setting_table[i];
        char flag[SP_FLAG_BYTES];
        sp_setting_flag(row, flag);
        char *argv[] = {flag, (char *)row->fallback, NULL};
        int at = 0;
        sp_settings_default(&settings);
        other = settings;
        assert_int_equal(sp_settings_take_flag(&settings, 2, argv, &at, NULL), 1);
        assert_int_equal(at, 1);
        assert_memory_equal(&settings, &other, sizeof settings);
    }
    const char *old[] = {"--model-family", "yolox", "--MODEL-FAMILY", NULL};
    int at = 0;
    assert_int_equal(sp_settings_take_flag(&settings, 3, (char **)old, &at, NULL), 1);
    assert_int_equal(settings.head_type, 4);
    at = 2;
    assert_int_equal(sp_settings_take_flag(&settings, 3, (char **)old, &at, NULL), 0);
    struct sp_error err = {0};
    assert_int_equal(read_text("MODEL_FAMILY=yolov8\n", &err), SP_OK);
    assert_int_equal(settings.head_type, 2);
    assert_int_equal(read_text("MODEL_FAMILY=yolov8\nMODEL_HEAD=yolox\n", &err), SP_ERR_INVALID);
    const char *variables[] = {"MODEL_FAMILY=yolov5", NULL};
    assert_int_equal(sp_settings_read_environment(&settings, (char **)variables, &err), SP_OK);
    assert_int_equal(settings.head_type, 1);
    const char *off[] = {"--square-input", "off", NULL};
    at = 0;
    settings.square_input = true;
    assert_int_equal(sp_settings_take_flag(&settings, 2, (char **)off, &at, NULL), 1);
    assert_int_equal(at, 1);
    assert_false(settings.square_input);
}

static void test_cameras(void **state)
{
    (void)state;
    struct sp_error err = {0};
    char name[SP_CAMERA_NAME_BYTES + 8];
    sp_settings_default(&settings);
    for (int i = 0; i < SP_CAMERAS_MAX; i++) {
        snprintf(name, sizeof name, "c%02d", i);
        assert_int_equal(sp_settings_add_camera(&settings, name, "x", false, "here", &err), SP_OK);
    }
    assert_int_equal(sp_settings_add_camera(&settings, "more", "x", true, "here", &err),
                     SP_ERR_INVALID);
    assert_string_equal(err.text,
                        "here: camera more: too many cameras; the limit is 64 per process");
    assert_int_equal(sp_settings_add_camera(&settings, "c07", "y", false, "here", &err),
                     SP_ERR_INVALID);
    assert_string_equal(err.text, "here: camera c07: duplicate name; choose another name");
    assert_int_equal(sp_settings_add_camera(&settings, "c07", "y", true, "here", &err), SP_OK);
    assert_string_equal(settings.camera[7].url, "y");
    static const char *const bad[] = {"", ".", "..", "-a", "a/b", "a b", "\xC3\xA4", "a\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(sp_settings_add_camera(&settings, bad[i], "y", true, "here", &err),
                         SP_ERR_INVALID);
    memset(name, 'n', SP_CAMERA_NAME_BYTES);
    name[SP_CAMERA_NAME_BYTES] = '\0';
    settings.camera_count = 0;
    assert_int_equal(sp_settings_add_camera(&settings, name, "y", true, "here", &err),
                     SP_ERR_INVALID);
    assert_int_equal(sp_settings_add_camera(&settings, name + 1, "y", true, "here", &err), SP_OK);

    char *environment[SP_CAMERAS_MAX + 8] = {0};
    char text[SP_CAMERAS_MAX + 2][16];
    for (int i = 0; i < SP_CAMERAS_MAX + 2; i++) {
        snprintf(text[i], sizeof text[i], "CAMERA_e%02d=x", i);
        environment[i] = text[i];
    }
    sp_settings_default(&settings);
    assert_int_equal(sp_settings_read_environment(&settings, environment, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "too many cameras"));
}

static void test_check(void **state)
{
    (void)state;
    struct sp_error err = {0};
    sp_settings_default(&settings);
    settings.track_low_thresh = 0.5;
    assert_int_equal(sp_settings_check(&settings, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "TRACK_LOW_THRESHOLD=0.5: not below TRACK_HIGH_THRESHOLD"));
    sp_settings_default(&settings);
    settings.frame_skip = 0;
    assert_int_equal(sp_settings_check(&settings, &err), SP_ERR_INVALID);
    assert_string_equal(err.text,
                        "FRAME_SKIP=0: out of range; must be a whole number from 1 to 100");
    sp_settings_default(&settings);
    settings.track_dt = 17;
    assert_int_equal(sp_settings_check(&settings, &err), SP_ERR_INVALID);
    const char *const lists[] = {"0", "1, 0", "auto", "", "0,", "-1", "0;1", "all", "12345"};
    for (int i = 0; i < 9; i++) {
        sp_settings_default(&settings);
        snprintf(settings.devices, sizeof settings.devices, "%s", lists[i]);
        assert_int_equal(sp_settings_check(&settings, &err), i < 3 ? SP_OK : SP_ERR_INVALID);
    }
    assert_non_null(strstr(err.text, "DEVICES=12345"));
}

/* Every setting at a value that is not its default, and back from its text. */
static void visit_set(void *user, const char *key, const char *value)
{
    struct sp_error err = {0};
    assert_int_equal(sp_settings_set(user, key, value, "round trip", &err), SP_OK);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(
        read_text(
            "INT8_REFERENCE=f32.onnx\nMODEL_HEAD=yolox\nMODEL_INPUT_RANGE=0..255\nMODEL_"
            "INPUT_COLOR=bgr\n"
            "YOLO_MODEL_PATH=/m/a "
            "b.onnx\nUSE_TENSORRT=yes\nYOLO_MODEL_PATH_TENSORRT=/"
            "t.onnx\nENGINE=fake\nPRECISION=int8\nYOLO_INPUT_SIZE=320\n"
            "SQUARE_INPUT=yes\nYOLO_CONFIDENCE_THRESHOLD=0.123456789\n"
            "YOLO_NMS_THRESHOLD=0.45\nCLASSES=all\nTHREADS=3\nDEVICES=2,0\nENGINE_STREAMS=2\n"
            "ENGINE_BATCH=8\nENGINE_OPTIONS=a=b;c=d\nENGINE_CACHE_DIR=off\n"
            "BATCH_ACCUMULATION_SIZE=auto\nFRAME_SKIP=3\nINFERENCE=need\nOUTPUT_FRAMES=inferred\n"
            "DECODE_THREADS=1\nDECODER=cpu\nMAX_CAMERAS=9\nSTALL_TIMEOUT_MS=700\n"
            "SNAPSHOT_INTERVAL_MS=250\nRTSP_TRANSPORT=udp\nTRACKER=spoton\nTRACK_BUFFER_SIZE="
            "20\nTRACK_HIGH_"
            "THRESHOLD=0.55\n"
            "TRACK_LOW_THRESHOLD=0.15\nTRACK_NEW_THRESHOLD=0.65\n"
            "TRACK_MATCH_THRESHOLD=0.85\nTRACK_DT=frames\nFRAME_JPEG_QUALITY=70\nJPEG_ENCODER=gpu\n"
            "STREAM_RESIZE_FACTOR=0.333\nVIDEO_CRF=0\nLOG_LEVEL=debug\nCAMERA_x=a.mp4\n"
            "STREAM_MAX_WIDTH=320\nHTTP_HOST=::1\nHTTP_PORT=0\nALLOW_INSECURE=yes\n"
            "STORE=***\nSTORE_RETENTION_DAYS=9\nSTORE_MAX_GB=5\nSTORE_SNAPSHOTS=6\nSITE=hq\nOUTBOX_"
            "DIR=/"
            "o\nOUTBOX_MAX_MB=2\nOUTBOX_MAX_AGE_H=3\nOUTBOX_SYNC_MS=50\n"
            "CLUSTER_CA_FILE=/ca\nCLUSTER_SITE=plant\nCLUSTER_NODE=a\nCLUSTER_ADVERTISE=http://"
            "a:1\nCLUSTER_CAPACITY=4\n"
            "CLUSTER_LEASE_MS=900\nSHARE_ENGINE=yes\nKSERVE_URL=http://k:1\nKSERVE_CA_FILE=/k.pem\n"
            "KSERVE_TIMEOUT_MS=500\nKSERVE_BUDGET_MS=50\nKSERVE_REQUESTS=2\nKSERVE_TOKEN=***\n"
            "API_TOKEN=***\nOUTPUTS=***\nCLUSTER_URL=***\n" /* as a secret is shown */
            "TLS_CERT=/t/cert\nTLS_KEY=/t/key\nSTOP_TIMEOUT_S=7\nVIDEO_DIR=/v\nV4L2_DEVICES=/dev/"
            "video0\n"
            "ALLOWED_ORIGINS=https://a.example\nFEEDBACK_FILE=/f.jsonl\nANALYTICS_FILE=/a\n"
            "ENVIRONMENTS_FILE=/e.json\nSPATIAL_MATCH_ENABLED=no\n"
            "HOMOGRAPHY_FILE_PATH=/h.json\nTRAIL_LENGTH=7\n"
            "REID_MODEL_PATH=/r.onnx\nREID_MEAN=0,0,0\nREID_STD=1,1,1\n"
            "REID_KEEP_SECONDS=30\n",
            &err),
        SP_OK);
    other = settings;
    sp_settings_default(&settings);
    for (size_t i = 0; i < sp_setting_count; i++) { /* the list above names every row */
        const struct sp_setting_row *row = &sp_setting_table[i];
        assert_memory_not_equal((char *)&settings + row->offset, (char *)&other + row->offset,
                                row->bytes);
    }
    sp_settings_each(&other, visit_set, &settings);
    assert_memory_equal(&settings, &other, sizeof settings);
}

static void visit_secret(void *user, const char *key, const char *value)
{
    if (strcmp(key, "CAMERA_gate") == 0) {
        assert_string_equal(value, "rtsp://admin:***@192.0.2.1/live?token=***");
        ++*(int *)user;
    }
}

static void test_each_hides_secrets(void **state)
{
    (void)state;
    int seen = 0;
    sp_settings_default(&settings);
    assert_int_equal(sp_settings_add_camera(&settings, "gate",
                                            "rtsp://admin:hunter2@192.0.2.1/live?token=abc", false,
                                            "here", NULL),
                     SP_OK);
    sp_settings_each(&settings, visit_secret, &seen);
    assert_int_equal(seen, 1);
}

static void test_nearest_word(void **state)
{
    (void)state;
    static const char *const words[] = {"run", "track", "bench", "doctor", "serve", NULL};
    static const struct {
        const char *word, *near;
    } cases[] = {
        {"run", "run"},     {"rnu", "run"},     {"RUN", "run"},       {"rum", "run"},
        {"tarck", "track"}, {"benhc", "bench"}, {"doktor", "doctor"}, {"srve", "serve"},
        {"", NULL},         {"x", NULL},        {"export", NULL},     {"bunch-of-words", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *near = sp_nearest_word(cases[i].word, words);
        if (cases[i].near)
            assert_string_equal(near, cases[i].near);
        else
            assert_null(near);
    }
    /* A part of a longer name is too far off to be a slip; the shortest name that holds it is
     * meant. */
    static const char *const flags[] = {"--tls-support", "--http-port",
                                        "--yolo-confidence-threshold", "CAMERA", NULL};
    assert_string_equal(sp_nearest_word("--port", flags), "--http-port");
    assert_string_equal(sp_nearest_word("--Confidence", flags), "--yolo-confidence-threshold");
    assert_null(sp_nearest_word("--tls", flags)); /* too short to tell */
    assert_null(sp_nearest_word("--", flags));
    char large[1000];
    memset(large, 'r', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_null(sp_nearest_word(large, words));
}

static char *print_to_text(void (*print)(FILE *), size_t *bytes)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, bytes);
    assert_non_null(file);
    print(file);
    fclose(file);
    return text;
}

static void test_config_page_is_what_the_table_prints(void **state)
{
    (void)state;
    const char *source = getenv("SPOTON_SOURCE_DIR"), *build = getenv("SPOTON_BUILD_DIR");
    char path[4096];
    size_t bytes = 0;
    char *page = print_to_text(sp_settings_print_markdown, &bytes);
    assert_non_null(source);
    assert_non_null(build);
    snprintf(path, sizeof path, "%s/docs/CONFIG.md", source);
    FILE *file = fopen(path, "r");
    char *found = calloc(1, bytes + 2);
    assert_non_null(found);
    size_t n = file ? fread(found, 1, bytes + 1, file) : 0;
    if (file)
        fclose(file);
    bool same = n == bytes && memcmp(found, page, bytes) == 0;
    if (!same) {
        snprintf(path, sizeof path, "%s/CONFIG.md", build);
        file = fopen(path, "w");
        assert_non_null(file);
        fwrite(page, 1, bytes, file);
        fclose(file);
        print_message("docs/CONFIG.md is not what the table prints: copy %s there\n", path);
    }
    free(found);
    free(page);
    assert_true(same);
}

static void test_help_names_every_flag(void **state)
{
    (void)state;
    size_t bytes = 0, column = 0;
    char *help = print_to_text(sp_settings_print_help, &bytes);
    for (size_t i = 0; i < sp_setting_count; i++) {
        char flag[SP_FLAG_BYTES + 2] = "  ";
        sp_setting_flag(&sp_setting_table[i], flag + 2);
        assert_non_null(strstr(help, flag));
    }
    for (size_t i = 0; i < bytes; i++) {
        column = help[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 100);
    }
    free(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_row_is_sound),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_numbers_do_not_hang_on_the_locale),
        cmocka_unit_test(test_later_places_win),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_cameras),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_each_hides_secrets),
        cmocka_unit_test(test_nearest_word),
        cmocka_unit_test(test_config_page_is_what_the_table_prints),
        cmocka_unit_test(test_help_names_every_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
