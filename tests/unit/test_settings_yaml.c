#include "base/json.h"
#include "base/log.h"
#include "config/settings.h"
#include "config/table.h"

#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct sp_settings settings, other; /* large: not on the stack */

static const char *const variables[] = {"GATE_PASSWORD=hunter2", "PORT=4000", "EMPTY=", NULL};

static int read_more(const char *text, struct sp_error *err)
{
    return sp_settings_read_yaml_text(&settings, text, strlen(text), "spoton.yaml",
                                      (char *const *)variables, err);
}

static int read_text(const char *text, struct sp_error *err)
{
    sp_settings_default(&settings);
    return read_more(text, err);
}

static void test_natural_names(void **state)
{
    (void)state;
    struct sp_error err = {0};
    const char *text = "server: {host: 127.0.0.2, port: 3848}\n"
                       "detector: {model: person.onnx, input_size: 320, confidence: 0.25}\n"
                       "tracker:\n"
                       "  buffer_size: 60\n"
                       "images:\n"
                       "cameras:\n"
                       "  - {name: gate, url: rtsp://10.0.0.7/stream1, frame_skip: 2, "
                       "classes: [person, traffic light]}\n"
                       "  - name: lobby\n"
                       "    url: lobby.mp4\n"
                       "    confidence: 0.4\n"
                       "    tracker: {high_threshold: 0.45}\n";
    assert_int_equal(read_text(text, &err), SP_OK);
    assert_string_equal(settings.http_host, "127.0.0.2");
    assert_int_equal(settings.http_port, 3848);
    assert_string_equal(settings.model_path, "person.onnx");
    assert_int_equal(settings.input_size_px, 320);
    assert_true(settings.confidence_threshold == 0.25);
    assert_int_equal(settings.track_buffer_frames, 60);
    assert_int_equal(settings.camera_count, 2);
    struct sp_camera_setting *gate = &settings.camera[0], *lobby = &settings.camera[1];
    assert_string_equal(gate->name, "gate");
    assert_string_equal(gate->url, "rtsp://10.0.0.7/stream1");
    assert_string_equal(gate->classes, "person,traffic light");
    sp_camera_setting_complete(gate, &settings);
    sp_camera_setting_complete(lobby, &settings);
    assert_int_equal(gate->frame_skip, 2);
    assert_true(gate->confidence_threshold == 0.25);
    assert_true(gate->track_high_thresh == 0.5);
    assert_int_equal(lobby->frame_skip, 1);
    assert_true(lobby->confidence_threshold == 0.4);
    assert_true(lobby->track_high_thresh == 0.45);
    assert_int_equal(lobby->track_buffer_frames, 60);
    assert_int_equal(lobby->input_size_px, 320);
    assert_string_equal(lobby->classes, "person");
}

/* A value of the row that is not its default. */
static void sample(const struct sp_setting_row *row, char out[32])
{
    const struct sp_setting_choice *choice = row->choices;
    switch (row->type) {
    case SP_SETTING_INTEGER:
        snprintf(out, 32, "%d", (int)row->high);
        break;
    case SP_SETTING_REAL:
        snprintf(out, 32, "0.125");
        break;
    case SP_SETTING_SWITCH:
        snprintf(out, 32, "%s", strcmp(row->fallback, "true") == 0 ? "false" : "true");
        break;
    case SP_SETTING_CHOICE:
        while (strcmp(choice->word, row->fallback) == 0)
            choice++;
        snprintf(out, 32, "%s", choice->word);
        break;
    case SP_SETTING_TEXT:
    case SP_SETTING_LIST:
    case SP_SETTING_NAME:
        snprintf(out, 32, "other");
        break;
    }
}

static void test_every_setting_is_reachable(void **state)
{
    (void)state;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        char text[256], wanted[32], found[SP_PATH_BYTES];
        struct sp_error err = {0};
        assert_non_null(row->yaml);
        const char *name = sp_setting_yaml_name(row);
        sample(row, wanted);
        snprintf(text, sizeof text, "%.*s:\n  %s: %s\n", (int)(name - row->yaml - 1), row->yaml,
                 name, wanted);
        if (read_text(text, &err) < 0)
            print_message("%s: %s\n", row->key, err.text);
        assert_int_equal(err.code, SP_OK);
        sp_setting_format(row, &settings, found, sizeof found);
        assert_string_equal(found, wanted);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(row->yaml, sp_setting_table[j].yaml);
        if (!row->per_camera)
            continue;
        bool nested = sp_setting_is_in(row, sp_setting_nested_section);
        snprintf(text, sizeof text, "cameras: [{name: a, url: b, %s%s: %s%s}]\n",
                 nested ? "tracker: {" : "", name, wanted, nested ? "}" : "");
        assert_int_equal(read_text(text, &err), SP_OK);
        struct sp_camera_setting *camera = &settings.camera[0];
        assert_int_equal(camera->own, sp_setting_camera_bit(row));
        struct sp_camera_setting plain = {.url = "b"};
        sp_camera_setting_complete(&plain, &settings);
        sp_camera_setting_complete(camera, &settings);
        sp_setting_format_field(row, (const char *)camera + row->camera_offset, found,
                                sizeof found);
        assert_string_equal(found, wanted);
        assert_false(sp_camera_setting_equal(camera, &plain)); /* no other field takes it */
        sp_setting_parse_field(row, row->fallback, (char *)camera + row->camera_offset);
        assert_true(sp_camera_setting_equal(camera, &plain));
    }
}

static void test_later_sources_win(void **state)
{
    (void)state;
    struct sp_error err = {0};
    static const char *const environment[] = {"YOLO_NMS_THRESHOLD=0.3", "CAMERA_gate=env.mp4",
                                              NULL};
    const char *env = "FRAME_SKIP=4\nYOLO_NMS_THRESHOLD=0.4\nCAMERA_gate=file.mp4\nCAMERA_x=y\n";
    const char *words[] = {"serve", "--frame-skip", "5"};
    int at = 1;
    assert_int_equal(read_text("detector: {frame_skip: 3, nms_iou: 0.5, confidence: 0.6}\n"
                               "cameras: [{name: gate, url: yaml.mp4, frame_skip: 7}]\n",
                               &err),
                     SP_OK);
    assert_int_equal(sp_settings_read_env_text(&settings, env, strlen(env), ".env", &err), SP_OK);
    assert_int_equal(settings.frame_skip, 4);
    assert_string_equal(settings.camera[0].url, "file.mp4");
    assert_int_equal(sp_settings_read_environment(&settings, (char *const *)environment, &err),
                     SP_OK);
    assert_int_equal(sp_settings_take_flag(&settings, 3, (char **)words, &at, &err), 1);
    assert_true(settings.confidence_threshold == 0.6);
    assert_true(settings.nms_iou == 0.3);
    assert_int_equal(settings.frame_skip, 5);
    assert_int_equal(settings.camera_count, 2);
    assert_string_equal(settings.camera[0].url, "env.mp4");
    sp_camera_setting_complete(&settings.camera[0], &settings);
    sp_camera_setting_complete(&settings.camera[1], &settings);
    assert_int_equal(settings.camera[0].frame_skip, 7); /* its own */
    assert_int_equal(settings.camera[1].frame_skip, 5);
}

static const struct {
    const char *text, *error;
} refused[] = {
    {"detector: {frame_skp: 2}", "1:12: detector.frame_skp: unknown key; did you mean frame_skip? "
                                 "See docs/CONFIG.md"},
    {"detektor: {}", "1:1: detektor: unknown key; did you mean detector? See docs/CONFIG.md"},
    {"server: {frame_skip: 2}", "1:10: server.frame_skip: unknown key; did you mean "
                                "detector.frame_skip? See docs/CONFIG.md"},
    {"FRAME_SKIP: 2", "1:1: FRAME_SKIP: unknown key; did you mean detector.frame_skip? See "
                      "docs/CONFIG.md"},
    {"# first\nserver:\n  port: 70000", "3:9: server.port: 70000; must be a whole number from 0 to "
                                        "65535"},
    {"server: {port: \"80\"}", "1:16: server.port: \"80\"; must be a whole number from 0 to 65535"},
    {"server: {port: 80.5}", "1:16: server.port: 80.5; must be a whole number from 0 to 65535"},
    {"server: {port: [80]}", "1:16: server.port: a list; must be a whole number from 0 to 65535"},
    {"server: {port: }", "1:16: server.port: nothing; must be a whole number from 0 to 65535"},
    {"server: 80", "1:9: server: 80; must be a map: {key: value}, or one \"key: value\" a line"},
    {"server: {allow_insecure: 1}", "1:26: server.allow_insecure: 1; must be true or false"},
    {"detector: {precision: b16}", "1:23: detector.precision: b16; must be one of auto, f32, bf16, "
                                   "f16, int8; did you mean bf16?"},
    {"detector: {classes: []}", "1:21: detector.classes: a list; must be a list of at most 255 "
                                "bytes, not empty"},
    {"detector: {classes: [a, [b]]}", "1:25: detector.classes[1]: a list; must be a list of at "
                                      "most 255 bytes, not empty"},
    {"detector: {model: [a]}", "1:19: detector.model: a list; must be text of at most 4095 bytes"},
    {"outputs: {plugin: a}", "1:11: outputs.plugin: unknown key; did you mean plugins? See "
                             "docs/CONFIG.md"},
    {"cameras: {a: b}", "1:10: cameras: a map; must be a list: [a, b], or one item a line after "
                        "\"- \""},
    {"cameras: [a]", "1:11: cameras[0]: a; must be a map: {key: value}, or one \"key: value\" a "
                     "line"},
    {"cameras: [{url: a}]", "1:11: cameras[0]: no name; add name: NAME"},
    {"cameras: [{name: a}]", "1:11: cameras[0]: no URL; add url: URL, a file or a stream"},
    {"cameras: [{name: a, url: }]", "1:26: cameras[0].url: no URL; add url: URL, a file or a "
                                    "stream"},
    {"cameras:\n- {name: a, url: x}\n- {name: a, url: y}",
     "3:10: cameras[1]: camera a: duplicate name; choose another name"},
    {"cameras: [{name: a/b, url: x}]",
     "1:18: cameras[0]: \"a/b\": invalid camera name; use 1 to 63 letters, digits, '_', '-' and "
     "'.', not starting with '-' or '.'"},
    {"cameras: [{name: a, url: x, port: 3}]",
     "1:29: cameras[0].port: not a setting of one camera; set server.port for all of them"},
    {"cameras: [{name: a, url: x, clases: [b]}]",
     "1:29: cameras[0].clases: unknown key; did you mean classes? See docs/CONFIG.md"},
    {"cameras: [{name: a, url: x, tracker: {bufer_size: 3}}]",
     "1:39: cameras[0].tracker.bufer_size: unknown key; did you mean buffer_size? See "
     "docs/CONFIG.md"},
    {"[]", "1:1: not a map of sections; write server:, detector:, cameras:, see docs/CONFIG.md"},
    {"server: {api_token: \"${NOPE}\"}",
     "1:21: server.api_token: environment variable NOPE: not set; export it before the start"},
    {"server: {api_token: \"${EMPTY}\"}",
     "1:21: server.api_token: environment variable EMPTY: not set; export it before the start"},
    {"server: {api_token: \"${A-B}\"}",
     "1:21: server.api_token: ${ without NAME}; write ${NAME} for an environment variable, $${ for "
     "a literal ${"},
    {"server: {port: \"${GATE_PASSWORD}\"}",
     "1:16: server.port: \"***\"; must be a whole number from 0 to 65535"},
    {"server: {port: !port 3}",
     "1:16: server.port: tag !port: not supported here; use !secret NAME or remove it"},
    {"server: {api_token: !secret a}",
     "1:21: server.api_token: !secret: secrets.yaml: cannot be opened: No such file or directory; "
     "check the path"},
};

static void test_errors_name_place_and_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct sp_error err = {0};
        char wanted[512];
        snprintf(wanted, sizeof wanted, "spoton.yaml:%s", refused[i].error);
        assert_int_equal(read_text(refused[i].text, &err), SP_ERR_INVALID);
        assert_string_equal(err.text, wanted);
    }
}

/* A camera from JSON is the camera of the same values in YAML. */
static void test_json_sets_what_yaml_sets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sp_setting_count; i++) {
        const struct sp_setting_row *row = &sp_setting_table[i];
        char yaml[256], text[256], value[32];
        struct sp_error err = {0};
        if (!row->per_camera)
            continue;
        bool nested = sp_setting_is_in(row, sp_setting_nested_section);
        bool number = row->type == SP_SETTING_INTEGER || row->type == SP_SETTING_REAL;
        const char *name = sp_setting_yaml_name(row), *quote = number ? "" : "\"";
        sample(row, value);
        snprintf(yaml, sizeof yaml, "cameras: [{name: a, url: b, %s%s: %s%s}]",
                 nested ? "tracker: {" : "", name, value, nested ? "}" : "");
        snprintf(text, sizeof text, "{\"name\": \"a\", \"url\": \"b\", %s\"%s\": %s%s%s%s}",
                 nested ? "\"tracker\": {" : "", name, quote, value, quote, nested ? "}" : "");
        assert_int_equal(read_text(yaml, &err), SP_OK);
        struct sp_camera_setting camera = {.name = "a", .url = "b"};
        json_t *object = json_loads(text, 0, NULL);
        assert_non_null(object);
        assert_int_equal(sp_camera_setting_read_json(&camera, object, &err), SP_OK);
        json_decref(object);
        assert_true(camera.own != 0);
        assert_int_equal(camera.own, settings.camera[0].own);
        assert_true(sp_camera_setting_equal(&camera, &settings.camera[0]));
        /* What is written has the keys and values that were read. */
        struct sp_json json = {0};
        struct sp_camera_setting again = {.name = "a", .url = "b"};
        sp_camera_setting_write_json(&json, &camera);
        object = json_loads(json.text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(object);
        assert_int_equal(json_object_size(object), 1);
        assert_int_equal(sp_camera_setting_read_json(&again, object, &err), SP_OK);
        json_decref(object);
        sp_json_release(&json);
        assert_int_equal(again.own, camera.own);
        assert_true(sp_camera_setting_equal(&again, &camera));
    }
    struct sp_json json = {0};
    sp_camera_setting_write_json(&json, &(struct sp_camera_setting){.name = "a", .url = "b"});
    assert_string_equal(json.text, "{}");
    sp_json_release(&json);
}

static void test_json_errors_name_the_key(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"{\"frame_skip\": \"2\"}", "frame_skip: \"2\"; must be a whole number from 1 to 100"},
        {"{\"frame_skip\": 101}", "frame_skip: 101; must be a whole number from 1 to 100"},
        {"{\"frame_skip\": 1.5}", "frame_skip: 1.5; must be a whole number from 1 to 100"},
        {"{\"frame_skip\": true}", "frame_skip: true; must be a whole number from 1 to 100"},
        {"{\"frame_skip\": [1]}", "frame_skip: [1]; must be a whole number from 1 to 100"},
        {"{\"frame_skip\": null}", "frame_skip: null; must be a whole number from 1 to 100"},
        {"{\"decoder\": \"gpuu\"}",
         "decoder: \"gpuu\"; must be one of auto, cpu, gpu; did you mean gpu?"},
        {"{\"classes\": []}", "classes: []; must be a list of at most 255 bytes, not empty"},
        {"{\"classes\": [\"\"]}",
         "classes: [\"\"]; must be a list of at most 255 bytes, not empty"},
        {"{\"confidance\": 0.5}", "confidance: unknown key; did you mean confidence? See "
                                  "docs/CONFIG.md"},
        {"{\"high_threshold\": 0.5}", "high_threshold: unknown key; see docs/CONFIG.md"},
        {"{\"tracker\": {\"high_threshold\": 2}}",
         "tracker.high_threshold: 2; must be a number from 0 to 1"},
        {"{\"tracker\": {\"frame_skip\": 2}}",
         "tracker.frame_skip: unknown key; see docs/CONFIG.md"},
        {"{\"tracker\": 1}", "tracker: not an object; send {\"KEY\": VALUE, ...}"},
        {"{\"model\": \"x\"}", "model: unknown key; see docs/CONFIG.md"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sp_camera_setting camera = {.name = "a"};
        struct sp_error err = {0};
        json_t *object = json_loads(cases[i].text, 0, NULL);
        assert_int_equal(sp_camera_setting_read_json(&camera, object, &err), SP_ERR_INVALID);
        json_decref(object);
        assert_string_equal(err.text, cases[i].error);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct sp_error err = {0};
    char text[8192] = "cameras:\n";
    for (int i = 0; i < SP_CAMERAS_MAX; i++)
        snprintf(text + strlen(text), 64, "  - {name: c%d, url: file%d.mp4}\n", i, i);
    assert_int_equal(read_text(text, &err), SP_OK);
    assert_int_equal(settings.camera_count, SP_CAMERAS_MAX);
    snprintf(text + strlen(text), 64, "  - {name: last, url: last.mp4}\n");
    assert_int_equal(read_text(text, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "spoton.yaml:66:12: cameras[64]: camera last: too many cameras; "
                                  "the limit is 64 per process");
    static const char *const empty[] = {"", "# nothing\n", "cameras:\n", "cameras: []\nserver:\n"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        assert_int_equal(read_text(empty[i], &err), SP_OK);
        assert_int_equal(settings.camera_count, 0);
    }
}

static void test_variables_and_secrets(void **state)
{
    (void)state;
    struct sp_error err = {0};
    char folder[] = "/tmp/spoton-settings-XXXXXX", path[64], secrets[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/spoton.yaml", folder);
    snprintf(secrets, sizeof secrets, "%s/secrets.yaml", folder);
    FILE *file = fopen(secrets, "w");
    assert_non_null(file);
    fputs("api: very secret\nother: 1\n", file);
    fclose(file);
    chmod(secrets, 0600);
    const char *text = "server: {port: '${PORT}', api_token: !secret api}\n"
                       "cameras:\n"
                       "  - {name: gate, url: 'rtsp://u:${GATE_PASSWORD}@h/$${x}'}\n";
    sp_settings_default(&settings);
    assert_int_equal(sp_settings_read_yaml_text(&settings, text, strlen(text), path,
                                                (char *const *)variables, &err),
                     SP_OK);
    assert_int_equal(settings.http_port, 4000);
    assert_string_equal(settings.api_token, "very secret");
    assert_string_equal(settings.camera[0].url, "rtsp://u:hunter2@h/${x}");
    text = "server: {api_token: !secret apu}\n";
    assert_int_equal(sp_settings_read_yaml_text(&settings, text, strlen(text), path,
                                                (char *const *)variables, &err),
                     SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "!secret apu: not a text of "));
    assert_non_null(strstr(err.text, "; did you mean api?"));
    unlink(secrets);
    rmdir(folder);
}

/* What `spoton config --from-env` prints has the same effect as the .env file. */
static void test_printed_yaml_reads_back(void **state)
{
    (void)state;
    struct sp_error err = {0};
    const char *env = "FRAME_SKIP=3\nYOLO_CONFIDENCE_THRESHOLD=0.35\nTHREADS=auto\n"
                      "CLASSES=\"person, traffic light\"\nAPI_TOKEN='a\"b\\c ${x} # d'\n"
                      "ALLOWED_ORIGINS=*\nUSE_TENSORRT=yes\nENGINE=123\nLOG_LEVEL=debug\n"
                      "YOLO_MODEL_PATH=true\nREID_MEAN=0.5,0.5,0.5\n"
                      "CAMERA_gate='rtsp://u:p#w:x@10.0.0.7/a?b=c&d=e'\nCAMERA_7=7\n";
    sp_settings_default(&other);
    assert_int_equal(sp_settings_read_env_text(&other, env, strlen(env), ".env", &err), SP_OK);
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    sp_settings_print_yaml(&other, file);
    fclose(file);
    if (read_text(text, &err) < 0)
        print_message("%s\n%s", err.text, text);
    assert_int_equal(err.code, SP_OK);
    for (size_t i = 0; i < sp_setting_count; i++) {
        char one[SP_PATH_BYTES], two[SP_PATH_BYTES];
        sp_setting_format(&sp_setting_table[i], &settings, one, sizeof one);
        sp_setting_format(&sp_setting_table[i], &other, two, sizeof two);
        assert_string_equal(one, two);
    }
    assert_int_equal(settings.camera_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(settings.camera[i].name, other.camera[i].name);
        assert_string_equal(settings.camera[i].url, other.camera[i].url);
    }
    free(text);
}

/* Own settings of cameras are printed, too. */
static void test_printed_cameras_read_back(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(read_text("cameras:\n"
                               "- {name: a, url: x, classes: [person, dog], confidence: 0.5, "
                               "tracker: {buffer_size: 9}}\n"
                               "- {name: b, url: y}\n",
                               &err),
                     SP_OK);
    other = settings;
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    assert_non_null(file);
    sp_settings_print_yaml(&other, file);
    fclose(file);
    assert_int_equal(read_text(text, &err), SP_OK);
    free(text);
    assert_int_equal(settings.camera_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(settings.camera[i].own, other.camera[i].own);
        sp_camera_setting_complete(&settings.camera[i], &settings);
        sp_camera_setting_complete(&other.camera[i], &other);
        assert_true(sp_camera_setting_equal(&settings.camera[i], &other.camera[i]));
    }
}

static void test_checks_of_cameras(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(
        read_text("cameras: [{name: a, url: b, tracker: {high_threshold: 0.1}}]", &err), SP_OK);
    assert_int_equal(sp_settings_check(&settings, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "camera a: tracker.low_threshold=0.1: not below"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_natural_names),
        cmocka_unit_test(test_every_setting_is_reachable),
        cmocka_unit_test(test_later_sources_win),
        cmocka_unit_test(test_errors_name_place_and_key),
        cmocka_unit_test(test_json_sets_what_yaml_sets),
        cmocka_unit_test(test_json_errors_name_the_key),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_variables_and_secrets),
        cmocka_unit_test(test_printed_yaml_reads_back),
        cmocka_unit_test(test_printed_cameras_read_back),
        cmocka_unit_test(test_checks_of_cameras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
