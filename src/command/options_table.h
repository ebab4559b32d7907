/* The options that are not settings; private to options.c, options_help.c and man.c. */
#pragma once

#include "command/options.h"

#include <stddef.h>

enum sp_option_type {
    SP_OPTION_SWITCH,    /* bool */
    SP_OPTION_WORD,      /* const char * */
    SP_OPTION_COUNT,     /* int64_t, from 1 */
    SP_OPTION_SECONDS,   /* double, above 0 */
    SP_OPTION_CAMERA,    /* NAME=URL */
    SP_OPTION_CALIBRATE, /* const char *, many */
    SP_OPTION_DEBUG,     /* LOG_LEVEL=debug */
};

struct sp_option_row {
    const char *flag, *short_flag; /* "--out"; short_flag alone when flag is NULL */
    const char *argument;          /* NULL: takes none */
    const char *meaning;
    enum sp_option_type type;
    unsigned needs;     /* 0: every command takes it */
    size_t offset;      /* in struct sp_options */
    const char *former; /* earlier flag, still accepted, or NULL */
};

extern const struct sp_option_row sp_option_table[];
extern const size_t sp_option_count;
