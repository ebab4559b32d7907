/* The history store: size and CPU time of recording, and time of answers.
 *
 *     bench_store record [cameras=64] [people=5] [fps=25] [seconds=60] [dir=DIR]
 *     bench_store day [people=5] [fps=25] [hours=24] [dir=DIR]
 *
 * record feeds the recorder in real time with people who walk; their boxes have the noise of a
 * detector (1 px and 1.5 % of the height) after a filter. day stores a day of one camera, counts 10
 * zones and a line live and from the store, compares the events byte for byte, and measures the
 * answers of the API. DIR is created and kept; the default is removed. */
#include "base/clock.h"
#include "base/json.h"
#include "base/yaml.h"
#include "store/counting.h"
#include "store/history.h"
#include "store/recorder.h"
#include "store/rows.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const int64_t START_US = INT64_C(1764547200000000); /* 2025-12-01 */
static const double WIDTH = 1280, HEIGHT = 720;

struct bench {
    int cameras, people;
    double fps, seconds;
    const char *dir;
};

static uint64_t seed = 1;

static double uniform(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 11) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform() + 1e-300)) * cos(2 * M_PI * uniform());
}

/* A person who walks to one place after another. */
struct person {
    uint32_t id;
    double x, y, to_x, to_y, speed, tall, box[4];
};

struct scene {
    struct person person[64];
    uint32_t last_id;
};

static void enter(struct scene *scene, struct person *p)
{
    *p = (struct person){.id = ++scene->last_id,
                         .x = uniform() * WIDTH,
                         .y = HEIGHT * (0.4 + 0.6 * uniform()),
                         .speed = 40 + 80 * uniform()};
    p->to_x = uniform() * WIDTH;
    p->to_y = HEIGHT * (0.4 + 0.6 * uniform());
    p->tall = 80 + 0.25 * p->y;
    for (int k = 0; k < 4; k++)
        p->box[k] = -1e9;
}

static void walk(struct scene *scene, struct person *p, double dt_s)
{
    double dx = p->to_x - p->x, dy = p->to_y - p->y, left = hypot(dx, dy);
    if (p->id == 0 || left < 1 + p->speed * dt_s) {
        if (p->id == 0 || uniform() < 0.3)
            enter(scene, p);
        p->to_x = uniform() * WIDTH;
        p->to_y = HEIGHT * (0.4 + 0.6 * uniform());
        return;
    }
    p->x += dx / left * p->speed * dt_s;
    p->y += dy / left * p->speed * dt_s;
    p->tall = 80 + 0.25 * p->y;
    const double edge[4] = {p->x - 0.2 * p->tall, p->y - p->tall, p->x + 0.2 * p->tall, p->y};
    for (int k = 0; k < 4; k++) {
        double seen = edge[k] + normal() * (1 + 0.015 * p->tall);
        p->box[k] = p->box[k] < -1e8 ? seen : p->box[k] + 0.4 * (seen - p->box[k]);
    }
}

static size_t fill_tracks(struct scene *scene, int people, double dt_s, struct sp_track *tracks)
{
    for (int i = 0; i < people; i++) {
        struct person *p = &scene->person[i];
        walk(scene, p, dt_s);
        tracks[i] = (struct sp_track){.id = p->id,
                                      .x1_px = fmax(p->box[0], 0),
                                      .y1_px = fmax(p->box[1], 0),
                                      .x2_px = fmin(p->box[2], WIDTH),
                                      .y2_px = fmin(p->box[3], HEIGHT),
                                      .confidence = fmin(fmax(0.85 + 0.04 * normal(), 0), 1),
                                      .detection = 1};
    }
    return (size_t)people;
}

static void check(int result, const struct sp_error *err)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench_store: %s\n", err->text);
    exit(1);
}

static double cpu_s(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double thread_cpu_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* The scene's own cost is that of this thread outside of sp_recorder_frame. */
static void bench_record(const struct bench *b)
{
    struct sp_error err = {0};
    struct sp_recorder *recorder;
    struct sp_recorder_report report;
    static struct sp_track tracks[64][64];
    static char names[64][16];
    const struct sp_recorder_options options = {.location = b->dir};
    struct scene *scenes = calloc((size_t)b->cameras, sizeof *scenes);
    check(scenes ? sp_recorder_open(&recorder, &options, &err) : SP_ERR_NO_MEMORY, &err);
    for (int c = 0; c < b->cameras; c++)
        snprintf(names[c], sizeof names[c], "camera%d", c + 1);
    double given_s = 0, before_s = cpu_s(), own_s = thread_cpu_s();
    int64_t begin_us = sp_clock_us(), wall_us = sp_clock_wall_us();
    int frames = (int)(b->seconds * b->fps);
    for (int n = 0; n < frames; n++) {
        int64_t due_us = begin_us + (int64_t)(n / b->fps * 1e6), wait_us = due_us - sp_clock_us();
        if (wait_us > 0)
            nanosleep(&(struct timespec){wait_us / 1000000, wait_us % 1000000 * 1000}, NULL);
        for (int c = 0; c < b->cameras; c++)
            fill_tracks(&scenes[c], b->people, 1 / b->fps, tracks[c]);
        double call_s = thread_cpu_s();
        for (int c = 0; c < b->cameras; c++) {
            const struct sp_recorded_frame frame = {
                .camera = c,
                .name = names[c],
                .epoch = 1,
                .sequence = (uint64_t)n,
                .time_us = wall_us + (int64_t)(n / b->fps * 1e6) + c * 97 + n % 7 * 13,
                .inferred = true,
                .width_px = (int)WIDTH,
                .height_px = (int)HEIGHT,
                .tracks = tracks[c],
                .count = (size_t)b->people};
            sp_recorder_frame(recorder, &frame);
        }
        given_s += thread_cpu_s() - call_s;
    }
    double scene_s = thread_cpu_s() - own_s - given_s;
    double spent_s = cpu_s() - before_s - scene_s,
           wall_s = (double)(sp_clock_us() - begin_us) / 1e6;
    nanosleep(&(struct timespec){2, 0}, NULL);
    sp_recorder_report(recorder, &report);
    sp_recorder_close(recorder);
    printf("%d cameras, %d people, %.0f frames/s, %.0f s: %llu boxes, %.2f bytes per box, dropped "
           "%llu\n",
           b->cameras, b->people, b->fps, wall_s, (unsigned long long)report.boxes,
           (double)report.bytes / (double)report.boxes, (unsigned long long)report.dropped);
    printf("a day: %.2f GB; CPU %.2f %% of a core, of it %.2f %% in the callers\n",
           (double)report.bytes / wall_s * 86400 / 1e9, 100 * spent_s / wall_s,
           100 * given_s / wall_s);
    free(scenes);
}

/* ---- a day of one camera ---- */

static const char body[] =
    "{\"from\":\"2025-12-01\",\"to\":\"2025-12-02\",\"bucket\":\"hour\",\"cameras\":[{\"name\":"
    "\"camera1\","
    "\"lines\":[{\"name\":\"l\",\"points\":[[0.5,0],[0.5,1]]}],\"zones\":["
    "{\"name\":\"z0\",\"polygon\":[[0,0.4],[0.2,0.4],[0.2,0.7],[0,0.7]]},"
    "{\"name\":\"z1\",\"polygon\":[[0.2,0.4],[0.4,0.4],[0.4,0.7],[0.2,0.7]]},"
    "{\"name\":\"z2\",\"polygon\":[[0.4,0.4],[0.6,0.4],[0.6,0.7],[0.4,0.7]]},"
    "{\"name\":\"z3\",\"polygon\":[[0.6,0.4],[0.8,0.4],[0.8,0.7],[0.6,0.7]]},"
    "{\"name\":\"z4\",\"polygon\":[[0.8,0.4],[1,0.4],[1,0.7],[0.8,0.7]]},"
    "{\"name\":\"z5\",\"polygon\":[[0,0.7],[0.2,0.7],[0.2,1],[0,1]]},"
    "{\"name\":\"z6\",\"polygon\":[[0.2,0.7],[0.4,0.7],[0.4,1],[0.2,1]]},"
    "{\"name\":\"z7\",\"polygon\":[[0.4,0.7],[0.6,0.7],[0.6,1],[0.4,1]]},"
    "{\"name\":\"z8\",\"polygon\":[[0.6,0.7],[0.8,0.7],[0.8,1],[0.6,1]]},"
    "{\"name\":\"z9\",\"polygon\":[[0.8,0.7],[1,0.7],[1,1],[0.8,1]]}]}]}";

struct day {
    struct sp_store *store;
    struct sp_rows *rows;
    uint64_t hash, events;
    struct sp_json json;
    bool live;
};

static void take_event(void *user, const struct sp_counting_event *event)
{
    struct day *day = user;
    sp_json_clear(&day->json);
    sp_counting_event_json(&day->json, event);
    for (size_t i = 0; i < day->json.used_bytes; i++)
        day->hash = (day->hash ^ (uint8_t)day->json.text[i]) * UINT64_C(1099511628211);
    day->events++;
    if (!day->live)
        return;
    struct sp_event stored = {.wall_us = event->time_us, .camera = "camera1"};
    const char *kind = strstr(day->json.text, ":\"") + 2;
    snprintf(stored.kind, sizeof stored.kind, "%.*s", (int)strcspn(kind, "\""), kind);
    snprintf(stored.id, sizeof stored.id, "camera1/1/%llu", (unsigned long long)day->events);
    snprintf(stored.payload, sizeof stored.payload, "%s", day->json.text);
    sp_rows_event(day->rows, &stored);
    if (day->events % 500 == 0) {
        uint64_t written;
        struct sp_error err = {0};
        check(sp_rows_write(day->rows, day->store, false, &written, &err), &err);
    }
}

static struct sp_counting_config *read_config(void)
{
    struct sp_error err = {0};
    struct sp_yaml *yaml = NULL;
    struct sp_counting_config *config = calloc(1, sizeof *config);
    check(config ? sp_yaml_read_text(&yaml, body, sizeof body - 1, "body", &err) : SP_ERR_NO_MEMORY,
          &err);
    check(sp_counting_config_read(config, sp_yaml_root(yaml), &err), &err);
    sp_yaml_close(yaml);
    return config;
}

static void ask(struct sp_store *store, const char *what, enum sp_history_kind kind, double hours)
{
    struct sp_error err = {0};
    struct sp_json json = {0};
    char text[sizeof body];
    memcpy(text, body, sizeof body);
    const struct sp_history_query query = {.kind = kind,
                                           .from_us = START_US,
                                           .to_us = START_US + (int64_t)(hours * 3600e6),
                                           .bucket_us = 60000000,
                                           .camera = "camera1",
                                           .zone = "z3",
                                           .limit = 1000,
                                           .columns = 64,
                                           .body = text,
                                           .body_bytes = strlen(text)};
    struct sp_history_query chosen = query;
    if (kind == SP_HISTORY_COUNTS)
        chosen.zone[0] = '\0'; /* all ten */
    struct sp_history_reply reply = {.json = &json};
    int64_t begin_us = sp_clock_us();
    check(sp_history_answer(store, &chosen, &reply, &err), &err);
    printf("%-52s %8.3f s, %zu bytes\n", what, (double)(sp_clock_us() - begin_us) / 1e6,
           json.used_bytes);
    sp_json_release(&json);
}

static void store_block(struct day *day, struct sp_block_encoder *encoder)
{
    struct sp_error err = {0};
    struct sp_block_header header;
    size_t bytes;
    const uint8_t *block = sp_block_end(encoder, false, &bytes, &header);
    struct sp_segments *segments = day->store->segments;
    check(segments->api->append(segments, "camera1", sp_store_day(header.first_us), block, bytes,
                                &err),
          &err);
    sp_block_begin(encoder, &header);
}

static void bench_day(const struct bench *b)
{
    struct sp_error err = {0};
    struct day live = {.live = true}, again = {0};
    struct sp_block_encoder *encoder;
    struct sp_counting *counting;
    struct sp_track tracks[64];
    struct sp_stored_track stored[64];
    static const char *const names[] = {"camera1"};
    struct sp_counting_config *config = read_config();
    const struct sp_counting_options options = {
        .config = config, .cameras = names, .camera_count = 1, .event = take_event, .user = &live};
    const struct sp_block_header header = {
        .run_us = 1, .epoch = 1, .width_px = (uint32_t)WIDTH, .height_px = (uint32_t)HEIGHT};
    struct scene *scene = calloc(1, sizeof *scene);
    check(sp_store_open(&live.store, b->dir, true, &err), &err);
    check(sp_rows_open(&live.rows, 1, &err), &err);
    check(sp_block_encoder_open(&encoder, &err), &err);
    check(sp_counting_open(&counting, &options, &err), &err);
    sp_block_begin(encoder, &header);
    int64_t frames = (int64_t)(b->seconds * b->fps), per_block = (int64_t)(b->fps * 0.9);
    for (int64_t n = 0; scene && n < frames; n++) {
        size_t count = fill_tracks(scene, b->people, 1 / b->fps, tracks);
        struct sp_counting_frame frame = {.time_us = START_US + (int64_t)((double)n / b->fps * 1e6),
                                          .width_px = (int)WIDTH,
                                          .height_px = (int)HEIGHT,
                                          .inferred = true,
                                          .tracks = tracks,
                                          .count = count};
        struct sp_stored_frame kept = {.time_us = frame.time_us,
                                       .sequence = (uint64_t)n,
                                       .inferred = true,
                                       .count = count,
                                       .tracks = stored};
        for (size_t i = 0; i < count; i++)
            sp_stored_track_fill(&stored[i], &tracks[i], NULL);
        sp_block_add(encoder, &kept);
        sp_counting_frame(counting, &frame);
        if ((n + 1) % per_block == 0 || n + 1 == frames)
            store_block(&live, encoder);
    }
    sp_counting_finish(counting);
    uint64_t written;
    check(sp_rows_write(live.rows, live.store, true, &written, &err), &err);
    int64_t begin_us = sp_clock_us();
    const struct sp_stored_counting stored_counting = {.config = config,
                                                       .to_us = INT64_MAX / 4,
                                                       .event = take_event,
                                                       .user = &again,
                                                       .to_the_end = true};
    check(sp_stored_counting_run(live.store, &stored_counting, NULL, &err), &err);
    printf("%lld frames, %lld boxes; events: live %llu, from the store %llu, %s (%.1f s)\n",
           (long long)frames, (long long)frames * b->people, (unsigned long long)live.events,
           (unsigned long long)again.events,
           live.hash == again.hash ? "equal to the byte" : "DIFFERENT",
           (double)(sp_clock_us() - begin_us) / 1e6);
    ask(live.store, "counts of 10 zones and a line, by minute", SP_HISTORY_COUNTS,
        b->seconds / 3600);
    ask(live.store, "visits of a zone", SP_HISTORY_VISITS, b->seconds / 3600);
    ask(live.store, "newest 1000 events", SP_HISTORY_EVENTS, b->seconds / 3600);
    ask(live.store, "heatmap", SP_HISTORY_HEATMAP, b->seconds / 3600);
    ask(live.store, "10 zones and a line that were not configured", SP_HISTORY_EVALUATE, 24);
    sp_counting_close(counting);
    sp_block_encoder_close(encoder);
    sp_rows_close(live.rows);
    sp_store_close(live.store);
    sp_json_release(&live.json);
    sp_json_release(&again.json);
    free(config);
    free(scene);
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/spoton-bench-XXXXXX", command[64];
    struct bench b = {.cameras = 64, .people = 5, .fps = 25, .seconds = -1};
    bool day = argc > 1 && strcmp(argv[1], "day") == 0;
    for (int i = 2; i < argc; i++) {
        const char *value = strchr(argv[i], '=') ? strchr(argv[i], '=') + 1 : "";
        b.cameras = strncmp(argv[i], "cameras=", 8) == 0 ? (int)strtol(value, NULL, 10) : b.cameras;
        b.people = strncmp(argv[i], "people=", 7) == 0 ? (int)strtol(value, NULL, 10) : b.people;
        b.fps = strncmp(argv[i], "fps=", 4) == 0 ? strtod(value, NULL) : b.fps;
        b.seconds = strncmp(argv[i], "seconds=", 8) == 0 ? strtod(value, NULL) : b.seconds;
        b.seconds = strncmp(argv[i], "hours=", 6) == 0 ? 3600 * strtod(value, NULL) : b.seconds;
        b.dir = strncmp(argv[i], "dir=", 4) == 0 ? value : b.dir;
    }
    if (argc < 2 || (!day && strcmp(argv[1], "record") != 0) || b.cameras < 1 || b.cameras > 64 ||
        b.people < 1 || b.people > 64 || !(b.fps > 0)) {
        fputs(
            "usage: bench_store record|day [cameras=N] [people=N] [fps=N] [seconds=N] [dir=DIR]\n",
            stderr);
        return 2;
    }
    if (b.seconds < 0)
        b.seconds = day ? 86400 : 60;
    bool own = !b.dir;
    if (own)
        b.dir = mkdtemp(folder);
    (day ? bench_day : bench_record)(&b);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return own && system(command) != 0; // NOLINT(cert-env33-c)
}
