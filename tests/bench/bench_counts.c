/* Counts of lines in a synthetic scene (capture/sim/world.h) against its ground truth.
 *
 *     bench_counts [KEY=VALUE]...
 *
 * seed=1 people=20 minutes=5   the scene; dense=1, roam=1 as in bench_world
 * noise=2 offset=0             deviation of each edge of a box, px; offset of the cameras' clocks,
 * ms miss=0.02 false=0.02         probability of a missed box; of a false positive per frame skip=1
 * frames from one inferred frame to the next seeds=N                      instead: occupancy of a
 * zone, N seeds from `seed` on speed=1                      instead: CPU time for each track and
 * frame, 10 lines and 10 zones
 *
 * Four cameras see the hall. Lines are given once in metres on the map, and once in the frame of
 * each camera under one name, where the cameras see the same door. A person has crossed a line when
 * the path has passed through it from 0.25 m on one side to 0.25 m on the other. Prints for each
 * line: ground truth, counts, and the sum of differences.
 *
 * Occupancy: a zone of the map, sampled every 20 s of a run: whether the 90 % interval holds the
 * number of people who are in it, and the mean difference of the estimate and of those seen. */
#include "analytics/analytics.h"
#include "capture/sim/world.h"
#include "space/space.h"
#include "track/bytetrack.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 1920, HEIGHT = 1080, CAMERAS = 4, LINES = 5 };

static const double line_m[LINES][4] = {
    {10, 1, 10, 15}, {3, 8, 17, 8}, {6, 4, 6, 12}, {14, 5, 14, 13}, {5, 5, 15, 11}};
static const double SIDE_M = 0.25;

static double o_seed = 1, o_people = 20, o_minutes = 5, o_noise = 2, o_offset, o_miss = 0.02,
              o_false = 0.02, o_skip = 1, o_dense, o_roam, o_speed, o_seeds;
static uint64_t dice;

static double chance(void)
{
    dice = dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(dice >> 11) / 9007199254740992.0;
}

static double gauss(void)
{
    return sqrt(-2 * log(chance() + 1e-12)) * cos(2 * M_PI * chance());
}

static double inside(double value, double high)
{
    return value < 0 ? 0 : (value > high ? high : value);
}

static size_t detect(const struct sp_world_observation *seen, int count, struct sp_detection *out)
{
    size_t found = 0;
    for (int i = 0; i < count; i++) {
        const struct sp_world_observation *s = &seen[i];
        struct sp_detection d = {
            .x1_px = inside(s->x1_px + o_noise * gauss(), WIDTH),
            .y1_px = inside(s->y1_px + o_noise * gauss(), HEIGHT),
            .x2_px = inside(s->x2_px + o_noise * gauss(), WIDTH),
            .y2_px = inside(s->y2_px + o_noise * gauss(), HEIGHT),
            .confidence = inside(0.45 + 0.45 * s->visible + 0.05 * gauss(), 1),
        };
        if (s->visible >= 0.35 && chance() >= o_miss && d.x2_px > d.x1_px + 4 &&
            d.y2_px > d.y1_px + 8)
            out[found++] = d;
    }
    if (chance() < o_false) {
        double x = chance() * (WIDTH - 80), y = 200 + chance() * (HEIGHT - 500);
        out[found++] = (struct sp_detection){x, y, x + 60, y + 180, 0.3 + 0.5 * chance(), 0};
    }
    return found;
}

/* ---- ground truth ---- */

struct walker {
    int side[LINES], net[LINES];
    double x, y;
    bool known;
};

static int wanted[LINES][2]; /* in, out */

static void follow(struct walker *w, double x, double y)
{
    for (int i = 0; i < LINES && w->known; i++) {
        struct sp_planar a = {line_m[i][0], line_m[i][1]}, b = {line_m[i][2], line_m[i][3]};
        double share, d = sp_planar_side(a, b, (struct sp_planar){x, y});
        w->net[i] += sp_planar_crossing(a, b, (struct sp_planar){w->x, w->y},
                                        (struct sp_planar){x, y}, &share);
        if (fabs(d) < SIDE_M)
            continue;
        int side = d < 0 ? -1 : 1;
        if (w->side[i] && side != w->side[i] && w->net[i] * side > 0)
            wanted[i][side < 0]++;
        w->side[i] = side;
        w->net[i] = 0;
    }
    w->x = x;
    w->y = y;
    w->known = true;
}

static void count_ground_truth(const struct sp_world_options *options)
{
    static struct walker walkers[SP_WORLD_PEOPLE_MAX];
    struct sp_world world;
    sp_world_init(&world, options);
    int steps = (int)(o_minutes * 60 / SP_WORLD_STEP_S);
    for (int step = 0; step <= steps; step++) {
        sp_world_go(&world, step * SP_WORLD_STEP_S);
        for (int i = 0; i < world.people; i++)
            follow(&walkers[i], world.person[i].x, world.person[i].y);
    }
}

/* ---- set-up ---- */

static const struct sp_planar zone_m[] = {{4, 3}, {14, 3}, {16, 12}, {4, 12}};
enum { ZONE_CORNERS = sizeof zone_m / sizeof zone_m[0], SAMPLE_S = 20 };

static void set_camera(struct sp_space *space, int c)
{
    struct sp_ground ground = {.width_px = WIDTH,
                               .height_px = HEIGHT,
                               .units_per_m = SP_WORLD_UNITS_PER_M,
                               .floor_m = 0.03};
    double map[4][2], image[4][2];
    struct sp_point from[4], to[4];
    struct sp_fit fit;
    struct sp_error err;
    sp_world_marks(c, WIDTH, HEIGHT, map, image);
    for (int i = 0; i < 4; i++) {
        from[i] = (struct sp_point){image[i][0], image[i][1]};
        to[i] = (struct sp_point){map[i][0], map[i][1]};
    }
    if (sp_homography_fit(&fit, from, to, 4, NULL, &err) < 0)
        exit(1);
    ground.homography = fit.homography;
    sp_space_set_camera(space, c, &ground);
}

/* The map's line in a camera's frame; false: not all of it is visible. */
static bool project(int camera, const double line[4], struct sp_planar points[2])
{
    double m[9];
    sp_world_floor(camera, WIDTH, HEIGHT, m);
    for (int k = 0; k < 2; k++) {
        double x = line[2 * k] * SP_WORLD_UNITS_PER_M, y = line[2 * k + 1] * SP_WORLD_UNITS_PER_M;
        double w = m[6] * x + m[7] * y + m[8];
        points[k] =
            (struct sp_planar){(m[0] * x + m[1] * y + m[2]) / w, (m[3] * x + m[4] * y + m[5]) / w};
        if (w <= 0 || points[k].x < 0 || points[k].y < 0 || points[k].x > WIDTH ||
            points[k].y > HEIGHT)
            return false;
    }
    return true;
}

static void name_line(struct sp_line_config *line, const char *kind, int i)
{
    snprintf(line->name, sizeof line->name, "%s %d", kind, i + 1);
    strcpy(line->in, "in");
    strcpy(line->out, "out");
}

static void configure(struct sp_counting_config *config)
{
    if (o_seeds > 0) {
        struct sp_zone_config *zone = &config->map.zones[config->map.zone_count++];
        *zone =
            (struct sp_zone_config){.name = "hall", .unit = SP_UNIT_METRE, .count = ZONE_CORNERS};
        memcpy(zone->corners, zone_m, sizeof zone_m);
        return;
    }
    config->camera_count = CAMERAS;
    for (int i = 0; i < LINES; i++) {
        struct sp_line_config *line = &config->map.lines[config->map.line_count++];
        *line = (struct sp_line_config){
            .unit = SP_UNIT_METRE,
            .points = {{line_m[i][0], line_m[i][1]}, {line_m[i][2], line_m[i][3]}}};
        name_line(line, "map", i);
    }
    for (int c = 0; c < CAMERAS; c++) {
        struct sp_scope_config *scope = &config->cameras[c];
        snprintf(scope->name, sizeof scope->name, "c%d", c);
        for (int i = 0; i < LINES; i++) {
            struct sp_line_config line = {.unit = SP_UNIT_PIXEL};
            name_line(&line, "frames", i);
            if (project(c, line_m[i], line.points))
                scope->lines[scope->line_count++] = line;
        }
    }
}

/* ---- occupancy ---- */

/* Over all runs: samples, those whose interval holds the ground truth, and sums of differences. */
static struct {
    int samples, held, ends, ends_held;
    double off, seen_off, width;
} occupancy;

static void sample(const struct sp_counting *counting, const struct sp_world *world, bool end)
{
    struct sp_zone_count zone;
    int people = 0;
    if (!sp_counting_zone(counting, 0, &zone))
        return;
    for (int i = 0; i < world->people; i++)
        people += sp_polygon_contains(zone_m, ZONE_CORNERS,
                                      (struct sp_planar){world->person[i].x, world->person[i].y});
    bool held = people >= zone.occupancy.low && people <= zone.occupancy.high;
    occupancy.samples++;
    occupancy.held += held;
    occupancy.ends += end;
    occupancy.ends_held += end && held;
    occupancy.off += abs(zone.occupancy.now - people);
    occupancy.seen_off += abs(zone.seen - people);
    occupancy.width += zone.occupancy.high - zone.occupancy.low + 1;
}

static void report_occupancy(void)
{
    printf("90 %% interval holds the ground truth at the end of %d of %d runs (%.0f %%), and in %d "
           "of %d samples (%.0f %%); %.1f numbers wide; estimate %.2f off, people seen %.2f off\n",
           occupancy.ends_held, occupancy.ends, 100.0 * occupancy.ends_held / occupancy.ends,
           occupancy.held, occupancy.samples, 100.0 * occupancy.held / occupancy.samples,
           occupancy.width / occupancy.samples, occupancy.off / occupancy.samples,
           occupancy.seen_off / occupancy.samples);
}

/* ---- run ---- */

static void report(const struct sp_counting *counting)
{
    struct sp_line_count line;
    int sum[2] = {0}, off[2] = {0};
    for (int i = 0; sp_counting_line(counting, i, &line); i++) {
        int k = atoi(strchr(line.name, ' ')) - 1, frames = line.name[0] == 'f';
        printf("%-10s ground truth %3d in %3d out, counted %3d in %3d out\n", line.name,
               wanted[k][0], wanted[k][1], (int)line.in, (int)line.out);
        sum[frames] += wanted[k][0] + wanted[k][1];
        off[frames] += abs((int)line.in - wanted[k][0]) + abs((int)line.out - wanted[k][1]);
    }
    printf("map: %d of %d off; frames: %d of %d off\n", off[0], sum[0], off[1], sum[1]);
}

static void run(struct sp_counting *counting, struct sp_space *space)
{
    static struct sp_world worlds[CAMERAS];
    static struct sp_tracker *trackers[CAMERAS];
    static struct sp_detection detections[SP_DETECTIONS_MAX];
    static struct sp_track tracks[SP_TRACKS_MAX];
    static struct sp_world_position positions[SP_TRACKS_MAX];
    static const int side[CAMERAS] = {0, 1, -1, 1};
    struct sp_world_options options = {.seed = (uint32_t)o_seed,
                                       .people = (int)o_people,
                                       .dense = o_dense > 0,
                                       .roam = o_roam > 0};
    struct sp_tracker_params params;
    struct sp_error err;
    count_ground_truth(&options);
    sp_tracker_params_default(&params);
    for (int c = 0; c < CAMERAS; c++) {
        set_camera(space, c);
        sp_world_init(&worlds[c], &options);
        if (sp_tracker_open(&trackers[c], &params, &err) < 0)
            exit(1);
    }
    int last = (int)(o_minutes * 60 * 25);
    for (int frame = 0; frame <= last; frame++) {
        for (int c = 0; c < CAMERAS && frame % (int)o_skip == 0; c++) {
            struct sp_world_observation seen[SP_WORLD_PEOPLE_MAX];
            sp_world_go(&worlds[c], frame / 25.0);
            int count = sp_world_see(&worlds[c], c, WIDTH, HEIGHT, seen);
            size_t found = detect(seen, count, detections);
            size_t kept = sp_tracker_update(trackers[c], detections, found, o_skip, tracks);
            int64_t time_us = frame * 40000LL + (int64_t)(side[c] * o_offset * 1000) + 1000000;
            struct sp_space_frame image = {.time_us = time_us,
                                           .width_px = WIDTH,
                                           .height_px = HEIGHT,
                                           .tracks = tracks,
                                           .count = kept,
                                           .detections = detections};
            sp_space_update(space, c, &image, positions);
            struct sp_counting_frame counted = {.camera = c,
                                                .time_us = time_us,
                                                .width_px = WIDTH,
                                                .height_px = HEIGHT,
                                                .inferred = true,
                                                .tracks = tracks,
                                                .positions = positions,
                                                .count = kept};
            sp_counting_frame(counting, &counted);
        }
        if (o_seeds > 0 && frame > 0 && (frame % (SAMPLE_S * 25) == 0 || frame == last))
            sample(counting, &worlds[0], frame == last);
    }
    sp_counting_finish(counting);
    if (!(o_seeds > 0))
        report(counting);
    for (int c = 0; c < CAMERAS; c++)
        sp_tracker_close(trackers[c]);
}

static void measure_speed(struct sp_counting_config *config)
{
    static const char *const names[] = {"c0"};
    struct sp_counting *counting;
    struct sp_error err;
    struct timespec at;
    memset(config, 0, sizeof *config);
    config->camera_count = 1;
    strcpy(config->cameras[0].name, "c0");
    config->cameras[0].line_count = config->cameras[0].zone_count = 10;
    for (int i = 0; i < 10; i++) {
        struct sp_line_config *line = &config->cameras[0].lines[i];
        line->points[0] = (struct sp_planar){0.1, 0.1 * i + 0.03};
        line->points[1] = (struct sp_planar){0.9, 0.1 * i};
        name_line(line, "line", i);
        struct sp_zone_config *zone = &config->cameras[0].zones[i];
        snprintf(zone->name, sizeof zone->name, "zone %d", i);
        zone->count = 6;
        for (int k = 0; k < 6; k++)
            zone->corners[k] = (struct sp_planar){0.5 + 0.3 * cos(k) * (i + 1) / 10,
                                                  0.5 + 0.3 * sin(k) * (i + 1) / 10};
    }
    struct sp_counting_options options = {.config = config, .cameras = names, .camera_count = 1};
    if (sp_counting_open(&counting, &options, &err) < 0)
        exit(1);
    enum { TRACKS = 20, FRAMES = 10000 };
    struct sp_track tracks[TRACKS] = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    double begin_us = (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
    for (int f = 0; f < FRAMES; f++) {
        for (int i = 0; i < TRACKS; i++) {
            double x = 960 + 600 * sin(f / 100.0 + i), y = 600 + 400 * sin(f / 130.0 + 2 * i);
            tracks[i] = (struct sp_track){.id = (uint32_t)i + 1,
                                          .x1_px = x - 40,
                                          .x2_px = x + 40,
                                          .y1_px = y - 200,
                                          .y2_px = y};
        }
        struct sp_counting_frame frame = {.time_us = f * 40000LL,
                                          .width_px = WIDTH,
                                          .height_px = HEIGHT,
                                          .inferred = true,
                                          .tracks = tracks,
                                          .count = TRACKS};
        sp_counting_frame(counting, &frame);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    double end_us = (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
    printf("%.3f us a track and frame, %d tracks, 10 lines, 10 zones\n",
           (end_us - begin_us) / FRAMES / TRACKS, TRACKS);
    sp_counting_close(counting);
}

static void read_settings(int argc, char **argv)
{
    struct {
        const char *key;
        double *value;
    } const keys[] = {{"seed=", &o_seed},   {"people=", &o_people}, {"minutes=", &o_minutes},
                      {"noise=", &o_noise}, {"offset=", &o_offset}, {"miss=", &o_miss},
                      {"false=", &o_false}, {"skip=", &o_skip},     {"dense=", &o_dense},
                      {"roam=", &o_roam},   {"speed=", &o_speed},   {"seeds=", &o_seeds}};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (strncmp(argv[i], keys[k].key, strlen(keys[k].key)) == 0) {
                *keys[k].value = strtod(argv[i] + strlen(keys[k].key), NULL);
                known = true;
            }
        if (!known) {
            fprintf(stderr, "bench_counts: '%s': unknown setting; see bench_counts.c\n", argv[i]);
            exit(2);
        }
    }
}

static int run_once(const struct sp_counting_config *config)
{
    static const char *const names[CAMERAS] = {"c0", "c1", "c2", "c3"};
    struct sp_counting *counting;
    struct sp_space *space;
    struct sp_error err;
    struct sp_space_options options = {.cameras = CAMERAS};
    struct sp_counting_options counted = {.config = config,
                                          .cameras = names,
                                          .camera_count = CAMERAS,
                                          .units_per_m = SP_WORLD_UNITS_PER_M};
    dice = (uint64_t)o_seed * 7919 + 17;
    if (sp_space_open(&space, &options, &err) < 0 ||
        sp_counting_open(&counting, &counted, &err) < 0)
        return 1;
    run(counting, space);
    sp_counting_close(counting);
    sp_space_close(space);
    return 0;
}

int main(int argc, char **argv)
{
    static struct sp_counting_config config;
    read_settings(argc, argv);
    if (o_speed > 0) {
        measure_speed(&config);
        return 0;
    }
    configure(&config);
    if (!(o_seeds > 0))
        return run_once(&config);
    int result = 0;
    for (int i = 0; i < o_seeds && result == 0; i++, o_seed++)
        result = run_once(&config);
    report_occupancy();
    return result;
}
