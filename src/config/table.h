/* The table of all settings, for the files of config/ alone; others see config/settings.h.
 *
 * Data flow: a row and a text -> sp_setting_parse -> the row's field of struct sp_settings ->
 * sp_setting_format -> the same text again. Rows are constant: any thread. */
#pragma once

#include "config/settings.h"

#include <stddef.h>

enum sp_setting_type {
    SP_SETTING_INTEGER, /* int */
    SP_SETTING_REAL,    /* double */
    SP_SETTING_SWITCH,  /* bool */
    SP_SETTING_CHOICE,  /* int-sized enum */
    SP_SETTING_TEXT,    /* char[]: anything printable */
    SP_SETTING_LIST,    /* char[]: not empty */
    SP_SETTING_NAME,    /* char[]: letters, digits, '-', '_' */
};

struct sp_setting_choice {
    const char *word; /* NULL ends the list */
    int value;
    bool alias; /* accepted, never shown */
};

struct sp_setting_row {
    const char *key;      /* FRAME_SKIP; its flag is --frame-skip */
    const char *group;    /* rows of one group stand together */
    const char *argument; /* in --help: "N", "PATH" */
    const char *fallback; /* the default, as one would write it */
    const char *meaning;
    enum sp_setting_type type;
    int step;             /* of integers: a multiple of it; 0: any */
    size_t offset, bytes; /* of the field in struct sp_settings */
    double low, high;     /* of numbers, both allowed */
    const char *zero;     /* the word for 0, which may lie below `low`; NULL: none */
    const struct sp_setting_choice *choices;
    bool secret; /* never shown: not in texts, not by sp_settings_each */
};

extern const struct sp_setting_row sp_setting_table[];
extern const size_t sp_setting_count;

enum {
    SP_FLAG_BYTES = 64,
    SP_ALLOWED_BYTES = 160,
};

/* The row of a key or of its old name, or NULL. */
const struct sp_setting_row *sp_setting_find(const char *key, size_t key_bytes);

/* "--frame-skip" */
void sp_setting_flag(const struct sp_setting_row *row, char out[SP_FLAG_BYTES]);

/* "a whole number from 1 to 100" */
void sp_setting_allowed(const struct sp_setting_row *row, char out[SP_ALLOWED_BYTES]);

enum sp_setting_verdict {
    SP_VALUE_GOOD,
    SP_VALUE_EMPTY,
    SP_VALUE_MALFORMED,
    SP_VALUE_OUT_OF_RANGE,
    SP_VALUE_TOO_LONG,
};

/* Writes the row's field when the value is good; else leaves it. Independent of the locale.
 * settings NULL: only judges. */
enum sp_setting_verdict sp_setting_parse(const struct sp_setting_row *row, const char *value,
                                         struct sp_settings *settings);

/* The row's field as text that sp_setting_parse reads back to the same value. Cuts to fit. */
void sp_setting_format(const struct sp_setting_row *row, const struct sp_settings *settings,
                       char *out, size_t out_bytes);

/* For error texts: without secrets and control characters, cut to fit with "...". */
void sp_setting_show(const char *value, char *out, size_t out_bytes);

/* The camera of that name, or -1. */
int sp_setting_camera(const struct sp_settings *settings, const char *name);

/* The name that replaces an old name of a setting; NULL when the key is none. Both are accepted. */
const char *sp_setting_renamed(const char *key, size_t key_bytes);

/* Visits the old names of settings. */
void sp_setting_each_renamed(void (*visit)(void *user, const char *key, const char *name),
                             void *user);

/* Why a key of the system that spoton replaces does nothing here, and what to use instead; NULL
 * when the key is none of those. */
const char *sp_setting_legacy(const char *key);

/* Visits the list behind sp_setting_legacy; a key that ends in '*' stands for all that begin
 * so. */
void sp_setting_each_legacy(void (*visit)(void *user, const char *key, const char *advice),
                            void *user);
