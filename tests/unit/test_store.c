/* Blocks, segments and their repair, the reader's order, the recorder, retention. */
#include "base/clock.h"
#include "store/read_ahead.h"
#include "store/reader.h"
#include "store/recorder.h"
#include "store/store.h"

#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const int64_t DAY_US = INT64_C(86400000000);
static const int64_t START_US = INT64_C(1764547200000000); /* 2025-12-01 */

static uint64_t seed = 1;

static uint32_t random_below(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(seed >> 33) % below;
}

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

/* People who walk, come and go; now and then everything at once is different. */
static void fill_frame(struct sp_stored_frame *frame, int number, bool wild)
{
    frame->time_us = START_US + number * INT64_C(40000) + random_below(3000);
    frame->sequence = (uint64_t)number * 3 + (wild ? random_below(5) : 0);
    frame->turn = random_below(6) ? 0 : 1 + random_below(3);
    frame->late_us = frame->turn ? random_below(700000) : 0;
    frame->inferred = number % 3 == 0;
    frame->mapped = number % 7 != 0;
    frame->count = wild ? random_below(40) : 3 + (size_t)(number / 50) % 3;
    for (size_t i = 0; i < frame->count; i++) {
        struct sp_stored_track *t = &frame->tracks[i];
        *t = (struct sp_stored_track){
            .id = 1 + (uint32_t)i + (wild ? random_below(2000) * 64 : (uint32_t)number / 40 * 64),
            .person = random_below(5) ? 0 : 1 + random_below(9),
            .class_id = (int32_t)random_below(wild ? SP_STORED_CLASSES_MAX : 3),
            .confidence = (uint8_t)random_below(SP_STORED_CONFIDENCE + 1),
            .matched = random_below(2),
            .on_map = random_below(3) != 0};
        for (int k = 0; k < 4; k++)
            t->box[k] = wild ? (int32_t)random_below(2 * SP_STORED_LIMIT) - SP_STORED_LIMIT
                             : 800 * (int32_t)i + 40 * number + (int32_t)random_below(9);
        for (int k = 0; t->on_map && k < 2; k++)
            t->map[k] = (int32_t)random_below(5000) - 2500;
    }
}

static void assert_same_frame(const struct sp_stored_frame *a, const struct sp_stored_frame *b)
{
    assert_int_equal(a->time_us, b->time_us);
    assert_int_equal(a->late_us, b->late_us);
    assert_int_equal(a->turn, b->turn);
    assert_int_equal(a->sequence, b->sequence);
    assert_int_equal(a->inferred, b->inferred);
    assert_int_equal(a->mapped, b->mapped);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct sp_stored_track *p = &a->tracks[i], *q = &b->tracks[i];
        assert_int_equal(p->id, q->id);
        assert_int_equal(p->person, q->person);
        assert_int_equal(p->class_id, q->class_id);
        assert_int_equal(p->confidence, q->confidence);
        assert_int_equal(p->matched, q->matched);
        assert_int_equal(p->on_map, q->on_map);
        assert_memory_equal(p->box, q->box, sizeof p->box);
        assert_memory_equal(p->map, q->map, sizeof p->map);
    }
}

enum { FRAMES = 400 };

/* Frames `from` to `to` as one block; returns it. */
static const uint8_t *make_block(struct sp_block_encoder *encoder, int from, int to, bool wild,
                                 bool deflate, size_t *bytes)
{
    static struct sp_stored_track tracks[SP_TRACKS_MAX];
    struct sp_stored_frame frame = {.tracks = tracks};
    const struct sp_block_header header = {
        .run_us = 42, .epoch = 7, .width_px = 1280, .height_px = 720};
    sp_block_begin(encoder, &header);
    for (int i = from; i < to; i++) {
        fill_frame(&frame, i, wild);
        assert_true(sp_block_add(encoder, &frame));
    }
    return sp_block_end(encoder, deflate, bytes, NULL);
}

static void check_round_trip(bool wild, bool deflate)
{
    struct sp_block_encoder *encoder;
    struct sp_block_decoder *decoder;
    struct sp_block_header header;
    struct sp_stored_track tracks[SP_TRACKS_MAX];
    struct sp_stored_frame expected = {.tracks = tracks}, frame;
    size_t bytes;
    assert_int_equal(sp_block_encoder_open(&encoder, NULL), SP_OK);
    assert_int_equal(sp_block_decoder_open(&decoder, NULL), SP_OK);
    seed = 5;
    const uint8_t *block = make_block(encoder, 0, FRAMES, wild, deflate, &bytes);
    assert_int_equal(sp_block_parse(block, bytes, true, &header), 1);
    assert_int_equal(header.payload_bytes + SP_BLOCK_HEADER_BYTES, bytes);
    assert_int_equal(header.frames, FRAMES);
    assert_int_equal(header.run_us, 42);
    assert_int_equal(header.epoch, 7);
    assert_int_equal(header.width_px, 1280);
    assert_int_equal(header.height_px, 720);
    assert_int_equal(sp_block_open(decoder, block, &header, NULL), SP_OK);
    seed = 5;
    for (int i = 0; i < FRAMES; i++) {
        fill_frame(&expected, i, wild);
        assert_int_equal(sp_block_next(decoder, &frame, NULL), 1);
        assert_same_frame(&expected, &frame);
    }
    assert_int_equal(sp_block_next(decoder, &frame, NULL), 0);
    sp_block_encoder_close(encoder);
    sp_block_decoder_close(decoder);
}

static void test_frames_are_read_as_they_were_written(void **state)
{
    (void)state;
    check_round_trip(false, false);
    check_round_trip(false, true);
    check_round_trip(true, false);
    check_round_trip(true, true);
}

static void test_a_walking_person_costs_at_most_eight_bytes(void **state)
{
    struct sp_block_encoder *encoder;
    struct sp_stored_track tracks[5] = {0};
    struct sp_stored_frame frame = {.tracks = tracks, .count = 5, .inferred = true};
    struct sp_block_header header = {.width_px = 1280, .height_px = 720};
    size_t bytes;
    (void)state;
    assert_int_equal(sp_block_encoder_open(&encoder, NULL), SP_OK);
    sp_block_begin(encoder, &header);
    for (int i = 0; i < 25; i++) { /* a second */
        frame.time_us = START_US + i * INT64_C(40000) + random_below(2000);
        frame.sequence = (uint64_t)i;
        for (int k = 0; k < 5; k++) {
            tracks[k].id = 1 + (uint32_t)k;
            tracks[k].matched = true;
            tracks[k].confidence = (uint8_t)(80 + random_below(8));
            for (int c = 0; c < 4; c++) /* 100 px/s, noise of 2 px */
                tracks[k].box[c] = 2000 * k + 32 * i + 300 * c + (int32_t)random_below(32);
        }
        assert_true(sp_block_add(encoder, &frame));
    }
    sp_block_end(encoder, false, &bytes, &header);
    assert_int_equal(header.boxes, 125);
    assert_in_range(bytes, 125, 8 * 125);
    sp_block_encoder_close(encoder);
}

static void test_a_changed_byte_is_noticed(void **state)
{
    struct sp_block_encoder *encoder;
    struct sp_block_header header;
    size_t bytes;
    (void)state;
    assert_int_equal(sp_block_encoder_open(&encoder, NULL), SP_OK);
    const uint8_t *block = make_block(encoder, 0, 10, false, false, &bytes);
    uint8_t *copy = malloc(bytes);
    assert_non_null(copy);
    for (size_t i = 0; i < bytes; i++) {
        memcpy(copy, block, bytes);
        copy[i] ^= 0x10;
        assert_int_not_equal(sp_block_parse(copy, bytes, true, &header), 1);
    }
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(sp_block_parse(block, i, true, &header), 0);
    free(copy);
    sp_block_encoder_close(encoder);
}

/* ---- segments ---- */

static int count_blocks(struct sp_segments *segments, int64_t *damaged)
{
    struct sp_block_reader *reader;
    struct sp_block_header header;
    const uint8_t *block;
    size_t bytes;
    int count = 0;
    assert_int_equal(sp_block_reader_open(&reader, segments, NULL), SP_OK);
    sp_block_reader_start(reader, "gate", START_US / DAY_US);
    while (sp_block_reader_next(reader, 0, &header, &block, &bytes, NULL) == 1)
        count++;
    *damaged = sp_block_reader_damaged(reader);
    sp_block_reader_close(reader);
    return count;
}

static void append_to(struct sp_segments *segments, const char *camera,
                      struct sp_block_encoder *encoder, int from)
{
    size_t bytes;
    const uint8_t *block = make_block(encoder, from, from + 20, false, false, &bytes);
    assert_int_equal(segments->api->append(segments, camera, START_US / DAY_US, block, bytes, NULL),
                     SP_OK);
}

static void append_block(struct sp_segments *segments, struct sp_block_encoder *encoder, int from)
{
    append_to(segments, "gate", encoder, from);
    assert_int_equal(segments->api->sync(segments, NULL), SP_OK);
}

static void test_a_torn_segment_is_read_to_its_last_whole_block(void **state)
{
    struct sp_segments *segments;
    struct sp_block_encoder *encoder;
    char path[160];
    struct stat status;
    int64_t damaged;
    (void)state;
    make_folder();
    snprintf(path, sizeof path, "%s/tracks/gate/2025-12-01.seg", folder);
    assert_int_equal(sp_block_encoder_open(&encoder, NULL), SP_OK);
    assert_int_equal(sp_segment_files_open(&segments, folder, NULL), SP_OK);
    for (int i = 0; i < 3; i++)
        append_block(segments, encoder, 20 * i);
    assert_int_equal(count_blocks(segments, &damaged), 3);
    assert_int_equal(damaged, 0);
    assert_int_equal(stat(path, &status), 0);
    int64_t whole = status.st_size;
    append_block(segments, encoder, 60);
    sp_segments_close(segments);
    assert_int_equal(stat(path, &status), 0);

    /* Cut at every byte of the last block, as a power cut may do. */
    for (int64_t size = status.st_size - 1; size >= whole; size -= 37) {
        assert_int_equal(truncate(path, size), 0);
        assert_int_equal(sp_segment_files_open(&segments, folder, NULL), SP_OK);
        assert_int_equal(count_blocks(segments, &damaged), 3);
        assert_int_equal(damaged, size - whole);
        sp_segments_close(segments);
    }
    /* The next writer removes the rest and continues. */
    assert_int_equal(truncate(path, whole + 100), 0);
    assert_int_equal(sp_segment_files_open(&segments, folder, NULL), SP_OK);
    append_block(segments, encoder, 80);
    assert_int_equal(count_blocks(segments, &damaged), 4);
    assert_int_equal(damaged, 0);

    /* Damage within: the blocks around it are read. */
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, "xxxxxxxx", 8, SP_SEGMENT_HEADER_BYTES + 90), 8);
    close(file);
    assert_int_equal(count_blocks(segments, &damaged), 3);
    assert_true(damaged > 0);
    sp_segments_close(segments);
    sp_block_encoder_close(encoder);
    remove_folder();
}

/* ---- the recorder ---- */

struct changes {
    int count;
    enum sp_recorder_state last;
};

static void note_change(void *user, enum sp_recorder_state state, const char *text)
{
    struct changes *changes = user;
    (void)text;
    changes->count++;
    changes->last = state;
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

static void record(struct sp_recorder *recorder, int from, int to)
{
    for (int i = from; i < to; i++) {
        record_one(recorder, 0, "yard", i);
        record_one(recorder, 1, "gate", i);
    }
}

static void test_recorded_frames_are_read_in_one_order(void **state)
{
    struct sp_recorder *recorder;
    struct sp_store *store;
    struct sp_track_reader *reader;
    struct sp_read_frame frame;
    const char *const *names;
    struct sp_recorder_options options = {.location = folder};
    (void)state;
    make_folder();
    assert_int_equal(sp_recorder_open(&recorder, &options, NULL), SP_OK);
    struct sp_recorder *second = NULL;
    struct sp_error err = {0};
    assert_int_equal(sp_recorder_open(&second, &options, &err), SP_ERR_CLOSED);
    record(recorder, 0, 100);
    struct sp_event event = {.kind = "line.crossed",
                             .camera = "gate",
                             .id = "gate/1/1",
                             .wall_us = START_US,
                             .payload =
                                 "{\"line\":\"door\",\"direction\":\"in\",\"person\":\"P3\"}"};
    sp_recorder_event(recorder, &event);
    sp_recorder_close(recorder);

    assert_int_equal(sp_store_open(&store, folder, false, NULL), SP_OK);
    assert_int_equal(sp_track_reader_open(&reader, store->segments, NULL, 0, START_US,
                                          START_US + 99 * INT64_C(40000), NULL),
                     SP_OK);
    assert_int_equal(sp_track_reader_cameras(reader, &names), 2);
    assert_string_equal(names[0], "gate");
    assert_string_equal(names[1], "yard");
    for (int i = 0; i < 198; i++) { /* gate's frames are a microsecond earlier, but were later */
        struct sp_track track;
        struct sp_world_position position;
        assert_int_equal(sp_track_reader_next(reader, &frame, NULL), 1);
        assert_int_equal(frame.camera, i % 2 ? 0 : 1);
        assert_int_equal(frame.frame.time_us, START_US + i / 2 * INT64_C(40000) + 1 - i % 2);
        assert_int_equal(frame.frame.sequence, i / 2);
        assert_int_equal(frame.frame.count, 2);
        sp_stored_track_read(&frame.frame.tracks[0], &track, &position);
        assert_true(track.x1_px == 10.0 + (i - i % 2) / 2.0); /* to eighths */
        assert_true(track.y2_px == 220.125);
        assert_true(position.x == 1.24 && position.y == -7.5);
        assert_int_equal(position.person, 3);
    }
    assert_int_equal(sp_track_reader_next(reader, &frame, NULL), 0);
    sp_track_reader_close(reader);
    sp_store_close(store);
    remove_folder();
}

/* The thread that reads ahead changes neither frames nor their order, nor what is said of the end,
 * and may be closed at any frame. */
static void test_reading_ahead_gives_the_same_frames(void **state)
{
    enum { BLOCKS = 100 };
    struct sp_store *store;
    struct sp_track_reader *reader[2];
    struct sp_read_ahead *ahead;
    struct sp_read_frame a, b;
    struct sp_block_encoder *encoder;
    (void)state;
    make_folder();
    assert_int_equal(sp_store_open(&store, folder, true, NULL), SP_OK);
    assert_int_equal(sp_block_encoder_open(&encoder, NULL), SP_OK);
    for (int i = 0; i < BLOCKS; i++) {
        append_to(store->segments, "gate", encoder, i * 20);
        append_to(store->segments, "yard", encoder, i * 20);
    }
    assert_int_equal(store->segments->api->sync(store->segments, NULL), SP_OK);
    struct sp_store *second;
    assert_int_equal(sp_store_open(&second, folder, false, NULL), SP_OK);
    struct sp_store *const stores[] = {store, second};
    const int stops[] = {0, 1, 700, BLOCKS * 20 * 2 + 1};
    for (size_t i = 0; i < sizeof stops / sizeof stops[0]; i++) {
        for (int k = 0; k < 2; k++)
            assert_int_equal(sp_track_reader_open(&reader[k], stores[k]->segments, NULL, 0, 0,
                                                  INT64_MAX / 2, NULL),
                             SP_OK);
        assert_int_equal(sp_read_ahead_open(&ahead, reader[0], NULL), SP_OK);
        for (int n = 0; n < stops[i]; n++) {
            int more = sp_track_reader_next(reader[1], &b, NULL);
            assert_int_equal(sp_read_ahead_next(ahead, &a, NULL), more);
            assert_int_equal(more, n < BLOCKS * 20 * 2);
            if (!more)
                break;
            assert_int_equal(a.camera, b.camera);
            assert_int_equal(a.run_us, b.run_us);
            assert_int_equal(a.width_px, b.width_px);
            assert_same_frame(&a.frame, &b.frame);
        }
        sp_read_ahead_close(ahead);
        for (int k = 0; k < 2; k++)
            sp_track_reader_close(reader[k]);
    }
    sp_block_encoder_close(encoder);
    sp_store_close(second);
    sp_store_close(store);
    remove_folder();
}

static int stored_frames(void)
{
    struct sp_store *store;
    struct sp_track_reader *reader;
    struct sp_read_frame frame;
    int count = 0;
    assert_int_equal(sp_store_open(&store, folder, false, NULL), SP_OK);
    assert_int_equal(
        sp_track_reader_open(&reader, store->segments, NULL, 0, 0, INT64_MAX / 2, NULL), SP_OK);
    while (sp_track_reader_next(reader, &frame, NULL) == 1)
        count++;
    sp_track_reader_close(reader);
    sp_store_close(store);
    return count;
}

/* Waits for what the recorder's thread does on its own. */
static void wait_for(struct sp_recorder *recorder, enum sp_recorder_state state, uint64_t frames)
{
    struct sp_recorder_report report;
    int64_t until_us = sp_clock_us() + 60000000;
    do {
        usleep(20000);
        sp_recorder_report(recorder, &report);
        assert_true(sp_clock_us() < until_us);
    } while (report.state != state || report.frames < frames);
}

static void test_a_full_disk_stops_recording_until_there_is_space(void **state)
{
    struct sp_recorder *recorder;
    struct sp_recorder_report report;
    struct changes changes = {0};
    struct rlimit before, small;
    struct sp_recorder_options options = {
        .location = folder, .changed = note_change, .user = &changes};
    (void)state;
    make_folder();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(sp_recorder_open(&recorder, &options, NULL), SP_OK);
    record(recorder, 0, 50);
    wait_for(recorder, SP_RECORDER_RECORDING, 100);
    /* No file may grow: for the recorder the same as a full disk. */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 200;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    record(recorder, 50, 100);
    wait_for(recorder, SP_RECORDER_FULL, 100);
    sp_recorder_report(recorder, &report);
    assert_true(report.waiting_bytes > 0);
    assert_non_null(strstr(report.error, ".seg"));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    wait_for(recorder, SP_RECORDER_RECORDING, 200);
    sp_recorder_report(recorder, &report);
    assert_int_equal(report.waiting_bytes, 0);
    assert_int_equal(report.dropped, 0);
    sp_recorder_close(recorder);
    assert_int_equal(changes.count, 2);
    assert_int_equal(changes.last, SP_RECORDER_RECORDING);
    assert_int_equal(stored_frames(), 200);
    remove_folder();
}

static void test_what_does_not_fit_is_dropped_and_counted(void **state)
{
    struct sp_recorder *recorder;
    struct sp_recorder_report report;
    struct sp_recorder_options options = {.location = folder};
    (void)state;
    make_folder();
    assert_int_equal(sp_recorder_open(&recorder, &options, NULL), SP_OK);
    struct sp_track *tracks = calloc(SP_TRACKS_MAX, sizeof *tracks);
    assert_non_null(tracks);
    for (int i = 0; i < SP_TRACKS_MAX; i++)
        tracks[i] = (struct sp_track){.id = 1 + (uint32_t)i, .x2_px = 9, .y2_px = 9};
    struct sp_recorded_frame frame = {.name = "yard",
                                      .epoch = 1,
                                      .inferred = true,
                                      .width_px = 9,
                                      .height_px = 9,
                                      .tracks = tracks,
                                      .count = SP_TRACKS_MAX,
                                      .time_us = START_US};
    for (int i = 0; i < 3000; i++) { /* 60 MB at once */
        frame.time_us += 1000;
        frame.sequence++;
        sp_recorder_frame(recorder, &frame);
    }
    sp_recorder_report(recorder, &report);
    uint64_t dropped = report.dropped;
    assert_true(dropped > 0);
    sp_recorder_close(recorder);
    free(tracks);
    assert_int_equal(stored_frames() + (int)dropped, 3000);
    remove_folder();
}

static void test_retention_by_age_and_size(void **state)
{
    struct sp_store *store;
    struct sp_block_encoder *encoder;
    struct sp_segment_list list = {0};
    size_t bytes;
    int removed;
    int64_t today = START_US / DAY_US, total;
    (void)state;
    make_folder();
    assert_int_equal(sp_store_open(&store, folder, true, NULL), SP_OK);
    assert_int_equal(sp_block_encoder_open(&encoder, NULL), SP_OK);
    const uint8_t *block = make_block(encoder, 0, FRAMES, true, false, &bytes);
    struct sp_segments *s = store->segments;
    for (int day = 0; day < 5; day++)
        for (int n = 0; n < 4; n++) /* a's are four times as large */
            assert_int_equal(s->api->append(s, n ? "a" : "b", today - day, block, bytes, NULL), 0);
    assert_int_equal(s->api->sync(s, NULL), SP_OK);
    assert_int_equal(sp_store_retain(store, 3, 0, START_US, &removed, NULL), SP_OK);
    assert_int_equal(removed, 2); /* both of the day before */
    assert_int_equal(sp_store_bytes(store, &total, NULL), SP_OK);
    assert_int_equal(sp_store_retain(store, 3, total - (int64_t)bytes, START_US, &removed, NULL),
                     SP_OK);
    assert_int_equal(removed, 1);
    assert_int_equal(s->api->list(s, &list, NULL), SP_OK);
    assert_int_equal(list.count, 7);
    assert_string_equal(list.item[0].camera, "a");
    assert_int_equal(list.item[0].day, today - 2); /* the oldest of the largest camera is gone */
    sp_segment_list_release(&list);
    assert_int_equal(sp_store_retain(store, 3, 1, START_US, &removed, NULL), SP_OK);
    assert_int_equal(removed, 5); /* today's stay */
    sp_block_encoder_close(encoder);
    sp_store_close(store);
    remove_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_are_read_as_they_were_written),
        cmocka_unit_test(test_a_walking_person_costs_at_most_eight_bytes),
        cmocka_unit_test(test_a_changed_byte_is_noticed),
        cmocka_unit_test(test_a_torn_segment_is_read_to_its_last_whole_block),
        cmocka_unit_test(test_recorded_frames_are_read_in_one_order),
        cmocka_unit_test(test_reading_ahead_gives_the_same_frames),
        cmocka_unit_test(test_a_full_disk_stops_recording_until_there_is_space),
        cmocka_unit_test(test_what_does_not_fit_is_dropped_and_counted),
        cmocka_unit_test(test_retention_by_age_and_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
