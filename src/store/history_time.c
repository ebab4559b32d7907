#include "store/history.h"

#include "base/clock.h"
#include "publish/message.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

bool sp_history_read_time(const char *text, int64_t *time_us)
{
    struct tm tm = {0};
    int64_t fraction_us = 0, unit_us = 100000, offset_s = 0;
    const char *at = strptime(text, "%Y-%m-%d", &tm);
    if (!at)
        return false;
    if (*at == 'T' || *at == ' ') {
        at = strptime(at + 1, "%H:%M:%S", &tm);
        if (at && *at == '.')
            for (at++; *at >= '0' && *at <= '9'; at++, unit_us /= 10)
                fraction_us += (*at - '0') * unit_us;
        if (at && (*at == '+' || *at == '-' || *at == ' ')) { /* a query decodes '+' as a space */
            int sign = *at == '-' ? -1 : 1, hours, minutes, used = 0;
            if (sscanf(at + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 || used != 5 ||
                hours < 0 || minutes < 0)
                return false;
            offset_s = sign * (hours * 3600 + minutes * 60);
            at += 1 + used;
        } else if (at && *at == 'Z') {
            at++;
        }
    }
    if (!at || *at || tm.tm_year < 70 || tm.tm_year > 8000)
        return false;
    *time_us = ((int64_t)timegm(&tm) - offset_s) * 1000000 + fraction_us;
    return *time_us >= 0;
}

void sp_history_put_time(struct sp_json *json, const char *key, int64_t time_us)
{
    char text[SP_TIME_BYTES];
    sp_time_format(time_us, text);
    sp_json_member_string(json, key, text);
}

bool sp_history_is_over(const struct sp_history_query *query)
{
    return (query->deadline_us && sp_clock_us() > query->deadline_us) ||
           (query->stopped && query->stopped(query->user));
}
