/* Images of events: stored with them, retained, and erased. */
#include "store/images.h"
#include "store/maintenance.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t DAY_US = INT64_C(86400000000);
static const int64_t START_US = INT64_C(1764547200000000); /* 2025-12-01 */

static char folder[64];

static void make_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/spoton-store-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
}

static void record_one(struct sp_recorder *recorder, int camera, const char *name, int number)
{
    struct sp_track tracks[2];
    struct sp_world_position positions[2] = {{.person = 3, .on_map = true, .x = 1.238, .y = -7.5}};
    for (int i = 0; i < 2; i++)
        tracks[i] = (struct sp_track){.id = 1 + (uint32_t)i,
                                      .x1_px = 10 + number + 0.06,
                                      .y1_px = 20,
                                      .x2_px = 60 + number,
                                      .y2_px = 220.13,
                                      .confidence = 0.871,
                                      .detection = 1};
    const struct sp_recorded_frame frame = {.camera = camera,
                                            .name = name,
                                            .epoch = 1,
                                            .sequence = (uint64_t)number,
                                            .time_us =
                                                START_US + number * INT64_C(40000) + 1 - camera,
                                            .inferred = true,
                                            .width_px = 1280,
                                            .height_px = 720,
                                            .tracks = tracks,
                                            .positions = positions,
                                            .count = 2};
    sp_recorder_frame(recorder, &frame);
}

static void record_image(struct sp_recorder *recorder, const char *event, const char *camera,
                         int64_t number, uint32_t bytes)
{
    uint8_t jpeg[4096];
    struct sp_recorded_image image = {.number = number, .bytes = bytes};
    memset(jpeg, 0xa5, sizeof jpeg);
    snprintf(image.event, sizeof image.event, "%s", event);
    snprintf(image.camera, sizeof image.camera, "%s", camera);
    assert_true(sp_recorder_image(recorder, &image, jpeg));
}

static void assert_image(struct sp_store *store, int64_t number, size_t expected)
{
    uint8_t *jpeg;
    size_t bytes;
    int result = sp_store_image_read(store, number, &jpeg, &bytes, NULL);
    assert_int_equal(result, expected ? SP_OK : SP_ERR_NOT_FOUND);
    if (!expected)
        return;
    assert_int_equal(bytes, expected);
    assert_int_equal(jpeg[expected - 1], 0xa5);
    free(jpeg);
}

static int64_t images_of(struct sp_store *store)
{
    const struct sp_image_filter all = {.to_us = INT64_MAX};
    int64_t count;
    assert_int_equal(sp_store_images_count(store, &all, &count, NULL, NULL), SP_OK);
    return count;
}

static void test_images_are_stored_retained_and_erased(void **state)
{
    struct sp_recorder *recorder;
    struct sp_store *store;
    struct sp_store_erased erased;
    struct sp_recorder_options options = {.location = folder};
    const char *cameras[] = {"yard", "gate"};
    int removed;
    (void)state;
    make_folder();
    assert_int_equal(sp_recorder_open(&recorder, &options, NULL), SP_OK);
    for (int i = 0; i < 100; i++) /* both cameras see P3 for 4 s */
        for (int camera = 0; camera < 2; camera++)
            record_one(recorder, camera, cameras[camera], i);
    for (int day = 0; day < 4; day++)
        for (int i = 0; i < 2; i++) {
            int64_t number = START_US - day * DAY_US + INT64_C(1000000) + i;
            char event[32];
            snprintf(event, sizeof event, "%s/1/%d", cameras[i], day);
            record_image(recorder, event, cameras[i], number, i ? 1000 : 4000);
        }
    record_image(recorder, "gate/1/9", "gate", START_US + 1000001, 0);     /* the same once more */
    record_image(recorder, "gate/1/10", "gate", START_US + 60000000, 500); /* when P3 is gone */
    uint8_t none[1] = {0};
    struct sp_recorded_image large = {.number = 1, .bytes = 2 << 20};
    assert_false(sp_recorder_image(recorder, &large, none)); /* not read: it does not fit */
    sp_recorder_close(recorder);

    assert_int_equal(sp_store_open(&store, folder, false, NULL), SP_OK);
    assert_int_equal(images_of(store), 9);
    assert_image(store, START_US + 1000001, 1000);
    assert_image(store, START_US + 2, 0);
    assert_int_equal(sp_store_retain(store, 2, 0, START_US, &removed, NULL), SP_OK);
    assert_int_equal(images_of(store), 7);
    assert_image(store, START_US - 3 * DAY_US + 1000000, 0);
    assert_int_equal(sp_store_retain(store, 2, 1, START_US, &removed, NULL), SP_OK);
    assert_int_equal(removed, 4);          /* two cameras, two days before today */
    assert_int_equal(images_of(store), 3); /* today's stay */

    const struct sp_store_erasure person = {.to_us = INT64_MAX / 2, .person = 3};
    assert_int_equal(sp_store_erase(store, &person, &erased, NULL), SP_OK);
    assert_int_equal(erased.images, 2);
    assert_image(store, START_US + 1000000, 0);
    assert_image(store, START_US + 60000000, 500);
    const struct sp_store_erasure other = {.to_us = INT64_MAX / 2, .camera = "yard"};
    assert_int_equal(sp_store_erase(store, &other, &erased, NULL), SP_OK);
    assert_int_equal(erased.images, 0);
    const struct sp_store_erasure time = {.from_us = START_US + 59000000,
                                          .to_us = START_US + 61000000};
    assert_int_equal(sp_store_erase(store, &time, &erased, NULL), SP_OK);
    assert_int_equal(erased.images, 1);
    assert_int_equal(images_of(store), 0);
    sp_store_close(store);
    remove_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_images_are_stored_retained_and_erased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
