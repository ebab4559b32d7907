/* Parses a sim:// address. */
#include "capture/sim/sim.h"
#include "frame.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const patterns[] = {"walk", "still", "empty", "offline", "world", "visit"};
static const char *const faults[] = {
#define X(id, name) name,
    SP_SIM_FAULTS(X)
#undef X
};

static int refuse(struct sp_error *err, const char *url, const char *word, const char *wanted)
{
    return sp_fail(err, SP_ERR_INVALID, "%.200s: '%.60s' is not understood; %s", url, word, wanted);
}

/* A finite number that ends at the end of the text or at one of `ends`. */
static bool take_number(const char **text, const char *ends, double low, double high, double *out)
{
    char *end;
    double value = strtod(*text, &end);
    if (end == *text || !(value >= low && value <= high) || (*end && !strchr(ends, *end)))
        return false;
    *out = value;
    *text = end;
    return true;
}

static bool take_times(const char *text, struct sp_sim_times *out)
{
    double *const part[] = {&out->at_s, &out->for_s, &out->every_s};
    for (int i = 0; i < 3; i++) {
        if (!take_number(&text, ":", 0, 1e9, part[i]))
            return false;
        if (*text == '\0')
            return i > 0 && out->for_s > 0 && (i < 2 || out->every_s > out->for_s);
        text++;
    }
    return false;
}

static bool is_whole(double value)
{
    return value == floor(value);
}

/* 1: set; 0: unknown key; -1: invalid value, *wanted describes the valid ones. */
static int set_number(struct sp_sim_plan *plan, const char *key, const char *text,
                      const char **wanted)
{
    static const struct {
        const char *key, *wanted;
        double low, high;
        bool whole;
    } rows[] = {
        {"width", "width is a whole number from 16 to 8192", 16, 8192, true},
        {"height", "height is a whole number from 16 to 8192", 16, 8192, true},
        {"people", "people is a whole number from 0 to 32", 0, SP_SIM_PEOPLE_MAX, true},
        {"seed", "seed is a whole number from 0 to 4294967295", 0, 4294967295.0, true},
        {"fps", "fps is a number from 0.1 to 1000", 0.1, 1000, false},
        {"frames", "frames is a whole number from 0 on", 0, 1e15, true},
        {"paced", "paced is 0 or 1", 0, 1, true},
        {"latency_ms", "latency_ms is a number from 0 to 600000", 0, 600000, false},
        {"flap", "flap is a number of seconds above 0", 0.001, 1e9, false},
        {"camera", "camera is a whole number from 0 to 5", 0, 5, true},
        {"roam", "roam is 0 or 1", 0, 1, true},
        {"gpu", "gpu is 0 or 1", 0, 1, true},
        {"tiles", "tiles is 0 or 1", 0, 1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value;
        if (strcmp(key, rows[i].key) != 0)
            continue;
        *wanted = rows[i].wanted;
        if (!take_number(&text, "", rows[i].low, rows[i].high, &value) || *text ||
            (rows[i].whole && !is_whole(value)))
            return -1;
        switch (i) {
        case 0:
            plan->width_px = (int)value;
            break;
        case 1:
            plan->height_px = (int)value;
            break;
        case 2:
            plan->people = (int)value;
            break;
        case 3:
            plan->seed = (uint32_t)value;
            break;
        case 4:
            plan->fps = value;
            break;
        case 5:
            plan->frames = (int64_t)value;
            break;
        case 6:
            plan->paced = value != 0;
            break;
        case 7:
            plan->latency_us = (int64_t)(value * 1000);
            break;
        case 8:
            plan->flap_s = value;
            break;
        case 9:
            plan->camera = (int)value;
            break;
        case 10:
            plan->roam = value != 0;
            break;
        case 11:
            plan->gpu = value != 0;
            break;
        default:
            plan->tiles = value != 0;
            break;
        }
        return 1;
    }
    return 0;
}

static int set_part(struct sp_sim_plan *plan, const char *url, char *part, struct sp_error *err)
{
    char *value = strchr(part, '=');
    const char *wanted = "";
    if (!value)
        return refuse(err, url, part, "parts are KEY=VALUE, joined by '&'");
    *value++ = '\0';
    int set = set_number(plan, part, value, &wanted);
    for (int i = 0; i < SP_SIM_FAULT_COUNT && set == 0; i++) {
        if (strcmp(part, faults[i]) != 0)
            continue;
        wanted = "faults are AT:FOR or AT:FOR:EVERY in seconds, EVERY above FOR";
        set = take_times(value, &plan->fault[i]) ? 1 : -1;
    }
    if (set < 0)
        return refuse(err, url, value, wanted);
    if (set == 0)
        return refuse(err, url, part,
                      "keys are width, height, fps, people, seed, frames, paced, latency_ms, "
                      "camera, roam, gpu, tiles, stall, burst, jump, resize, garbage, black, "
                      "frozen, rain, flicker, infrared, pan, shake and flap");
    return SP_OK;
}

int sp_sim_parse(struct sp_sim_plan *plan, const char *url, struct sp_error *err)
{
    static const char scheme[] = "sim://";
    char text[2048];
    *plan = (struct sp_sim_plan){.width_px = 640,
                                 .height_px = 360,
                                 .people = 3,
                                 .fps = SP_FRAME_RATE_DEFAULT,
                                 .paced = true};
    if (strncasecmp(url, scheme, sizeof scheme - 1) != 0 || strlen(url) >= sizeof text)
        return sp_fail(err, SP_ERR_INVALID, "%.200s: not an address like sim://walk?fps=25", url);
    snprintf(text, sizeof text, "%s", url + sizeof scheme - 1);
    char *query = strchr(text, '?');
    if (query)
        *query++ = '\0';
    size_t i = 0;
    while (i < sizeof patterns / sizeof patterns[0] && strcmp(text, patterns[i]) != 0)
        i++;
    if (i == sizeof patterns / sizeof patterns[0])
        return refuse(err, url, text, "patterns are walk, still, empty, visit, offline and world");
    plan->pattern = (enum sp_sim_pattern)i;
    char *rest = NULL;
    char *part = query ? strtok_r(query, "&", &rest) : NULL;
    for (; part; part = strtok_r(NULL, "&", &rest)) {
        int result = set_part(plan, url, part, err);
        if (result < 0)
            return result;
    }
    if (plan->pattern == SP_SIM_WORLD &&
        (plan->fault[SP_SIM_PAN].for_s > 0 || plan->fault[SP_SIM_SHAKE].for_s > 0))
        return refuse(err, url, "world", "the cameras of a scene can neither pan nor shake");
    return SP_OK;
}

bool sp_sim_is_on(const struct sp_sim_plan *plan, enum sp_sim_fault fault, double time_s,
                  double *left_s)
{
    const struct sp_sim_times *times = &plan->fault[fault];
    double since_s = time_s - times->at_s + 1e-9; /* times are products, so allow for rounding */
    if (times->for_s <= 0 || since_s < 0)
        return false;
    if (times->every_s > 0)
        since_s = fmod(since_s, times->every_s);
    if (since_s >= times->for_s)
        return false;
    if (left_s)
        *left_s = times->for_s - since_s;
    return true;
}
