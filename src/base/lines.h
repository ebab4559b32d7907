/* Reads text files with or without a UTF-8 byte order mark and with LF, CRLF or CR line ends. Any
 * thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Length of the byte order mark at the start of a text: 3, or 0. */
size_t sp_line_mark_bytes(const char *text, size_t bytes);

/* Length of the first line without its end; *next: offset of the second line, or `bytes`. */
size_t sp_line_bytes(const char *text, size_t bytes, size_t *next);

/* Removes the mark and converts line ends to LF in place. Returns the new length; bytes behind it
 * are unspecified. */
size_t sp_lines_normalize(char *text, size_t bytes);

/* Opens a file for reading, positioned behind the mark; NULL with errno as fopen(). */
FILE *sp_lines_open(const char *path);

/* As getline(), without the line end, for all three line ends. first: this is the file's first
 * line; its mark is skipped. -1 at the end and on errors (ferror(), or errno ENOMEM). */
ssize_t sp_line_read(char **line, size_t *capacity, FILE *file, bool first);
