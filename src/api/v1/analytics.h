/* Statistics of the cameras per hour (data flow: analytics.c). Server's thread only. */
#pragma once

#include "api/v1/internal.h"

enum { SP_HOURS = 366 * 24, SP_HISTORIES = SP_CAMERAS_MAX };

/* Counts of one hour of one camera, or sums over several. */
struct sp_hour {
    uint64_t confidence_milli; /* of the boxes, summed */
    uint64_t boxes, tracks;
    uint64_t on_ms; /* the camera was not paused; of the system: running */
    uint64_t up_ms; /* it delivered frames; of the system: ready */
};

/* Hours since the epoch. */
int64_t sp_analytics_first_hour(const struct sp_analytics *analytics);
int64_t sp_analytics_last_hour(const struct sp_analytics *analytics);

/* Where to put what is known of an earlier hour of a camera (empty: the system); NULL: too old. */
struct sp_hour *sp_analytics_recall(struct sp_analytics *analytics, const char *camera,
                                    int64_t hour);

/* The camera's name, or an empty one; history: 0..SP_HISTORIES-1. */
const char *sp_analytics_name(const struct sp_analytics *analytics, int history);

/* Adds the hours `first` to `last` to *to. A history of -1 is the system's. */
void sp_analytics_add(const struct sp_analytics *analytics, int history, int64_t first,
                      int64_t last, struct sp_hour *to);
