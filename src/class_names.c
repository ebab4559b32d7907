#include "class_names.h"

#include <stdio.h>
#include <string.h>

/* Reads one code point of UTF-8 (RFC 3629). Returns its length in bytes; 0: not valid. */
static size_t read_code_point(const char *at, size_t bytes, uint32_t *code)
{
    const uint8_t *p = (const uint8_t *)at;
    if (bytes == 0)
        return 0;
    *code = p[0];
    if (p[0] < 0x80)
        return 1;
    size_t length = p[0] >= 0xF0 ? 4 : (p[0] >= 0xE0 ? 3 : 2);
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (p[0] < 0xC2 || p[0] > 0xF4 || length > bytes)
        return 0;
    *code = p[0] & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        *code = *code << 6 | (p[i] & 0x3FU);
    }
    bool surrogate = *code >= 0xD800 && *code < 0xE000;
    return *code < least[length] || *code > 0x10FFFF || surrogate ? 0 : length;
}

/* Trims blanks, replaces control characters by blanks and invalid UTF-8 by '?'. */
static size_t clean(char out[SP_CLASS_NAME_BYTES], const char *name, size_t bytes)
{
    size_t used = 0, kept = 0;
    while (bytes > 0) {
        uint32_t code = '?';
        size_t length = read_code_point(name, bytes, &code);
        bool bad = length == 0;
        if (bad)
            length = 1;
        if (used + length >= SP_CLASS_NAME_BYTES)
            break;
        if (bad)
            out[used++] = '?';
        else if (code <= ' ' || code == 0x7F || (code >= 0x80 && code < 0xA0)) {
            if (used > 0)
                out[used++] = ' ';
        } else {
            memcpy(out + used, name, length);
            used += length;
        }
        if (used > 0 && out[used - 1] != ' ')
            kept = used;
        name += length;
        bytes -= length;
    }
    out[kept] = '\0';
    return kept;
}

bool sp_class_names_set(struct sp_class_names *names, int index, const char *name, size_t bytes)
{
    char text[SP_CLASS_NAME_BYTES];
    if (index < 0 || index >= SP_CLASSES_MAX)
        return false;
    size_t length = clean(text, name, bytes);
    size_t start = names->used_bytes ? names->used_bytes : 1; /* 0 means "no name" */
    if (length == 0 || start + length + 1 > SP_CLASS_TEXT_BYTES)
        return false;
    memcpy(names->text + start, text, length + 1);
    names->used_bytes = (uint16_t)(start + length + 1);
    names->named += names->at[index] == 0;
    names->at[index] = (uint16_t)start;
    if (index >= names->count)
        names->count = index + 1;
    return true;
}

const char *sp_class_names_get(const struct sp_class_names *names, int index)
{
    if (!names || index < 0 || index >= names->count || names->at[index] == 0)
        return NULL;
    return names->text + names->at[index];
}

const char *sp_class_name(const struct sp_class_names *names, int index, char number[16])
{
    const char *name = sp_class_names_get(names, index);
    if (name)
        return name;
    snprintf(number, 16, "%d", index);
    return number;
}

/* Case folding for ASCII, Latin with accents, Greek and Cyrillic (Unicode, CaseFolding.txt), since
 * the C locale has only ASCII. */
static uint32_t fold(uint32_t code)
{
    if (code == '_')
        return ' ';
    if (code >= 'A' && code <= 'Z')
        return code + 32;
    if ((code >= 0xC0 && code <= 0xDE && code != 0xD7) || (code >= 0x391 && code <= 0x3A9) ||
        (code >= 0x410 && code <= 0x42F))
        return code + 32;
    if (code >= 0x400 && code <= 0x40F)
        return code + 80;
    bool even_is_upper = (code >= 0x100 && code <= 0x137) || (code >= 0x14A && code <= 0x177) ||
                         (code >= 0x460 && code <= 0x4BF);
    bool odd_is_upper = (code >= 0x139 && code <= 0x148) || (code >= 0x179 && code <= 0x17E);
    if ((even_is_upper && code % 2 == 0 && code != 0x130) || (odd_is_upper && code % 2 == 1))
        return code + 1;
    return code;
}

bool sp_class_names_alike(const char *a, const char *b)
{
    size_t a_left = strlen(a), b_left = strlen(b);
    while (a_left > 0 && b_left > 0) {
        uint32_t x, y;
        size_t x_bytes = read_code_point(a, a_left, &x), y_bytes = read_code_point(b, b_left, &y);
        if (x_bytes == 0 || y_bytes == 0)
            return strcmp(a, b) == 0;
        if (fold(x) != fold(y))
            return false;
        a += x_bytes;
        b += y_bytes;
        a_left -= x_bytes;
        b_left -= y_bytes;
    }
    return a_left == b_left;
}
