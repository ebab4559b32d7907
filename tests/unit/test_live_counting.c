/* Counting over live cameras: order, changes of lines and zones, and the file of edited ones. */
#include "pipeline/live_counting.h"

#include "base/clock.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

enum { WIDTH = 640, HEIGHT = 480, STEP_US = 100000, WALL_US = 5000000, EVENTS = 256 };

static const char one_line[] =
    "{\"lines\": [{\"name\": \"door\", \"points\": [[0.5, 0], [0.5, 1]]}]}";

struct bench {
    char folder[64], file[96], yaml[96];
    struct sp_event_log *log;
    struct sp_live_counting *counting;
    struct sp_result *update;
    struct sp_event *events;
};

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static struct bench *new_bench(void)
{
    struct bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    snprintf(b->folder, sizeof b->folder, "/tmp/spoton-counting-XXXXXX");
    assert_non_null(mkdtemp(b->folder));
    snprintf(b->file, sizeof b->file, "%s/analytics.json", b->folder);
    snprintf(b->yaml, sizeof b->yaml, "%s/spoton.yaml", b->folder);
    b->update = calloc(1, sizeof *b->update);
    b->events = calloc(EVENTS, sizeof *b->events);
    assert_true(b->update && b->events);
    return b;
}

static int start(struct bench *b, bool yaml, struct sp_error *err)
{
    struct sp_event_log_options events = {0};
    assert_int_equal(sp_event_log_open(&b->log, &events, NULL), SP_OK);
    struct sp_live_counting_options options = {
        .yaml_path = yaml ? b->yaml : "", .file = b->file, .events = b->log};
    return sp_live_counting_open(&b->counting, &options, err);
}

static void stop(struct bench *b)
{
    sp_live_counting_close(b->counting);
    sp_event_log_close(b->log);
    b->counting = NULL;
    b->log = NULL;
}

static void free_bench(struct bench *b)
{
    stop(b);
    unlink(b->file);
    unlink(b->yaml);
    rmdir(b->folder);
    free(b->update);
    free(b->events);
    free(b);
}

/* A frame of camera `index` at `step`, with a person at x; negative: none. */
static void see(struct bench *b, int index, const char *name, int step, double x)
{
    struct sp_result *u = b->update;
    memset(u, 0, sizeof *u);
    u->camera = index;
    u->generation = 1;
    snprintf(u->name, sizeof u->name, "%s", name);
    u->pts_us = (int64_t)step * STEP_US;
    u->received_us = u->pts_us + 1000;
    u->wall_us = u->received_us + WALL_US;
    u->inferred = true;
    u->width_px = WIDTH;
    u->height_px = HEIGHT;
    u->track_count = x >= 0;
    u->tracks[0] = (struct sp_track){.id = 1 + (uint32_t)index,
                                     .x1_px = x - 20,
                                     .x2_px = x + 20,
                                     .y1_px = 200,
                                     .y2_px = 300,
                                     .confidence = 0.9,
                                     .detection = 1};
    sp_live_counting_frame(b->counting, u);
}

static size_t events(struct bench *b)
{
    uint64_t oldest, newest;
    return sp_event_log_read(b->log, 0, b->events, EVENTS, &oldest, &newest);
}

/* The counting thread has no deadline here: a hang ends with the test's time limit. */
static void wait_for_events(struct bench *b, size_t count)
{
    while (events(b) < count)
        usleep(5000);
    assert_int_equal(events(b), count);
}

struct found {
    uint64_t in, out, visits;
    int lines, zones, seen;
};

static void take_line(void *user, const struct sp_line_count *line)
{
    struct found *found = user;
    found->in += line->in;
    found->out += line->out;
    found->lines++;
}

static void take_zone(void *user, const struct sp_zone_count *zone)
{
    struct found *found = user;
    found->visits += zone->visits;
    found->seen += zone->seen;
    found->zones++;
}

static struct found counts(struct bench *b)
{
    struct found found = {0};
    struct sp_live_counting_visitor visitor = {take_line, take_zone, &found};
    sp_live_counting_visit(b->counting, &visitor);
    return found;
}

static int put(struct bench *b, const char *camera, const char *text, struct sp_error *err)
{
    bool changed = false;
    int result =
        sp_live_counting_put(b->counting, camera, WIDTH, HEIGHT, text, strlen(text), &changed, err);
    assert_int_equal(changed, result == SP_OK);
    return result;
}

/* --- order ------------------------------------------------------------------------------------ */

enum { STEPS = 40 };

/* Two cameras, whose people cross their lines at times that are not those of arrival. */
static void walk(struct bench *b, int index, int step)
{
    double start_px = index ? 560 : 500;
    see(b, index, index ? "b" : "a", step, start_px - 12 * step);
}

static void take_event(void *user, const struct sp_counting_event *event)
{
    struct bench *b = user;
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_counting_event_members_json(&json, event);
    sp_json_end_object(&json);
    sp_event_log_add(b->log, 0, event->camera, 1, sp_counting_event_name(event->kind),
                     event->time_us, json.text);
    sp_json_release(&json);
}

/* The same frames in order, without threads. */
static size_t count_directly(struct bench *b)
{
    struct sp_event_log_options options = {0};
    struct sp_counting_config *config = calloc(1, sizeof *config);
    static const char *const cameras[] = {"a", "b"};
    assert_non_null(config);
    config->camera_count = 2;
    for (int i = 0; i < 2; i++) {
        struct sp_scope_config *scope = &config->cameras[i];
        snprintf(scope->name, sizeof scope->name, "%s", cameras[i]);
        scope->line_count = 1;
        scope->lines[0] =
            (struct sp_line_config){.in = "in", .out = "out", .points = {{0.5, 0}, {0.5, 1}}};
        snprintf(scope->lines[0].name, SP_COUNTING_NAME_BYTES, "line %s", cameras[i]);
    }
    assert_int_equal(sp_event_log_open(&b->log, &options, NULL), SP_OK);
    struct sp_counting *counting;
    struct sp_counting_options counting_options = {
        .config = config, .cameras = cameras, .camera_count = 2, .event = take_event, .user = b};
    assert_int_equal(sp_counting_open(&counting, &counting_options, NULL), SP_OK);
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < 2; i++) {
            double x = (i ? 560 : 500) - 12 * step;
            struct sp_track track = {.id = 1 + (uint32_t)i,
                                     .x1_px = x - 20,
                                     .x2_px = x + 20,
                                     .y1_px = 200,
                                     .y2_px = 300,
                                     .confidence = 0.9,
                                     .detection = 1};
            struct sp_counting_frame frame = {.camera = i,
                                              .time_us = (int64_t)step * STEP_US + 1000 + WALL_US,
                                              .width_px = WIDTH,
                                              .height_px = HEIGHT,
                                              .inferred = true,
                                              .tracks = &track,
                                              .count = 1};
            sp_counting_frame(counting, &frame);
        }
    sp_counting_close(counting);
    free(config);
    size_t count = events(b);
    sp_event_log_close(b->log);
    b->log = NULL;
    return count;
}

static void test_events_do_not_depend_on_the_order_of_arrival(void **state)
{
    (void)state;
    struct bench *b = new_bench();
    size_t count = count_directly(b);
    assert_int_equal(count, 2);
    struct sp_event wanted[2] = {b->events[0], b->events[1]};
    for (int ahead = 0; ahead < 6; ahead += 2) {
        assert_int_equal(start(b, false, NULL), SP_OK);
        for (int i = 0; i < 2; i++) {
            char text[160];
            snprintf(text, sizeof text,
                     "{\"lines\": [{\"name\": \"line %s\", \"points\": [[0.5, 0], [0.5, 1]]}]}",
                     i ? "b" : "a");
            assert_int_equal(put(b, i ? "b" : "a", text, NULL), SP_OK);
        }
        for (int step = 0; step < STEPS + ahead; step++) { /* b is ahead of a */
            if (step < STEPS)
                walk(b, 1, step);
            if (step >= ahead)
                walk(b, 0, step - ahead);
        }
        wait_for_events(b, count);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(b->events[i].kind, wanted[i].kind);
            assert_string_equal(b->events[i].payload, wanted[i].payload);
            assert_int_equal(b->events[i].wall_us, wanted[i].wall_us);
        }
        assert_string_equal(b->events[0].id, "a/1/1");
        stop(b);
        unlink(b->file);
    }
    free_bench(b);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void test_a_change_keeps_counts_and_visits(void **state)
{
    (void)state;
    struct bench *b = new_bench();
    struct sp_error err = {0};
    write_file(b->yaml, "cameras:\n"
                        "  - name: a\n"
                        "    url: a.mp4\n"
                        "    lines: [{name: door, points: [[0.5, 0], [0.5, 1]]}]\n"
                        "    zones: [{name: hall, polygon: [[0, 0], [1, 0], [1, 1], [0, 1]]}]\n");
    assert_int_equal(start(b, true, &err), SP_OK);
    for (int step = 0; step < 20; step++)
        see(b, 0, "a", step, 440 - 12 * step);
    wait_for_events(b, 3); /* entered, occupancy, crossed */
    assert_int_equal(counts(b).in + counts(b).out, 1);

    /* A line more, the zone unchanged: the person inside is one visit. */
    assert_int_equal(
        put(b, "a",
            "{\"lines\": [{\"name\": \"door\", \"points\": [[0.5, 0], [0.5, 1]]},"
            " {\"name\": \"second\", \"points\": [[0.25, 0], [0.25, 1]]}],"
            "\"zones\": [{\"name\": \"hall\", \"polygon\": [[0, 0], [1, 0], [1, 1], [0, 1]]}]}",
            &err),
        SP_OK);
    for (int step = 20; step < 30; step++)
        see(b, 0, "a", step, 440 - 12 * step);
    wait_for_events(b, 4);
    struct found found = counts(b);
    assert_int_equal(found.lines, 2);
    assert_int_equal(found.in + found.out, 2);
    assert_int_equal(found.visits, 1);

    /* A bad change has no effect; its error names the thing. */
    assert_int_equal(put(b, "a", "{\"lines\": [{\"name\": \"door\"}]}", &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "lines[0]: `points` is missing"));
    assert_int_equal(put(b, "a", "{\"zones\": [], \"line\": []}", &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "did you mean lines"));
    assert_int_equal(put(b, "a",
                         "{\"lines\": [{\"name\": \"x\", \"unit\": \"px\", \"points\": [[1, 1], "
                         "[900, 1]]}]}",
                         &err),
                     SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "outside the frame of 640x480"));
    assert_int_equal(counts(b).lines, 2);

    /* Without the zone its visit ends; the line that remains keeps its count. */
    assert_int_equal(put(b, "a", one_line, &err), SP_OK);
    wait_for_events(b, 5);
    assert_string_equal(b->events[4].kind, "zone.left");
    found = counts(b);
    assert_int_equal(found.lines, 1);
    assert_int_equal(found.in + found.out, 1);
    assert_int_equal(found.zones, 0);

    /* Those of spoton.yaml again, also after a reload. */
    bool changed;
    assert_int_equal(sp_live_counting_remove(b->counting, "a", &changed, &err), SP_OK);
    assert_int_equal(counts(b).zones, 1);
    assert_int_equal(sp_live_counting_remove(b->counting, "a", &changed, &err), SP_ERR_NOT_FOUND);
    write_file(b->yaml, "cameras:\n  - name: a\n    url: a.mp4\n    lines: [{name: door}]\n");
    assert_int_equal(sp_live_counting_reload(b->counting, b->yaml, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "spoton.yaml:4:"));
    assert_int_equal(counts(b).zones, 1);
    write_file(b->yaml, "cameras:\n  - name: a\n    url: a.mp4\n"
                        "    lines: [{name: door, points: [[0.5, 0], [0.5, 1]]}]\n");
    assert_int_equal(sp_live_counting_reload(b->counting, b->yaml, &err), SP_OK);
    found = counts(b);
    assert_int_equal(found.zones, 0);
    assert_int_equal(found.in + found.out, 1);
    free_bench(b);
}

static void test_a_removed_camera_ends_its_visits_and_keeps_its_counts(void **state)
{
    (void)state;
    struct bench *b = new_bench();
    assert_int_equal(start(b, false, NULL), SP_OK);
    assert_int_equal(put(b, "a",
                         "{\"lines\": [{\"name\": \"door\", \"points\": [[0.5, 0], [0.5, 1]]}],"
                         "\"zones\": [{\"name\": \"left\", \"polygon\": [[0, 0], [0.4, 0], [0.4, "
                         "1], [0, 1]]}]}",
                         NULL),
                     SP_OK);
    for (int step = 0; step < 25; step++)
        see(b, 0, "a", step, 440 - 12 * step);
    sp_live_counting_end_camera(b->counting, 0);
    size_t count = events(b);
    assert_string_equal(b->events[count - 1].kind, "zone.left");
    assert_string_equal(b->events[count - 1].camera, "a");
    struct found found = counts(b);
    assert_int_equal(found.visits, 1);
    assert_int_equal(found.in + found.out, 1);
    /* It comes back at another index. */
    for (int step = 0; step < 25; step++)
        see(b, 3, "a", 100 + step, 440 - 12 * step);
    sp_live_counting_end_camera(b->counting, 3);
    found = counts(b);
    assert_int_equal(found.visits, 2);
    assert_int_equal(found.in + found.out, 2);
    free_bench(b);
}

static void test_a_full_queue_misses_frames_without_waiting(void **state)
{
    (void)state;
    struct bench *b = new_bench();
    assert_int_equal(start(b, false, NULL), SP_OK);
    assert_int_equal(put(b, "a", one_line, NULL), SP_OK);
    for (int step = 0; step < 100000 && sp_live_counting_missed(b->counting) == 0; step++)
        see(b, 0, "a", step, 320);
    assert_true(sp_live_counting_missed(b->counting) > 0);
    see(b, 1, "other", 0, 320); /* without lines: not even queued */
    free_bench(b);
}

/* --- the file --------------------------------------------------------------------------------- */

static void test_edits_outlive_the_program(void **state)
{
    (void)state;
    struct bench *b = new_bench();
    struct sp_error err = {0};
    assert_int_equal(start(b, false, NULL), SP_OK);
    assert_int_equal(put(b, "a", one_line, NULL), SP_OK);
    assert_int_equal(put(b, NULL,
                         "{\"zones\": [{\"name\": \"Caf\xC3\xA9 \\\"1\\\"\", \"polygon\": [[0, 0], "
                         "[4.5, 0], [4, -3.25]], \"crowded\": 4, \"loitering_s\": 2.5}]}",
                         NULL),
                     SP_OK);
    stop(b); /* written by now */
    assert_int_equal(start(b, false, &err), SP_OK);
    struct sp_json json = {0};
    sp_json_begin_object(&json);
    sp_live_counting_setups_json(b->counting, &json);
    sp_json_end_object(&json);
    assert_non_null(strstr(json.text, "{\"camera\":\"a\",\"edited\":true,\"lines\":[{\"name\":"
                                      "\"door\",\"points\":[[0.5,0],[0.5,1]],\"unit\":\"fraction\","
                                      "\"anchor\":\"foot\",\"in\":\"in\",\"out\":\"out\"}]"));
    assert_non_null(strstr(json.text,
                           "[[0,0],[4.5,0],[4,-3.25]],\"unit\":\"m\",\"anchor\":\"foot\","
                           "\"crowded\":4,\"loitering_s\":2.5}"));
    assert_non_null(strstr(json.text, "Caf\xC3\xA9 \\\"1\\\""));
    sp_json_release(&json);

    /* One name on the map and in a camera are not one zone. */
    assert_int_equal(put(b, "a",
                         "{\"zones\": [{\"name\": \"Caf\xC3\xA9 \\\"1\\\"\", \"polygon\": [[0, 0], "
                         "[1, 0], [1, 1]]}]}",
                         &err),
                     SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "give one of them another name"));
    stop(b);

    write_file(b->file, "{\"cameras\": [{\"name\": \"a\", \"lines\": [{\"name\": \"x\"}]}]}\n");
    assert_int_equal(start(b, false, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "ANALYTICS_FILE: "));
    assert_non_null(strstr(err.text, "analytics.json:1:"));
    sp_event_log_close(b->log);
    b->log = NULL;
    b->counting = NULL;
    free_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_events_do_not_depend_on_the_order_of_arrival),
        cmocka_unit_test(test_a_change_keeps_counts_and_visits),
        cmocka_unit_test(test_a_removed_camera_ends_its_visits_and_keeps_its_counts),
        cmocka_unit_test(test_a_full_queue_misses_frames_without_waiting),
        cmocka_unit_test(test_edits_outlive_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
