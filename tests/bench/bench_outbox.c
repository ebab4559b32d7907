/* Measures delivering outputs without cameras: results of 64 cameras with 5
 * people each, made here, go through the outbox to the outputs.
 *
 *     bench_outbox OUTPUTS [seconds=20] [rate=1600] [burst=200000]
 *
 * First `rate` results per second: CPU time of the process, and the lag. Then
 * `burst` results, put into the outbox at 25,000 per second: the time until the
 * other side has acknowledged the last one. Prints one JSON object.
 *
 *     bench_outbox OUTPUTS script=1
 *
 * Reads commands instead, one a line, and answers each with a JSON object:
 * "make COUNT RATE" (slower where the disk is), "wait" (until all is delivered), "report". */
#include "base/clock.h"
#include "output/fan_out.h"
#include "output/outbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { CAMERAS = 64, PEOPLE = 5, BURST_RATE = 25000, TICK_US = 10000, UNWRITTEN_MAX = 4000 };

static struct sp_result updates[CAMERAS];
static bool simulated;

static double option(int argc, char **argv, const char *key, double value)
{
    size_t bytes = strlen(key);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], key, bytes) == 0 && argv[i][bytes] == '=')
            value = atof(argv[i] + bytes + 1);
    return value;
}

static double cpu_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void make_updates(uint64_t epoch)
{
    for (int i = 0; i < CAMERAS; i++) {
        struct sp_result *u = &updates[i];
        u->camera = i;
        snprintf(u->name, sizeof u->name, "camera-%02d", i);
        u->generation = epoch + 1 + (uint64_t)i;
        u->inferred = true;
        u->width_px = 1920;
        u->height_px = 1080;
        u->track_count = PEOPLE;
        for (int k = 0; k < PEOPLE; k++)
            u->tracks[k] = (struct sp_track){.id = (uint32_t)(100 + k),
                                             .x1_px = 100.5F + (float)k,
                                             .y1_px = 200.25F,
                                             .x2_px = 180.75F + (float)k,
                                             .y2_px = 420.5F,
                                             .confidence = 0.875F,
                                             .detection = 1};
    }
}

/* Simulated time must not outrun the disk: cameras would not make so much meanwhile. */
static void wait_for_disk(struct sp_outbox *o)
{
    const struct timespec tick = {.tv_nsec = TICK_US * 1000};
    for (;;) {
        pthread_mutex_lock(&o->mutex);
        uint64_t unwritten = o->next_number - o->written_number;
        pthread_mutex_unlock(&o->mutex);
        if (unwritten < UNWRITTEN_MAX)
            return;
        nanosleep(&tick, NULL);
    }
}

/* `count` results at `rate` per second. */
static void produce(struct sp_fan_out *f, double count, double rate)
{
    static uint64_t made;
    int64_t begin_us = sp_clock_us();
    const struct timespec tick = {.tv_nsec = TICK_US * 1000};
    for (double done = 0; done < count;) {
        double due = (double)(sp_clock_us() - begin_us) * rate / 1e6;
        for (; done < due && done < count; done++, made++) {
            struct sp_result *u = &updates[made % CAMERAS];
            u->sequence++;
            u->wall_us = sp_clock_wall_us();
            u->pts_us = (int64_t)u->sequence * 40000;
            sp_fan_out_frame(f, u);
            if (simulated && made % CAMERAS == 0)
                wait_for_disk(sp_fan_out_outbox(f));
        }
        nanosleep(&tick, NULL);
    }
}

static uint64_t lag(struct sp_fan_out *f, double *seconds)
{
    uint64_t most = 0;
    for (int i = 0; i < sp_fan_out_count(f); i++) {
        struct sp_output_report r;
        sp_fan_out_report(f, i, &r);
        most = r.lag_messages > most ? r.lag_messages : most;
        *seconds = r.lag_seconds > *seconds ? r.lag_seconds : *seconds;
    }
    return most;
}

static void wait_until_delivered(struct sp_fan_out *f)
{
    double unused = 0;
    const struct timespec tick = {.tv_nsec = TICK_US * 1000};
    while (lag(f, &unused) > 0)
        nanosleep(&tick, NULL);
}

static int measure(struct sp_fan_out *f, int argc, char **argv)
{
    double seconds = option(argc, argv, "seconds", 20), rate = option(argc, argv, "rate", 1600);
    double burst = option(argc, argv, "burst", 200000), lag_s = 0;
    uint64_t lost = 0, retried = 0;
    make_updates(sp_outbox_epoch(sp_fan_out_outbox(f)));
    produce(f, rate, rate); /* connects */
    wait_until_delivered(f);
    double cpu = cpu_seconds();
    int64_t begin_us = sp_clock_us();
    produce(f, rate * seconds, rate);
    uint64_t lag_messages = lag(f, &lag_s);
    double took = (double)(sp_clock_us() - begin_us) / 1e6;
    double percent = (cpu_seconds() - cpu) / took * 100;
    wait_until_delivered(f);
    cpu = cpu_seconds();
    begin_us = sp_clock_us();
    produce(f, burst, BURST_RATE);
    wait_until_delivered(f);
    took = (double)(sp_clock_us() - begin_us) / 1e6;
    for (int i = 0; i < sp_fan_out_count(f); i++) {
        struct sp_output_report r;
        sp_fan_out_report(f, i, &r);
        lost += r.lost + r.rejected;
        retried += r.retried;
    }
    printf("{\"rate\": %.0f, \"cpu_percent_of_a_core\": %.2f, \"lag_messages\": "
           "%llu, "
           "\"lag_seconds\": %.3f, \"burst\": %.0f, \"burst_seconds\": %.2f, "
           "\"messages_per_second\": %.0f, \"catch_up\": %.1f, "
           "\"cpu_us_per_message\": %.1f, "
           "\"lost\": %llu, \"retried\": %llu}\n",
           rate, percent, (unsigned long long)lag_messages, lag_s, burst, took, burst / took,
           burst / took / rate, (cpu_seconds() - cpu) * 1e6 / burst, (unsigned long long)lost,
           (unsigned long long)retried);
    return 0;
}

static void print_report(struct sp_fan_out *f)
{
    struct sp_outbox_report outbox;
    struct sp_output_report r;
    sp_outbox_report(sp_fan_out_outbox(f), &outbox);
    sp_fan_out_report(f, 0, &r);
    unsigned long long lost = r.lost + r.rejected;
    printf("{\"connected\": %s, \"sent\": %llu, \"lag_messages\": %llu, \"retried\": %llu, "
           "\"lost\": %llu, \"outbox_bytes\": %llu, \"made\": %llu}\n",
           r.connected ? "true" : "false", (unsigned long long)r.sent,
           (unsigned long long)r.lag_messages, (unsigned long long)r.retried, lost,
           (unsigned long long)outbox.bytes, (unsigned long long)outbox.appended);
    fflush(stdout);
}

static int obey(struct sp_fan_out *f)
{
    char line[64];
    double count, rate;
    simulated = true;
    make_updates(sp_outbox_epoch(sp_fan_out_outbox(f)));
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "make %lf %lf", &count, &rate) == 2)
            produce(f, count, rate);
        else if (strncmp(line, "wait", 4) == 0)
            wait_until_delivered(f);
        print_report(f);
    }
    return 0;
}

int main(int argc, char **argv)
{
    char folder[] = "/tmp/bench-outbox-XXXXXX", command[64];
    struct sp_fan_out *f;
    struct sp_error err = {0};
    if (argc < 2 || !mkdtemp(folder)) {
        fprintf(stderr, "usage: bench_outbox OUTPUTS [seconds=20] [rate=1600] "
                        "[burst=200000]\n");
        return 2;
    }
    const struct sp_fan_out_options options = {
        .outputs = argv[1],
        .outbox = {.dir = folder,
                   .max_bytes = (uint64_t)1 << 30,
                   .max_age_us = INT64_MAX,
                   .sync_us = 100000},
        .site = "bench",
        .node = "bench",
    };
    if (sp_fan_out_open(&f, &options, &err) < 0 || !sp_fan_out_outbox(f)) {
        fprintf(stderr, "%s\n", err.text[0] ? err.text : "no output delivers");
        return 1;
    }
    int status = option(argc, argv, "script", 0) > 0 ? obey(f) : measure(f, argc, argv);
    sp_fan_out_close(f);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? status : 1;
}
