/* The protocol, the options and the circuit breaker of the kserve engine, and what it reports
 * without a server. tests/integration/test_kserve.py runs it against real servers. */
#include "engine/kserve/breaker.h"
#include "engine/kserve/options.h"
#include "engine/kserve/wire.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "engines.h"

#define METADATA                                                                                   \
    "{\"name\":\"m\",\"platform\":\"onnxruntime_onnx\",\"inputs\":[{\"name\":\"images\","          \
    "\"datatype\":\"FP32\",\"shape\":[-1,3,384,640]}],\"outputs\":[{\"name\":\"output0\","         \
    "\"datatype\":\"FP32\",\"shape\":[-1,5,5040]}]}"

static void read_metadata(struct kserve_model *model, const char *json)
{
    char error[300] = "";
    assert_int_equal(kserve_read_model(model, json, strlen(json), error, sizeof error), 0);
    assert_string_equal(error, "");
}

static void test_metadata_becomes_tensors(void **state)
{
    (void)state;
    struct kserve_model model = {0};
    read_metadata(&model, METADATA);
    assert_int_equal(model.info.input_count, 1);
    assert_string_equal(model.info.input[0].name, "images");
    assert_int_equal(model.info.input[0].element, SPOTON_ELEMENT_F32);
    assert_int_equal(model.info.input[0].rank, 4);
    assert_int_equal(model.info.input[0].dims[0], -1);
    assert_int_equal(model.info.input[0].dims[3], 640);
    assert_string_equal(model.info.output[0].name, "output0");
    assert_int_equal(model.info.output[0].dims[1], 5);
    assert_false(model.takes_rgb);
}

static void test_metadata_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{\"error\":\"not found\"}",
        "{\"inputs\":[],\"outputs\":[]}",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1]}],\"outputs\":[{"
        "\"name\":\"b\",\"datatype\":\"BYTES\",\"shape\":[1]}]}",
        "{\"inputs\":[{\"name\":\"a\",\"datatype\":\"FP32\",\"shape\":[1,2,3,4,5,6,7,8,9]}],"
        "\"outputs\":[{\"name\":\"b\",\"datatype\":\"FP32\",\"shape\":[1]}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        struct kserve_model model = {0};
        char error[300] = "";
        assert_true(kserve_read_model(&model, texts[i], strlen(texts[i]), error, sizeof error) < 0);
        assert_true(error[0] != '\0');
    }
}

static void test_a_request_names_shape_type_and_bytes(void **state)
{
    (void)state;
    struct kserve_model model = {0};
    const int64_t dims[4] = {1, 3, 384, 640};
    char json[KSERVE_JSON_BYTES + 1], error[300];
    read_metadata(&model, METADATA);
    int length = kserve_write_request(json, &model, dims, 2949120, error, sizeof error);
    assert_true(length > 0);
    json[length] = '\0';
    assert_string_equal(json, "{\"inputs\":[{\"name\":\"images\",\"shape\":[1,3,384,640],"
                              "\"datatype\":\"FP32\",\"parameters\":{\"binary_data_size\":2949120}"
                              "}],\"outputs\":[{\"name\":\"output0\",\"parameters\":{"
                              "\"binary_data\":true}}]}");
}

static int read_reply(struct kserve_output *output, const char *json, const float *values,
                      size_t count, char error[300])
{
    struct kserve_model model = {0};
    size_t json_bytes = strlen(json), bytes = json_bytes + count * sizeof *values;
    char *body = malloc(bytes + 1);
    assert_non_null(body);
    snprintf(body, bytes + 1, "%s", json);
    if (count > 0)
        memcpy(body + json_bytes, values, count * sizeof *values);
    read_metadata(&model, METADATA);
    int result = kserve_read_reply(output, &model.info, body, bytes, json_bytes, error, 300);
    if (result == 0 && !output->numbers) { /* still readable after the body is gone */
        float *copy = malloc(output->count * sizeof *copy);
        assert_non_null(copy);
        memcpy(copy, output->data, output->count * sizeof *copy);
        output->data = output->numbers = copy;
    }
    free(body);
    return result;
}

static void test_outputs_are_read_from_binary_and_from_json(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2,2],"
        "\"parameters\":{\"binary_data_size\":16}}]}",
        "{\"outputs\":[{\"name\":\"other\",\"datatype\":\"FP32\",\"shape\":[1],\"data\":[7]},{"
        "\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2,2],\"data\":[[1,2],[3,4.5]]}]}",
    };
    const float values[4] = {1, 2, 3, 4.5f};
    for (size_t i = 0; i < 2; ++i) {
        struct kserve_output output;
        char error[300] = "";
        assert_int_equal(read_reply(&output, texts[i], values, i == 0 ? 4 : 0, error), 0);
        assert_int_equal(output.rank, 3);
        assert_int_equal(output.count, 4);
        assert_memory_equal(output.data, values, sizeof values);
        kserve_free_outputs(&output, 1);
    }
}

static void test_replies_that_do_not_add_up_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{\"outputs\":{}}",
        "{\"outputs\":[]}",
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2,2],"
        "\"parameters\":{\"binary_data_size\":20}}]}",
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2,9],"
        "\"parameters\":{\"binary_data_size\":72}}]}",
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2,2],"
        "\"data\":[1,2,3]}]}",
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2,-2],"
        "\"data\":[1,2,3,4]}]}",
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[99999999,9999999],"
        "\"data\":[1]}]}",
        "{\"outputs\":[{\"name\":\"output0\",\"datatype\":\"BYTES\",\"shape\":[1],\"data\":[\"a\"]"
        "}]}",
    };
    const float values[4] = {0};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        struct kserve_output output = {0};
        char error[300] = "";
        assert_true(read_reply(&output, texts[i], values, 4, error) < 0);
        assert_true(error[0] != '\0');
        kserve_free_outputs(&output, 1);
    }
}

static void test_the_text_of_an_error_is_one_printable_line(void **state)
{
    (void)state;
    char text[100];
    static const char body[] = "{\"error\":\"a\\nb\\u0007c\"}";
    kserve_read_error(text, sizeof text, body, sizeof body - 1);
    assert_string_equal(text, "a b c");
    kserve_read_error(text, sizeof text, "<html>", 6);
    assert_string_equal(text, "");
}

static void test_options_are_read(void **state)
{
    (void)state;
    struct kserve_options options;
    char error[300] = "";
    assert_int_equal(
        kserve_read_options(&options,
                            "timeout_ms=250;url=http://a:8000/v2/models/person,"
                            "https://[::1]/v2/models/person/versions/2;token=abc;later=1",
                            error, sizeof error),
        0);
    assert_int_equal(options.server_count, 2);
    assert_string_equal(options.server[0].base, "http://a:8000");
    assert_string_equal(options.server[0].shown, "a:8000/person");
    assert_string_equal(options.server[1].base, "https://[::1]");
    assert_string_equal(options.server[1].model, "https://[::1]/v2/models/person/versions/2");
    assert_string_equal(options.token, "abc");
    assert_int_equal(options.timeout_ms, 250);
    assert_true(options.later);
}

static void test_wrong_options_are_refused_without_secrets(void **state)
{
    (void)state;
    static const char *const texts[] = {
        NULL,
        "token=geheim",
        "url=person;token=geheim",
        "url=ftp://a/v2/models/m;token=geheim",
        "url=http://a/v2/models/;token=geheim",
        "url=http:///v2/models/m;token=geheim",
        "url=http://user:geheim@a/v2/models/m",
        "url=http://a/v2/models/m?x=1;token=geheim",
        "url=http://a/v2/models/m;token=ge heim",
        "url=http://a/v2/models/m;timeout_ms=0;token=geheim",
        "url=http://a/v2/models/m;geheim",
        "url=http://a/v2/models/m;colour=red;token=geheim",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        struct kserve_options options;
        char error[300] = "";
        assert_true(kserve_read_options(&options, texts[i], error, sizeof error) < 0);
        assert_true(error[0] != '\0');
        assert_null(strstr(error, "heim"));
    }
}

static const int64_t SECOND_US = 1000000;

static void test_a_broken_connection_opens_the_circuit_and_a_check_closes_it(void **state)
{
    (void)state;
    struct kserve_breaker b = {0};
    int64_t now = SECOND_US, next = 0;
    assert_false(kserve_breaker_usable(&b, now));
    assert_true(kserve_breaker_check_due(&b, now, &next));
    kserve_breaker_checked(&b, now, true, false);
    assert_true(kserve_breaker_usable(&b, now));
    kserve_breaker_fail(&b, now, true);
    assert_int_equal(b.state, SPOTON_SERVER_FAILED);
    assert_false(kserve_breaker_usable(&b, now));
    assert_false(kserve_breaker_check_due(&b, now, &next));
    int64_t first = next - now;
    kserve_breaker_checked(&b, next, false, false);
    now = next;
    assert_false(kserve_breaker_check_due(&b, now, &next));
    assert_int_equal(next - now, 2 * first);
    assert_true(kserve_breaker_check_due(&b, next, &next));
    kserve_breaker_checked(&b, next, true, false);
    assert_true(kserve_breaker_usable(&b, next));
}

static void test_one_late_reply_is_forgiven_and_two_in_a_row_are_not(void **state)
{
    (void)state;
    struct kserve_breaker b = {0};
    kserve_breaker_checked(&b, 0, true, false);
    kserve_breaker_fail(&b, 1, false);
    assert_true(kserve_breaker_usable(&b, 1));
    kserve_breaker_ok(&b, 2, 1000);
    kserve_breaker_fail(&b, 3, false);
    assert_true(kserve_breaker_usable(&b, 3));
    kserve_breaker_fail(&b, 4, false);
    assert_false(kserve_breaker_usable(&b, 4));
}

static void test_a_busy_server_rests_as_long_as_it_asked(void **state)
{
    (void)state;
    struct kserve_breaker b = {0};
    kserve_breaker_checked(&b, 0, true, false);
    kserve_breaker_busy(&b, 0, 1);
    assert_false(kserve_breaker_usable(&b, SECOND_US - 1));
    assert_true(kserve_breaker_usable(&b, SECOND_US));
    kserve_breaker_busy(&b, 0, 3600);
    assert_true(kserve_breaker_usable(&b, 10 * SECOND_US));
}

static void test_a_server_slower_than_the_budget_rests(void **state)
{
    (void)state;
    struct kserve_breaker b = {.budget_us = 50000};
    kserve_breaker_checked(&b, 0, true, false);
    for (int i = 0; i < 20; ++i)
        kserve_breaker_ok(&b, i, 20000);
    assert_true(kserve_breaker_usable(&b, 20));
    assert_int_equal(b.round_trip_us, 20000);
    for (int i = 0; i < 20 && b.state == SPOTON_SERVER_READY; ++i)
        kserve_breaker_ok(&b, 20 + i, 80000);
    assert_int_equal(b.state, SPOTON_SERVER_SLOW);
    assert_false(kserve_breaker_usable(&b, 40));
    assert_true(kserve_breaker_usable(&b, 60 * SECOND_US));
}

static const struct spoton_engine_api *load_kserve(void)
{
    const struct spoton_engine_api *api = NULL;
    if (sp_engine_load(&api, "kserve", NULL) < 0) {
        print_message("skipped: the build is without libcurl\n");
        skip();
    }
    return api;
}

/* A port without a listener: bound, never listening. */
static int closed_port(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    int file = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(file >= 0 && bind(file, (struct sockaddr *)&address, sizeof address) == 0 &&
                getsockname(file, (struct sockaddr *)&address, &bytes) == 0);
    *port = ntohs(address.sin_port);
    return file;
}

static void test_without_a_server_the_error_names_it_and_not_the_token(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = load_kserve();
    struct spoton_model_info info = {.struct_bytes = sizeof info};
    char error[400] = "", options[200], name[64];
    int port, file = closed_port(&port);
    snprintf(options, sizeof options, "url=http://127.0.0.1:%d/v2/models/person;token=geheim",
             port);
    snprintf(name, sizeof name, "127.0.0.1:%d/person", port);
    assert_true(api->inspect_with("", options, &info, error, sizeof error) < 0);
    assert_non_null(strstr(error, name));
    assert_non_null(strstr(error, "start the server"));
    assert_null(strstr(error, "geheim"));
    close(file);
}

static void test_opened_for_later_it_has_no_capacity_and_requests_fail_at_once(void **state)
{
    (void)state;
    const struct spoton_engine_api *api = load_kserve();
    char error[400] = "", text[200];
    int port, file = closed_port(&port);
    snprintf(text, sizeof text, "later=1;url=http://127.0.0.1:%d/v2/models/person", port);
    struct spoton_engine_options options = {.struct_bytes = sizeof options,
                                            .model_path = "",
                                            .batch = 1,
                                            .height = 32,
                                            .width = 32,
                                            .scale = 255,
                                            .threads = 1,
                                            .backend_options = text};
    struct spoton_engine *engine = NULL;
    assert_int_equal(api->open(&engine, &options, error, sizeof error), 0);
    struct spoton_server server = {.struct_bytes = sizeof server};
    do {
        usleep(1000);
        assert_int_equal(api->server(engine, 0, &server), 0);
    } while (server.state == SPOTON_SERVER_CHECKING);
    assert_int_equal(server.state, SPOTON_SERVER_FAILED);
    assert_true(server.error[0] != '\0');
    assert_true(api->server(engine, 1, &server) < 0);
    assert_int_equal(api->capacity(engine), 0);
    memset(api->input(engine, 0), 1, (size_t)3 * 32 * 32);
    assert_int_equal(api->submit(engine, 0, error, sizeof error), 0);
    assert_true(api->wait(engine, 0, error, sizeof error) < 0);
    assert_true(error[0] != '\0');
    api->close(engine);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata_becomes_tensors),
        cmocka_unit_test(test_metadata_that_is_none_is_refused),
        cmocka_unit_test(test_a_request_names_shape_type_and_bytes),
        cmocka_unit_test(test_outputs_are_read_from_binary_and_from_json),
        cmocka_unit_test(test_replies_that_do_not_add_up_are_refused),
        cmocka_unit_test(test_the_text_of_an_error_is_one_printable_line),
        cmocka_unit_test(test_options_are_read),
        cmocka_unit_test(test_wrong_options_are_refused_without_secrets),
        cmocka_unit_test(test_a_broken_connection_opens_the_circuit_and_a_check_closes_it),
        cmocka_unit_test(test_one_late_reply_is_forgiven_and_two_in_a_row_are_not),
        cmocka_unit_test(test_a_busy_server_rests_as_long_as_it_asked),
        cmocka_unit_test(test_a_server_slower_than_the_budget_rests),
        cmocka_unit_test(test_without_a_server_the_error_names_it_and_not_the_token),
        cmocka_unit_test(test_opened_for_later_it_has_no_capacity_and_requests_fail_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
