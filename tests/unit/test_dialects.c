/* Dialects: what each makes of the same records, against tests/data/dialects/NAME.txt. Set
 * SPOTON_WRITE_GOLDEN to write these files anew; then read the difference. */
#include "output/dialect.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1 << 20, RECORDS = 9 };

static struct sp_record record;
static char text[TEXT_BYTES];
static size_t used;

static const int64_t NOW_US = 1796030417000000; /* 2026-11-30T09:20:17Z */

static struct sp_class_names names;

static void make_frame(uint8_t *data, size_t *bytes, int at, size_t tracks)
{
    static struct sp_result update;
    memset(&update, 0, sizeof update);
    update.camera = 0;
    snprintf(update.name, sizeof update.name, "gate");
    update.sequence = 100 + (uint64_t)at;
    update.pts_us = at * 1000000;
    update.wall_us = NOW_US + at * 1000000;
    update.inferred = true;
    update.width_px = 640;
    update.height_px = 360;
    update.has_world_positions = true;
    update.track_count = tracks;
    update.tracks[0] = (struct sp_track){.id = 7,
                                         .x1_px = 100,
                                         .y1_px = 50.5F,
                                         .x2_px = 140,
                                         .y2_px = 150,
                                         .confidence = 0.875F,
                                         .detection = 1};
    update.tracks[1] = (struct sp_track){.id = 8,
                                         .x1_px = 300,
                                         .y1_px = 60,
                                         .x2_px = 330,
                                         .y2_px = 160,
                                         .confidence = 0.5F,
                                         .class_id = 2};
    update.positions[0] =
        (struct sp_world_position){.person = 3, .on_map = true, .x = 1.25, .y = 4.5};
    const struct sp_record_head head = {
        .number = (uint64_t)at + 1, .epoch = 1796030000000001, .sequence = (uint64_t)at + 1};
    *bytes = sp_record_frame(data, &head, &update, &names);
}

static void make_event(uint8_t *data, size_t *bytes, int at, const char *kind, const char *payload)
{
    struct sp_event event = {.camera_index = 0, .epoch = 1796030000000001};
    event.wall_us = NOW_US + at * 1000000;
    snprintf(event.camera, sizeof event.camera, "gate");
    snprintf(event.id, sizeof event.id, "gate/1796030000000001/%d", at);
    snprintf(event.kind, sizeof event.kind, "%s", kind);
    snprintf(event.payload, sizeof event.payload, "%s", payload);
    const struct sp_record_head head = {
        .number = (uint64_t)at + 1, .epoch = 1796030000000001, .sequence = (uint64_t)at + 1};
    *bytes = sp_record_event(data, &head, &event);
}

static void make_record(uint8_t *data, size_t *bytes, int at)
{
    switch (at) {
    case 0:
        make_event(data, bytes, at, "camera.state",
                   "{\"state\":\"live\",\"previous\":\"connecting\"}");
        break;
    case 2:
        make_event(data, bytes, at, "line.crossed",
                   "{\"event\":\"line.crossed\",\"id\":1,\"time_us\":1800000,\"line\":\"door\","
                   "\"direction\":\"in\",\"camera\":\"gate\",\"track\":7,\"person\":\"P3\","
                   "\"at_px\":[120,150],\"confidence\":0.9987}");
        break;
    case 3:
        make_event(data, bytes, at, "zone.entered",
                   "{\"event\":\"zone.entered\",\"id\":2,\"time_us\":2800000,\"zone\":\"hall\","
                   "\"camera\":\"gate\",\"track\":7,\"at_px\":[120,150],\"confidence\":0.9}");
        break;
    case 4:
        make_event(data, bytes, at, "zone.occupancy",
                   "{\"event\":\"zone.occupancy\",\"id\":3,\"time_us\":3800000,\"zone\":\"hall\","
                   "\"people\":1,\"low\":1,\"high\":2,\"confidence\":0.9}");
        break;
    case 6:
        make_event(data, bytes, at, "zone.left",
                   "{\"event\":\"zone.left\",\"id\":4,\"time_us\":5800000,\"zone\":\"hall\","
                   "\"camera\":\"gate\",\"track\":7,\"at_px\":[120,150],\"dwell_s\":3,"
                   "\"confidence\":0.9}");
        break;
    default:
        make_frame(data, bytes, at, at == 8 ? 0 : at == 1 ? 2 : 1);
    }
}

static void print_one(const struct spoton_output_message *m)
{
    const uint8_t *payload = m->payload;
    used +=
        (size_t)snprintf(text + used, TEXT_BYTES - used, "%s%s\n  %s\n  %s, %s, %s\n  ", m->topic,
                         m->retain ? " (retained)" : "", m->id, m->kind, m->type, m->content_type);
    bool binary = strstr(m->content_type, "json") == NULL;
    for (size_t i = 0; i < m->payload_bytes; i++)
        used +=
            (size_t)snprintf(text + used, TEXT_BYTES - used, binary ? "%02x" : "%c", payload[i]);
    used += (size_t)snprintf(text + used, TEXT_BYTES - used, "\n");
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *found = calloc(1, TEXT_BYTES);
    assert_non_null(found);
    if (file) {
        size_t bytes = fread(found, 1, TEXT_BYTES - 1, file);
        found[bytes] = '\0';
        fclose(file);
    }
    return found;
}

/* After a frame with a person. The image itself does not matter. */
static void add_image(struct sp_dialect *dialect, struct sp_messages *messages)
{
    static uint8_t jpeg[] = {0xff, 0xd8, 0xff, 0x00, 0xff, 0xd9};
    static uint8_t data[SP_RECORD_BYTES_MAX];
    size_t bytes;
    const struct sp_still still = {.jpeg = jpeg, .bytes = sizeof jpeg};
    make_event(data, &bytes, 100, "snapshot", "{}");
    assert_true(sp_record_read(&record, data, bytes));
    dialect->type->image(dialect, &record, &still, messages);
}

static void check_dialect(const char *name)
{
    static uint8_t data[RECORDS][SP_RECORD_BYTES_MAX];
    char path[600];
    size_t bytes;
    struct sp_dialect *dialect;
    struct sp_messages messages = {0};
    const struct sp_dialect_setup setup = {.site = "hq", .node = "edge-1"};
    struct sp_error err = {0};
    assert_int_equal(sp_dialect_open(&dialect, name, "spoton/{site}/{kind}/{camera}", &setup, &err),
                     SP_OK);
    snprintf(dialect->status, sizeof dialect->status, "spoton/hq/status");
    used = 0;
    text[0] = '\0';
    for (int at = 0; at < RECORDS; at++) {
        make_record(data[at], &bytes, at);
        assert_true(sp_record_read(&record, data[at], bytes));
        dialect->type->render(dialect, &record, &messages);
        if (at == 1 && dialect->type->image)
            add_image(dialect, &messages);
    }
    if (dialect->type->received)
        dialect->type->received(dialect, &record, &messages);
    sp_messages_finish(&messages);
    assert_false(messages.failed);
    for (size_t i = 0; i < messages.count; i++)
        print_one(&messages.list[i]);
    snprintf(path, sizeof path, "%s/tests/data/dialects/%s.txt", getenv("SPOTON_SOURCE_DIR"), name);
    if (getenv("SPOTON_WRITE_GOLDEN")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
    }
    char *wanted = read_file(path);
    assert_string_equal(text, wanted);
    free(wanted);
    sp_messages_release(&messages);
    sp_dialect_close(dialect);
}

static void test_dialects_are_as_written_down(void **state)
{
    (void)state;
    const char *const all[] = {"spoton",     "cloudevents", "deepstream", "metropolis",
                               "scenescape", "frigate",     "onvif",      "home_assistant"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        check_dialect(all[i]);
}

static void test_topics(void **state)
{
    (void)state;
    char topic[128];
    struct sp_dialect *dialect;
    struct sp_error err = {0};
    const struct sp_dialect_setup setup = {
        .site = "a/b #1", .node = "n", .topic = "x/{site}/{camera}/{kind}"};
    assert_int_equal(sp_dialect_open(&dialect, "spoton", "t", &setup, &err), SP_OK);
    sp_dialect_topic(dialect, dialect->topic, "gate", "tracks", topic, sizeof topic);
    assert_string_equal(topic, "x/a_b _1/gate/tracks");
    sp_dialect_topic(dialect, dialect->topic, "", "health", topic, sizeof topic);
    assert_string_equal(topic, "x/a_b _1/server/health");
    sp_dialect_close(dialect);
    const char *const refused[] = {"", "a/#", "a/+/b", "a b", "{cam}/x"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const struct sp_dialect_setup wrong = {.site = "s", .node = "n", .topic = refused[i]};
        assert_int_equal(sp_dialect_open(&dialect, "spoton", "t", &wrong, &err), SP_ERR_INVALID);
    }
    assert_int_equal(sp_dialect_open(&dialect, "xml", "t", &setup, &err), SP_ERR_INVALID);
    assert_non_null(strstr(err.text, "format xml: unknown; there are spoton, cloudevents"));
}

static void test_kinds(void **state)
{
    (void)state;
    static const char *const kinds[][2] = {{"camera.state", "health"},   {"outbox.full", "health"},
                                           {"person.created", "people"}, {"line.crossed", "events"},
                                           {"snapshot", "snapshots"},    {"zone.left", "events"}};
    record.type = SP_RECORD_EVENT;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        record.event.kind = kinds[i][0];
        assert_string_equal(sp_dialect_kind(&record), kinds[i][1]);
    }
}

static void test_images_are_due_at_intervals_and_on_request(void **state)
{
    (void)state;
    static struct sp_snapshots s = {.interval_us = 60000000};
    char name[32];
    sp_snapshots_see(&s, "a");
    sp_snapshots_see(&s, "b");
    sp_snapshots_see(&s, "a");
    assert_int_equal(s.count, 2);
    assert_string_equal(sp_snapshots_next(&s, 1000), "a");
    assert_string_equal(sp_snapshots_next(&s, 1000), "b");
    assert_null(sp_snapshots_next(&s, 59000000));
    sp_snapshots_request(&s, 1);
    assert_string_equal(sp_snapshots_next(&s, 59000000), "b");
    sp_snapshots_request(&s, 1);
    assert_null(sp_snapshots_next(&s, 59999999)); /* at most one a second */
    assert_string_equal(sp_snapshots_next(&s, 60001000), "a");
    assert_string_equal(sp_snapshots_next(&s, 60001000), "b");
    assert_null(sp_snapshots_next(&s, 60001000));
    sp_snapshots_forget(&s, "a");
    sp_snapshots_forget(&s, "unknown");
    assert_int_equal(s.count, 1);
    for (int i = 0; i < 2 * SP_CAMERAS_MAX; i++) {
        snprintf(name, sizeof name, "camera-%d", i);
        sp_snapshots_see(&s, name);
    }
    assert_int_equal(s.count, SP_CAMERAS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialects_are_as_written_down),
        cmocka_unit_test(test_topics),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_images_are_due_at_intervals_and_on_request),
    };
    sp_class_names_set(&names, 0, "person", 6);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
