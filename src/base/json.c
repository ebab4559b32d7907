#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sp_json_release(struct sp_json *json)
{
    free(json->text);
    *json = (struct sp_json){0};
}

void sp_json_clear(struct sp_json *json)
{
    json->used_bytes = 0;
    json->need_comma = false;
    json->failed = false;
    if (json->text)
        json->text[0] = '\0';
}

static void append(struct sp_json *json, const char *from, size_t n)
{
    if (json->failed)
        return;
    if (json->used_bytes + n + 1 > json->capacity_bytes) {
        size_t capacity = json->capacity_bytes ? json->capacity_bytes : 256;
        while (json->used_bytes + n + 1 > capacity)
            capacity *= 2;
        char *grown = realloc(json->text, capacity);
        if (!grown) {
            json->failed = true;
            return;
        }
        json->text = grown;
        json->capacity_bytes = capacity;
    }
    memcpy(json->text + json->used_bytes, from, n);
    json->used_bytes += n;
    json->text[json->used_bytes] = '\0';
}

static void before_value(struct sp_json *json)
{
    if (json->need_comma)
        append(json, ",", 1);
    json->need_comma = true;
}

static void begin(struct sp_json *json, const char *bracket)
{
    before_value(json);
    append(json, bracket, 1);
    json->need_comma = false;
}

static void end(struct sp_json *json, const char *bracket)
{
    append(json, bracket, 1);
    json->need_comma = true;
}

void sp_json_begin_object(struct sp_json *json)
{
    begin(json, "{");
}

void sp_json_end_object(struct sp_json *json)
{
    end(json, "}");
}

void sp_json_begin_array(struct sp_json *json)
{
    begin(json, "[");
}

void sp_json_end_array(struct sp_json *json)
{
    end(json, "]");
}

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), or 0. */
static size_t utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    unsigned char low = 0x80, high = 0xBF;
    size_t n;
    if (s[0] >= 0xC2 && s[0] <= 0xDF) {
        n = 2;
    } else if (s[0] >= 0xE0 && s[0] <= 0xEF) {
        n = 3;
        low = s[0] == 0xE0 ? 0xA0 : 0x80;
        high = s[0] == 0xED ? 0x9F : 0xBF;
    } else if (s[0] >= 0xF0 && s[0] <= 0xF4) {
        n = 4;
        low = s[0] == 0xF0 ? 0x90 : 0x80;
        high = s[0] == 0xF4 ? 0x8F : 0xBF;
    } else {
        return 0;
    }
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    return n;
}

/* Bytes from s on that are written as they are. */
static size_t plain_length(const unsigned char *s)
{
    size_t n = 0;
    while (s[n] >= 0x20 && s[n] < 0x7F && s[n] != '"' && s[n] != '\\')
        n++;
    return n;
}

static void append_quoted(struct sp_json *json, const char *value)
{
    append(json, "\"", 1);
    for (const unsigned char *s = (const unsigned char *)value;;) {
        size_t n = plain_length(s);
        append(json, (const char *)s, n);
        s += n;
        if (!*s)
            break;
        n = utf8_length(s);
        char escape[8];
        if (n == 0) {
            append(json, "\xEF\xBF\xBD", 3); /* U+FFFD */
            s++;
            continue;
        }
        if (*s == '"' || *s == '\\') {
            escape[0] = '\\';
            escape[1] = (char)*s;
            append(json, escape, 2);
        } else if (*s < 0x20 || *s == 0x7F) {
            append(json, escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *s));
        } else {
            append(json, (const char *)s, n);
        }
        s += n;
    }
    append(json, "\"", 1);
}

void sp_json_key(struct sp_json *json, const char *key)
{
    before_value(json);
    append_quoted(json, key);
    append(json, ":", 1);
    json->need_comma = false;
}

void sp_json_string(struct sp_json *json, const char *value)
{
    if (!value) {
        sp_json_null(json);
        return;
    }
    before_value(json);
    append_quoted(json, value);
}

/* Writes the digits of `value` before `end`; returns the first one. */
static char *put_digits(char *end, uint64_t value)
{
    do
        *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

void sp_json_int(struct sp_json *json, int64_t value)
{
    char digits[24], *end = digits + sizeof digits;
    char *first = put_digits(end, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--first = '-';
    before_value(json);
    append(json, first, (size_t)(end - first));
}

void sp_json_bool(struct sp_json *json, bool value)
{
    before_value(json);
    append(json, value ? "true" : "false", value ? 4 : 5);
}

void sp_json_null(struct sp_json *json)
{
    before_value(json);
    append(json, "null", 4);
}

/* What printf writes, without trailing zeros, where the product is exact enough to know it. False:
 * it is not, as the value is large or next to the middle between two numbers. */
static bool append_rounded(struct sp_json *json, double value, int decimals)
{
    static const double powers[] = {1, 10, 100, 1000}, MOST = 4294967296.0, UNSURE = 1e-5;
    if (decimals < 0 || decimals >= (int)(sizeof powers / sizeof powers[0]))
        return false;
    double scaled = fabs(value) * powers[decimals];
    if (!(scaled < MOST))
        return false;
    uint64_t whole = (uint64_t)scaled;
    double rest = scaled - (double)whole;
    if (fabs(rest - 0.5) < UNSURE)
        return false;
    whole += rest > 0.5;
    char digits[24], *end = digits + sizeof digits, *first = end;
    bool negative = value < 0 && whole > 0;
    for (; decimals > 0 && whole % 10 == 0; decimals--)
        whole /= 10;
    for (int i = 0; i < decimals; i++, whole /= 10)
        *--first = (char)('0' + whole % 10);
    if (decimals > 0)
        *--first = '.';
    first = put_digits(first, whole);
    if (negative)
        *--first = '-';
    before_value(json);
    append(json, first, (size_t)(end - first));
    return true;
}

void sp_json_number(struct sp_json *json, double value, int decimals)
{
    if (!isfinite(value)) {
        sp_json_null(json);
        return;
    }
    if (append_rounded(json, value, decimals))
        return;
    char digits[352]; /* DBL_MAX has 309 digits before the point */
    int n = snprintf(digits, sizeof digits, "%.*f", decimals, value);
    if (n < 0 || (size_t)n >= sizeof digits) {
        sp_json_null(json);
        return;
    }
    if (strchr(digits, '.')) {
        while (digits[n - 1] == '0')
            n--;
        if (digits[n - 1] == '.')
            n--;
    }
    if (n == 2 && digits[0] == '-' && digits[1] == '0') {
        digits[0] = '0'; /* a rounded -0.0001 */
        n = 1;
    }
    before_value(json);
    append(json, digits, (size_t)n);
}

void sp_json_double(struct sp_json *json, double value)
{
    if (!isfinite(value)) {
        sp_json_null(json);
        return;
    }
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value)
        n = snprintf(digits, sizeof digits, "%.17g", value);
    before_value(json);
    append(json, digits, (size_t)n);
}

void sp_json_raw(struct sp_json *json, const char *text)
{
    append(json, text, strlen(text));
}

void sp_json_member_string(struct sp_json *json, const char *key, const char *value)
{
    sp_json_key(json, key);
    sp_json_string(json, value);
}

void sp_json_member_int(struct sp_json *json, const char *key, int64_t value)
{
    sp_json_key(json, key);
    sp_json_int(json, value);
}

void sp_json_member_bool(struct sp_json *json, const char *key, bool value)
{
    sp_json_key(json, key);
    sp_json_bool(json, value);
}

void sp_json_member_number(struct sp_json *json, const char *key, double value, int decimals)
{
    sp_json_key(json, key);
    sp_json_number(json, value, decimals);
}
