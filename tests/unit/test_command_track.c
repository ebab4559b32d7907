#include "command/track.h"

#include "base/log.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/spoton-track-XXXXXX";
static char input[64], output[64], part[64];
static struct sp_settings settings;
static char text[65536];

static int make_folder(void **state)
{
    (void)state;
    sp_log_set_level(SP_LOG_ERROR);
    if (!mkdtemp(folder))
        return -1;
    snprintf(input, sizeof input, "%s/in", folder);
    snprintf(output, sizeof output, "%s/out.txt", folder);
    snprintf(part, sizeof part, "%s/out.txt.part", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(input);
    unlink(output);
    return rmdir(folder);
}

static int set_up(void **state)
{
    (void)state;
    settings = (struct sp_settings){
        .track_buffer_frames = 30,
        .track_high_thresh = 0.5,
        .track_low_thresh = 0.1,
        .track_new_thresh = 0.6,
        .track_match_thresh = 0.8,
        .frame_skip = 1,
    };
    unlink(output);
    return 0;
}

static void write_input(const char *what)
{
    FILE *file = fopen(input, "we");
    assert_non_null(file);
    fputs(what, file);
    assert_int_equal(fclose(file), 0);
}

static const char *read_output(void)
{
    FILE *file = fopen(output, "re");
    assert_non_null(file);
    size_t got = fread(text, 1, sizeof text - 1, file);
    text[got] = '\0';
    fclose(file);
    return text;
}

static const char *track(const char *what)
{
    struct sp_error err = {0};
    write_input(what);
    if (sp_command_track(&settings, input, output, &err) != SP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(access(part, F_OK), -1);
    return read_output();
}

static void assert_refused(const char *what, int code, const char *said)
{
    struct sp_error err = {0};
    write_input(what);
    assert_int_equal(sp_command_track(&settings, input, output, &err), code);
    if (!strstr(err.text, said))
        fail_msg("'%s' does not say '%s'", err.text, said);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(access(output, F_OK), -1);
}

static void test_rows_of_a_mot_file(void **state)
{
    (void)state;
    assert_string_equal(track("# frame,id,...\n"
                              "1,-1,100,50,40,80,0.9,-1,-1,-1\r\n"
                              "\n"
                              "2, -1, 100, 50, 40, 80, 0.75\n"),
                        "1,1,100.000,50.000,40.000,80.000,0.9000,-1,-1,-1\n"
                        "2,1,100.000,50.000,40.000,80.000,0.7500,-1,-1,-1\n");
}

static void test_an_empty_file_gives_an_empty_one(void **state)
{
    (void)state;
    assert_string_equal(track(""), "");
}

static void test_the_order_of_frames_does_not_matter(void **state)
{
    (void)state;
    char sorted[4096];
    snprintf(sorted, sizeof sorted, "%s",
             track("1,-1,100,50,40,80,0.9\n1,-1,300,50,40,80,0.9\n"
                   "2,-1,101,50,40,80,0.9\n2,-1,301,50,40,80,0.9\n3,-1,102,50,40,80,0.9\n"));
    assert_string_equal(track("3,-1,102,50,40,80,0.9\n1,-1,100,50,40,80,0.9\n"
                              "2,-1,101,50,40,80,0.9\n1,-1,300,50,40,80,0.9\n"
                              "2,-1,301,50,40,80,0.9\n"),
                        sorted);
}

/* Frame 4 has no rows: with `frames` it is an empty frame, and the new track of frame 3 is not
 * confirmed; with `timestamps` it was not inferred. */
static void test_gaps_in_a_mot_file(void **state)
{
    (void)state;
    const char *gaps = "2,-1,500,50,40,80,0.05\n3,-1,100,50,40,80,0.9\n5,-1,100,50,40,80,0.9\n";
    assert_string_equal(track(gaps), "");
    settings.track_dt = SP_TRACK_DT_TIMESTAMPS;
    assert_string_equal(track(gaps), "5,1,100.000,50.000,40.000,80.000,0.9000,-1,-1,-1\n");
}

static void test_frame_skip_of_a_mot_file(void **state)
{
    (void)state;
    char rows[4096];
    size_t used = 0;
    for (int frame = 1; frame <= 13; frame++) {
        used += (size_t)snprintf(rows + used, sizeof rows - used, "%d,-1,%d,50,40,80,0.9\n", frame,
                                 100 + 2 * frame);
    }
    settings.frame_skip = 3;
    settings.track_dt = SP_TRACK_DT_TIMESTAMPS;
    int frame = 0, id = 0;
    double left = 0;
    const char *at = track(rows);
    for (int wanted = 1; wanted <= 13; wanted++) {
        assert_int_equal(sscanf(at, "%d,%d,%lf", &frame, &id, &left), 3);
        assert_int_equal(frame, wanted);
        assert_int_equal(id, 1);
        /* Once it has a velocity, the boxes between come to lie where the rows are. */
        if (wanted > 7)
            assert_true(left > 100 + 2 * wanted - 1 && left < 100 + 2 * wanted + 1);
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, "");

    settings.output_frames = SP_OUTPUT_FRAMES_INFERRED;
    at = track(rows);
    for (int wanted = 1; wanted <= 13; wanted += 3) {
        assert_int_equal(sscanf(at, "%d,%d,%lf", &frame, &id, &left), 3);
        assert_int_equal(frame, wanted);
        at = strchr(at, '\n') + 1;
    }
    assert_string_equal(at, "");
}

static const char RESULTS_LOG[] =
    "{\"sequence\":0,\"pts_us\":0,\"inferred\":true,"
    "\"detections\":[[100,50,140,130,0.9,0]],\"tracks\":[]}\n"
    "{\"sequence\":1,\"pts_us\":40000,\"inferred\":false,\"tracks\":[]}\n"
    "{\"sequence\":2,\"pts_us\":80000,\"inferred\":true,"
    "\"detections\":[[104,50,144,130,0.9,0]],\"tracks\":[]}\n"
    "{\"sequence\":3,\"pts_us\":120000,\"inferred\":false,\"tracks\":[]}\n"
    "{\"sequence\":4,\"pts_us\":160000,\"inferred\":true,\"detections\":[],\"tracks\":[]}\n";

static void test_a_results_log(void **state)
{
    (void)state;
    int frame[5], count = 0;
    double left[5];
    const char *at = track(RESULTS_LOG);
    for (; *at; at = strchr(at, '\n') + 1, count++) {
        assert_true(count < 4);
        assert_int_equal(sscanf(at, "%d,1,%lf", &frame[count], &left[count]), 2);
    }
    assert_int_equal(count, 4);
    for (int i = 0; i < 4; i++)
        assert_int_equal(frame[i], i + 1);
    assert_true(left[0] == 100 && left[1] == 100); /* no velocity yet */
    assert_true(left[2] > 103 && left[2] <= 104);
    assert_true(left[3] > left[2] + 0.5); /* predicted: on its way to 2 px a frame */

    settings.output_frames = SP_OUTPUT_FRAMES_INFERRED;
    at = track(RESULTS_LOG);
    assert_int_equal(sscanf(at, "%d", &frame[0]), 1);
    assert_int_equal(sscanf(strchr(at, '\n') + 1, "%d", &frame[1]), 1);
    assert_int_equal(frame[0], 1);
    assert_int_equal(frame[1], 3);
}

/* Twice the nominal rate is half the steps: less velocity in the first match. */
static void test_a_results_log_may_say_its_frame_rate(void **state)
{
    (void)state;
    char by_median[4096], with_rate[4096];
    snprintf(by_median, sizeof by_median, "%s", track(RESULTS_LOG));
    snprintf(with_rate, sizeof with_rate, "{\"frame_rate\":25,%s", RESULTS_LOG + 1);
    assert_string_equal(track(with_rate), by_median);
    snprintf(with_rate, sizeof with_rate, "{\"frame_rate\":50,%s", RESULTS_LOG + 1);
    assert_string_not_equal(track(with_rate), by_median);
}

/* Without timestamps the frames between take a share of the step from one update to the next. */
static void test_a_results_log_tracked_by_frames(void **state)
{
    (void)state;
    double left[2];
    settings.track_dt = SP_TRACK_DT_FRAMES;
    const char *at = track(RESULTS_LOG);
    for (int i = 0; i < 2; i++)
        at = strchr(at, '\n') + 1;
    assert_int_equal(sscanf(at, "3,1,%lf", &left[0]), 1);
    assert_int_equal(sscanf(strchr(at, '\n') + 1, "4,1,%lf", &left[1]), 1);
    assert_true(left[1] > left[0] + 0.2 && left[1] < left[0] + 1);
}

static void test_malformed_input_is_named(void **state)
{
    (void)state;
    const int bad = SP_ERR_FORMAT;
    assert_refused("1,-1,100,50,40,80,0.9\n1,-1,100\n", bad, "in:2: 3 values found");
    assert_refused("1,-1,100,50,forty,80,0.9\n", bad, "in:1: value 5 (width) is 'forty'");
    assert_refused("1,-1,100,50,40,80x,0.9\n", bad, "value 6 (height) is '80x'");
    assert_refused("1,-1,100,50,,80,0.9\n", bad, "value 5 (width) is ''");
    assert_refused("1,-1,nan,50,40,80,0.9\n", bad, "value 3 (left) is 'nan'");
    assert_refused("0,-1,100,50,40,80,0.9\n", bad, "frame number 0");
    assert_refused("1.5,-1,100,50,40,80,0.9\n", bad, "frame number 1.5");
    assert_refused("1e12,-1,100,50,40,80,0.9\n", bad, "frame number 1e+12");
    assert_refused("{\"sequence\":\n", bad, "in:1: not a JSON object");
    assert_refused("{\"sequence\":-1,\"pts_us\":0,\"inferred\":true}\n", bad, "\"sequence\"");
    assert_refused("{\"sequence\":0,\"inferred\":true}\n", bad, "\"pts_us\"");
    assert_refused("{\"sequence\":0,\"pts_us\":0,\"inferred\":1}\n", bad, "\"inferred\"");
    assert_refused("{\"sequence\":0,\"pts_us\":0,\"inferred\":true}\n", bad, "\"detections\"");
    assert_refused("{\"sequence\":0,\"pts_us\":0,\"inferred\":true,"
                   "\"detections\":[[1,2,3,4,0.5,0],[1,2,3,4,0.5]]}\n",
                   bad, "detection 2");
    assert_refused("{\"sequence\":3,\"pts_us\":0,\"inferred\":false}\n"
                   "{\"sequence\":3,\"pts_us\":0,\"inferred\":false}\n",
                   bad, "in:2: sequence 3 after 3");
}

static void test_files_that_cannot_be_read_or_written(void **state)
{
    (void)state;
    struct sp_error err = {0};
    assert_int_equal(sp_command_track(&settings, "/nowhere/det.txt", output, &err),
                     SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/det.txt"));
    assert_int_equal(sp_command_track(&settings, folder, output, &err), SP_ERR_IO);
    assert_non_null(strstr(err.text, "directory"));
    write_input("1,-1,100,50,40,80,0.9\n");
    assert_int_equal(sp_command_track(&settings, input, "/nowhere/out.txt", &err),
                     SP_ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nowhere/out.txt"));
}

/* An earlier result stays when a later one fails. */
static void test_a_failure_leaves_an_earlier_result(void **state)
{
    (void)state;
    struct sp_error err;
    track("1,-1,100,50,40,80,0.9\n");
    write_input("rubbish\n");
    assert_int_equal(sp_command_track(&settings, input, output, &err), SP_ERR_FORMAT);
    assert_string_equal(read_output(), "1,1,100.000,50.000,40.000,80.000,0.9000,-1,-1,-1\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rows_of_a_mot_file, set_up),
        cmocka_unit_test_setup(test_an_empty_file_gives_an_empty_one, set_up),
        cmocka_unit_test_setup(test_the_order_of_frames_does_not_matter, set_up),
        cmocka_unit_test_setup(test_gaps_in_a_mot_file, set_up),
        cmocka_unit_test_setup(test_frame_skip_of_a_mot_file, set_up),
        cmocka_unit_test_setup(test_a_results_log, set_up),
        cmocka_unit_test_setup(test_a_results_log_may_say_its_frame_rate, set_up),
        cmocka_unit_test_setup(test_a_results_log_tracked_by_frames, set_up),
        cmocka_unit_test_setup(test_malformed_input_is_named, set_up),
        cmocka_unit_test_setup(test_files_that_cannot_be_read_or_written, set_up),
        cmocka_unit_test_setup(test_a_failure_leaves_an_earlier_result, set_up),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
