#include "base/man.h"

#include <stdbool.h>
#include <string.h>

void sp_man_print(FILE *to, const char *text)
{
    bool bold = false, line_start = true;
    for (const char *c = text; *c; c++) {
        if (line_start && (*c == '.' || *c == '\''))
            fputs("\\&", to); /* else a request */
        line_start = *c == '\n';
        switch (*c) {
        case '\\':
            fputs("\\e", to);
            break;
        case '-':
            fputs("\\-", to); /* a minus, which can be searched and copied */
            break;
        case '\'':
            fputs("\\(aq", to);
            break;
        case '"':
            fputs("\\(dq", to);
            break;
        case '`':
            bold = !bold && strchr(c + 1, '`');
            fputs(bold ? "\\fB" : "\\fR", to);
            break;
        default:
            fputc(*c, to);
        }
    }
}
