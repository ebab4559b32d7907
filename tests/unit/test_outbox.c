/* The outbox: order, ids, cursors, bounds, a full disk, crashes. */
#include "output/outbox.h"
#include "output/outbox_reader.h"
#include "output/segment.h"

#include "full_disk.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

enum { CAMERAS = 4 };

static char folder[256];
static struct sp_record record;

static int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/outbox-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[300];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct sp_outbox *open_outbox(uint64_t max_bytes, int64_t max_age_us)
{
    struct sp_outbox *outbox;
    struct sp_error err = {0};
    struct sp_outbox_options options = {
        .dir = folder, .max_bytes = max_bytes, .max_age_us = max_age_us, .sync_us = 20000};
    if (sp_outbox_open(&outbox, &options, &err) < 0)
        fail_msg("%s", err.text);
    return outbox;
}

static struct sp_outbox_reader *open_reader(struct sp_outbox *outbox, const char *name)
{
    struct sp_outbox_reader *reader;
    assert_int_equal(sp_outbox_reader_open(&reader, outbox, name, NULL), SP_OK);
    return reader;
}

static void append_event(struct sp_outbox *outbox, int camera, uint64_t epoch, int value)
{
    struct sp_event event = {.camera_index = camera, .epoch = epoch, .wall_us = value};
    snprintf(event.camera, sizeof event.camera, "c%d", camera);
    snprintf(event.id, sizeof event.id, "c%d/%llu/%d", camera, (unsigned long long)epoch, value);
    snprintf(event.kind, sizeof event.kind, "test.event");
    snprintf(event.payload, sizeof event.payload, "{\"value\":%d}", value);
    sp_outbox_event(outbox, &event);
}

static bool next(struct sp_outbox_reader *reader)
{
    return sp_outbox_read(reader, &record, 5000000);
}

static void commit(struct sp_outbox_reader *reader)
{
    struct sp_outbox_place place = sp_outbox_place(reader);
    sp_outbox_commit(reader, &place);
}

static void pause_ms(int ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
}

static int count_segments(void)
{
    DIR *entries = opendir(folder);
    int count = 0;
    for (const struct dirent *e; entries && (e = readdir(entries));)
        count += strstr(e->d_name, ".seg") != NULL;
    closedir(entries);
    return count;
}

static void test_frames_and_events_arrive_as_they_were(void **state)
{
    (void)state;
    struct sp_outbox *outbox = open_outbox(1 << 20, INT64_MAX);
    struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
    static struct sp_result update = {.camera = 2,
                                      .name = "gate",
                                      .generation = UINT64_MAX / 2,
                                      .sequence = 77,
                                      .pts_us = -5,
                                      .wall_us = 1700000000123456,
                                      .inferred = true,
                                      .width_px = 640,
                                      .height_px = 480,
                                      .track_count = 2,
                                      .has_world_positions = true};
    update.tracks[0] = (struct sp_track){
        .id = 9, .x1_px = 1, .y1_px = 2, .x2_px = 3, .y2_px = 4.5F, .confidence = 0.75F};
    update.tracks[1] = (struct sp_track){.id = 70000, .class_id = 3, .detection = 1};
    update.positions[0] = (struct sp_world_position){.person = 4, .on_map = true, .x = 1.5, .y = 2};
    sp_outbox_frame(outbox, &update);
    append_event(outbox, 2, 0, 11);
    assert_true(next(reader));
    assert_int_equal(record.type, SP_RECORD_FRAME);
    assert_string_equal(record.camera, "gate");
    assert_int_equal(record.head.sequence, 1);
    assert_int_equal(record.frame.sequence, 77);
    assert_int_equal(record.frame.pts_us, -5);
    assert_int_equal(record.frame.wall_us, 1700000000123456);
    assert_int_equal(record.frame.width, 640);
    assert_int_equal(record.frame.track_count, 2);
    assert_int_equal(record.tracks[0].id, 9);
    assert_int_equal(record.tracks[0].global_id, 4);
    assert_true(record.tracks[0].on_map && record.tracks[0].map_x == 1.5);
    assert_true(record.tracks[0].y2 == 4.5 && record.tracks[0].confidence == 0.75);
    assert_int_equal(record.tracks[1].id, 70000);
    assert_true(record.tracks[1].matched && !record.tracks[0].matched);
    assert_true(next(reader));
    assert_int_equal(record.type, SP_RECORD_EVENT);
    assert_string_equal(record.event.kind, "test.event");
    assert_string_equal(record.event.payload, "{\"value\":11}");
    /* The same camera and epoch: the sequence goes on. */
    assert_int_equal(record.head.epoch, UINT64_MAX / 2);
    assert_int_equal(record.head.sequence, 2);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
}

static void test_a_cursor_survives_a_restart(void **state)
{
    (void)state;
    uint64_t lost, first_epoch = 0;
    for (int start = 0; start < 3; start++) {
        struct sp_outbox *outbox = open_outbox(1 << 20, INT64_MAX);
        struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
        assert_true(sp_outbox_epoch(outbox) > first_epoch); /* ids never repeat */
        first_epoch = sp_outbox_epoch(outbox) + 1000;       /* those of cameras are above */
        for (int i = 0; i < 100; i++)
            append_event(outbox, 0, 0, start * 100 + i);
        /* Each start reads the 50 that the previous one left, and 50 of its own. */
        for (int i = start ? -50 : 0; i < 50; i++) {
            assert_true(next(reader));
            assert_int_equal(record.wall_us, start * 100 + i);
        }
        commit(reader);
        assert_int_equal(sp_outbox_lag(reader, &lost), 50);
        assert_int_equal(lost, 0);
        sp_outbox_reader_close(reader);
        sp_outbox_close(outbox);
    }
}

/* What a crash leaves: an entry that is not complete, and one without a valid checksum. */
static void test_an_incomplete_entry_is_cut_off(void **state)
{
    (void)state;
    char path[600], name[256] = "";
    struct sp_outbox *outbox = open_outbox(1 << 20, INT64_MAX);
    struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
    for (int i = 0; i < 10; i++)
        append_event(outbox, 0, 0, i);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
    DIR *entries = opendir(folder);
    for (const struct dirent *e; (e = readdir(entries));)
        if (strstr(e->d_name, ".seg"))
            snprintf(name, sizeof name, "%s", e->d_name);
    closedir(entries);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(truncate(path, about.st_size - 5), 0);
    outbox = open_outbox(1 << 20, INT64_MAX);
    reader = open_reader(outbox, "mqtt");
    append_event(outbox, 0, 0, 100);
    for (int i = 0; i < 9; i++) {
        assert_true(next(reader));
        assert_int_equal(record.wall_us, i);
    }
    assert_true(next(reader));
    assert_int_equal(record.wall_us, 100);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
}

static void test_a_damaged_segment_is_skipped_and_counted(void **state)
{
    (void)state;
    uint64_t lost;
    struct sp_outbox *outbox = open_outbox(1 << 20, INT64_MAX);
    struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
    for (int i = 0; i < 10; i++)
        append_event(outbox, 0, 0, i);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
    outbox = open_outbox(1 << 20, INT64_MAX); /* another segment */
    reader = open_reader(outbox, "mqtt");
    append_event(outbox, 0, 0, 100);
    char path[600];
    snprintf(path, sizeof path, "%s/%020d.seg", folder, 0);
    int file = open(path, O_RDWR);
    assert_true(file >= 0);
    assert_int_equal(pwrite(file, "xxxx", 4, SP_SEGMENT_HEADER_BYTES + 300), 4);
    close(file);
    int count = 0;
    do {
        assert_true(next(reader));
        count++;
    } while (record.wall_us != 100);
    sp_outbox_lag(reader, &lost);
    assert_true(count > 1 && count < 11);
    assert_int_equal(lost, 11 - count);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
}

static uint64_t bytes_of(struct sp_outbox *outbox)
{
    struct sp_outbox_report report;
    sp_outbox_report(outbox, &report);
    return report.bytes;
}

static void test_the_size_is_bounded_and_loss_is_counted(void **state)
{
    (void)state;
    enum { COUNT = 20000, PAYLOAD = 160 }; /* of about 160 bytes each: 3 times the bound */
    uint64_t lost;
    struct sp_outbox *outbox = open_outbox(SP_OUTBOX_BYTES_MIN, INT64_MAX);
    struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
    for (int i = 0; i < COUNT; i++) {
        append_event(outbox, i % CAMERAS, 0, i);
        if (i % 200 == 199)
            pause_ms(20);
        if (i % 1000 == 999)
            assert_true(bytes_of(outbox) <= SP_OUTBOX_BYTES_MIN);
    }
    uint64_t read = 0, last[CAMERAS] = {0};
    do {
        assert_true(next(reader));
        int camera = record.camera[1] - '0';
        assert_true(record.head.sequence > last[camera]);
        last[camera] = record.head.sequence;
        read++;
    } while (record.wall_us != COUNT - 1);
    sp_outbox_lag(reader, &lost);
    assert_true(lost > 0);
    assert_int_equal(read + lost, COUNT);
    struct sp_outbox_report report;
    sp_outbox_report(outbox, &report);
    assert_int_equal(report.appended, COUNT);
    assert_int_equal(report.dropped, 0);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
}

static void test_committed_segments_are_deleted(void **state)
{
    (void)state;
    struct sp_outbox *outbox = open_outbox(SP_OUTBOX_BYTES_MIN, INT64_MAX);
    struct sp_outbox_reader *fast = open_reader(outbox, "fast"),
                            *slow = open_reader(outbox, "slow");
    for (int i = 0; i < 4000; i++) {
        append_event(outbox, 0, 0, i);
        for (int k = 0; i % 200 == 199 && k < 200; k++)
            assert_true(next(fast));
        commit(fast);
    }
    int kept = count_segments();
    assert_true(kept > 2); /* for the slow one */
    for (int i = 0; i < 4000; i++)
        assert_true(next(slow));
    commit(slow);
    for (int i = 0; count_segments() > 2 && i < 500; i++) {
        append_event(outbox, 0, 0, i);
        pause_ms(20);
    }
    assert_true(count_segments() <= 2);
    sp_outbox_reader_close(fast);
    sp_outbox_reader_close(slow);
    sp_outbox_close(outbox);
}

static void test_old_segments_are_deleted(void **state)
{
    (void)state;
    uint64_t lost;
    struct sp_outbox *outbox = open_outbox(SP_OUTBOX_BYTES_MIN, 200000);
    struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
    append_event(outbox, 0, 0, 1);
    pause_ms(500);
    for (int i = 0; i < 40; i++) {
        append_event(outbox, 0, 0, 2);
        pause_ms(30);
    }
    assert_true(next(reader));
    assert_int_equal(record.wall_us, 2);
    sp_outbox_lag(reader, &lost);
    assert_true(lost >= 1);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
}

static void test_a_second_program_is_refused(void **state)
{
    (void)state;
    struct sp_error err = {0};
    struct sp_outbox *outbox = open_outbox(1 << 20, INT64_MAX), *second;
    struct sp_outbox_options options = {
        .dir = folder, .max_bytes = 1 << 20, .max_age_us = INT64_MAX, .sync_us = 20000};
    assert_int_equal(sp_outbox_open(&second, &options, &err), SP_ERR_CLOSED);
    assert_non_null(strstr(err.text, "set OUTBOX_DIR"));
    sp_outbox_close(outbox);
}

static atomic_int states[3];

static void note_state(void *user, enum sp_outbox_state now, const char *text)
{
    assert_ptr_equal(user, states);
    assert_true((now == SP_OUTBOX_WORKING) == (text[0] == '\0'));
    atomic_fetch_add(&states[now], 1);
}

static void test_a_full_disk_is_reported_and_survived(void **state)
{
    (void)state;
    char filler[300];
    int full = make_small_disk(folder);
    if (full != SP_ERR_NO_SPACE)
        skip(); /* no namespaces */
    snprintf(filler, sizeof filler, "%s/filler", folder);
    struct sp_outbox *outbox = open_outbox(SP_OUTBOX_BYTES_MIN, INT64_MAX);
    struct sp_outbox_reader *reader = open_reader(outbox, "mqtt");
    sp_outbox_listen(outbox, note_state, states);
    int file = open(filler, O_CREAT | O_WRONLY, 0600);
    char block[4096] = {0};
    while (write(file, block, sizeof block) > 0)
        ;
    close(file);
    enum { COUNT = 300 };
    for (int i = 0; i < COUNT; i++)
        append_event(outbox, 0, 0, i);
    for (int i = 0; atomic_load(&states[SP_OUTBOX_FULL_DISK]) == 0 && i < 1000; i++)
        pause_ms(10);
    struct sp_outbox_report report;
    sp_outbox_report(outbox, &report);
    assert_int_equal(report.state, SP_OUTBOX_FULL_DISK);
    assert_non_null(strstr(report.error, "no space left"));
    unlink(filler);
    /* Nothing is lost, as memory was large enough. */
    for (int i = 0; i < COUNT; i++) {
        assert_true(next(reader));
        assert_int_equal(record.wall_us, i);
        assert_int_equal(record.head.sequence, i + 1);
    }
    for (int i = 0; atomic_load(&states[SP_OUTBOX_WORKING]) == 0 && i < 1000; i++)
        pause_ms(10);
    assert_int_equal(atomic_load(&states[SP_OUTBOX_FULL_DISK]), 1);
    assert_int_equal(atomic_load(&states[SP_OUTBOX_WORKING]), 1);
    sp_outbox_reader_close(reader);
    sp_outbox_close(outbox);
}

struct writer {
    struct sp_outbox *outbox;
    int camera, count;
};

static void *write_events(void *argument)
{
    const struct writer *w = argument;
    for (int i = 1; i <= w->count; i++)
        append_event(w->outbox, w->camera, 0, i);
    return NULL;
}

static void test_many_writers_keep_their_order(void **state)
{
    (void)state;
    enum { COUNT = 1500, READERS = 3 };
    struct sp_outbox *outbox = open_outbox(8 << 20, INT64_MAX);
    struct sp_outbox_reader *readers[READERS];
    const char *const names[READERS] = {"a", "b", "c"};
    pthread_t threads[CAMERAS];
    struct writer writers[CAMERAS];
    for (int i = 0; i < READERS; i++)
        readers[i] = open_reader(outbox, names[i]);
    for (int i = 0; i < CAMERAS; i++) {
        writers[i] = (struct writer){outbox, i, COUNT};
        pthread_create(&threads[i], NULL, write_events, &writers[i]);
    }
    for (int r = 0; r < READERS; r++) {
        int last[CAMERAS] = {0};
        for (int i = 0; i < CAMERAS * COUNT; i++) {
            assert_true(next(readers[r]));
            int camera = record.camera[1] - '0';
            assert_int_equal(record.wall_us, ++last[camera]);
            assert_int_equal(record.head.sequence, last[camera]);
            if (i % 100 == 0)
                commit(readers[r]);
        }
    }
    for (int i = 0; i < CAMERAS; i++)
        pthread_join(threads[i], NULL);
    for (int r = 0; r < READERS; r++)
        sp_outbox_reader_close(readers[r]);
    sp_outbox_close(outbox);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(test_frames_and_events_arrive_as_they_were),
        WITH_FOLDER(test_a_cursor_survives_a_restart),
        WITH_FOLDER(test_an_incomplete_entry_is_cut_off),
        WITH_FOLDER(test_a_damaged_segment_is_skipped_and_counted),
        WITH_FOLDER(test_the_size_is_bounded_and_loss_is_counted),
        WITH_FOLDER(test_committed_segments_are_deleted),
        WITH_FOLDER(test_old_segments_are_deleted),
        WITH_FOLDER(test_a_second_program_is_refused),
        WITH_FOLDER(test_many_writers_keep_their_order),
        cmocka_unit_test_setup(test_a_full_disk_is_reported_and_survived, make_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
