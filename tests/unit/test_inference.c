/* The requests of other machines: reading them, and the turns of their clients. */
#include "api/inference_body.h"
#include "api/inference_queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

#define INPUT(shape, rest)                                                                         \
    "{\"id\":\"7\",\"inputs\":[{\"name\":\"images\",\"shape\":" shape                              \
    ",\"datatype\":\"UINT8\"," rest "}],\"outputs\":[{\"name\":\"output0\",\"parameters\":{"       \
    "\"binary_data\":true}}]}"
#define BINARY(bytes) "\"parameters\":{\"binary_data_size\":" bytes "}"

static int read_text(struct sp_inference_request *request, const char *json, size_t more,
                     struct sp_error *err)
{
    char body[2048];
    size_t n = strlen(json);
    assert_true(n + more < sizeof body);
    snprintf(body, sizeof body, "%s", json);
    memset(body + n, 9, more);
    int result = sp_inference_read(request, body, n + more, n, SPOTON_LAYOUT_NCHW, err);
    if (result == SP_OK && !request->numbers)
        assert_int_equal(request->data[request->bytes - 1], 9);
    return result;
}

static void test_a_binary_request_is_read(void **state)
{
    (void)state;
    struct sp_inference_request request;
    struct sp_error err = {0};
    assert_int_equal(read_text(&request, INPUT("[2,3,4,5]", BINARY("120")), 120, &err), SP_OK);
    assert_string_equal(request.id, "7");
    assert_int_equal(request.images, 2);
    assert_int_equal(request.height_px, 4);
    assert_int_equal(request.width_px, 5);
    assert_int_equal(request.bytes, 120);
    assert_true(request.binary);
    assert_null(request.numbers);
}

static void test_numbers_in_json_are_read(void **state)
{
    (void)state;
    struct sp_inference_request request;
    struct sp_error err = {0};
    assert_int_equal(
        read_text(&request, INPUT("[1,3,1,2]", "\"data\":[[[[0,1]],[[2,3]],[[4,255]]]]"), 0, &err),
        SP_OK);
    assert_int_equal(request.bytes, 6);
    assert_int_equal(request.data[1], 1);
    assert_int_equal(request.data[5], 255);
    free(request.numbers);
}

static void test_other_requests_are_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        const char *json, *reason;
        size_t more;
    } cases[] = {
        {"", "not a JSON object", 0},
        {"[]", "not a JSON object", 0},
        {"{}", "exactly one input", 0},
        {"{\"inputs\":[{},{}]}", "exactly one input", 0},
        {"{\"inputs\":[{\"datatype\":\"FP32\",\"shape\":[1,3,1,1]}]}", "UINT8", 0},
        {INPUT("[1,3,4]", BINARY("12")), "4 dimensions", 12},
        {INPUT("[1,4,1,1]", BINARY("4")), "3 channels", 4},
        {INPUT("[0,3,1,1]", BINARY("0")), "1 to 65536", 0},
        {INPUT("[-1,3,1,1]", BINARY("3")), "1 to 65536", 3},
        {INPUT("[60000,3,60000,60000]", BINARY("3")), "larger", 3},
        {INPUT("[1,3,1,2]", BINARY("6")), "differ", 5},
        {INPUT("[1,3,1,2]", BINARY("6")), "differ", 7},
        {INPUT("[1,3,1,2]", BINARY("-6")), "differ", 6},
        {INPUT("[1,3,1,2]", "\"data\":[1,2,3,4,5]"), "numbers", 0},
        {INPUT("[1,3,1,2]", "\"data\":[1,2,3,4,5,256]"), "numbers", 0},
        {INPUT("[1,3,1,2]", "\"data\":[1,2,3,4,5,6,7]"), "numbers", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sp_inference_request request;
        struct sp_error err = {0};
        assert_int_equal(read_text(&request, cases[i].json, cases[i].more, &err), SP_ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].reason));
    }
}

static void test_a_json_part_beyond_the_body_is_refused(void **state)
{
    (void)state;
    struct sp_inference_request request;
    struct sp_error err = {0};
    assert_int_equal(sp_inference_read(&request, "{}", 2, 3, SPOTON_LAYOUT_NCHW, &err),
                     SP_ERR_INVALID);
}

static void test_a_reply_lists_its_outputs(void **state)
{
    (void)state;
    const float data[] = {1.5f, -2};
    const struct sp_model_output output = {.data = data, .dims = {2}, .rank = 1};
    struct sp_inference_request request = {.id = "a\"b", .images = 1};
    struct sp_json json = {0};
    sp_inference_write(&json, "person", &request, &output, 1);
    assert_string_equal(json.text,
                        "{\"model_name\":\"person\",\"model_version\":\"1\",\"id\":\"a\\\"b\","
                        "\"outputs\":[{\"name\":\"output0\",\"datatype\":\"FP32\",\"shape\":[1,2],"
                        "\"data\":[1.5,-2]}]}");
    sp_json_clear(&json);
    request.binary = true;
    sp_inference_write(&json, "person", &request, &output, 1);
    assert_non_null(strstr(json.text, "\"parameters\":{\"binary_data_size\":8}"));
    sp_json_release(&json);
}

static bool push(struct sp_inference_queue *queue, const char *client, uint64_t reply)
{
    struct sp_inference_item item = {.reply = reply};
    snprintf(item.client, sizeof item.client, "%s", client);
    return sp_inference_queue_push(queue, &item);
}

static uint64_t pop(struct sp_inference_queue *queue)
{
    struct sp_inference_item item;
    return sp_inference_queue_pop(queue, &item) ? item.reply : 0;
}

static void test_clients_take_turns(void **state)
{
    (void)state;
    struct sp_inference_queue *queue = calloc(1, sizeof *queue);
    assert_non_null(queue);
    for (uint64_t i = 1; i <= 4; i++)
        assert_true(push(queue, "a", i));
    assert_true(push(queue, "b", 5));
    assert_true(push(queue, "c", 6));
    assert_true(push(queue, "b", 7));
    static const uint64_t expected[] = {1, 5, 6, 2, 7, 3, 4, 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(pop(queue), expected[i]);
    free(queue);
}

static void test_the_queue_is_bounded_and_one_client_has_half_of_it(void **state)
{
    (void)state;
    struct sp_inference_queue *queue = calloc(1, sizeof *queue);
    assert_non_null(queue);
    int own = 0, all = 0;
    while (push(queue, "a", 1))
        own++;
    all = own;
    for (char name[2] = "b"; name[0] <= 'z'; name[0]++)
        all += push(queue, name, 2);
    assert_int_equal(own, SP_INFERENCE_QUEUE_MAX / 2);
    assert_int_equal(all, SP_INFERENCE_QUEUE_MAX);
    free(queue);
}

/* More clients than are remembered: nothing is lost. */
static void test_many_clients_are_all_served(void **state)
{
    (void)state;
    struct sp_inference_queue *queue = calloc(1, sizeof *queue);
    assert_non_null(queue);
    for (uint64_t i = 1; i <= 200; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", (int)i);
        assert_true(push(queue, name, i));
        assert_int_equal(pop(queue), i);
    }
    free(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_binary_request_is_read),
        cmocka_unit_test(test_numbers_in_json_are_read),
        cmocka_unit_test(test_other_requests_are_refused_with_a_reason),
        cmocka_unit_test(test_a_json_part_beyond_the_body_is_refused),
        cmocka_unit_test(test_a_reply_lists_its_outputs),
        cmocka_unit_test(test_clients_take_turns),
        cmocka_unit_test(test_the_queue_is_bounded_and_one_client_has_half_of_it),
        cmocka_unit_test(test_many_clients_are_all_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
