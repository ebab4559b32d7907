/* What one update of the tracker costs, in CPU time: bench_tracker [PEOPLE [FRAMES [spoton]]].
 *
 * People walk through a frame of 1920x1080, are seen with jitter, now and then badly or not at
 * all, so that all associations and the lost list have work. Not a test: it prints figures. */
#include "track/tracker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FRAMES_MAX = 100000 };

static double frame_ns[FRAMES_MAX];

static double clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static double random_between(double low, double high)
{
    return low + (high - low) * ((double)rand() / RAND_MAX);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static size_t look(struct sp_detection *out, int people, double time_frames)
{
    size_t count = 0;
    for (int i = 0; i < people; i++) {
        double height = 80 + 17 * (i % 11), width = 0.4 * height;
        double x = fmod(97.0 * i + (1 + i % 5) * time_frames, 1920);
        double y = fmod(53.0 * i, 800);
        double seen = random_between(0, 1);
        if (seen < 0.05)
            continue;
        out[count++] = (struct sp_detection){
            .x1_px = x + random_between(-2, 2),
            .y1_px = y + random_between(-2, 2),
            .x2_px = x + width + random_between(-2, 2),
            .y2_px = y + height + random_between(-2, 2),
            .confidence = seen < 0.15 ? random_between(0.1, 0.5) : random_between(0.6, 0.95),
        };
    }
    return count;
}

static void measure(enum sp_tracker_name name, int people, int frames, double dt_frames)
{
    static struct sp_detection detections[SP_DETECTIONS_MAX];
    static struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_tracker *tracker;
    struct sp_tracker_params params;
    struct sp_error err;
    sp_tracker_params_default(&params);
    params.tracker = name;
    if (sp_tracker_open(&tracker, &params, &err)) {
        fprintf(stderr, "bench_tracker: %s\n", err.text);
        exit(1);
    }
    srand(1);
    double sum_ns = 0;
    size_t seen = 0, active = 0;
    for (int i = 0; i < frames; i++) {
        size_t count = look(detections, people, dt_frames * i);
        double start_ns = clock_ns();
        active += sp_tracker_update(tracker, detections, count, dt_frames, tracks);
        frame_ns[i] = clock_ns() - start_ns;
        sum_ns += frame_ns[i];
        seen += count;
    }
    sp_tracker_close(tracker);
    qsort(frame_ns, (size_t)frames, sizeof *frame_ns, compare);
    printf(
        "dt %g: %.1f detections and %.1f tracks a frame: mean %.0f ns/frame, p50 %.0f, p99 %.0f\n",
        dt_frames, (double)seen / frames, (double)active / frames, sum_ns / frames,
        frame_ns[frames / 2], frame_ns[frames * 99L / 100]);
}

int main(int argc, char **argv)
{
    int people = argc > 1 ? atoi(argv[1]) : 42;
    int frames = argc > 2 ? atoi(argv[2]) : 20000;
    enum sp_tracker_name name =
        argc > 3 && strcmp(argv[3], "spoton") == 0 ? SP_TRACKER_SPOTON : SP_TRACKER_BYTETRACK;
    if (people < 1 || people > SP_DETECTIONS_MAX || frames < 1 || frames > FRAMES_MAX) {
        fprintf(stderr, "bench_tracker [PEOPLE 1..%d [FRAMES 1..%d [spoton]]]\n", SP_DETECTIONS_MAX,
                FRAMES_MAX);
        return 2;
    }
    measure(name, people, frames, 1);
    measure(name, people, frames, 3);
    return 0;
}
