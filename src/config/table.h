/* The table of all settings, private to config/; other code includes config/settings.h.
 *
 * Data flow: row and text -> sp_setting_parse -> field of struct sp_settings -> sp_setting_format
 * -> text. Rows are constant and may be read by any thread. */
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
    const char *group;    /* rows of a group are adjacent */
    const char *argument; /* in --help: "N", "PATH" */
    const char *fallback; /* the default, as written in a file */
    const char *meaning;
    enum sp_setting_type type;
    int step;             /* integers: must be a multiple of it; 0: any */
    size_t offset, bytes; /* of the field in struct sp_settings */
    double low, high;     /* numbers: allowed range, inclusive */
    const char *zero;     /* word for 0, which may be below `low`; NULL: none */
    const struct sp_setting_choice *choices;
    bool secret;          /* never shown, neither in messages nor by sp_settings_each */
    bool secret_in_url;   /* only a password in its URL makes it one */
    const char *yaml;     /* place in spoton.yaml: "detector.frame_skip" */
    bool list;            /* text that may be a list in YAML; its items are joined by commas */
    bool per_camera;      /* a camera may set it: cameras[].frame_skip, cameras[].tracker.dt */
    size_t camera_offset; /* of the field in struct sp_camera_setting */
};

extern const struct sp_setting_row sp_setting_table[];
extern const size_t sp_setting_count;

enum {
    SP_SETTING_ROWS_MAX = 192, /* at least sp_setting_count; checked when the table is read */
    SP_FLAG_BYTES = 64,
    SP_ALLOWED_BYTES = 160,
};

/* The row of a key or of its former name, or NULL. */
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

/* Writes the row's field if the value is valid. Independent of the locale. settings NULL: validates
 * only. */
enum sp_setting_verdict sp_setting_parse(const struct sp_setting_row *row, const char *value,
                                         struct sp_settings *settings);

/* The same for a field anywhere; NULL: validates only. */
enum sp_setting_verdict sp_setting_parse_field(const struct sp_setting_row *row, const char *value,
                                               void *field);

/* The row's field as text that sp_setting_parse reads back to the same value. Truncates to fit. */
void sp_setting_format(const struct sp_setting_row *row, const struct sp_settings *settings,
                       char *out, size_t out_bytes);

/* The same for a field anywhere. */
void sp_setting_format_field(const struct sp_setting_row *row, const void *field, char *out,
                             size_t out_bytes);

/* A text, or the row's field, as YAML reads it back, in a block and in brackets. */
void sp_yaml_print_text(const char *text, FILE *to);
void sp_setting_print_yaml(const struct sp_setting_row *row, const void *field, FILE *to);

/* "; did you mean bf16?", or nothing. */
void sp_setting_suggest(const struct sp_setting_row *row, const char *value, char *out,
                        size_t out_bytes);

/* Of a per_camera row, its bit in struct sp_camera_setting's `own`. */
uint32_t sp_setting_camera_bit(const struct sp_setting_row *row);

/* The key within its section: "frame_skip". */
const char *sp_setting_yaml_name(const struct sp_setting_row *row);

/* Whether the row is in this section of spoton.yaml. */
bool sp_setting_is_in(const struct sp_setting_row *row, const char *section);

/* The sections in the order of the table; NULL: no more. */
const char *sp_setting_section(size_t index);

/* Per-camera rows of this section are keys of a map of the same name in the camera; those of the
 * others are keys of the camera itself. */
extern const char sp_setting_nested_section[];

/* The keys of a camera, or of that map in it (nested), for sp_nearest_word. Returns their number,
 * at most `most`. */
int sp_setting_camera_keys(bool nested, const char **keys, int most);

/* For messages: without secrets and control characters, truncated with "...". */
void sp_setting_show(const char *value, char *out, size_t out_bytes);

/* Index of the camera with this name, or -1. */
int sp_setting_camera(const struct sp_settings *settings, const char *name);

/* The name that replaces an old name of a setting; NULL when the key is none. Both are accepted. */
const char *sp_setting_renamed(const char *key, size_t key_bytes);

/* Visits the old names of settings. */
void sp_setting_each_renamed(void (*visit)(void *user, const char *key, const char *name),
                             void *user);

/* For a key of SpotOn that has no effect here: the setting to use instead, or the reason. NULL for
 * any other key. */
const char *sp_setting_legacy(const char *key);

/* Visits all keys that sp_setting_legacy knows. A key ending in '*' is a prefix. */
void sp_setting_each_legacy(void (*visit)(void *user, const char *key, const char *advice),
                            void *user);
