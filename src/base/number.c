#include "base/number.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static locale_t plain_locale(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_c_locale);
    return c_locale;
}

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

bool sp_number_is_whole(const char *text)
{
    text += *text == '-';
    size_t n = digits(text);
    return n > 0 && text[n] == '\0';
}

static bool is_decimal(const char *s)
{
    s += *s == '-';
    size_t whole = digits(s), part = 0;
    s += whole;
    if (*s == '.') {
        part = digits(++s);
        s += part;
    }
    if (whole + part == 0)
        return false;
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        if (digits(s) == 0)
            return false;
        s += digits(s);
    }
    return *s == '\0';
}

bool sp_number_read(const char *text, double *out)
{
    if (!is_decimal(text))
        return false;
    *out = strtod_l(text, NULL, plain_locale()) + 0.0; /* "-0" becomes 0 */
    return true;
}

void sp_number_format(double number, char *out, size_t out_bytes)
{
    locale_t now = uselocale(plain_locale());
    if (fabs(number) < 1e15 && number == floor(number)) /* 600, not 6e+02 */
        snprintf(out, out_bytes, "%.0f", number);
    else
        for (int precision = 1; precision <= 17; precision++) {
            snprintf(out, out_bytes, "%.*g", precision, number);
            if (strtod_l(out, NULL, plain_locale()) == number)
                break;
        }
    uselocale(now);
}
