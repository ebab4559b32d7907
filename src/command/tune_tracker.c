#include "command/tune_tracker.h"

#include "base/log.h"
#include "command/track.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct pair_value {
    const char *text;
    double value;
};

static const struct pair_value matches[SP_TUNE_MATCHES] = {
    {"0.8", 0.8}, {"0.85", 0.85}, {"0.9", 0.9}, {"0.95", 0.95}};
static const struct pair_value highs[SP_TUNE_HIGHS] = {
    {"0.3", 0.3}, {"0.4", 0.4}, {"0.5", 0.5}, {"0.6", 0.6}};

/* The defaults, chosen unless another pair is better. */
enum { DEFAULT_MATCH = 0, DEFAULT_HIGH = 2 };

const char *sp_tune_tracker_match(int match)
{
    return matches[match].text;
}

const char *sp_tune_tracker_high(int high)
{
    return highs[high].text;
}

static int track_all(struct sp_settings *settings, int match, int high, const char *folder,
                     const char *const *name, int names, struct sp_error *err)
{
    char input[PATH_MAX], output[PATH_MAX];
    int result = SP_OK;
    settings->track_match_thresh = matches[match].value;
    settings->track_high_thresh = highs[high].value;
    for (int i = 0; i < names && result == SP_OK; i++) {
        if (snprintf(input, sizeof input, "%s/%s.jsonl", folder, name[i]) >= (int)sizeof input)
            return sp_fail(err, SP_ERR_INVALID, "%s: the path is too long", folder);
        snprintf(output, sizeof output, "%s/%s.txt", folder, name[i]);
        result = sp_command_track(settings, input, output, err);
    }
    return result;
}

static double around(const struct sp_tune_tracker *out, int match, int high)
{
    double sum = 0;
    int count = 0;
    for (int m = 0; m < SP_TUNE_MATCHES; m++) {
        for (int h = 0; h < SP_TUNE_HIGHS; h++) {
            if (abs(m - match) + abs(h - high) > 1)
                continue;
            sum += out->idf1[m][h];
            count++;
        }
    }
    return sum / count;
}

static void choose(struct sp_tune_tracker *out)
{
    out->match = DEFAULT_MATCH;
    out->high = DEFAULT_HIGH;
    for (int m = 0; m < SP_TUNE_MATCHES; m++)
        for (int h = 0; h < SP_TUNE_HIGHS; h++)
            out->around[m][h] = around(out, m, h);
    for (int m = 0; m < SP_TUNE_MATCHES; m++) {
        for (int h = 0; h < SP_TUNE_HIGHS; h++) {
            if (out->around[m][h] > out->around[out->match][out->high] + 1e-9) {
                out->match = m;
                out->high = h;
            }
        }
    }
}

int sp_tune_tracker(struct sp_tune_tracker *out, const struct sp_settings *settings,
                    const char *folder, const char *const *name, int names, sp_tune_judge judge,
                    void *user, struct sp_error *err)
{
    struct sp_settings *changed = malloc(sizeof *changed);
    if (!changed)
        return sp_fail(err, SP_ERR_NO_MEMORY, "tune: out of memory");
    *changed = *settings;
    changed->frame_skip = 1; /* the results log names the inferred frames */
    /* Otherwise each replay would log its result. */
    bool info = sp_log_enabled(SP_LOG_INFO), debug = sp_log_enabled(SP_LOG_DEBUG);
    if (info)
        sp_log_set_level(SP_LOG_WARNING);
    int result = SP_OK;
    for (int i = 0; i < SP_TUNE_MATCHES * SP_TUNE_HIGHS && result == SP_OK; i++) {
        int match = i / SP_TUNE_HIGHS, high = i % SP_TUNE_HIGHS;
        result = track_all(changed, match, high, folder, name, names, err);
        if (result == SP_OK)
            result = judge(user, &out->idf1[match][high], err);
    }
    if (result == SP_OK) {
        choose(out);
        result = track_all(changed, out->match, out->high, folder, name, names, err);
    }
    if (info)
        sp_log_set_level(debug ? SP_LOG_DEBUG : SP_LOG_INFO);
    free(changed);
    return result;
}

void sp_tune_tracker_print(const struct sp_tune_tracker *tracker)
{
    printf("\ntracker settings: IDF1 relative to f32, and its mean over the neighbours, which "
           "decides:\n%-22s",
           "TRACK_MATCH_THRESHOLD");
    for (int h = 0; h < SP_TUNE_HIGHS; h++)
        printf("      high %s", highs[h].text);
    for (int m = 0; m < SP_TUNE_MATCHES; m++) {
        printf("\n%-22s", matches[m].text);
        for (int h = 0; h < SP_TUNE_HIGHS; h++)
            printf("  %.3f %.3f%s", tracker->idf1[m][h], tracker->around[m][h],
                   m == tracker->match && h == tracker->high ? "*" : " ");
    }
    printf("\n");
}
