/* Spill-over, with two fake engines: the remote one's capacity is set by the test. */
#include "detect/spill.h"

#include <stdatomic.h>
#include <string.h>

#include "engines.h"

enum { WIDTH = 64, HEIGHT = 32, BYTES = WIDTH * HEIGHT * 3, IMAGES = 6 };

static const struct spoton_engine_api *fake;
static struct spoton_engine_api remote_api;
static atomic_int capacity, remote_submits;

static int remote_capacity(struct spoton_engine *engine)
{
    (void)engine;
    return atomic_load(&capacity);
}

static int remote_server(struct spoton_engine *engine, int index, struct spoton_server *server)
{
    (void)engine;
    snprintf(server->name, sizeof server->name, "elsewhere");
    return index == 0 ? 0 : SPOTON_FAILED;
}

static int remote_submit(struct spoton_engine *engine, int request, char *error, size_t error_bytes)
{
    atomic_fetch_add(&remote_submits, 1);
    return fake->submit(engine, request, error, error_bytes);
}

static struct spoton_engine *open_spill(const char *local, const char *remote, int remote_free)
{
    struct spoton_engine_options options = {.struct_bytes = sizeof options,
                                            .model_path = "fake",
                                            .batch = 1,
                                            .height = HEIGHT,
                                            .width = WIDTH,
                                            .layout = SPOTON_LAYOUT_NHWC,
                                            .input_layout = SPOTON_LAYOUT_NHWC,
                                            .scale = 255,
                                            .threads = 2,
                                            .streams = 1,
                                            .backend_options = local};
    struct sp_spill_engines engines = {fake, &remote_api, remote};
    struct spoton_engine *engine = NULL;
    char error[300] = "";
    atomic_store(&capacity, remote_free);
    atomic_store(&remote_submits, 0);
    assert_int_equal(sp_spill_open(&engine, &engines, &options, error, sizeof error), 0);
    return engine;
}

/* Image i has a white block of 8 px in column i. */
static void submit(struct spoton_engine *engine, int request)
{
    char error[300] = "";
    uint8_t *image = sp_spill_api()->input(engine, request);
    memset(image, 0, BYTES);
    for (int y = 0; y < 8; y++)
        memset(image + (y * WIDTH + request * 8) * 3, 255, (size_t)8 * 3);
    assert_int_equal(sp_spill_api()->submit(engine, request, error, sizeof error), 0);
}

static void check(struct spoton_engine *engine, int request)
{
    const float *data;
    int64_t dims[SPOTON_RANK_MAX];
    int rank;
    char error[300] = "";
    assert_int_equal(sp_spill_api()->wait(engine, request, error, sizeof error), 0);
    assert_int_equal(
        sp_spill_api()->output(engine, request, 0, &data, dims, &rank, error, sizeof error), 0);
    assert_int_equal(rank, 3);
    assert_int_equal(dims[2], 100);
    assert_true(data[0] == (float)(request * 8 + 4)); /* the center of the first box */
    assert_true(data[200] == 8.0f);
}

static void test_an_idle_local_engine_infers_alone(void **state)
{
    (void)state;
    struct spoton_engine *engine = open_spill(NULL, NULL, 8);
    for (int i = 0; i < 20; i++) {
        submit(engine, 0);
        check(engine, 0);
    }
    assert_int_equal(atomic_load(&remote_submits), 0);
    sp_spill_api()->close(engine);
}

/* Many at once; the first one teaches the shapes. */
static void submit_all(struct spoton_engine *engine)
{
    struct spoton_engine_description d = {.struct_bytes = sizeof d};
    sp_spill_api()->describe(engine, &d);
    int count = d.requests < IMAGES ? d.requests : IMAGES;
    submit(engine, 0);
    check(engine, 0);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < count; i++)
            submit(engine, i);
        for (int i = 0; i < count; i++)
            check(engine, i);
    }
}

static void test_waiting_requests_go_to_the_remote_engine(void **state)
{
    (void)state;
    struct spoton_engine *engine = open_spill("delay_us=20000", NULL, 8);
    submit_all(engine);
    assert_true(atomic_load(&remote_submits) > 0);
    assert_int_equal(sp_spill_api()->capacity(engine), 2); /* one stream each */
    sp_spill_api()->close(engine);
}

static void test_without_capacity_nothing_goes_there(void **state)
{
    (void)state;
    struct spoton_engine *engine = open_spill("delay_us=2000", NULL, 0);
    submit_all(engine);
    assert_int_equal(atomic_load(&remote_submits), 0);
    assert_int_equal(sp_spill_api()->capacity(engine), 1);
    sp_spill_api()->close(engine);
}

static void test_what_the_remote_engine_fails_is_inferred_locally(void **state)
{
    (void)state;
    struct spoton_engine *engine = open_spill("delay_us=5000", "fail_after=1", 8);
    submit_all(engine);
    assert_true(atomic_load(&remote_submits) > 0);
    sp_spill_api()->close(engine);
}

static void test_errors_of_the_local_engine_are_reported(void **state)
{
    (void)state;
    char error[300] = "";
    struct spoton_engine *engine = open_spill("fail_after=1", NULL, 8);
    submit(engine, 0);
    assert_true(sp_spill_api()->wait(engine, 0, error, sizeof error) < 0);
    assert_non_null(strstr(error, "fail_after"));
    sp_spill_api()->close(engine);
}

static void test_servers_are_the_remote_engines(void **state)
{
    (void)state;
    struct spoton_engine *engine = open_spill(NULL, NULL, 8);
    struct spoton_server server = {.struct_bytes = sizeof server};
    assert_int_equal(sp_spill_api()->server(engine, 0, &server), 0);
    assert_string_equal(server.name, "elsewhere");
    assert_true(sp_spill_api()->server(engine, 1, &server) < 0);
    sp_spill_api()->close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_idle_local_engine_infers_alone),
        cmocka_unit_test(test_waiting_requests_go_to_the_remote_engine),
        cmocka_unit_test(test_without_capacity_nothing_goes_there),
        cmocka_unit_test(test_what_the_remote_engine_fails_is_inferred_locally),
        cmocka_unit_test(test_errors_of_the_local_engine_are_reported),
        cmocka_unit_test(test_servers_are_the_remote_engines),
    };
    fake = load_fake();
    remote_api = *fake;
    remote_api.submit = remote_submit;
    remote_api.capacity = remote_capacity;
    remote_api.server = remote_server;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
