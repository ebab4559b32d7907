/* Text of man pages, man(7). */
#pragma once

#include <stdio.h>

/* Writes `text` escaped for roff; words in `backticks` are bold. A line break in `text` is one in
 * the source, not on the page. */
void sp_man_print(FILE *to, const char *text);
