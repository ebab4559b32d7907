#include "engine/loader.h"

#include <string.h>
#include <unistd.h>

#include "engines.h"

static void test_a_name_that_is_a_path_is_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"", "../fake", "a/b", "Fake", "fake.so", "fake "};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        const struct spoton_engine_api *api = NULL;
        struct sp_error err;
        assert_int_equal(sp_engine_load(&api, names[i], &err), SP_ERR_INVALID);
        assert_null(api);
    }
}

static void test_a_missing_engine_is_named_with_the_folders(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = NULL;
    struct sp_error err;
    assert_int_equal(sp_engine_load(&api, "nothere", &err), SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "spoton-engine-nothere.so"));
    assert_non_null(strstr(err.text, getenv("SPOTON_ENGINE_DIR")));
}

static void test_loading_twice_gives_the_same(void **state)
{
    (void)state;
    const struct spoton_engine_api *again = NULL, *fake = load_fake();
    assert_int_equal(sp_engine_load(&again, "fake", NULL), SP_OK);
    assert_ptr_equal(fake, again);
    assert_string_equal(fake->name, "fake");
}

static void test_auto_never_takes_the_fake(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = NULL;
    struct sp_error err;
    if (sp_engine_load(&api, "auto", &err) == SP_OK) {
        assert_string_not_equal(api->name, "fake");
    } else {
        assert_int_equal(err.code, SP_ERR_NOT_FOUND);
        assert_non_null(strstr(err.text, "fake: for tests"));
    }
}

static void test_plugins_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    char usual[1024], folder[1024], path[1100], text[8];
    const struct spoton_engine_api *api = NULL;
    struct sp_error err;
    snprintf(usual, sizeof usual, "%s", getenv("SPOTON_ENGINE_DIR"));
    snprintf(folder, sizeof folder, "%s/tests/unit", getenv("SPOTON_BUILD_DIR"));
    setenv("SPOTON_ENGINE_DIR", folder, 1);
    assert_int_equal(sp_engine_load(&api, "old", &err), SP_ERR_UNSUPPORTED);
    snprintf(text, sizeof text, "%u", SPOTON_ENGINE_ABI + 1);
    assert_non_null(strstr(err.text, text));

    snprintf(path, sizeof path, "%s/spoton-engine-broken.so", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("not a library", file);
    fclose(file);
    assert_int_equal(sp_engine_load(&api, "broken", &err), SP_ERR_ENGINE);
    assert_non_null(strstr(err.text, "broken"));
    assert_null(api);

    struct sp_engine_report reports[16];
    int count = sp_engine_list(reports, 16), seen = 0;
    for (int i = 0; i < count; ++i) {
        bool refused =
            strcmp(reports[i].name, "old") == 0 || strcmp(reports[i].name, "broken") == 0;
        if (refused) {
            assert_int_equal(reports[i].found, 0);
            assert_true(strlen(reports[i].error) > 0);
            ++seen;
        }
    }
    assert_int_equal(seen, 2);
    assert_int_equal(sp_engine_list(reports, 1), 1);
    unlink(path);
    setenv("SPOTON_ENGINE_DIR", usual, 1);
}

static void test_the_list_has_every_engine(void **state)
{
    (void)state;
    struct sp_engine_report reports[16];
    int count = sp_engine_list(reports, 16), fakes = 0, openvinos = 0;
    for (int i = 0; i < count; ++i) {
        openvinos += strcmp(reports[i].name, "openvino") == 0;
        if (strcmp(reports[i].name, "fake") == 0) {
            ++fakes;
            assert_int_equal(reports[i].found, 1);
            assert_int_equal(reports[i].probe.preference, 0);
        }
    }
    assert_int_equal(fakes, 1);
    assert_int_equal(openvinos, 1);
}

static void test_precision_names(void **state)
{
    (void)state;
    assert_string_equal(sp_precision_name(SPOTON_PRECISION_AUTO), "auto");
    assert_string_equal(sp_precision_name(SPOTON_PRECISION_BF16), "bf16");
    assert_string_equal(sp_precision_name((enum spoton_precision)99), "unknown");
}

static struct spoton_engine_options fake_options(void)
{
    return (struct spoton_engine_options){
        .struct_bytes = sizeof(struct spoton_engine_options),
        .model_path = "fake",
        .batch = 2,
        .height = 64,
        .width = 96,
        .scale = 255,
        .input_layout = SPOTON_LAYOUT_NHWC,
        .threads = 2,
    };
}

static void test_the_fake_sees_bright_rectangles(void **state)
{
    (void)state;
    const struct spoton_engine_api *fake = load_fake();
    struct spoton_engine_options options = fake_options();
    struct spoton_engine *engine;
    char error[200];
    assert_int_equal(fake->open(&engine, &options, error, sizeof error), 0);
    uint8_t *input = fake->input(engine, 0);
    assert_ptr_equal(input, fake->input(engine, 0));
    memset(input, 114, 2 * 64 * 96 * 3);
    for (int y = 16; y < 48; ++y) /* second image: 24x32 at (8, 16) */
        memset(input + ((64 + y) * 96 + 8) * 3, 240, 24 * 3);
    assert_int_equal(fake->submit(engine, 0, error, sizeof error), 0);
    assert_int_equal(fake->wait(engine, 0, error, sizeof error), 0);
    const float *data;
    int64_t dims[SPOTON_RANK_MAX];
    int rank;
    assert_int_equal(fake->output(engine, 0, 0, &data, dims, &rank, error, sizeof error), 0);
    assert_true(rank == 3 && dims[0] == 2 && dims[1] == 5 && dims[2] == 100);
    for (int i = 0; i < 500; ++i)
        assert_true(data[i] == 0);
    data += 500;
    assert_true(data[0] == 20 && data[100] == 32 && data[200] == 24 && data[300] == 32);
    assert_true(data[400] > 0.9499f && data[400] < 0.9501f && data[401] == 0);
    assert_true(fake->output(engine, 0, 1, &data, dims, &rank, error, sizeof error) < 0);
    fake->close(engine);
}

static void test_the_fake_fails_when_told(void **state)
{
    (void)state;
    const struct spoton_engine_api *fake = load_fake();
    struct spoton_engine_options options = fake_options();
    struct spoton_engine *engine;
    char error[200];
    options.backend_options = "delay_us=100;fail_every=3";
    assert_int_equal(fake->open(&engine, &options, error, sizeof error), 0);
    for (int i = 1; i <= 9; ++i) {
        assert_int_equal(fake->submit(engine, i % 3, error, sizeof error), 0);
        int result = fake->wait(engine, i % 3, error, sizeof error);
        assert_true(i % 3 == 0 ? result < 0 : result == 0);
    }
    fake->close(engine);
    options.backend_options = "colour=blue";
    assert_true(fake->open(&engine, &options, error, sizeof error) < 0);
    assert_non_null(strstr(error, "colour=blue"));
    options.backend_options = NULL;
    options.model_path = "/nowhere/model.onnx";
    assert_true(fake->open(&engine, &options, error, sizeof error) < 0);
    assert_non_null(strstr(error, "/nowhere/model.onnx"));
    fake->close(NULL);
}

static void test_closing_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    const struct spoton_engine_api *fake = load_fake();
    struct spoton_engine_options options = fake_options();
    struct spoton_engine *engine;
    char error[200];
    options.backend_options = "delay_us=2000";
    assert_int_equal(fake->open(&engine, &options, error, sizeof error), 0);
    struct spoton_engine_description description = {.struct_bytes = sizeof description};
    fake->describe(engine, &description);
    assert_int_equal(description.streams, 2);
    for (int i = 0; i < description.requests; ++i)
        assert_int_equal(fake->submit(engine, i, error, sizeof error), 0);
    assert_true(fake->submit(engine, description.requests - 1, error, sizeof error) < 0);
    fake->close(engine); /* the sanitizers say whether a worker still ran */
}

static void open_and_check(const struct spoton_engine_api *api,
                           const struct spoton_engine_options *options, bool offered,
                           const char *word)
{
    struct spoton_engine *engine = NULL;
    char error[400] = "";
    int result = api->open(&engine, options, error, sizeof error);
    if (offered) {
        struct spoton_engine_description description = {.struct_bytes = sizeof description};
        assert_int_equal(result, 0);
        api->describe(engine, &description);
        assert_int_equal(description.precision, options->precision);
        assert_int_equal(description.threads, options->threads);
        assert_true(description.requests > description.streams);
        api->close(engine);
    } else {
        assert_true(result < 0);
        assert_non_null(strstr(error, word));
        assert_null(strchr(error, '\n'));
    }
}

static void test_openvino_refuses_what_this_cpu_has_not(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    if (!api)
        skip();
    struct spoton_engine_probe probe = {.struct_bytes = sizeof probe};
    api->probe(&probe);
    print_message("%s %s on %s: %s\n", api->name, probe.version, probe.device, probe.precisions);
    assert_true(probe.preference > 0);
    assert_non_null(strstr(probe.precisions, "f32"));
    char model[1024];
    source_path(model, sizeof model, "models/person.onnx");
    struct spoton_engine_options options = fake_options();
    options.model_path = model;
    options.threads = 1;
    options.streams = 1;
    bool bf16 = strstr(probe.precisions, "bf16") != NULL;
    bool f16 = strncmp(probe.precisions, "f16", 3) == 0 || strstr(probe.precisions, ",f16") != NULL;
    options.precision = SPOTON_PRECISION_F32;
    open_and_check(api, &options, true, NULL);
    options.precision = SPOTON_PRECISION_BF16;
    open_and_check(api, &options, bf16, "bf16");
    options.precision = SPOTON_PRECISION_F16;
    open_and_check(api, &options, f16, "f16");
    options.precision = SPOTON_PRECISION_INT8;
    open_and_check(api, &options, false, "quantized");
    options.precision = SPOTON_PRECISION_F32;
    options.backend_options = "NO_SUCH_KEY=1";
    open_and_check(api, &options, false, "NO_SUCH_KEY");
    options.backend_options = "NONSENSE";
    open_and_check(api, &options, false, "KEY=VALUE");
}

static void test_openvino_caches_and_does_without(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = find_openvino();
    if (!api)
        skip();
    char model[1024], folder[1024], file[1100];
    source_path(model, sizeof model, "models/person.onnx");
    scratch_folder(folder, sizeof folder, "test-cache");
    snprintf(file, sizeof file, "%s/a-file", folder);
    fclose(fopen(file, "w"));
    struct spoton_engine_options options = fake_options();
    options.model_path = model;
    options.precision = SPOTON_PRECISION_F32;
    options.cache_dir = folder;
    open_and_check(api, &options, true, NULL);
    open_and_check(api, &options, true, NULL);
    options.cache_dir = file; /* cannot be a folder: slower, not fatal */
    open_and_check(api, &options, true, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_that_is_a_path_is_refused),
        cmocka_unit_test(test_a_missing_engine_is_named_with_the_folders),
        cmocka_unit_test(test_loading_twice_gives_the_same),
        cmocka_unit_test(test_auto_never_takes_the_fake),
        cmocka_unit_test(test_plugins_that_do_not_fit_are_refused),
        cmocka_unit_test(test_the_list_has_every_engine),
        cmocka_unit_test(test_precision_names),
        cmocka_unit_test(test_the_fake_sees_bright_rectangles),
        cmocka_unit_test(test_the_fake_fails_when_told),
        cmocka_unit_test(test_closing_waits_for_what_is_in_flight),
        cmocka_unit_test(test_openvino_refuses_what_this_cpu_has_not),
        cmocka_unit_test(test_openvino_caches_and_does_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
