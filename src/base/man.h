/* Text in man pages: roff's man(7). */
#pragma once

#include <stdio.h>

/* Writes `text` with everything escaped that roff would interpret; words in `backticks` are bold.
 * A line break in `text` begins a new line of the source, not of the page. */
void sp_man_print(FILE *to, const char *text);
