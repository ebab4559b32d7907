#include "detect/manifest.h"
#include "pipeline/quantization_check.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/spoton-manifest-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][300];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[0], "%s/%s", folder, name);
    return path[turn];
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(in_folder(name), "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[400];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* FIPS 180-4's examples, and lengths around the padding. */
static void test_digest(void **state)
{
    (void)state;
    char digest[SP_DIGEST_TEXT_BYTES];
    static const struct {
        const char *text, *digest;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrl"
         "mnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(sp_digest_bytes(cases[i].text, strlen(cases[i].text), digest, NULL),
                         SP_OK);
        assert_string_equal(digest, cases[i].digest);
        write_file("digest", cases[i].text);
        assert_int_equal(sp_digest_file(in_folder("digest"), digest, NULL), SP_OK);
        assert_string_equal(digest, cases[i].digest);
    }
    static char million[1000000];
    memset(million, 'a', sizeof million);
    assert_int_equal(sp_digest_bytes(million, sizeof million, digest, NULL), SP_OK);
    assert_string_equal(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    assert_int_equal(sp_digest_file(in_folder("nothing"), digest, NULL), SP_ERR_NOT_FOUND);
}

static struct sp_manifest example(void)
{
    struct sp_manifest manifest = {
        .file = "m-int8.onnx",
        .bytes = 5,
        .source_file = "m.onnx",
        .head_type = "yolov8",
        .classes = 1,
        .width_px = 640,
        .height_px = 384,
        .batch = 2,
        .precision = SPOTON_PRECISION_INT8,
        .engine = "openvino",
        .engine_version = "1",
        .device = "CPU",
        .calibration_frames = 300,
        .calibration_method = "by hand",
        .source =
            {{.name = "a", .frames = 300, .check_frames = 75, .recall = 0.96, .precision = 0.97}},
        .source_count = 1,
        .check_frames = 75,
        .check_boxes = 370,
        .check_iou = 0.5,
        .check_confidence = 0.3,
        .check_required = 0.95,
        .check_recall = 0.96,
        .check_precision = 0.97,
    };
    assert_int_equal(sp_digest_bytes("int8\n", 5, manifest.sha256, NULL), SP_OK);
    assert_int_equal(sp_digest_bytes("f32\n", 4, manifest.source_sha256, NULL), SP_OK);
    return manifest;
}

static void test_manifest_is_read_as_written(void **state)
{
    (void)state;
    struct sp_manifest manifest = example(), again;
    assert_int_equal(sp_manifest_write(&manifest, in_folder("manifest.json"), NULL), SP_OK);
    assert_int_equal(sp_manifest_read(&again, in_folder("manifest.json"), NULL), SP_OK);
    assert_string_equal(again.file, manifest.file);
    assert_string_equal(again.sha256, manifest.sha256);
    assert_string_equal(again.source_sha256, manifest.source_sha256);
    assert_string_equal(again.calibration_method, "by hand");
    assert_int_equal(again.precision, SPOTON_PRECISION_INT8);
    assert_int_equal(again.batch, 2);
    assert_int_equal(again.source_count, 1);
    assert_int_equal(again.source[0].check_frames, 75);
    assert_float_equal(again.check_precision, 0.97, 1e-9);
    assert_true(sp_manifest_passed_check(&again));
    again.check_recall = 0.94;
    assert_false(sp_manifest_passed_check(&again));
    assert_int_not_equal(access(in_folder("manifest.json.part"), F_OK), 0);
}

/* Written by 0.2: card.json, with other names of format and keys. */
static void test_old_manifest(void **state)
{
    (void)state;
    static const char old[] =
        "{\"format\":\"spoton model "
        "card\",\"version\":1,\"file\":\"m-int8.onnx\",\"sha256\":\"%s\","
        "\"bytes\":5,\"family\":\"yolov8\",\"classes\":1,\"precision\":\"int8\",\"source\":{"
        "\"file\":"
        "\"m.onnx\",\"sha256\":\"0\"},\"input\":{\"width\":640,\"height\":384,\"batch\":1},"
        "\"engine\":{\"name\":\"openvino\",\"version\":\"1\",\"device\":\"CPU\",\"cache_bytes\":0,"
        "\"compile_s\":0.4,\"ms_per_image\":5.5},\"calibration\":{\"method\":\"NNCF\",\"frames\":"
        "300,"
        "\"sources\":[{\"name\":\"a\",\"frames\":300,\"gate_frames\":75,\"recall\":1,\"precision\":"
        "1}]},"
        "\"gate\":{\"frames\":75,\"boxes\":385,\"iou\":0.5,\"score\":0.3,\"required\":0.95,"
        "\"recall\":0.98,\"precision\":0.97}}";
    char text[2048], digest[SP_DIGEST_TEXT_BYTES];
    struct sp_bundle bundle;
    assert_int_equal(sp_digest_bytes("int8\n", 5, digest, NULL), SP_OK);
    snprintf(text, sizeof text, old, digest);
    assert_int_equal(mkdir(in_folder("old"), 0777), 0);
    write_file("old/m-int8.onnx", "int8\n");
    write_file("old/card.json", text);
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("old"), NULL), SP_OK);
    assert_true(bundle.is_folder && bundle.has_manifest);
    assert_string_equal(bundle.manifest.head_type, "yolov8");
    assert_int_equal(bundle.manifest.check_boxes, 385);
    assert_float_equal(bundle.manifest.check_confidence, 0.3, 1e-9);
    assert_int_equal(bundle.manifest.source[0].check_frames, 75);
    assert_true(sp_manifest_passed_check(&bundle.manifest));
}

static void test_bad_manifests(void **state)
{
    (void)state;
    struct sp_error err;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1"},
        {"[]", "format"},
        {"{\"format\": \"spoton model manifest\", \"version\": 9}", "version"},
        {"{\"format\": \"spoton model manifest\", \"version\": 1, \"file\": \"../../etc/passwd\"}",
         "file"},
        {"{\"format\": \"spoton model manifest\", \"version\": 1, \"file\": \"a.onnx\"}", "sha256"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_manifest manifest;
        write_file("bad.json", cases[i].text);
        assert_int_equal(sp_manifest_read(&manifest, in_folder("bad.json"), &err), SP_ERR_FORMAT);
        assert_non_null(strstr(err.text, cases[i].says));
    }
}

static void test_int8_form(void **state)
{
    (void)state;
    struct sp_manifest manifest = example();
    struct sp_bundle bundle;
    write_file("m.onnx", "f32\n");
    write_file("m-int8.onnx", "int8\n");
    assert_int_equal(sp_manifest_write(&manifest, in_folder("m-int8.json"), NULL), SP_OK);
    assert_true(sp_bundle_find_int8(&bundle, in_folder("m.onnx")));
    assert_string_equal(bundle.model_path, in_folder("m-int8.onnx"));
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("m-int8.onnx"), NULL), SP_OK);
    assert_true(bundle.has_manifest);

    write_file("m-int8.onnx", "int9\n"); /* changed since */
    assert_false(sp_bundle_find_int8(&bundle, in_folder("m.onnx")));
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("m-int8.onnx"), NULL), SP_OK);
    assert_false(bundle.has_manifest);
    assert_non_null(strstr(bundle.notice, "SHA-256"));

    write_file("m-int8.onnx", "int8\n");
    write_file("m.onnx", "f33\n"); /* another original */
    assert_false(sp_bundle_find_int8(&bundle, in_folder("m.onnx")));

    write_file("m.onnx", "f32\n");
    manifest.check_recall = 0.5;
    assert_int_equal(sp_manifest_write(&manifest, in_folder("m-int8.json"), NULL), SP_OK);
    assert_false(sp_bundle_find_int8(&bundle, in_folder("m.onnx")));
}

static void test_folders(void **state)
{
    (void)state;
    struct sp_error err;
    struct sp_bundle bundle;
    struct sp_manifest manifest = example();
    assert_int_equal(mkdir(in_folder("bundle"), 0777), 0);
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("bundle"), &err), SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "manifest.json"));
    assert_int_equal(sp_manifest_write(&manifest, in_folder("bundle/manifest.json"), NULL), SP_OK);
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("bundle"), &err), SP_ERR_NOT_FOUND);
    write_file("bundle/m-int8.onnx", "int8\n");
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("bundle"), &err), SP_OK);
    assert_true(bundle.is_folder && bundle.has_manifest);
    write_file("bundle/m-int8.onnx", "more\n");
    assert_int_equal(sp_bundle_resolve(&bundle, in_folder("bundle"), &err), SP_ERR_FORMAT);
}

static void judge(struct sp_quantization_check_result *result, uint64_t boxes, uint64_t found,
                  uint64_t of_second)
{
    static const char *const names[] = {"first", "second"};
    const struct sp_quantization_check_options options = {
        .required = 0.95, .iou = 0.5, .confidence = 0.3, .source_name = names, .sources = 2};
    uint64_t second = boxes / 10;
    *result = (struct sp_quantization_check_result){
        .total = {.frames = 9,
                  .reference = boxes,
                  .reference_found = found,
                  .tested = boxes,
                  .tested_found = boxes},
        .source[0] = {.reference = boxes - second, .reference_found = found - of_second},
        .source[1] = {.reference = second,
                      .reference_found = of_second,
                      .tested = second,
                      .tested_found = second},
    };
    sp_quantization_check_judge(result, &options);
}

static void test_quantization_check_judges(void **state)
{
    (void)state;
    struct sp_quantization_check_result result;
    judge(&result, 1000, 960, 95);
    assert_true(result.passed);
    judge(&result, 1000, 949, 95);
    assert_false(result.passed);
    assert_non_null(strstr(result.text, "0.949"));
    judge(&result, 1000, 960, 80); /* one source is bad, the mean is not */
    assert_false(result.passed);
    assert_non_null(strstr(result.text, "second"));
    judge(&result, 10, 10, 1);
    assert_false(result.passed);
    assert_non_null(strstr(result.text, "too few"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_manifest_is_read_as_written),
        cmocka_unit_test(test_old_manifest),
        cmocka_unit_test(test_bad_manifests),
        cmocka_unit_test(test_int8_form),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_quantization_check_judges),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
