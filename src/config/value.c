#include "base/number.h"
#include "base/redact.h"
#include "config/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static enum sp_setting_verdict parse_integer(const struct sp_setting_row *row, const char *value,
                                             void *field)
{
    int number = 0;
    if (!row->zero || strcasecmp(value, row->zero) != 0) {
        if (!sp_number_is_whole(value))
            return SP_VALUE_MALFORMED;
        errno = 0;
        long long wide = strtoll(value, NULL, 10);
        bool zero = row->zero && wide == 0;
        if (errno == ERANGE || (!zero && ((double)wide < row->low || (double)wide > row->high)))
            return SP_VALUE_OUT_OF_RANGE;
        if (row->step && wide % row->step != 0)
            return SP_VALUE_OUT_OF_RANGE;
        number = (int)wide;
    }
    memcpy(field, &number, sizeof number);
    return SP_VALUE_GOOD;
}

static enum sp_setting_verdict parse_real(const struct sp_setting_row *row, const char *value,
                                          void *field)
{
    double number;
    if (!sp_number_read(value, &number))
        return SP_VALUE_MALFORMED;
    if (!(number >= row->low && number <= row->high))
        return SP_VALUE_OUT_OF_RANGE;
    memcpy(field, &number, sizeof number);
    return SP_VALUE_GOOD;
}

static enum sp_setting_verdict parse_switch(const char *value, void *field)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0) {
            bool on = i % 2 == 1;
            memcpy(field, &on, sizeof on);
            return SP_VALUE_GOOD;
        }
    return SP_VALUE_MALFORMED;
}

static enum sp_setting_verdict parse_choice(const struct sp_setting_row *row, const char *value,
                                            void *field)
{
    for (const struct sp_setting_choice *choice = row->choices; choice->word; choice++)
        if (strcasecmp(value, choice->word) == 0) {
            memcpy(field, &choice->value, sizeof choice->value);
            return SP_VALUE_GOOD;
        }
    return SP_VALUE_MALFORMED;
}

static bool is_name(const char *s)
{
    for (; *s; s++)
        if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') && !(*s >= '0' && *s <= '9') &&
            *s != '-' && *s != '_')
            return false;
    return true;
}

static bool has_control_character(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7F)
            return true;
    return false;
}

static enum sp_setting_verdict parse_text(const struct sp_setting_row *row, const char *value,
                                          void *field)
{
    size_t length = strlen(value);
    if (length >= row->bytes)
        return SP_VALUE_TOO_LONG;
    if (has_control_character(value) || (row->type == SP_SETTING_NAME && !is_name(value)))
        return SP_VALUE_MALFORMED;
    memset(field, 0, row->bytes);
    memcpy(field, value, length);
    return SP_VALUE_GOOD;
}

enum sp_setting_verdict sp_setting_parse_field(const struct sp_setting_row *row, const char *value,
                                               void *field)
{
    _Alignas(double) char unused[SP_PATH_BYTES];
    if (!field)
        field = unused;
    if (*value == '\0' && row->type != SP_SETTING_TEXT)
        return SP_VALUE_EMPTY;
    switch (row->type) {
    case SP_SETTING_INTEGER:
        return parse_integer(row, value, field);
    case SP_SETTING_REAL:
        return parse_real(row, value, field);
    case SP_SETTING_SWITCH:
        return parse_switch(value, field);
    case SP_SETTING_CHOICE:
        return parse_choice(row, value, field);
    case SP_SETTING_TEXT:
    case SP_SETTING_LIST:
    case SP_SETTING_NAME:
        break;
    }
    return parse_text(row, value, field);
}

enum sp_setting_verdict sp_setting_parse(const struct sp_setting_row *row, const char *value,
                                         struct sp_settings *settings)
{
    return sp_setting_parse_field(row, value, settings ? (char *)settings + row->offset : NULL);
}

void sp_setting_format(const struct sp_setting_row *row, const struct sp_settings *settings,
                       char *out, size_t out_bytes)
{
    sp_setting_format_field(row, (const char *)settings + row->offset, out, out_bytes);
}

void sp_setting_format_field(const struct sp_setting_row *row, const void *field, char *out,
                             size_t out_bytes)
{
    int number = 0;
    double real = 0;
    switch (row->type) {
    case SP_SETTING_INTEGER:
        memcpy(&number, field, sizeof number);
        if (number == 0 && row->zero)
            snprintf(out, out_bytes, "%s", row->zero);
        else
            snprintf(out, out_bytes, "%d", number);
        return;
    case SP_SETTING_REAL:
        memcpy(&real, field, sizeof real);
        sp_number_format(real, out, out_bytes);
        return;
    case SP_SETTING_SWITCH:
        snprintf(out, out_bytes, "%s", *(const bool *)field ? "true" : "false");
        return;
    case SP_SETTING_CHOICE:
        memcpy(&number, field, sizeof number);
        for (const struct sp_setting_choice *choice = row->choices; choice->word; choice++)
            if (choice->value == number) {
                snprintf(out, out_bytes, "%s", choice->word);
                return;
            }
        snprintf(out, out_bytes, "%d", number);
        return;
    case SP_SETTING_TEXT:
    case SP_SETTING_LIST:
    case SP_SETTING_NAME:
        snprintf(out, out_bytes, "%s", (const char *)field);
        return;
    }
}

void sp_setting_show(const char *value, char *out, size_t out_bytes)
{
    sp_redact_url(value, out, out_bytes);
    size_t length = strlen(out);
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)out[i] < 0x20 || out[i] == 0x7F)
            out[i] = '?';
    if (length + 1 == out_bytes && out_bytes > 4)
        memcpy(out + length - 3, "...", 4);
}

static void list_choices(const struct sp_setting_row *row, char out[SP_ALLOWED_BYTES])
{
    size_t used = (size_t)snprintf(out, SP_ALLOWED_BYTES, "one of");
    const char *comma = "";
    for (const struct sp_setting_choice *choice = row->choices; choice->word; choice++) {
        if (choice->alias || used >= SP_ALLOWED_BYTES)
            continue;
        used += (size_t)snprintf(out + used, SP_ALLOWED_BYTES - used, "%s %s", comma, choice->word);
        comma = ",";
    }
}

void sp_setting_allowed(const struct sp_setting_row *row, char out[SP_ALLOWED_BYTES])
{
    char low[32], high[32];
    sp_number_format(row->low, low, sizeof low);
    sp_number_format(row->high, high, sizeof high);
    switch (row->type) {
    case SP_SETTING_INTEGER:
        /* %d and not the texts above: they would say 1e+04 */
        if (row->step)
            snprintf(out, SP_ALLOWED_BYTES, "a multiple of %d from %d to %d", row->step,
                     (int)row->low, (int)row->high);
        else
            snprintf(out, SP_ALLOWED_BYTES, "a whole number from %d to %d%s%s", (int)row->low,
                     (int)row->high, row->zero ? ", or " : "", row->zero ? row->zero : "");
        return;
    case SP_SETTING_REAL:
        snprintf(out, SP_ALLOWED_BYTES, "a number from %s to %s", low, high);
        return;
    case SP_SETTING_SWITCH:
        snprintf(out, SP_ALLOWED_BYTES, "true or false");
        return;
    case SP_SETTING_CHOICE:
        list_choices(row, out);
        return;
    case SP_SETTING_TEXT:
        snprintf(out, SP_ALLOWED_BYTES, "text of at most %zu bytes", row->bytes - 1);
        return;
    case SP_SETTING_LIST:
        snprintf(out, SP_ALLOWED_BYTES, "a list of at most %zu bytes, not empty", row->bytes - 1);
        return;
    case SP_SETTING_NAME:
        snprintf(out, SP_ALLOWED_BYTES, "a name of letters, digits, '-' and '_', at most %zu",
                 row->bytes - 1);
        return;
    }
}

void sp_setting_flag(const struct sp_setting_row *row, char out[SP_FLAG_BYTES])
{
    size_t used = (size_t)snprintf(out, SP_FLAG_BYTES, "--%s", row->key);
    for (size_t i = 2; i < used && i < SP_FLAG_BYTES; i++) {
        if (out[i] == '_')
            out[i] = '-';
        else if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] - 'A' + 'a');
    }
}
