#include "onvif/message.h"
#include "onvif/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Whole and printable, or empty: a shortened token or address would be another one. */
static void copy(char *out, size_t out_bytes, const char *text)
{
    bool fits = strlen(text) < out_bytes;
    for (const char *c = text; *c && fits; c++)
        fits = (unsigned char)*c >= ' ' && *c != 0x7F;
    snprintf(out, out_bytes, "%s", fits ? text : "");
}

/* The text of the codes of a fault refuses the login. */
static bool refuses_login(const struct sp_xml_node *fault)
{
    for (const struct sp_xml_node *at = sp_xml_find(fault, "Subcode"); at;
         at = sp_xml_find(at, "Subcode"))
        if (strstr(sp_xml_text(at, "Value"), "NotAuthorized") ||
            strstr(sp_xml_text(at, "Value"), "FailedAuthentication"))
            return true;
    return strstr(sp_xml_text(fault, "faultcode"), "FailedAuthentication");
}

/* Opens an answer; `name` is the element that it must have, *found that element. */
static int open_answer(struct sp_xml **document, const char *bytes, size_t count, const char *name,
                       const struct sp_xml_node **found, struct sp_error *err)
{
    int result = sp_xml_read(document, bytes, count, name, err);
    if (result < 0)
        return result;
    const struct sp_xml_node *root = sp_xml_root(*document);
    const struct sp_xml_node *fault = sp_xml_find(root, "Fault");
    *found = sp_xml_find(root, name);
    if (fault && refuses_login(fault))
        result = sp_fail(err, SP_ERR_UNAUTHORIZED, "%s: login refused", name);
    else if (fault)
        result = sp_fail(err, SP_ERR_FORMAT, "%s: refused by the device", name);
    else if (!*found)
        result = sp_fail(err, SP_ERR_FORMAT,
                         "%s: not in the answer; the device does not follow ONVIF", name);
    if (result < 0) {
        sp_xml_close(*document);
        *document = NULL;
    }
    return result;
}

/* Scopes are URIs: onvif://www.onvif.org/name/Front%20door */
static void copy_scope(const char *scopes, const char *prefix, char *out, size_t out_bytes)
{
    const char *at = strstr(scopes, prefix);
    size_t count = 0;
    if (at)
        at += strlen(prefix);
    while (at && *at > ' ' && count + 1 < out_bytes) {
        unsigned value = 0;
        int taken = 0;
        if (*at == '%' && sscanf(at, "%%%2x%n", &value, &taken) == 1 && taken == 3) {
            out[count++] = (char)(value > ' ' && value < 0x7F ? value : ' ');
            at += 3;
        } else {
            out[count++] = *at++;
        }
    }
    out[count] = '\0';
}

int sp_onvif_read_match(const char *bytes, size_t count, struct sp_onvif_match *out,
                        struct sp_error *err)
{
    struct sp_xml *document = NULL;
    const struct sp_xml_node *match;
    int result = open_answer(&document, bytes, count, "ProbeMatch", &match, err);
    if (result < 0)
        return result;
    copy(out->address, sizeof out->address, sp_xml_text(match, "XAddrs"));
    copy_scope(sp_xml_text(match, "Scopes"), "onvif://www.onvif.org/name/", out->name,
               sizeof out->name);
    if (!out->address[0])
        result =
            sp_fail(err, SP_ERR_FORMAT, "ProbeMatch: no address; the device does not follow ONVIF");
    sp_xml_close(document);
    return result;
}

static bool read_number(const struct sp_xml_node *node, const char *name, int low, int high,
                        int *out)
{
    const char *text = sp_xml_text(node, name);
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end || number < low || number > high)
        return false;
    *out = (int)number;
    return true;
}

int sp_onvif_read_time(const char *bytes, size_t count, int64_t *out, struct sp_error *err)
{
    struct sp_xml *document = NULL;
    const struct sp_xml_node *answer;
    int result = open_answer(&document, bytes, count, "GetSystemDateAndTimeResponse", &answer, err);
    if (result < 0)
        return result;
    const struct sp_xml_node *utc = sp_xml_find(answer, "UTCDateTime");
    struct tm t = {0};
    if (read_number(utc, "Year", 1970, 2200, &t.tm_year) &&
        read_number(utc, "Month", 1, 12, &t.tm_mon) && read_number(utc, "Day", 1, 31, &t.tm_mday) &&
        read_number(utc, "Hour", 0, 23, &t.tm_hour) &&
        read_number(utc, "Minute", 0, 59, &t.tm_min) &&
        read_number(utc, "Second", 0, 60, &t.tm_sec)) {
        t.tm_year -= 1900;
        t.tm_mon -= 1;
        *out = (int64_t)timegm(&t) * 1000000;
    } else {
        result =
            sp_fail(err, SP_ERR_FORMAT,
                    "GetSystemDateAndTimeResponse: no UTC time; the device does not follow ONVIF");
    }
    sp_xml_close(document);
    return result;
}

int sp_onvif_read_media_address(const char *bytes, size_t count, char out[SP_ONVIF_URL_BYTES],
                                struct sp_error *err)
{
    struct sp_xml *document = NULL;
    const struct sp_xml_node *answer;
    int result = open_answer(&document, bytes, count, "GetCapabilitiesResponse", &answer, err);
    if (result < 0)
        return result;
    copy(out, SP_ONVIF_URL_BYTES, sp_xml_text(sp_xml_find(answer, "Media"), "XAddr"));
    if (!out[0])
        result = sp_fail(err, SP_ERR_FORMAT, "GetCapabilitiesResponse: no media service");
    sp_xml_close(document);
    return result;
}

static bool read_profile(const struct sp_xml_node *node, struct sp_onvif_profile *out)
{
    const struct sp_xml_node *encoder = sp_xml_find(node, "VideoEncoderConfiguration");
    const struct sp_xml_node *size = sp_xml_find(encoder, "Resolution");
    *out = (struct sp_onvif_profile){0};
    copy(out->token, sizeof out->token, sp_xml_attribute(node, "token"));
    copy(out->source, sizeof out->source,
         sp_xml_text(sp_xml_find(node, "VideoSourceConfiguration"), "SourceToken"));
    copy(out->encoding, sizeof out->encoding, sp_xml_text(encoder, "Encoding"));
    int rate;
    if (read_number(sp_xml_find(encoder, "RateControl"), "FrameRateLimit", 1, 1000, &rate))
        out->frame_rate = rate;
    return out->token[0] && read_number(size, "Width", 1, 32768, &out->width_px) &&
           read_number(size, "Height", 1, 32768, &out->height_px);
}

int sp_onvif_read_profiles(const char *bytes, size_t count, struct sp_onvif_profiles *out,
                           struct sp_error *err)
{
    struct sp_xml *document = NULL;
    const struct sp_xml_node *answer;
    int result = open_answer(&document, bytes, count, "GetProfilesResponse", &answer, err);
    out->count = 0;
    if (result < 0)
        return result;
    for (const struct sp_xml_node *node = answer->first; node; node = node->next)
        if (strcmp(node->name, "Profiles") == 0 && out->count < SP_ONVIF_PROFILES_MAX &&
            read_profile(node, &out->profile[out->count]))
            out->count++;
    sp_xml_close(document);
    if (out->count == 0)
        return sp_fail(err, SP_ERR_FORMAT, "GetProfilesResponse: no profile with video");
    return SP_OK;
}

int sp_onvif_read_stream_uri(const char *bytes, size_t count, char out[SP_ONVIF_URL_BYTES],
                             struct sp_error *err)
{
    struct sp_xml *document = NULL;
    const struct sp_xml_node *answer;
    int result = open_answer(&document, bytes, count, "GetStreamUriResponse", &answer, err);
    if (result < 0)
        return result;
    copy(out, SP_ONVIF_URL_BYTES, sp_xml_text(answer, "Uri"));
    if (!out[0])
        result = sp_fail(err, SP_ERR_FORMAT, "GetStreamUriResponse: no address");
    sp_xml_close(document);
    return result;
}

static int longest(const struct sp_onvif_profile *profile)
{
    return profile->width_px > profile->height_px ? profile->width_px : profile->height_px;
}

/* Whether a suits better than b. */
static bool suits_better(const struct sp_onvif_profile *a, const struct sp_onvif_profile *b,
                         int input_size_px)
{
    int of_a = longest(a), of_b = longest(b);
    if ((of_a >= input_size_px) != (of_b >= input_size_px))
        return of_a >= input_size_px;
    if (of_a != of_b)
        return of_a >= input_size_px ? of_a < of_b : of_a > of_b;
    return a->frame_rate > b->frame_rate;
}

int sp_onvif_choose(const struct sp_onvif_profiles *profiles, const char *source, int input_size_px)
{
    int best = -1;
    for (int i = 0; i < profiles->count; i++)
        if (strcmp(profiles->profile[i].source, source) == 0 &&
            (best < 0 ||
             suits_better(&profiles->profile[i], &profiles->profile[best], input_size_px)))
            best = i;
    return best;
}
