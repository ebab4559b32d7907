#include "store/count_table.h"

#include "base/json.h"
#include "publish/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bucket {
    int64_t count, dwell_us;
    int people_max;
};

struct series {
    char name[64], direction[64];
    bool line;
    struct bucket *bucket; /* [buckets] */
};

struct sp_count_table {
    int64_t from_us, to_us, bucket_us, first;
    size_t buckets;
    int count;
    struct series series[SP_COUNT_SERIES_MAX];
};

int sp_count_table_open(struct sp_count_table **out, int64_t from_us, int64_t to_us,
                        int64_t bucket_us, struct sp_error *err)
{
    int64_t first = from_us / bucket_us, last = (to_us - 1) / bucket_us;
    if (last - first >= SP_COUNT_BUCKETS_MAX)
        return sp_fail(err, SP_ERR_INVALID,
                       "bucket: more than %d buckets; choose larger ones, or less time",
                       SP_COUNT_BUCKETS_MAX);
    struct sp_count_table *table = calloc(1, sizeof *table);
    if (!table)
        return sp_fail(err, SP_ERR_NO_MEMORY, "counts: out of memory");
    table->from_us = from_us;
    table->to_us = to_us;
    table->bucket_us = bucket_us;
    table->first = first;
    table->buckets = (size_t)(last - first + 1);
    *out = table;
    return SP_OK;
}

void sp_count_table_close(struct sp_count_table *table)
{
    for (int i = 0; table && i < table->count; i++)
        free(table->series[i].bucket);
    free(table);
}

static struct series *series_of(struct sp_count_table *table, const char *name,
                                const char *direction)
{
    for (int i = 0; i < table->count; i++) {
        struct series *s = &table->series[i];
        if (s->line == (direction != NULL) && strcmp(s->name, name) == 0 &&
            (!direction || strcmp(s->direction, direction) == 0))
            return s;
    }
    if (table->count == SP_COUNT_SERIES_MAX)
        return NULL;
    struct series *s = &table->series[table->count];
    s->bucket = calloc(table->buckets, sizeof *s->bucket);
    if (!s->bucket)
        return NULL;
    s->line = direction != NULL;
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->direction, sizeof s->direction, "%s", direction ? direction : "");
    table->count++;
    return s;
}

int sp_count_table_add(struct sp_count_table *table, const struct sp_count_addition *addition,
                       struct sp_error *err)
{
    if (addition->time_us < table->from_us || addition->time_us >= table->to_us)
        return SP_OK;
    struct series *s = series_of(table, addition->name, addition->direction);
    if (!s)
        return table->count == SP_COUNT_SERIES_MAX
                   ? sp_fail(err, SP_ERR_INVALID,
                             "counts: more than %d names; choose one with line= or zone=",
                             SP_COUNT_SERIES_MAX)
                   : sp_fail(err, SP_ERR_NO_MEMORY, "counts: out of memory");
    struct bucket *b = &s->bucket[addition->time_us / table->bucket_us - table->first];
    b->count += addition->count;
    b->dwell_us += addition->dwell_us;
    if (addition->people_max > b->people_max)
        b->people_max = addition->people_max;
    return SP_OK;
}

static void put_time(struct sp_json *json, const char *key, int64_t time_us)
{
    char text[SP_TIME_BYTES];
    sp_time_format(time_us, text);
    sp_json_member_string(json, key, text);
}

static void put_dwell(struct sp_json *json, const struct bucket *b)
{
    sp_json_member_number(json, "dwell_mean_s",
                          b->count > 0 ? (double)b->dwell_us / 1e6 / (double)b->count : 0, 2);
}

static void put_buckets(const struct sp_count_table *table, const struct series *s,
                        struct sp_json *json)
{
    sp_json_key(json, "buckets");
    sp_json_begin_array(json);
    for (size_t i = 0; i < table->buckets; i++) {
        const struct bucket *b = &s->bucket[i];
        if (b->count == 0 && b->people_max == 0)
            continue;
        sp_json_begin_object(json);
        put_time(json, "time", (table->first + (int64_t)i) * table->bucket_us);
        sp_json_member_int(json, s->line ? "count" : "visits", b->count);
        if (!s->line) {
            put_dwell(json, b);
            sp_json_member_int(json, "people_max", b->people_max);
        }
        sp_json_end_object(json);
    }
    sp_json_end_array(json);
}

static void put_series(const struct sp_count_table *table, const struct series *s,
                       struct sp_json *json)
{
    struct bucket sum = {0};
    for (size_t i = 0; i < table->buckets; i++) {
        sum.count += s->bucket[i].count;
        sum.dwell_us += s->bucket[i].dwell_us;
    }
    sp_json_begin_object(json);
    sp_json_member_string(json, s->line ? "line" : "zone", s->name);
    if (s->line)
        sp_json_member_string(json, "direction", s->direction);
    sp_json_member_int(json, s->line ? "total" : "visits", sum.count);
    if (!s->line)
        put_dwell(json, &sum);
    put_buckets(table, s, json);
    sp_json_end_object(json);
}

void sp_count_table_json(const struct sp_count_table *table, int64_t to_us, struct sp_json *json)
{
    put_time(json, "from", table->from_us);
    put_time(json, "to", to_us);
    sp_json_member_int(json, "bucket_s", table->bucket_us / 1000000);
    for (int line = 1; line >= 0; line--) {
        sp_json_key(json, line ? "lines" : "zones");
        sp_json_begin_array(json);
        for (int i = 0; i < table->count; i++)
            if (table->series[i].line == (line == 1))
                put_series(table, &table->series[i], json);
        sp_json_end_array(json);
    }
}
