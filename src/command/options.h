/* The command line, common to all commands.
 *
 * Data flow: argv -> first pass: syntax, --config, --env -> defaults <- spoton.yaml <- .env
 * <- environment <- argv (second pass) -> struct sp_options, read-only for the command. Strings
 * outside `settings` point into argv. One thread. */
#pragma once

#include "config/settings.h"

#include <stdint.h>
#include <stdio.h>

/* What a command accepts besides --help, -v, --env and the flags of settings. */
enum sp_option_bits {
    SP_TAKES_CAMERAS = 1u << 0,  /* --camera NAME=URL; other arguments are URLs */
    SP_TAKES_INPUTS = 1u << 1,   /* other arguments go to `input`; excludes the above */
    SP_TAKES_OUT_DIR = 1u << 2,  /* --out DIR */
    SP_TAKES_OUT_FILE = 1u << 3, /* -o FILE */
    SP_TAKES_VIDEO = 1u << 4,    /* --video */
    SP_TAKES_LIMIT = 1u << 5,    /* --limit N */
    SP_TAKES_SECONDS = 1u << 6,  /* --seconds N */
    SP_TAKES_FRAMES = 1u << 7,   /* --frames N */
    SP_TAKES_JSON = 1u << 8,     /* --json */
    SP_TAKES_NO_JPEG = 1u << 9,  /* --no-jpeg, --jpeg-rate N */
    SP_TAKES_TUNE = 1u << 11,    /* --rate, --latency, --required, --ground-truth, ... */
    SP_TAKES_EXPORT = 1u << 10,  /* --batch, --input, --calibrate, --reference, --required, ... */
    SP_TAKES_TRACKS = 1u << 12,  /* --tracks */
    SP_TAKES_ROUNDS = 1u << 13,  /* --rounds N */
    SP_TAKES_RANGE = 1u << 20,   /* --from TIME, --to TIME */
    SP_TAKES_STORE = 1u << 21,   /* these, --camera NAME, --person ID, --format NAME */
    SP_TAKES_COMPARE = 1u << 14, /* --compare, --ground-truth */
    SP_TAKES_EXPLAIN = 1u << 15, /* --explain ID */
    SP_TAKES_INIT = 1u << 22,    /* --logins FILE, --force */
    SP_TAKES_SERVE = 1u << 23,   /* --config-write */
    SP_TAKES_MIX = 1u << 16,     /* --mix */
};

struct sp_command_usage {
    const char *name;     /* "run" */
    const char *synopsis; /* "[URL...] --out DIR" */
    const char *about;    /* one or two sentences; lines end in '\n' */
    unsigned takes;       /* enum sp_option_bits */
};

struct sp_options {
    struct sp_settings settings; /* from all sources, checked */
    bool help;                   /* --help, -h: nothing else is read */
    bool help_settings;          /* --help-settings: likewise */
    const char *config_path;     /* --config, or NULL */
    const char *env_path;        /* --env, or NULL */
    const char *out_dir;         /* --out, or NULL */
    const char *out_file;        /* -o, or NULL */
    bool video, json, no_jpeg, tracks;
    int64_t limit;      /* --limit: frames per camera; 0: all */
    int64_t frames;     /* --frames: total frames; 0: not given */
    double seconds;     /* --seconds; 0: not given */
    int64_t rounds;     /* --rounds; 0: not given */
    int64_t jpeg_rate;  /* --jpeg-rate; 0: every frame */
    const char *logins; /* --logins, or NULL */
    bool force;         /* --force */
    bool config_write;  /* --config-write */
    bool mix;           /* --mix */
    const char *input[SP_CAMERAS_MAX];
    int input_count;

    /* store, and count of a store; NULL: not given */
    const char *from, *to; /* times */
    const char *store_camera, *person, *format;

    /* export */
    const char *input_size;   /* --input WxH, or NULL */
    const char *reference;    /* --reference, or NULL */
    int64_t batch;            /* --batch; 0: not given */
    int64_t samples;          /* --samples; 0: not given */
    double required;          /* --required; 0: not given */
    double rate;              /* --rate; 0: not given */
    double latency_ms;        /* --latency; 0: not given */
    bool capacity;            /* --capacity */
    const char *ground_truth; /* --ground-truth, or NULL */
    const char *compare;      /* --compare, or NULL */
    int64_t explain;          /* --explain; 0: not given */
    const char *calibrate[SP_CAMERAS_MAX];
    int calibrate_count;
};

/* argv[0] is the command's name. environment: as environ. Also sets the log level. The struct is
 * about 150 KB: do not put it on a small stack. SP_ERR_INVALID names the argument; also the errors
 * of sp_settings_read_env_file. */
int sp_options_parse(struct sp_options *options, const struct sp_command_usage *usage, int argc,
                     char **argv, char *const *environment, struct sp_error *err);

/* For --help: usage, the command's own options, one line on settings. */
void sp_options_print_help(const struct sp_command_usage *usage, FILE *to);
