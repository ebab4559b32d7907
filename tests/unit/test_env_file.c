#include "base/log.h"
#include "config/settings.h"

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct sp_settings settings; /* large: not on the stack */

static int read_bytes(const char *text, size_t bytes, struct sp_error *err)
{
    sp_settings_default(&settings);
    /* an exact copy on the heap: ASan sees every byte read too far */
    char *copy = malloc(bytes + !bytes);
    assert_non_null(copy);
    memcpy(copy, text, bytes);
    int result = sp_settings_read_env_text(&settings, copy, bytes, ".env", err);
    free(copy);
    return result;
}

static int read_text(const char *text, struct sp_error *err)
{
    return read_bytes(text, strlen(text), err);
}

/* stderr goes to a file while `read_text` runs; the caller frees what was logged. */
static char *log_of(const char *text, int *result)
{
    struct sp_error err = {0};
    FILE *file = tmpfile();
    int keep = dup(STDERR_FILENO);
    assert_non_null(file);
    dup2(fileno(file), STDERR_FILENO);
    *result = read_text(text, &err);
    dup2(keep, STDERR_FILENO);
    close(keep);
    long bytes = lseek(fileno(file), 0, SEEK_END);
    char *log = calloc(1, (size_t)bytes + 1);
    assert_non_null(log);
    assert_int_equal(pread(fileno(file), log, (size_t)bytes, 0), bytes);
    fclose(file);
    return log;
}

static const struct {
    const char *env, *text;
} refusals[] = {
    {"A=1\n", ".env line 1: A: unknown setting; see docs/CONFIG.md"},
    {"\n# c\nFRAME_SKPI=3\n",
     ".env line 3: FRAME_SKPI: unknown setting; did you mean FRAME_SKIP? See docs/CONFIG.md"},
    {"frame_skip=3\n",
     ".env line 1: frame_skip: unknown setting; did you mean FRAME_SKIP? See docs/CONFIG.md"},
    {"\r\n\r\n\r\nFRAME_SKIP=0",
     ".env line 4: FRAME_SKIP=0: out of range; must be a whole number from 1 to 100"},
    {"FRAME_SKIP=", ".env line 1: FRAME_SKIP: empty; must be a whole number from 1 to 100"},
    {"FRAME_SKIP= # three", ".env line 1: FRAME_SKIP: empty; must be a whole number from 1 to 100"},
    {"FRAME_SKIP=two",
     ".env line 1: FRAME_SKIP=two: invalid; must be a whole number from 1 to 100"},
    {"YOLO_INPUT_SIZE=100",
     ".env line 1: YOLO_INPUT_SIZE=100: out of range; must be a multiple of 32 from 32 to 4096"},
    {"BATCH_ACCUMULATION_SIZE=99",
     ".env line 1: BATCH_ACCUMULATION_SIZE=99: out of range; must be a "
     "whole number from 1 to 32, or auto"},
    {"STREAM_RESIZE_FACTOR=2",
     ".env line 1: STREAM_RESIZE_FACTOR=2: out of range; must be a number from 0.1 to 1"},
    {"PRECISION=bf61", ".env line 1: PRECISION=bf61: invalid; must be one of auto, f32, bf16, f16, "
                       "int8; did you mean bf16?"},
    {"SQUARE_INPUT=maybe", ".env line 1: SQUARE_INPUT=maybe: invalid; must be true or false"},
    {"FRAME_SKIP=1\n\nFRAME_SKIP=1\n",
     ".env line 3: FRAME_SKIP: already set in line 1; remove one of the two"},
    {"CAMERA_a=x\nCAMERA_b=x\nCAMERA_a=y",
     ".env line 3: CAMERA_a: already set in line 1; remove one of the two"},
    {"FRAME_SKIP 3",
     ".env line 1: no '=' after \"FRAME_SKIP\"; write KEY=VALUE, see docs/CONFIG.md"},
    {"=3", ".env line 1: not KEY=VALUE, a comment or empty; see docs/CONFIG.md"},
    {"rtsp://u:secret@h/=1",
     ".env line 1: no '=' after \"rtsp\"; write KEY=VALUE, see docs/CONFIG.md"},
    {"CLASSES=\"person", ".env line 1: CLASSES: opening \" without a closing \"; add it"},
    {"CLASSES='a' b", ".env line 1: text after the closing ' of CLASSES; move it "
                      "inside the quotes"},
    {"CLASSES='a'#b", ".env line 1: text after the closing ' of CLASSES; move it "
                      "inside the quotes"},
    {"CAMERA_door=", ".env line 1: camera door: no URL; set a file or a stream"},
    {"CAMERA_=x", ".env line 1: \"\": invalid camera name; use 1 to 63 letters, digits, "
                  "'_', '-' and '.', not starting with '-' or '.'"},
    {"CAMERA_.x=x", ".env line 1: \".x\": invalid camera name; use 1 to 63 letters, digits, "
                    "'_', '-' and '.', not starting with '-' or '.'"},
    {"CAMERA_a=rtsp://u:secret@h/\x01",
     ".env line 1: camera a: control character in the URL (byte 19 is 0x01); remove it"},
    {"FRAME_SKIP=rtsp://u:secret@h/",
     ".env line 1: FRAME_SKIP=rtsp://u:***@h/: invalid; must be a whole number from 1 to 100"},
    {"\xFF\xFE"
     "F",
     ".env: UTF-16; save it as UTF-8"},
};

static void test_env_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct sp_error err = {0};
        assert_int_equal(read_text(refusals[i].env, &err), SP_ERR_INVALID);
        assert_string_equal(err.text, refusals[i].text);
        assert_null(strstr(err.text, "secret"));
        assert_int_equal(read_text(refusals[i].env, NULL), SP_ERR_INVALID);
    }
}

static const struct {
    const char *env, *classes;
} accepted[] = {
    {"CLASSES=dog", "dog"},
    {"\xEF\xBB\xBF"
     "CLASSES=dog\n",
     "dog"},
    {"CLASSES=dog\r\nFRAME_SKIP=2\r\n", "dog"},
    {"  export \t CLASSES =  dog  ", "dog"},
    {"CLASSES=a dog # and this is not", "a dog"},
    {"CLASSES=a#b", "a#b"},
    {"CLASSES=#b", "#b"},
    {"CLASSES='a # b'", "a # b"},
    {"CLASSES=\"a # b\" # c", "a # b"},
    {"CLASSES='a\\b\"c'", "a\\b\"c"},
    {"CLASSES=\"a\\\\b\\\"c\\$d\\`e\\nf\"", "a\\b\"c$d`e\\nf"},
    {"CLASSES=it's", "it's"},
    {"CLASSES=$HOME", "$HOME"},
    {"CLASSES=a=b", "a=b"},
    {"#CLASSES=dog", "person"},
    {"", "person"},
    {"\n\r\n \t\n", "person"},
};

static void test_env_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof accepted / sizeof accepted[0]; i++) {
        struct sp_error err = {0};
        assert_int_equal(read_text(accepted[i].env, &err), SP_OK);
        assert_string_equal(settings.classes, accepted[i].classes);
    }
    assert_int_equal(read_text("# \0 in a comment", NULL), SP_OK);
}

static void test_env_odd_bytes(void **state)
{
    (void)state;
    struct sp_error err = {0};
    static const char nul[] = "CLASSES=do\0g\n";
    assert_int_equal(read_bytes(nul, sizeof nul - 1, &err), SP_ERR_INVALID);
    assert_string_equal(err.text, ".env line 1: NUL byte; save the file as UTF-8 text");

    /* a line of 1 MB: as a comment it is fine; as a key, a value, a quoted value it is not */
    static const char *const starts[] = {"#",         "",        "CLASSES=",   "CLASSES='",
                                         "CAMERA_a=", "CAMERA_", "TARGET_FPS="};
    static const int results[] = {SP_OK,          SP_ERR_INVALID, SP_ERR_INVALID, SP_ERR_INVALID,
                                  SP_ERR_INVALID, SP_ERR_INVALID, SP_OK};
    size_t bytes = 1 << 20;
    char *line = malloc(bytes);
    assert_non_null(line);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        int result;
        memset(line, 'x', bytes - 1);
        line[bytes - 1] = '\0';
        memcpy(line, starts[i], strlen(starts[i]));
        free(log_of(line, &result));
        assert_int_equal(result, results[i]);
    }
    free(line);
    char url[SP_URL_BYTES + 16] = "CAMERA_a=";
    memset(url + 9, 'u', SP_URL_BYTES - 1);
    assert_int_equal(read_text(url, &err), SP_OK);
    assert_int_equal(strlen(settings.camera[0].url), SP_URL_BYTES - 1);
    url[9 + SP_URL_BYTES - 1] = 'u';
    assert_int_equal(read_text(url, &err), SP_ERR_INVALID);
    assert_string_equal(err.text,
                        ".env line 1: camera a: URL too long (2048 bytes); the limit is 2047");
}

/* Every prefix and every one-byte change of a good file ends in a result, not in a fault. */
static void test_env_damaged(void **state)
{
    (void)state;
    static const char good[] = "\xEF\xBB\xBF# c\r\nexport CLASSES=\"a \\\" b\" # d\n"
                               "CAMERA_a='rtsp://u:p@h/'\nFRAME_SKIP = 2 #\nTHREADS=auto";
    static const char bytes[] = {'\0', '\n', '=', '"', '\'', '#', '\\', ' ', '\xFF', 'A'};
    struct sp_error err = {0};
    for (size_t n = 0; n < sizeof good; n++)
        (void)read_bytes(good, n, &err);
    for (size_t at = 0; at < sizeof good - 1; at++)
        for (size_t b = 0; b < sizeof bytes; b++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[at] = bytes[b];
            int result = read_bytes(text, sizeof good - 1, &err);
            assert_true(result == SP_OK || result == SP_ERR_INVALID);
            assert_null(strstr(err.text, ":p@"));
        }
    assert_int_equal(read_text(good, &err), SP_OK);
    assert_string_equal(settings.classes, "a \" b");
    assert_string_equal(settings.camera[0].url, "rtsp://u:p@h/");
}

static void test_keys_without_effect(void **state)
{
    (void)state;
    int result;
    char *log = log_of("TARGET_FPS=23\nFRAME_SKIP=3\nREID_ENABLED=true\nTRACKER_TYPE=sort\n"
                       "DETECTION_IMGSZ=640\nSPATIAL_MATCH_THRESHOLD_FACTORY=200\n"
                       "TRAIL_MAX_AGE_SECONDS=30\nTARGET_FPS='unfinished\n",
                       &result);
    assert_int_equal(result, SP_OK);
    assert_int_equal(settings.frame_skip, 3);
    assert_non_null(strstr(log, "[WARNING] .env line 1: TARGET_FPS: no effect in spoton; "));
    assert_non_null(strstr(log, ".env line 3: REID_ENABLED: no effect"));
    assert_non_null(strstr(log, ".env line 4: TRACKER_TYPE: no effect in spoton; use TRACKER"));
    assert_non_null(
        strstr(log, ".env line 5: DETECTION_IMGSZ: no effect in spoton; use YOLO_INPUT_SIZE"));
    assert_non_null(strstr(log, ".env line 6: SPATIAL_MATCH_THRESHOLD_FACTORY: no effect"));
    size_t lines = 0;
    for (const char *c = log; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 7);
    free(log);
    assert_int_equal(sp_settings_set(&settings, "TARGET_FPS", "1", "here", NULL), SP_ERR_INVALID);
}

static void test_env_files(void **state)
{
    (void)state;
    struct sp_error err = {0};
    char folder[] = "/tmp/spoton-settings-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/.env", folder);

    assert_int_equal(sp_settings_read_env_file(&settings, path, &err), SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/.env: cannot be opened: No such file"));
    assert_int_equal(sp_settings_read_env_file(&settings, folder, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, ": is a directory; give a file"));
    assert_int_equal(sp_settings_read_env_file(&settings, "/dev/zero", &err), SP_ERR_INVALID);
    assert_string_equal(err.text, "/dev/zero: larger than 8 MB; give a settings file");

    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 5000; i++)
        fputs("# a comment that makes the file larger than the first read\n", file);
    fputs("FRAME_SKIP=5", file);
    fclose(file);
    sp_settings_default(&settings);
    assert_int_equal(sp_settings_read_env_file(&settings, path, &err), SP_OK);
    assert_int_equal(settings.frame_skip, 5);
    unlink(path);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_env_refusals),        cmocka_unit_test(test_env_forms),
        cmocka_unit_test(test_env_odd_bytes),       cmocka_unit_test(test_env_damaged),
        cmocka_unit_test(test_keys_without_effect), cmocka_unit_test(test_env_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
