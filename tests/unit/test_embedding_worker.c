/* The embedding worker between the tracking workers and the map, on an engine made here. */
#include "pipeline/embedding_worker.h"

#include "base/clock.h"
#include "pipeline/map.h"

#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { W = 320, H = 240, CAMERAS = 2, TRACKS = 2, NUMBERS = 3, CROP_W = 32, CROP_H = 64 };

static const int64_t FRAME_US = 40000, LIMIT_US = 60000000;

/* ---- an engine whose embedding is the mean of each colour ---- */

struct spoton_engine {
    int batch;
    uint8_t *input;
    float *output;
};

static atomic_int runs, engine_fails, engine_waits;

static int means_inspect(const char *path, struct spoton_model_info *info, char *error,
                         size_t error_bytes)
{
    (void)path, (void)error, (void)error_bytes;
    info->input_count = info->output_count = 1;
    info->input[0] = (struct spoton_tensor){.rank = 4, .dims = {-1, 3, CROP_H, CROP_W}};
    info->output[0] = (struct spoton_tensor){.rank = 2, .dims = {-1, NUMBERS}};
    return 0;
}

static int means_open(struct spoton_engine **out, const struct spoton_engine_options *options,
                      char *error, size_t error_bytes)
{
    (void)error, (void)error_bytes;
    assert_true(options->deviation[0] > 0 && options->threads == 1);
    struct spoton_engine *e = calloc(1, sizeof *e);
    assert_non_null(e);
    e->batch = options->batch;
    e->input = malloc((size_t)e->batch * 3 * CROP_W * CROP_H);
    e->output = calloc((size_t)e->batch * NUMBERS, sizeof *e->output);
    assert_true(e->input && e->output);
    *out = e;
    return 0;
}

static void means_close(struct spoton_engine *e)
{
    free(e->input);
    free(e->output);
    free(e);
}

static uint8_t *means_input(struct spoton_engine *e, int request)
{
    (void)request;
    return e->input;
}

static int means_submit(struct spoton_engine *e, int request, char *error, size_t error_bytes)
{
    (void)request;
    atomic_fetch_add(&runs, 1);
    while (atomic_load(&engine_waits))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (atomic_load(&engine_fails)) {
        snprintf(error, error_bytes, "it fails, as the test asks for");
        return -1;
    }
    for (int i = 0; i < e->batch * NUMBERS; i++) {
        long sum = 0;
        for (int at = 0; at < CROP_W * CROP_H; at++)
            sum += e->input[i * CROP_W * CROP_H + at];
        e->output[i] = (float)sum / (CROP_W * CROP_H) + 1;
    }
    return 0;
}

static int means_wait(struct spoton_engine *e, int request, char *error, size_t error_bytes)
{
    (void)e, (void)request, (void)error, (void)error_bytes;
    return 0;
}

static int means_output(struct spoton_engine *e, int request, int index, const float **data,
                        int64_t dims[SPOTON_RANK_MAX], int *rank, char *error, size_t error_bytes)
{
    (void)request, (void)index, (void)error, (void)error_bytes;
    *data = e->output;
    dims[0] = e->batch;
    dims[1] = NUMBERS;
    *rank = 2;
    return 0;
}

static const struct spoton_engine_api means = {.abi = SPOTON_ENGINE_ABI,
                                               .struct_bytes = sizeof means,
                                               .name = "means",
                                               .inspect = means_inspect,
                                               .open = means_open,
                                               .close = means_close,
                                               .input = means_input,
                                               .submit = means_submit,
                                               .wait = means_wait,
                                               .output = means_output};

/* ---- cameras ---- */

struct fixture {
    struct sp_settings settings;
    struct sp_map *map;
    struct sp_embedding_worker *worker;
    atomic_bool stop;
    struct sp_stage_stats stage[CAMERAS];
};

struct worker {
    struct fixture *fixture;
    int camera;
    pthread_t thread;
};

/* Two people who stand apart, in an image that is grey. */
static void *post_main(void *argument)
{
    struct worker *w = argument;
    struct fixture *f = w->fixture;
    uint8_t *planes = malloc(W * H * 3 / 2);
    assert_non_null(planes);
    memset(planes, 126, W * H * 3 / 2);
    struct sp_frame frame = {.plane = {planes, planes + W * H, planes + W * H * 5 / 4},
                             .stride_bytes = {W, W / 2, W / 2},
                             .width_px = W,
                             .height_px = H,
                             .format = SP_PIXEL_I420,
                             .camera = w->camera};
    struct sp_track tracks[TRACKS];
    struct sp_detection detections[TRACKS];
    struct sp_world_position places[TRACKS];
    for (int i = 0; i < TRACKS; i++) {
        double left = 40 + 160 * i;
        tracks[i] = (struct sp_track){.id = 1 + (uint32_t)i,
                                      .confidence = 0.9,
                                      .detection = 1 + i,
                                      .x1_px = left,
                                      .y1_px = 60,
                                      .x2_px = left + 40,
                                      .y2_px = 180};
        detections[i] = (struct sp_detection){.x1_px = (float)left,
                                              .y1_px = 60,
                                              .x2_px = (float)left + 40,
                                              .y2_px = 180,
                                              .confidence = 0.9F};
    }
    while (!atomic_load(&f->stop)) {
        frame.pts_us += FRAME_US;
        frame.received_us = frame.pts_us; /* as fast as it goes: the map's time is the cameras' */
        frame.sequence++;
        assert_true(
            sp_map_positions(f->map, &frame, true, true, tracks, TRACKS, detections, places));
        sp_embedding_worker_offer(f->worker, &frame, tracks, TRACKS, &f->stage[w->camera]);
    }
    free(planes);
    return NULL;
}

static void open_fixture(struct fixture *f, struct worker workers[CAMERAS])
{
    static const struct sp_point image[] = {{0, 0}, {W, 0}, {W, H}, {0, H}};
    static const struct sp_point map[] = {{0, 0}, {800, 0}, {800, 600}, {0, 600}};
    struct sp_error err = {0};
    sp_settings_default(&f->settings);
    snprintf(f->settings.reid_model, sizeof f->settings.reid_model, "means.onnx");
    assert_int_equal(sp_embedding_worker_open(&f->worker, &f->settings, &means, NULL, &err), SP_OK);
    assert_int_equal(sp_embedding_worker_dimensions(f->worker), NUMBERS);
    assert_int_equal(sp_map_open(&f->map, &f->settings, CAMERAS, NUMBERS, &err), SP_OK);
    for (int i = 0; i < CAMERAS; i++) {
        char name[8];
        snprintf(name, sizeof name, "c0%d", i);
        struct sp_map_points points = {
            .camera = name, .image = image, .map = map, .count = 4, .width_px = W, .height_px = H};
        sp_map_camera(f->map, i, name);
        assert_int_equal(sp_map_calibrate(f->map, &points, NULL, &err), SP_OK);
    }
    assert_int_equal(sp_embedding_worker_start(f->worker, f->map, &err), SP_OK);
    for (int i = 0; i < CAMERAS; i++) {
        workers[i] = (struct worker){.fixture = f, .camera = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, post_main, &workers[i]), 0);
    }
}

static void stop_workers(struct fixture *f, struct worker workers[CAMERAS])
{
    atomic_store(&f->stop, true);
    for (int i = 0; i < CAMERAS; i++)
        pthread_join(workers[i].thread, NULL);
}

static void close_fixture(struct fixture *f, struct worker workers[CAMERAS])
{
    if (!atomic_load(&f->stop))
        stop_workers(f, workers);
    sp_embedding_worker_close(f->worker);
    sp_map_close(f->map);
}

static int embeddings(struct fixture *f)
{
    struct sp_space_counts counts;
    sp_space_count(sp_map_space(f->map), &counts);
    return counts.embeddings;
}

static void test_crops_of_two_cameras_become_embeddings(void **state)
{
    (void)state;
    static struct fixture f;
    struct worker workers[CAMERAS];
    open_fixture(&f, workers);
    int64_t end_us = sp_clock_us() + LIMIT_US;
    while (embeddings(&f) == 0 && sp_clock_us() < end_us)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_true(embeddings(&f) > 0);
    close_fixture(&f, workers);
    uint64_t seen = atomic_load(&f.stage[0].cpu_us) + atomic_load(&f.stage[1].cpu_us);
    assert_true(atomic_load(&runs) > 0 && seen > 0);
}

/* People go on having numbers, and nothing is asked of it again. */
static void test_a_model_that_fails_is_left_alone(void **state)
{
    (void)state;
    static struct fixture f;
    struct worker workers[CAMERAS];
    atomic_store(&engine_fails, 1);
    atomic_store(&runs, 0);
    open_fixture(&f, workers);
    struct sp_space_counts counts = {0};
    int64_t end_us = sp_clock_us() + LIMIT_US;
    while ((atomic_load(&runs) == 0 || counts.people == 0) && sp_clock_us() < end_us) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        sp_space_count(sp_map_space(f.map), &counts);
    }
    assert_int_equal(atomic_load(&runs), 1);
    assert_true(counts.people > 0);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    assert_int_equal(atomic_load(&runs), 1); /* not even for what was cut out by then */
    assert_int_equal(embeddings(&f), 0);
    close_fixture(&f, workers);
    atomic_store(&engine_fails, 0);
}

/* Of a camera that has left: what waits, and what is in the model, tells nothing of the next one.
 */
static void test_crops_are_not_the_next_cameras(void **state)
{
    (void)state;
    static struct fixture f;
    struct worker workers[CAMERAS];
    atomic_store(&runs, 0);
    atomic_store(&engine_waits, 1);
    open_fixture(&f, workers);
    int64_t end_us = sp_clock_us() + LIMIT_US;
    while (atomic_load(&runs) == 0 && sp_clock_us() < end_us)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_int_equal(atomic_load(&runs), 1);
    stop_workers(&f, workers);
    uint64_t before = 0, after = 0;
    for (int i = 0; i < CAMERAS; i++) {
        before += atomic_load(&f.stage[i].cpu_us);
        sp_embedding_worker_forget(f.worker, i);
    }
    atomic_store(&engine_waits, 0);
    sp_embedding_worker_close(f.worker); /* joins: the batch is finished */
    f.worker = NULL;
    for (int i = 0; i < CAMERAS; i++)
        after += atomic_load(&f.stage[i].cpu_us);
    assert_int_equal(embeddings(&f), 0);
    assert_true(after == before);
    close_fixture(&f, workers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crops_of_two_cameras_become_embeddings),
        cmocka_unit_test(test_a_model_that_fails_is_left_alone),
        cmocka_unit_test(test_crops_are_not_the_next_cameras),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
