/* Which file and which options USE_TENSORRT means. */
#include "pipeline/model_choice.h"

#include <string.h>

#include "engines.h"

static struct sp_settings settings;
static struct sp_model_choice choice;
static struct sp_error err;

static int choose(const char *engine, const char *model, const char *tensorrt_model)
{
    snprintf(settings.engine, sizeof settings.engine, "%s", engine);
    snprintf(settings.model_path, sizeof settings.model_path, "%s", model);
    snprintf(settings.tensorrt_model_path, sizeof settings.tensorrt_model_path, "%s",
             tensorrt_model);
    err = (struct sp_error){0};
    return sp_model_choose(&choice, &settings, &err);
}

static int set_up(void **state)
{
    (void)state;
    sp_settings_default(&settings);
    snprintf(settings.engine_options, sizeof settings.engine_options, "devices=2");
    return 0;
}

static void test_elsewhere_it_means_nothing(void **state)
{
    (void)state;
    assert_int_equal(choose("fake", "fake", ""), SP_OK);
    assert_string_equal(sp_model_choice_backend_options(&choice), "devices=2");
    settings.use_tensorrt = true;
    assert_int_equal(choose("fake", "fake", "/no/such.engine"), SP_OK);
    assert_string_equal(sp_model_choice_backend_options(&choice), "devices=2");
    assert_string_equal(choice.model.path, "fake");
    settings.engine_options[0] = '\0';
    assert_int_equal(choose("fake", "fake", ""), SP_OK);
    assert_null(sp_model_choice_backend_options(&choice));
}

static void test_engine_files_are_refused(void **state)
{
    (void)state;
    assert_int_equal(choose("fake", "weights/yolo26m_campus.engine", ""), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "YOLO_MODEL_PATH=weights/yolo26m_campus.engine: "));
    assert_non_null(strstr(err.text, "use the ONNX file"));
}

/* Looking at a file needs no GPU. */
static void test_on_a_gpu(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = NULL;
    char model[4096];
    snprintf(model, sizeof model, "%s/models/person.onnx", getenv("SPOTON_SOURCE_DIR"));
    if (UNDER_TSAN || sp_engine_load(&api, "cuda", &err) < 0) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    settings.use_tensorrt = true;
    snprintf(settings.engine_options, sizeof settings.engine_options, "graphs=0");
    assert_int_equal(choose("cuda", "/no/such.onnx", model), SP_OK); /* it is not looked for */
    assert_int_equal(choose("cuda", model, "a.PLAN"), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "YOLO_MODEL_PATH_TENSORRT=a.PLAN: "));
    assert_int_equal(choose("cuda", model, "/no/such.onnx"), SP_ERR_NOT_FOUND);
    assert_int_equal(choose("cuda", model, model), SP_OK);
    assert_string_equal(sp_model_choice_backend_options(&choice), "tensorrt=1;graphs=0");
    assert_string_equal(choice.model.path, model);
    settings.use_tensorrt = false;
    assert_int_equal(choose("cuda", model, "/no/such.onnx"), SP_OK);
    assert_string_equal(sp_model_choice_backend_options(&choice), "graphs=0");
}

/* Cameras times frames of each, where batches are a gain; on a CPU (an engine whose best is 1, or
 * which knows none) always 1. */
static void test_the_batch_follows_the_cameras(void **state)
{
    (void)state;
    static const struct {
        int engine_best, cameras, accumulation, batch;
    } cases[] = {
        {0, 16, 4, 1},  {1, 16, 4, 1},   {16, 1, 4, 4},  {16, 2, 4, 8},  {16, 16, 1, 16},
        {16, 5, 3, 15}, {16, 64, 4, 64}, {16, 0, 4, 16}, {16, 8, 0, 16}, {8, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(
            sp_model_choice_batch(cases[i].engine_best, cases[i].cameras, cases[i].accumulation),
            cases[i].batch);
    settings.camera_count = 2; /* BATCH_ACCUMULATION_SIZE is 4 */
    assert_int_equal(choose("fake", "fake", ""), SP_OK);
    assert_int_equal(choice.batch, 1);
    assert_int_equal(sp_model_choice_gather(&choice, 2, 4), 1);
    setenv("SPOTON_FAKE_BATCH", "16", 1);
    assert_int_equal(choose("fake", "fake", ""), SP_OK);
    assert_int_equal(choice.batch, 8);
    assert_int_equal(sp_model_choice_gather(&choice, 2, 4), 4);
    assert_int_equal(sp_model_choice_gather(&choice, 2, 3), 3);
    assert_int_equal(sp_model_choice_gather(&choice, 16, 4), 1); /* added while it runs */
    settings.engine_batch = 6;                                   /* what is asked for counts */
    assert_int_equal(choose("fake", "fake", ""), SP_OK);
    assert_int_equal(choice.batch, 6);
    assert_int_equal(sp_model_choice_gather(&choice, 2, 4), 3);
    unsetenv("SPOTON_FAKE_BATCH");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_elsewhere_it_means_nothing, set_up),
        cmocka_unit_test_setup(test_engine_files_are_refused, set_up),
        cmocka_unit_test_setup(test_on_a_gpu, set_up),
        cmocka_unit_test_setup(test_the_batch_follows_the_cameras, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
