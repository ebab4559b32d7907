/* Cross-camera association in a synthetic scene (capture/sim/world.h), by trackers and the space
 * stage.
 *
 *     bench_world [KEY=VALUE]...
 *
 * seed=1 people=20 minutes=5   the scene; roam=1: people walk between rooms; hall=1: all people in
 *                              the hall; dense=1: 12 of 20 in the hall instead of nine, closer
 * noise=2                      standard deviation of each edge of a box, px
 * offset=0                     offset of the cameras' clocks in both directions, ms
 * miss=0.02 false=0.02         probability of a missed box; of a false positive per frame
 * embed=0                      0 to 1: share of the person in the embeddings; prints the separation
 * rows=FILE                    writes all tracks of all frames for tests/tools/world_metrics.py
 * events=1                     prints every decision with its evidence
 * cameras=6                    16: 16 cameras see the hall, to measure CPU time
 *
 * Prints CPU time of the stage, estimated clock offsets, and memory of the process. */
#include "base/assign.h"
#include "base/clock.h"
#include "capture/sim/world.h"
#include "space/space.h"
#include "track/tracker.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 1920, HEIGHT = 1080, CAMERAS_MAX = 16, NUMBERS = 64, FALSE_PERSON = -1 };

struct settings {
    double seed, people, minutes, roam, hall, dense, noise, offset, miss, wrong, embed, cameras,
        events;
    const char *rows;
};

struct camera {
    int view; /* camera of the scene, 0 to SP_WORLD_CAMERAS - 1 */
    double fps, latency_s;
    int64_t offset_us;
    uint64_t next;
    struct sp_tracker *tracker;
    struct sp_world world; /* one per camera, as their frames are not in order of time */
    double view_vector[NUMBERS];
};

struct bench {
    struct settings settings;
    struct sp_space *space;
    struct camera camera[CAMERAS_MAX];
    int cameras;
    uint64_t dice;
    FILE *rows;
    double person_vector[SP_WORLD_PEOPLE_MAX][NUMBERS], common[NUMBERS];
    double spent_us, cpu_us, longest_us, round_us, longest_round_us;
    uint64_t updates, tracks, event;
    double same_sum, same_squares, other_sum, other_squares;
    uint64_t same, other;
    float last[SP_WORLD_PEOPLE_MAX][NUMBERS];
    int last_camera[SP_WORLD_PEOPLE_MAX];
};

static double chance(struct bench *b)
{
    b->dice = b->dice * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(b->dice >> 11) / 9007199254740992.0;
}

static double gauss(struct bench *b)
{
    return sqrt(-2 * log(chance(b) + 1e-12)) * cos(2 * M_PI * chance(b));
}

static void unit_vector(struct bench *b, double out[NUMBERS])
{
    double squares = 0;
    for (int i = 0; i < NUMBERS; i++) {
        out[i] = gauss(b);
        squares += out[i] * out[i];
    }
    for (int i = 0; i < NUMBERS; i++)
        out[i] /= sqrt(squares);
}

/* ---- simulated detections ---- */

static bool feet_hidden(const struct sp_world_observation *observed, int index)
{
    const struct sp_world_observation *s = &observed[index];
    double x = 0.5 * (s->x1_px + s->x2_px), y = s->y2_px - 0.06 * (s->y2_px - s->y1_px);
    for (int i = 0; i < index; i++)
        if (x > observed[i].x1_px && x < observed[i].x2_px && y > observed[i].y1_px &&
            y < observed[i].y2_px)
            return true;
    return false;
}

static double inside(double value, double high)
{
    return value < 0 ? 0 : (value > high ? high : value);
}

static size_t detect(struct bench *b, const struct sp_world_observation *observed, int seen,
                     struct sp_detection *out)
{
    const struct settings *o = &b->settings;
    size_t count = 0;
    for (int i = 0; i < seen; i++) {
        const struct sp_world_observation *s = &observed[i];
        bool hidden = feet_hidden(observed, i) && chance(b) < 0.5;
        double bottom = s->y2_px - (hidden ? 0.15 * chance(b) * (s->y2_px - s->y1_px) : 0);
        struct sp_detection d = {
            .x1_px = inside(s->x1_px + o->noise * gauss(b), WIDTH),
            .y1_px = inside(s->y1_px + o->noise * gauss(b), HEIGHT),
            .x2_px = inside(s->x2_px + o->noise * gauss(b), WIDTH),
            .y2_px = inside(bottom + o->noise * gauss(b), HEIGHT),
            .confidence = inside(0.45 + 0.45 * s->visible + 0.05 * gauss(b), 1),
        };
        if (s->visible >= 0.35 && chance(b) >= o->miss && d.x2_px > d.x1_px + 4 &&
            d.y2_px > d.y1_px + 8)
            out[count++] = d;
    }
    if (chance(b) < o->wrong) {
        double x = chance(b) * (WIDTH - 80), y = 200 + chance(b) * (HEIGHT - 500);
        out[count++] = (struct sp_detection){x, y, x + 60, y + 180, 0.3 + 0.5 * chance(b), 0};
    }
    return count;
}

/* ---- tracks to people, by overlap ---- */

static double overlap(const struct sp_track *t, const struct sp_world_observation *s)
{
    double width = fmin(t->x2_px, s->x2_px) - fmax(t->x1_px, s->x1_px);
    double height = fmin(t->y2_px, s->y2_px) - fmax(t->y1_px, s->y1_px);
    if (width <= 0 || height <= 0)
        return 0;
    double both = width * height;
    return both / ((t->x2_px - t->x1_px) * (t->y2_px - t->y1_px) +
                   (s->x2_px - s->x1_px) * (s->y2_px - s->y1_px) - both);
}

static void match(struct sp_assign *assign, const struct sp_track *tracks, size_t count,
                  const struct sp_world_observation *observed, int seen, int *person)
{
    const int *column_of_row, *row_of_column;
    sp_assign_begin(assign, (int)count, seen, 0.7); /* an overlap of 0.3 at least */
    for (size_t t = 0; t < count; t++)
        for (int i = 0; i < seen; i++)
            if (observed[i].visible >= 0.35)
                sp_assign_add(assign, (int)t, i, 1 - overlap(&tracks[t], &observed[i]));
    sp_assign_solve(assign, &column_of_row, &row_of_column);
    for (size_t t = 0; t < count; t++)
        person[t] = column_of_row[t] < 0 ? FALSE_PERSON : observed[column_of_row[t]].person;
}

/* ---- appearance ---- */

static void note_separation(struct bench *b, const float *embedding, int person, int camera)
{
    for (int other = 0; other < b->camera[0].world.people; other++) {
        double cosine = 0;
        for (int i = 0; i < NUMBERS; i++)
            cosine += embedding[i] * b->last[other][i];
        if (b->last_camera[other] < 0 || b->last_camera[other] == camera)
            continue;
        double *sum = other == person ? &b->same_sum : &b->other_sum;
        double *squares = other == person ? &b->same_squares : &b->other_squares;
        *sum += cosine;
        *squares += cosine * cosine;
        other == person ? b->same++ : b->other++;
    }
    memcpy(b->last[person], embedding, sizeof b->last[person]);
    b->last_camera[person] = camera;
}

/* An embedding of a crop: a part common to all people, the person, the camera's view, and noise. */
static void embed(struct bench *b, int camera, int64_t track_id, int person)
{
    double noise[NUMBERS], other[NUMBERS], squares = 0;
    float embedding[NUMBERS];
    unit_vector(b, noise);
    unit_vector(b, other);
    double own = fmin(b->settings.embed, 1);
    const double *whom = person == FALSE_PERSON ? other : b->person_vector[person];
    for (int i = 0; i < NUMBERS; i++) {
        double value = sqrt(0.35) * b->common[i] + sqrt(0.35 * own) * whom[i] +
                       sqrt(0.15) * b->camera[camera].view_vector[i] +
                       sqrt(0.15 + 0.35 * (1 - own)) * noise[i];
        embedding[i] = (float)value;
        squares += value * value;
    }
    for (int i = 0; i < NUMBERS; i++)
        embedding[i] /= (float)sqrt(squares);
    if (person != FALSE_PERSON)
        note_separation(b, embedding, person, camera);
    sp_space_embed(b->space, camera, (uint32_t)track_id, embedding);
}

/* ---- one frame ---- */

static double thread_cpu_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static void print_events(struct bench *b)
{
    struct sp_space_event e;
    while (b->settings.events > 0 && sp_space_events(b->space, b->event, &e, 1) == 1) {
        b->event = e.serial;
        printf("%.2f s: P%u %s (P%u), camera %d track %u: %.2f m, %.1f deviations, %.1f s, cosine "
               "%.2f, log odds %.1f, votes %d\n",
               (double)e.time_us / 1e6 - 1, e.person, sp_space_event_name(e.kind), e.other,
               e.camera, e.track_id, e.distance_m, e.deviations, e.time_s, e.similarity, e.log_odds,
               e.votes);
    }
}

static void write_rows(struct bench *b, int camera, uint64_t frame, int64_t time_us,
                       const struct sp_track *tracks, const struct sp_world_position *places,
                       const int *person, size_t count, const struct sp_world_observation *observed,
                       int seen)
{
    double m[9];
    struct sp_homography floor;
    if (!b->rows)
        return;
    sp_world_floor(b->camera[camera].view, WIDTH, HEIGHT, m);
    struct sp_point middle = {SP_WORLD_WIDTH_M * 50, SP_WORLD_HEIGHT_M * 50};
    sp_homography_set(&floor, m, middle, NULL);
    for (size_t i = 0; i < count; i++) {
        struct sp_point foot = {0.5 * (tracks[i].x1_px + tracks[i].x2_px), tracks[i].y2_px}, map;
        bool on_map = sp_homography_to_image(&floor, foot, &map); /* `floor` maps image to map */
        fprintf(b->rows, "%d %llu %lld %d %u %u %.2f %.2f %.3f\n", camera,
                (unsigned long long)frame, (long long)time_us, person[i] + 1, tracks[i].id,
                places[i].person, on_map ? map.x : NAN, on_map ? map.y : NAN, tracks[i].confidence);
    }
    for (int k = 0; k < seen; k++) {
        bool found = observed[k].visible < 0.4;
        for (size_t i = 0; i < count && !found; i++)
            found = person[i] == observed[k].person;
        if (!found)
            fprintf(b->rows, "%d %llu %lld %d 0 0 nan nan 0\n", camera, (unsigned long long)frame,
                    (long long)time_us, observed[k].person + 1);
    }
}

static void one_image(struct bench *b, int c, struct sp_assign *assign)
{
    struct camera *camera = &b->camera[c];
    struct sp_world_observation observed[SP_WORLD_PEOPLE_MAX];
    static struct sp_detection detections[SP_DETECTIONS_MAX];
    static struct sp_track tracks[SP_TRACKS_MAX];
    static struct sp_world_position places[SP_TRACKS_MAX];
    int person[SP_TRACKS_MAX];
    uint64_t frame = camera->next++;
    double time_s = (double)frame / camera->fps;
    int64_t time_us = (int64_t)(time_s * 1e6) + camera->offset_us + 1000000;
    if (c == 0) {
        b->longest_round_us = fmax(b->longest_round_us, b->round_us);
        b->round_us = 0;
    }
    sp_world_go(&camera->world, time_s);
    int seen = sp_world_see(&camera->world, camera->view, WIDTH, HEIGHT, observed);
    size_t found = detect(b, observed, seen, detections);
    size_t count = sp_tracker_update(camera->tracker, detections, found, 1, tracks);
    double cpu_us = thread_cpu_us();
    int64_t begin_us = sp_clock_us();
    struct sp_space_frame image = {.time_us = time_us,
                                   .width_px = WIDTH,
                                   .height_px = HEIGHT,
                                   .tracks = tracks,
                                   .count = count,
                                   .detections = detections};
    sp_space_update(b->space, c, &image, places);
    double spent_us = (double)(sp_clock_us() - begin_us);
    b->cpu_us += thread_cpu_us() - cpu_us;
    b->spent_us += spent_us;
    b->round_us += spent_us;
    b->longest_us = fmax(b->longest_us, spent_us);
    b->updates++;
    b->tracks += count;
    match(assign, tracks, count, observed, seen, person);
    for (size_t i = 0; i < count && b->settings.embed > 0; i++)
        if (sp_space_embedding_wanted(b->space, c, tracks[i].id))
            embed(b, c, tracks[i].id, person[i]);
    print_events(b);
    write_rows(b, c, frame, time_us, tracks, places, person, count, observed, seen);
}

/* ---- set-up, run, report ---- */

static void open_camera(struct bench *b, int c)
{
    static const double fps[SP_WORLD_CAMERAS] = {25, 20, 15, 12.5, 10, 25};
    static const int side[SP_WORLD_CAMERAS] = {0, 1, -1, 1, -1, 1};
    struct camera *camera = &b->camera[c];
    bool many = b->cameras > SP_WORLD_CAMERAS;
    struct sp_ground ground = {.width_px = WIDTH,
                               .height_px = HEIGHT,
                               .units_per_m = SP_WORLD_UNITS_PER_M,
                               .floor_m = 0.03};
    double map[4][2], image[4][2];
    struct sp_point from[4], to[4];
    struct sp_fit fit;
    struct sp_error err;
    *camera = (struct camera){
        .view = many ? c % 4 : c,
        .fps = many ? 25 : fps[c],
        .latency_s = many ? 0.03 : 0.03 + 0.01 * c,
        .offset_us = many ? 0 : (int64_t)(side[c] * b->settings.offset * 1000),
    };
    sp_world_marks(camera->view, WIDTH, HEIGHT, map, image);
    for (int i = 0; i < 4; i++) {
        from[i] = (struct sp_point){image[i][0], image[i][1]};
        to[i] = (struct sp_point){map[i][0], map[i][1]};
    }
    if (sp_homography_fit(&fit, from, to, 4, NULL, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    ground.homography = fit.homography;
    sp_space_set_camera(b->space, c, &ground);
    struct sp_tracker_params params;
    sp_tracker_params_default(&params);
    if (sp_tracker_open(&camera->tracker, &params, &err) < 0)
        exit(1);
    unit_vector(b, camera->view_vector);
}

static void read_settings(struct settings *s, int argc, char **argv)
{
    struct {
        const char *key;
        double *value;
    } const keys[] = {{"seed", &s->seed},    {"people", &s->people}, {"minutes", &s->minutes},
                      {"roam", &s->roam},    {"hall", &s->hall},     {"dense", &s->dense},
                      {"noise", &s->noise},  {"offset", &s->offset}, {"miss", &s->miss},
                      {"false", &s->wrong},  {"embed", &s->embed},   {"cameras", &s->cameras},
                      {"events", &s->events}};
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        bool known = false;
        if (!value)
            value = argv[i];
        size_t n = (size_t)(value - argv[i]);
        if (strncmp(argv[i], "rows=", 5) == 0) {
            s->rows = value + 1;
            known = true;
        }
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            if (strlen(keys[k].key) == n && strncmp(argv[i], keys[k].key, n) == 0) {
                *keys[k].value = strtod(value + 1, NULL);
                known = true;
            }
        if (!known) {
            fprintf(stderr, "bench_world: '%s': unknown setting; see bench_world.c\n", argv[i]);
            exit(2);
        }
    }
}

static long resident_kib(void)
{
    long pages = 0, all = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void run(struct bench *b)
{
    struct sp_assign *assign;
    struct sp_error err;
    long early_kib = 0;
    if (sp_assign_open(&assign, SP_TRACKS_MAX, SP_WORLD_PEOPLE_MAX, &err) < 0)
        exit(1);
    for (;;) {
        int next = 0;
        for (int c = 1; c < b->cameras; c++)
            if ((double)b->camera[c].next / b->camera[c].fps + b->camera[c].latency_s <
                (double)b->camera[next].next / b->camera[next].fps + b->camera[next].latency_s)
                next = c;
        double time_s = (double)b->camera[next].next / b->camera[next].fps;
        if (time_s > b->settings.minutes * 60)
            break;
        if (time_s > 60 && early_kib == 0)
            early_kib = resident_kib();
        one_image(b, next, assign);
    }
    printf("memory after one minute %ld KiB, at the end %ld KiB\n", early_kib, resident_kib());
    sp_assign_close(assign);
}

static void report(const struct bench *b)
{
    struct sp_space_counts counts;
    sp_space_count(b->space, &counts);
    double rounds = (double)b->updates / b->cameras;
    printf("updates %llu, tracks each %.1f; SpaceMatch mean %.1f us an update, longest %.0f us; "
           "all %d cameras: mean %.3f ms (%.3f of the CPU), longest %.3f ms\n",
           (unsigned long long)b->updates, (double)b->tracks / (double)b->updates,
           b->spent_us / (double)b->updates, b->longest_us, b->cameras, b->spent_us / rounds / 1000,
           b->cpu_us / rounds / 1000, b->longest_round_us / 1000);
    printf("created %llu merged %llu returned %llu reassigned %llu split %llu reverted %llu, "
           "over capacity %llu\n",
           (unsigned long long)counts.created, (unsigned long long)counts.merged,
           (unsigned long long)counts.returned, (unsigned long long)counts.reassigned,
           (unsigned long long)counts.split, (unsigned long long)counts.reverted,
           (unsigned long long)counts.full);
    for (int c = 1; c < b->cameras && c < 4; c++) {
        struct sp_offset_pair pair;
        if (sp_space_pair(b->space, 0, c, &pair))
            printf("clock of camera %d less that of 0: %.0f ms +- %.0f ms (true %.0f ms)\n", c,
                   1000 * pair.offset_s, 1000 * pair.deviation_s,
                   (double)(b->camera[c].offset_us - b->camera[0].offset_us) / 1000);
    }
    if (b->same > 0) {
        double same = b->same_sum / (double)b->same, other = b->other_sum / (double)b->other;
        double vs = b->same_squares / (double)b->same - same * same;
        double vo = b->other_squares / (double)b->other - other * other;
        printf("cosines across cameras: same %.3f, others %.3f, separation d' %.2f\n", same, other,
               (same - other) / sqrt(0.5 * (vs + vo)));
    }
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct sp_error err;
    b.settings = (struct settings){.seed = 1,
                                   .people = 20,
                                   .minutes = 5,
                                   .noise = 2,
                                   .miss = 0.02,
                                   .wrong = 0.02,
                                   .cameras = SP_WORLD_CAMERAS};
    read_settings(&b.settings, argc, argv);
    b.cameras = b.settings.cameras > SP_WORLD_CAMERAS ? CAMERAS_MAX : SP_WORLD_CAMERAS;
    b.dice = (uint64_t)b.settings.seed * 7919 + 17;
    struct sp_world_options world = {.seed = (uint32_t)b.settings.seed,
                                     .people = (int)b.settings.people,
                                     .roam = b.settings.roam > 0,
                                     .hall = b.settings.hall > 0,
                                     .dense = b.settings.dense > 0};
    struct sp_space_options space = {.cameras = b.cameras,
                                     .embedding_numbers = b.settings.embed > 0 ? NUMBERS : 0};
    if (sp_space_open(&b.space, &space, &err) < 0)
        return 1;
    unit_vector(&b, b.common);
    for (int i = 0; i < SP_WORLD_PEOPLE_MAX; i++) {
        unit_vector(&b, b.person_vector[i]);
        b.last_camera[i] = -1;
    }
    for (int c = 0; c < b.cameras; c++) {
        open_camera(&b, c);
        sp_world_init(&b.camera[c].world, &world);
    }
    if (b.settings.rows && !(b.rows = fopen(b.settings.rows, "we"))) {
        perror(b.settings.rows);
        return 1;
    }
    run(&b);
    report(&b);
    if (b.rows)
        fclose(b.rows);
    for (int c = 0; c < b.cameras; c++)
        sp_tracker_close(b.camera[c].tracker);
    sp_space_close(b.space);
    return 0;
}
