#include "base/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char mark[] = "\xEF\xBB\xBF";

enum { MARK_BYTES = sizeof mark - 1, LINE_BYTES = 128 };

size_t sp_line_mark_bytes(const char *text, size_t bytes)
{
    return bytes >= MARK_BYTES && memcmp(text, mark, MARK_BYTES) == 0 ? MARK_BYTES : 0;
}

size_t sp_line_bytes(const char *text, size_t bytes, size_t *next)
{
    size_t at = 0;
    while (at < bytes && text[at] != '\n' && text[at] != '\r')
        at++;
    *next = at;
    if (at < bytes)
        *next += text[at] == '\r' && at + 1 < bytes && text[at + 1] == '\n' ? 2 : 1;
    return at;
}

size_t sp_lines_normalize(char *text, size_t bytes)
{
    size_t used = 0;
    for (size_t at = sp_line_mark_bytes(text, bytes); at < bytes; at++) {
        bool pair = text[at] == '\r' && at + 1 < bytes && text[at + 1] == '\n';
        if (!pair)
            text[used++] = text[at] == '\r' ? '\n' : text[at];
    }
    return used;
}

FILE *sp_lines_open(const char *path)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return NULL;
    int first = getc(file); /* supported texts start with this byte only as part of the mark */
    if (first == (unsigned char)mark[0]) {
        (void)getc(file);
        (void)getc(file);
    } else if (first != EOF) {
        ungetc(first, file);
    }
    return file;
}

static bool put(char **line, size_t *capacity, size_t used, char c)
{
    if (used + 1 >= *capacity) {
        size_t wanted = *capacity ? 2 * *capacity : LINE_BYTES;
        char *grown = realloc(*line, wanted);
        if (!grown)
            return false;
        *line = grown;
        *capacity = wanted;
    }
    (*line)[used] = c;
    (*line)[used + 1] = '\0';
    return true;
}

ssize_t sp_line_read(char **line, size_t *capacity, FILE *file, bool first)
{
    size_t used = 0;
    int c;
    if (!*line)
        *capacity = 0;
    flockfile(file);
    while ((c = getc_unlocked(file)) != EOF && c != '\n' && c != '\r') {
        if (!put(line, capacity, used++, (char)c)) {
            funlockfile(file);
            errno = ENOMEM;
            return -1;
        }
        if (first && used == MARK_BYTES && sp_line_mark_bytes(*line, used))
            used = 0;
        first = first && used != 0 && used < MARK_BYTES;
    }
    if (c == '\r') {
        int next = getc_unlocked(file);
        if (next != '\n' && next != EOF)
            ungetc(next, file);
    }
    funlockfile(file);
    if (ferror(file) || (c == EOF && used == 0))
        return -1;
    if (used == 0 && !put(line, capacity, 0, '\0')) {
        errno = ENOMEM;
        return -1;
    }
    (*line)[used] = '\0';
    return (ssize_t)used;
}
