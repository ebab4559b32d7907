#include "api/metrics_counts.h"

#include "base/stats.h"

#include <stdarg.h>
#include <stdio.h>

/* Upper bounds of the buckets of dwell. */
static const int64_t dwell_us[] = {5000000,   15000000,  30000000,   60000000,  120000000,
                                   300000000, 600000000, 1800000000, 3600000000};
enum { DWELLS = sizeof dwell_us / sizeof dwell_us[0] };

static void line(struct sp_json *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void line(struct sp_json *out, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sp_json_raw(out, text);
    sp_json_raw(out, "\n");
}

static void head(struct sp_json *out, const char *name, const char *type, const char *help)
{
    line(out, "# HELP %s %s", name, help);
    line(out, "# TYPE %s %s", name, type);
}

/* labels: key="value", without the braces. */
static void put_histogram(struct sp_json *out, const char *name, const char *labels,
                          const struct sp_histogram *histogram)
{
    uint64_t below[DWELLS], all = sp_histogram_below(histogram, dwell_us, DWELLS, below);
    if (all == 0)
        return;
    for (int i = 0; i < DWELLS; i++)
        line(out, "%s_bucket{%s,le=\"%g\"} %llu", name, labels, (double)dwell_us[i] / 1e6,
             (unsigned long long)below[i]);
    line(out, "%s_bucket{%s,le=\"+Inf\"} %llu", name, labels, (unsigned long long)all);
    line(out, "%s_sum{%s} %.9g", name, labels, (double)atomic_load(&histogram->sum_us) / 1e6);
    line(out, "%s_count{%s} %llu", name, labels, (unsigned long long)all);
}

/* Names of lines and zones are free text. */
static const char *label(const char *text, char out[2 * SP_COUNTING_NAME_BYTES])
{
    size_t used = 0;
    for (; *text; out[used++] = *text++)
        if (*text == '"' || *text == '\\')
            out[used++] = '\\';
    out[used] = '\0';
    return out;
}

static void put_line_count(void *user, const struct sp_line_count *count)
{
    char name[2 * SP_COUNTING_NAME_BYTES], way[2 * SP_COUNTING_NAME_BYTES];
    line(user, "spoton_line_crossings_total{line=\"%s\",direction=\"%s\"} %llu",
         label(count->name, name), label(count->in_name, way), (unsigned long long)count->in);
    line(user, "spoton_line_crossings_total{line=\"%s\",direction=\"%s\"} %llu", name,
         label(count->out_name, way), (unsigned long long)count->out);
}

static void put_visits(void *user, const struct sp_zone_count *count)
{
    char name[2 * SP_COUNTING_NAME_BYTES];
    line(user, "spoton_zone_visits_total{zone=\"%s\"} %llu", label(count->name, name),
         (unsigned long long)count->visits);
}

static void put_occupancy(void *user, const struct sp_zone_count *count)
{
    char name[2 * SP_COUNTING_NAME_BYTES];
    line(user, "spoton_zone_occupancy{zone=\"%s\"} %d", label(count->name, name),
         count->occupancy.now);
}

static void put_seen(void *user, const struct sp_zone_count *count)
{
    char name[2 * SP_COUNTING_NAME_BYTES];
    line(user, "spoton_zone_seen{zone=\"%s\"} %d", label(count->name, name), count->seen);
}

static void put_dwell(void *user, const struct sp_zone_count *count)
{
    char name[2 * SP_COUNTING_NAME_BYTES], labels[2 * SP_COUNTING_NAME_BYTES + 16];
    snprintf(labels, sizeof labels, "zone=\"%s\"", label(count->name, name));
    put_histogram(user, "spoton_zone_dwell_seconds", labels, count->dwell);
}

void sp_metrics_counts(struct sp_api *api, struct sp_json *out)
{
    struct sp_live_counting *counting = api->counting;
    struct sp_live_counting_visitor visitor = {.line = put_line_count, .user = out};
    head(out, "spoton_line_crossings_total", "counter", "People who crossed a line.");
    sp_live_counting_visit(counting, &visitor);
    const struct {
        const char *name, *type, *help;
        void (*put)(void *user, const struct sp_zone_count *count);
    } metrics[] = {
        {"spoton_zone_visits_total", "counter", "Visits to a zone.", put_visits},
        {"spoton_zone_occupancy", "gauge", "People in a zone, estimated.", put_occupancy},
        {"spoton_zone_seen", "gauge", "People who are seen in a zone.", put_seen},
        {"spoton_zone_dwell_seconds", "histogram", "Duration of a visit to a zone.", put_dwell},
    };
    for (size_t i = 0; i < sizeof metrics / sizeof metrics[0]; i++) {
        head(out, metrics[i].name, metrics[i].type, metrics[i].help);
        visitor = (struct sp_live_counting_visitor){.zone = metrics[i].put, .user = out};
        sp_live_counting_visit(counting, &visitor);
    }
    head(out, "spoton_counting_missed_total", "counter",
         "Frames that lines and zones did not count: queue full.");
    line(out, "spoton_counting_missed_total %llu",
         (unsigned long long)sp_live_counting_missed(counting));
}
