#include "command/tracks_table.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *title, *key;
    int width, decimals;
} COLUMN[SP_TRACKS_MEASURES] = {
    [SP_TRACKS_MOTA] = {"MOTA", "mota", 8, 3},
    [SP_TRACKS_IDF1] = {"IDF1", "idf1", 8, 3},
    [SP_TRACKS_HOTA] = {"HOTA", "hota", 8, 3},
    [SP_TRACKS_ASSA] = {"AssA", "association_accuracy", 8, 3},
    [SP_TRACKS_DETA] = {"DetA", "detection_accuracy", 8, 3},
    [SP_TRACKS_SWITCHES] = {"switches", "id_switches", 10, 0},
    [SP_TRACKS_IDS] = {"ids", "tracks", 6, 0},
    [SP_TRACKS_SHORT_IDS] = {"under 0.5 s", "short_tracks", 13, 0},
    [SP_TRACKS_LIFE_S] = {"life s", "mean_life_s", 8, 2},
};

/* What is computed of one tracker over all sequences. */
struct summary {
    double value[SP_TRACKS_MEASURES];
    struct sp_tracks_interval interval[SP_TRACKS_MEASURES];
    /* Less those of the first tracker. */
    double difference[SP_TRACKS_MEASURES];
    struct sp_tracks_interval difference_interval[SP_TRACKS_MEASURES];
};

static int summarize(const struct sp_tracks_table *table, size_t tracker, struct summary *out,
                     struct sp_error *err)
{
    size_t count = table->sequences->count;
    const struct sp_tracks_sums *own = &table->sums[tracker * count], *base = table->sums;
    struct sp_tracks_sums total = {0}, base_total = {0};
    double base_value[SP_TRACKS_MEASURES];
    for (size_t i = 0; i < count; i++) {
        sp_tracks_sums_add(&total, &own[i]);
        sp_tracks_sums_add(&base_total, &base[i]);
    }
    sp_tracks_measure(&total, out->value);
    sp_tracks_measure(&base_total, base_value);
    for (int m = 0; m < SP_TRACKS_MEASURES; m++)
        out->difference[m] = out->value[m] - base_value[m];
    int code = sp_tracks_bootstrap(own, NULL, count, out->interval, err);
    return code ? code : sp_tracks_bootstrap(own, base, count, out->difference_interval, err);
}

/* ---- text ---- */

static void print_row(const char *name, int name_width, const double value[SP_TRACKS_MEASURES],
                      bool sign)
{
    printf("%-*s", name_width, name);
    for (int m = 0; m < SP_TRACKS_MEASURES; m++) {
        if (isnan(value[m]))
            printf("%*s", COLUMN[m].width, "-");
        else
            printf(sign ? "%+*.*f" : "%*.*f", COLUMN[m].width, COLUMN[m].decimals, value[m]);
    }
    putchar('\n');
}

static void print_interval(int name_width,
                           const struct sp_tracks_interval interval[SP_TRACKS_MEASURES], bool sign)
{
    double low[SP_TRACKS_MEASURES], high[SP_TRACKS_MEASURES];
    for (int m = 0; m < SP_TRACKS_MEASURES; m++) {
        low[m] = interval[m].low;
        high[m] = interval[m].high;
    }
    print_row("    2.5 %", name_width, low, sign);
    print_row("   97.5 %", name_width, high, sign);
}

static int print_text(const struct sp_tracks_table *table, struct sp_error *err)
{
    size_t count = table->sequences->count;
    int width = 14;
    for (size_t i = 0; i < count; i++)
        if ((int)strlen(table->sequences->sequence[i].name) + 2 > width)
            width = (int)strlen(table->sequences->sequence[i].name) + 2;
    for (size_t t = 0; t < table->tracker_count; t++) {
        struct summary all;
        double value[SP_TRACKS_MEASURES];
        int code = summarize(table, t, &all, err);
        if (code)
            return code;
        printf("%-*s", width, table->tracker ? table->tracker[t] : "");
        for (int m = 0; m < SP_TRACKS_MEASURES; m++)
            printf("%*s", COLUMN[m].width, COLUMN[m].title);
        putchar('\n');
        for (size_t i = 0; i < count; i++) {
            sp_tracks_measure(&table->sums[t * count + i], value);
            print_row(table->sequences->sequence[i].name, width, value, false);
        }
        print_row("all", width, all.value, false);
        if (count > 1)
            print_interval(width, all.interval, false);
        if (t > 0) {
            printf("less %s\n", table->tracker[0]);
            print_row("all", width, all.difference, true);
            if (count > 1)
                print_interval(width, all.difference_interval, true);
        }
        if (t + 1 < table->tracker_count)
            putchar('\n');
    }
    return SP_OK;
}

/* ---- JSON ---- */

static void add_values(struct sp_json *json, const double value[SP_TRACKS_MEASURES])
{
    for (int m = 0; m < SP_TRACKS_MEASURES; m++)
        sp_json_member_number(json, COLUMN[m].key, value[m], 5);
}

static void add_summary(struct sp_json *json, const double value[SP_TRACKS_MEASURES],
                        const struct sp_tracks_interval interval[SP_TRACKS_MEASURES], bool several)
{
    sp_json_begin_object(json);
    add_values(json, value);
    if (several) {
        sp_json_key(json, "interval");
        sp_json_begin_object(json);
        for (int m = 0; m < SP_TRACKS_MEASURES; m++) {
            sp_json_key(json, COLUMN[m].key);
            sp_json_begin_array(json);
            sp_json_number(json, interval[m].low, 5);
            sp_json_number(json, interval[m].high, 5);
            sp_json_end_array(json);
        }
        sp_json_end_object(json);
    }
    sp_json_end_object(json);
}

static int add_tracker(struct sp_json *json, const struct sp_tracks_table *table, size_t tracker,
                       struct sp_error *err)
{
    size_t count = table->sequences->count;
    struct summary all;
    int code = summarize(table, tracker, &all, err);
    if (code)
        return code;
    sp_json_begin_object(json);
    if (table->tracker)
        sp_json_member_string(json, "tracker", table->tracker[tracker]);
    sp_json_key(json, "sequences");
    sp_json_begin_array(json);
    for (size_t i = 0; i < count; i++) {
        double value[SP_TRACKS_MEASURES];
        sp_tracks_measure(&table->sums[tracker * count + i], value);
        sp_json_begin_object(json);
        sp_json_member_string(json, "sequence", table->sequences->sequence[i].name);
        sp_json_member_number(json, "frame_rate", table->sequences->sequence[i].frame_rate, 3);
        add_values(json, value);
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
    sp_json_key(json, "all");
    add_summary(json, all.value, all.interval, count > 1);
    if (tracker > 0) {
        sp_json_key(json, "difference");
        add_summary(json, all.difference, all.difference_interval, count > 1);
    }
    sp_json_end_object(json);
    return SP_OK;
}

static int print_json(const struct sp_tracks_table *table, struct sp_error *err)
{
    struct sp_json json = {0};
    int code = SP_OK;
    sp_json_begin_array(&json);
    for (size_t t = 0; t < table->tracker_count && code == SP_OK; t++)
        code = add_tracker(&json, table, t, err);
    sp_json_end_array(&json);
    if (code == SP_OK && json.failed)
        code = sp_fail(err, SP_ERR_NO_MEMORY, "tracks: out of memory");
    if (code == SP_OK)
        printf("%s\n", json.text);
    sp_json_release(&json);
    return code;
}

int sp_tracks_table_print(const struct sp_tracks_table *table, bool json, struct sp_error *err)
{
    return json ? print_json(table, err) : print_text(table, err);
}
