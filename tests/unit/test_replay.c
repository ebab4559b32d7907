/* A day of simulated time, counted live and again from the store: the same events to the byte. */
#include "analytics/analytics.h"
#include "base/json.h"
#include "base/yaml.h"
#include "store/counting.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

enum { CAMERAS = 2, PEOPLE = 3, WIDTH = 1280, HEIGHT = 720, BLOCK = 60, KINDS = 6, QUARTER = 600 };
static const int64_t START_US = INT64_C(1764568800000000); /* 2025-12-01T06:00: midnight is in it */
static const int64_t DAY_US = INT64_C(86400000000), STEP_US = 1500000;
static const double UNITS_PER_M = 10;
static const char *const names[CAMERAS] = {"gate", "yard"};

static const char lines[] =
    "cameras:\n"
    "- name: gate\n"
    "  lines: [{name: door, points: [[0.5, 0], [0.5, 1]]}, {name: both, points: [[0, 0.6], [1, "
    "0.6]]}]\n"
    "  zones: [{name: left, polygon: [[0, 0], [0.4, 0], [0.4, 1], [0, 1]], crowded: 2, "
    "loitering_s: 8}]\n"
    "- name: yard\n"
    "  lines: [{name: both, points: [[0, 0.6], [1, 0.6]]}]\n"
    "  zones: [{name: left, polygon: [[0, 0], [0.3, 0], [0.3, 1], [0, 1]]}]\n"
    "map:\n"
    "  lines: [{name: passage, points: [[6, 0], [6, 12]]}]\n"
    "  zones: [{name: yard, polygon: [[2, 2], [6, 2], [6, 6], [2, 6]]}]\n";

struct counted {
    uint64_t hash, events, kind[KINDS];
    int64_t first_us, last_us;
    struct sp_json json;
};

static void take_event(void *user, const struct sp_counting_event *event)
{
    struct counted *c = user;
    sp_json_clear(&c->json);
    sp_counting_event_json(&c->json, event);
    for (size_t i = 0; i < c->json.used_bytes; i++)
        c->hash = (c->hash ^ (uint8_t)c->json.text[i]) * UINT64_C(1099511628211);
    c->first_us = c->events++ ? c->first_us : event->time_us;
    c->last_us = event->time_us;
    c->kind[event->kind]++;
}

static struct sp_counting_config *read_config(void)
{
    struct sp_yaml *yaml;
    struct sp_counting_config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    assert_int_equal(sp_yaml_read_text(&yaml, lines, sizeof lines - 1, "lines", NULL), SP_OK);
    assert_int_equal(sp_counting_config_read(config, sp_yaml_root(yaml), NULL), SP_OK);
    sp_yaml_close(yaml);
    return config;
}

static uint32_t seed = 1;

static double noise(double most)
{
    seed = seed * 1664525 + 1013904223;
    return ((double)(seed >> 8) / (1 << 24) - 0.5) * 2 * most;
}

struct day {
    struct sp_counting *counting;
    struct sp_store *store;
    struct sp_block_encoder *encoder[CAMERAS];
    int in_block[CAMERAS];
    struct sp_block_header header;
    int64_t latest_us; /* as the recorder keeps them */
    uint32_t turn;
    struct sp_track tracks[PEOPLE];
    struct sp_world_position positions[PEOPLE];
};

static void store_block(struct day *d, int camera)
{
    struct sp_block_header header;
    struct sp_segments *segments = d->store->segments;
    size_t bytes;
    const uint8_t *block = sp_block_end(d->encoder[camera], false, &bytes, &header);
    if (bytes > 0)
        assert_int_equal(segments->api->append(segments, names[camera],
                                               sp_store_day(header.first_us), block, bytes, NULL),
                         SP_OK);
    sp_block_begin(d->encoder[camera], &d->header);
    d->in_block[camera] = 0;
}

/* In the first quarter of each hour people come and go every minute, with new track ids and the
 * same global ids. */
static size_t fill_people(struct day *d, int camera, int n, int run_begin)
{
    size_t count = 0;
    for (int p = 0; p < PEOPLE && n / QUARTER % 4 == 0; p++) {
        if ((n / 40 + p) % 3 == 0)
            continue;
        double x = WIDTH * (0.5 + 0.45 * sin(0.05 * n * (p + 1) + camera)) + noise(3);
        double y = HEIGHT * (0.65 + 0.25 * sin(0.07 * n + 2 * p)) + noise(3);
        d->tracks[count] = (struct sp_track){.id = (uint32_t)(1 + p + 4 * ((n - run_begin) / 40)),
                                             .x1_px = x - 35,
                                             .x2_px = x + 35 + noise(2),
                                             .y1_px = y - 180 + noise(4),
                                             .y2_px = y,
                                             .confidence = 0.8,
                                             .detection = 1};
        d->positions[count++] = (struct sp_world_position){.person = (uint32_t)p + 1,
                                                           .on_map = n % 17 != 0,
                                                           .x = UNITS_PER_M * 10 * x / WIDTH,
                                                           .y = UNITS_PER_M * 10 * y / HEIGHT};
    }
    return count;
}

static void frame(struct day *d, int camera, int n, int run_begin, int64_t time_us)
{
    struct sp_stored_track stored[PEOPLE];
    size_t count = fill_people(d, camera, n, run_begin);
    bool late = time_us <= d->latest_us;
    d->turn = late ? d->turn + 1 : 0;
    d->latest_us = late ? d->latest_us : time_us;
    struct sp_stored_frame kept = {.time_us = time_us,
                                   .late_us = late ? d->latest_us - time_us : 0,
                                   .turn = d->turn,
                                   .sequence = (uint64_t)n,
                                   .inferred = n % 50 != 0,
                                   .mapped = true,
                                   .count = count,
                                   .tracks = stored};
    for (size_t i = 0; i < count; i++)
        sp_stored_track_fill(&stored[i], &d->tracks[i], &d->positions[i]);
    assert_true(sp_block_add(d->encoder[camera], &kept));
    if (++d->in_block[camera] == BLOCK)
        store_block(d, camera);
    const struct sp_counting_frame counted = {.camera = camera,
                                              .time_us = time_us,
                                              .width_px = WIDTH,
                                              .height_px = HEIGHT,
                                              .inferred = kept.inferred,
                                              .tracks = d->tracks,
                                              .positions = d->positions,
                                              .count = count};
    sp_counting_frame(d->counting, &counted);
}

/* The process is started again at noon, and a camera's frame is late now and then. */
static void live(struct day *d)
{
    int steps = (int)(DAY_US / STEP_US), noon = steps / 4, run_begin = 0;
    d->header = (struct sp_block_header){
        .run_us = START_US, .epoch = 1, .width_px = WIDTH, .height_px = HEIGHT};
    for (int c = 0; c < CAMERAS; c++)
        sp_block_begin(d->encoder[c], &d->header);
    for (int n = 0; n < steps; n++) {
        int64_t time_us = START_US + n * STEP_US + (int64_t)noise(100000);
        if (n == noon) {
            run_begin = n;
            d->header.run_us = time_us;
            for (int c = 0; c < CAMERAS; c++)
                store_block(d, c);
            sp_counting_restart(d->counting);
            d->latest_us = d->turn = 0;
        }
        frame(d, 0, n, run_begin, time_us);
        frame(d, 1, n, run_begin, time_us + (n % 97 ? 1000 : -50000));
    }
    for (int c = 0; c < CAMERAS; c++)
        store_block(d, c);
    sp_counting_finish(d->counting);
}

static void test_a_day_from_the_store_gives_the_live_events(void **state)
{
    char folder[] = "/tmp/spoton-replay-XXXXXX", command[64];
    static struct day day;
    struct counted seen = {0}, again = {0};
    struct sp_counting_config *config = read_config();
    const struct sp_counting_options options = {.config = config,
                                                .cameras = names,
                                                .camera_count = CAMERAS,
                                                .units_per_m = UNITS_PER_M,
                                                .event = take_event,
                                                .user = &seen};
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(sp_store_open(&day.store, folder, true, NULL), SP_OK);
    assert_int_equal(sp_counting_open(&day.counting, &options, NULL), SP_OK);
    for (int c = 0; c < CAMERAS; c++)
        assert_int_equal(sp_block_encoder_open(&day.encoder[c], NULL), SP_OK);
    live(&day);
    const struct sp_stored_counting stored = {.config = config,
                                              .units_per_m = UNITS_PER_M,
                                              .to_us = INT64_MAX / 4,
                                              .event = take_event,
                                              .user = &again,
                                              .to_the_end = true};
    assert_int_equal(sp_stored_counting_run(day.store, &stored, NULL, NULL), SP_OK);
    assert_int_equal(again.events, seen.events);
    assert_int_equal(again.hash, seen.hash);
    for (int k = 0; k < KINDS; k++) /* all kinds, from the first hour to the last one */
        assert_in_range(seen.kind[k], 10, seen.events);
    assert_true(seen.first_us < START_US + DAY_US / 24);
    assert_true(seen.last_us > START_US + DAY_US * 23 / 24);

    sp_counting_close(day.counting);
    for (int c = 0; c < CAMERAS; c++)
        sp_block_encoder_close(day.encoder[c]);
    sp_store_close(day.store);
    sp_json_release(&seen.json);
    sp_json_release(&again.json);
    free(config);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0); // NOLINT(cert-env33-c)
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_day_from_the_store_gives_the_live_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
