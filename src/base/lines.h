/* Text files as editors, spreadsheets and other systems write them: a byte order mark of UTF-8 at
 * the beginning, lines that end with LF, CRLF or CR alone. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Bytes of the mark at the beginning of a text: 3, or 0. */
size_t sp_line_mark_bytes(const char *text, size_t bytes);

/* Length of the first line, without its end; *next: where the second begins (`bytes` when there is
 * none). */
size_t sp_line_bytes(const char *text, size_t bytes, size_t *next);

/* In place: without the mark, and every line ends with LF. Returns the new length; what follows it
 * is unspecified. */
size_t sp_lines_normalize(char *text, size_t bytes);

/* Opens it for reading behind the mark; NULL with errno as fopen(). */
FILE *sp_lines_open(const char *path);

/* As getline(), without the line's end, for all three ends; `first`: the file's first line, whose
 * mark is left out. -1 at the end and on an error (ferror(), or errno ENOMEM). */
ssize_t sp_line_read(char **line, size_t *capacity, FILE *file, bool first);
