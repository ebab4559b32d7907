#include "api/v1/feedback.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

bool sp_feedback_is_decision(const char *text)
{
    return text && (strcmp(text, "thumbs_up") == 0 || strcmp(text, "thumbs_down") == 0);
}

bool sp_feedback_read_time(const char *text, int64_t *wall_us)
{
    struct tm tm = {0};
    const char *at = text ? strptime(text, "%Y-%m-%d", &tm) : NULL;
    int64_t fraction_us = 0, unit_us = 100000, offset_s = 0;
    if (at && (*at == 'T' || *at == ' '))
        at = strptime(at + 1, "%H:%M:%S", &tm);
    if (at && *at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++, unit_us /= 10)
            fraction_us += (*at - '0') * unit_us;
    if (at && (*at == '+' || *at == '-' || *at == ' ')) { /* a query decodes '+' as a space */
        int sign = *at == '-' ? -1 : 1, hours = -1, minutes = -1, used = 0;
        if (sscanf(at + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || hours < 0 || minutes < 0)
            return false;
        offset_s = sign * (hours * 3600 + minutes * 60);
        at += 1 + used;
    } else if (at && *at == 'Z') {
        at++;
    }
    if (!at || *at)
        return false;
    *wall_us = ((int64_t)timegm(&tm) - offset_s) * 1000000 + fraction_us;
    return true;
}

bool sp_feedback_is_record(const json_t *value)
{
    int64_t time_us;
    return json_is_string(json_object_get(value, "feedback_id")) &&
           json_is_string(json_object_get(value, "global_person_id")) &&
           sp_feedback_is_decision(json_string_value(json_object_get(value, "decision"))) &&
           json_is_object(json_object_get(value, "metadata")) &&
           sp_feedback_read_time(json_string_value(json_object_get(value, "recorded_at")),
                                 &time_us);
}
