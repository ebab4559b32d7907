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
    assert_string_equal(sp_model_choice_extra(&choice), "devices=2");
    settings.use_tensorrt = true;
    assert_int_equal(choose("fake", "fake", "/no/such.engine"), SP_OK);
    assert_string_equal(sp_model_choice_extra(&choice), "devices=2");
    assert_string_equal(choice.model.path, "fake");
    settings.engine_options[0] = '\0';
    assert_int_equal(choose("fake", "fake", ""), SP_OK);
    assert_null(sp_model_choice_extra(&choice));
}

static void test_engine_files_are_refused(void **state)
{
    (void)state;
    assert_int_equal(choose("fake", "weights/yolo26m_campus.engine", ""), SP_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "YOLO_MODEL_PATH=weights/yolo26m_campus.engine: "));
    assert_non_null(strstr(err.text, "give the ONNX file"));
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
    assert_string_equal(sp_model_choice_extra(&choice), "tensorrt=1;graphs=0");
    assert_string_equal(choice.model.path, model);
    settings.use_tensorrt = false;
    assert_int_equal(choose("cuda", model, "/no/such.onnx"), SP_OK);
    assert_string_equal(sp_model_choice_extra(&choice), "graphs=0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_elsewhere_it_means_nothing, set_up),
        cmocka_unit_test_setup(test_engine_files_are_refused, set_up),
        cmocka_unit_test_setup(test_on_a_gpu, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
