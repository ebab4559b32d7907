/* Measures handing a result on without cameras: what one result costs the tracking worker, in CPU
 * time of its thread, from the filled result to the outputs' queues.
 *
 *     bench_results [PLUGIN=] [rounds=20] [results=2000] [tracks=5]
 *
 * Without PLUGIN: sp_hub_publish, with no listener, for a result of so many tracks. With the path
 * of an output plugin (tests/tools/output_test.c, which blocks or fails as its options say):
 * sp_fan_out_frame to four outputs, in rounds of each kind in turn: all work, all fail, one blocks
 * for ever, all block. Prints one JSON object: ns per result, of each kind the median round. */
#include "base/clock.h"
#include "output/fan_out.h"
#include "publish/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { KINDS = 4, OUTPUTS = 4, ROUNDS_MAX = 1000 };

static const char *const kind_names[KINDS] = {"work", "fail", "one_blocks", "block"};

static const char *option(int argc, char **argv, const char *key, const char *value)
{
    size_t bytes = strlen(key);
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], key, bytes) == 0 && argv[i][bytes] == '=')
            value = argv[i] + bytes + 1;
    return value;
}

static double thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* What two readings of that clock measure of themselves. */
static double clock_ns(void)
{
    double spent = 0;
    for (int i = 0; i < 100000; i++) {
        double begin = thread_ns();
        spent += thread_ns() - begin;
    }
    return spent / 100000;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

static void need(int result, const struct sp_error *err)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_results: %s\n", err->text);
    exit(1);
}

static void fill_tracks(struct sp_track *tracks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        tracks[i] = (struct sp_track){.id = (uint32_t)i + 1,
                                      .x1_px = 100.5 + (double)i,
                                      .y1_px = 80,
                                      .x2_px = 160,
                                      .y2_px = 250,
                                      .confidence = 0.8};
}

/* ---- the hub ---- */

static void measure_hub(struct sp_result_pool *pool, int rounds, int results, size_t tracks)
{
    static double spent[ROUNDS_MAX];
    struct sp_error err = {0};
    struct sp_frame_pool *frames;
    struct sp_hub *hub;
    need(sp_frame_pool_open(&frames, &err), &err);
    need(sp_hub_open(&hub, &err), &err);
    sp_hub_begin_camera(hub, 0, "gate");
    struct sp_frame *frame = sp_frame_pool_get(frames);
    frame->width_px = 1920;
    frame->height_px = 1080;
    for (int round = 0; round < rounds; round++) {
        spent[round] = 0;
        for (int i = 0; i < results; i++) {
            frame->sequence = (uint64_t)i;
            double begin = thread_ns();
            struct sp_result *result = sp_result_new(pool, frame);
            spent[round] += thread_ns() - begin;
            fill_tracks(result->tracks, tracks); /* as the tracker does */
            result->track_count = tracks;
            begin = thread_ns();
            sp_hub_publish(hub, result, frame);
            sp_result_unref(result);
            spent[round] += thread_ns() - begin;
        }
    }
    printf("{\"tracks\": %zu, \"publish_ns\": %.0f}\n", tracks,
           median(spent, rounds) / results - 2 * clock_ns());
    sp_frame_unref(frame);
    sp_hub_close(hub);
    sp_frame_pool_close(frames);
}

/* ---- the outputs ---- */

static struct sp_fan_out *open_outputs(const char *plugin, int kind)
{
    static const char *const options[KINDS][OUTPUTS] = {{"", "", "", ""},
                                                        {"?fail", "?fail", "?fail", "?fail"},
                                                        {"", "", "", "?block"},
                                                        {"?block", "?block", "?block", "?block"}};
    char outputs[4096] = "";
    struct sp_error err = {0};
    struct sp_fan_out *fan_out;
    for (int i = 0; i < OUTPUTS; i++) {
        size_t used = strlen(outputs);
        snprintf(outputs + used, sizeof outputs - used, "%s%s ", plugin, options[kind][i]);
    }
    need(sp_fan_out_open(&fan_out, &(struct sp_fan_out_options){.outputs = outputs}, &err), &err);
    return fan_out;
}

/* One result in a tenth of a millisecond, so that those who work keep up. */
static double round_of(struct sp_fan_out *fan_out, struct sp_result *result, int results)
{
    double spent = 0;
    for (int i = 0; i < results; i++) {
        usleep(100);
        double begin = thread_ns();
        sp_fan_out_frame(fan_out, result);
        spent += thread_ns() - begin;
    }
    return spent / results - clock_ns();
}

static void measure_outputs(struct sp_result_pool *pool, const char *plugin, int rounds,
                            int results, size_t tracks)
{
    static double spent[KINDS][ROUNDS_MAX];
    struct sp_fan_out *fan_out[KINDS];
    struct sp_frame frame = {.width_px = 1920, .height_px = 1080};
    struct sp_result *result = sp_result_new(pool, &frame);
    snprintf(result->name, sizeof result->name, "gate");
    result->generation = 1;
    fill_tracks(result->tracks, tracks);
    result->track_count = tracks;
    for (int k = 0; k < KINDS; k++) {
        fan_out[k] = open_outputs(plugin, k);
        round_of(fan_out[k], result, 1000); /* queues of those that block are full then */
    }
    for (int round = 0; round < rounds; round++)
        for (int i = 0; i < KINDS; i++) {
            int k = (round + i) % KINDS;
            spent[k][round] = round_of(fan_out[k], result, results);
        }
    printf("{\"tracks\": %zu, \"outputs\": %d", tracks, OUTPUTS);
    for (int k = 0; k < KINDS; k++)
        printf(", \"%s_ns\": %.0f", kind_names[k], median(spent[k], rounds));
    printf("}\n");
    fflush(stdout);
    _exit(0); /* outputs that block do not end */
}

int main(int argc, char **argv)
{
    const char *plugin = option(argc, argv, "PLUGIN", "");
    int rounds = atoi(option(argc, argv, "rounds", "20"));
    int results = atoi(option(argc, argv, "results", "2000"));
    int tracks = atoi(option(argc, argv, "tracks", "5"));
    struct sp_error err = {0};
    struct sp_result_pool *pool;
    if (rounds < 1 || rounds > ROUNDS_MAX || results < 1 || tracks < 0 || tracks > SP_TRACKS_MAX) {
        fputs("bench_results: out of range; see the file's beginning\n", stderr);
        return 2;
    }
    need(sp_result_pool_open(&pool, &err), &err);
    if (plugin[0])
        measure_outputs(pool, plugin, rounds, results, (size_t)tracks);
    measure_hub(pool, rounds, results, (size_t)tracks);
    sp_result_pool_close(pool);
    return 0;
}
