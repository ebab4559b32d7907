#include "command/options_table.h"

#include "base/log.h"
#include "base/nearest.h"
#include "base/redact.h"
#include "command/camera_name.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTO(field) offsetof(struct sp_options, field)

const struct sp_option_row sp_option_table[] = {
    {"--camera", NULL, "NAME=URL", "camera or file to read, and its name; may be repeated",
     SP_OPTION_CAMERA, SP_TAKES_CAMERAS, 0},
    {"--out", NULL, "DIR", "output folder", SP_OPTION_WORD, SP_TAKES_OUT_DIR, INTO(out_dir)},
    {NULL, "-o", "FILE", "output file", SP_OPTION_WORD, SP_TAKES_OUT_FILE, INTO(out_file)},
    {"--video", NULL, NULL, "also write an annotated MP4 per camera", SP_OPTION_SWITCH,
     SP_TAKES_VIDEO, INTO(video)},
    {"--limit", NULL, "N", "stop after N frames of every camera", SP_OPTION_COUNT, SP_TAKES_LIMIT,
     INTO(limit)},
    {"--frames", NULL, "N", "stop after N frames", SP_OPTION_COUNT, SP_TAKES_FRAMES, INTO(frames)},
    {"--seconds", NULL, "N", "stop after N seconds", SP_OPTION_SECONDS, SP_TAKES_SECONDS,
     INTO(seconds)},
    {"--rounds", NULL, "N", "number of rounds, each with a newly opened engine [3]",
     SP_OPTION_COUNT, SP_TAKES_ROUNDS, INTO(rounds)},
    {"--json", NULL, NULL, "print JSON", SP_OPTION_SWITCH, SP_TAKES_JSON, INTO(json)},
    {"--no-jpeg", NULL, NULL, "do not encode JPEG frames", SP_OPTION_SWITCH, SP_TAKES_NO_JPEG,
     INTO(no_jpeg)},
    {"--mix", NULL, NULL,
     "16 cameras, 2 busy, 4 medium and 10 quiet ones, with INFERENCE every and need; of three "
     "files, in this order, or the demo clip and simulated cameras",
     SP_OPTION_SWITCH, SP_TAKES_MIX, INTO(mix)},
    {"--jpeg-rate", NULL, "N",
     "encode at most N JPEG frames a second of each camera, as its viewers get [every frame]",
     SP_OPTION_COUNT, SP_TAKES_NO_JPEG, INTO(jpeg_rate)},
    {"--batch", NULL, "N", "batch size in frames, 1 to 32", SP_OPTION_COUNT, SP_TAKES_EXPORT,
     INTO(batch)},
    {"--input", NULL, "WxH", "size of the model's input in pixels: 640x384", SP_OPTION_WORD,
     SP_TAKES_EXPORT, INTO(input_size)},
    {"--calibrate", NULL, "PATH",
     "video, camera, or folder of images and videos to calibrate quantization with; may be "
     "repeated",
     SP_OPTION_CALIBRATE, SP_TAKES_EXPORT, 0},
    {"--samples", NULL, "N",
     "size of the calibration set in frames; a fifth is for the check [375]", SP_OPTION_COUNT,
     SP_TAKES_EXPORT, INTO(samples)},
    {"--reference", NULL, "MODEL", "f32 original of a quantized model", SP_OPTION_WORD,
     SP_TAKES_EXPORT, INTO(reference)},
    {"--required", NULL, "SHARE",
     "minimum agreement with f32: export: recall and precision of boxes [0.95]; tune: IDF1 [0.9]",
     SP_OPTION_SECONDS, SP_TAKES_EXPORT | SP_TAKES_TUNE, INTO(required)},
    {"--rate", NULL, "N", "required frames per second and camera [25]", SP_OPTION_SECONDS,
     SP_TAKES_TUNE, INTO(rate)},
    {"--latency", NULL, "MS", "maximum time of a frame in the engine, 95th percentile [250]",
     SP_OPTION_SECONDS, SP_TAKES_TUNE, INTO(latency_ms)},
    {"--ground-truth", NULL, "PATH",
     "labels to measure against: tune: a folder with CAMERA.txt of MOT rows; track: a file of MOT "
     "rows, or a folder of sequences",
     SP_OPTION_WORD, SP_TAKES_TUNE | SP_TAKES_COMPARE, INTO(ground_truth), .former = "--truth"},
    {"--explain", NULL, "ID", "print why a track began, was lost and found, and ended",
     SP_OPTION_COUNT, SP_TAKES_EXPLAIN, INTO(explain)},
    {"--compare", NULL, "A,B", "names of trackers to compare, as in TRACKER", SP_OPTION_WORD,
     SP_TAKES_COMPARE, INTO(compare)},
    {"--capacity", NULL, NULL, "only measure how many cameras the current settings can serve",
     SP_OPTION_SWITCH, SP_TAKES_TUNE, INTO(capacity)},
    {"--tracks", NULL, NULL, "compare tracks with ground truth, files or folders of MOT rows",
     SP_OPTION_SWITCH, SP_TAKES_TRACKS, INTO(tracks)},
    {"--from", NULL, "TIME", "begin of the time, as 2026-11-30 or 2026-11-30T12:00:00Z",
     SP_OPTION_WORD, SP_TAKES_RANGE | SP_TAKES_STORE, INTO(from)},
    {"--to", NULL, "TIME", "end of the time, which is not part of it", SP_OPTION_WORD,
     SP_TAKES_RANGE | SP_TAKES_STORE, INTO(to)},
    {"--camera", NULL, "NAME", "only this camera", SP_OPTION_WORD, SP_TAKES_STORE,
     INTO(store_camera)},
    {"--person", NULL, "ID", "erase only this person: a global id, as P1", SP_OPTION_WORD,
     SP_TAKES_STORE, INTO(person)},
    {"--format", NULL, "NAME", "of exported tracks: csv or mot [csv]", SP_OPTION_WORD,
     SP_TAKES_STORE, INTO(format)},
    {"--logins", NULL, "FILE",
     "file of lines user:password, at most 8, tried at each camera in this order; - is standard "
     "input",
     SP_OPTION_WORD, SP_TAKES_INIT, INTO(logins)},
    {"--force", NULL, NULL, "replace an existing file, which is kept as FILE.old", SP_OPTION_SWITCH,
     SP_TAKES_INIT, INTO(force)},
    {"--config-write", NULL, NULL,
     "write cameras that are added and removed over the API to spoton.yaml", SP_OPTION_SWITCH,
     SP_TAKES_SERVE, INTO(config_write)},
    {"--config", NULL, "FILE",
     "read settings and cameras from a YAML file [spoton.yaml, else /etc/spoton/spoton.yaml, if "
     "present]",
     SP_OPTION_WORD, 0, INTO(config_path)},
    {"--env", NULL, "FILE", "read settings from FILE [.env, if present]", SP_OPTION_WORD, 0,
     INTO(env_path)},
    {"--verbose", "-v", NULL, "same as --log-level debug", SP_OPTION_DEBUG, 0, 0},
    {"--help", "-h", NULL, "print the options of this command", SP_OPTION_SWITCH, 0, INTO(help)},
    {"--help-settings", NULL, NULL, "print all settings with defaults and allowed values",
     SP_OPTION_SWITCH, 0, INTO(help_settings)},
};

const size_t sp_option_count = sizeof sp_option_table / sizeof sp_option_table[0];

enum { NEAR_WORDS_MAX = 256, SHOWN_BYTES = 96 };

struct parser {
    struct sp_options *options;
    const struct sp_command_usage *usage;
    int argc;
    char **argv;
    int at;
    int cameras_before; /* cameras of .env and the environment, which come first */
    bool replaced[SP_CAMERAS_MAX];
    char *word[SP_CAMERAS_MAX]; /* arguments that are not flags */
    int word_count;
    struct sp_error *err;
};

/* For messages: without passwords and control characters, truncated. */
static const char *show(const char *word, char out[SHOWN_BYTES])
{
    sp_redact_url(word, out, SHOWN_BYTES);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            *c = '?';
    return out;
}

static bool takes(const struct sp_command_usage *usage, const struct sp_option_row *row)
{
    return row->needs == 0 || (usage->takes & row->needs);
}

static const char *name_of(const struct sp_option_row *row)
{
    return row->flag ? row->flag : row->short_flag;
}

static bool is_named(const struct sp_option_row *row, const char *word)
{
    size_t n = strcspn(word, "=");
    return (row->flag && strlen(row->flag) == n && strncmp(word, row->flag, n) == 0) ||
           (row->former && strlen(row->former) == n && strncmp(word, row->former, n) == 0) ||
           (row->short_flag && strcmp(word, row->short_flag) == 0);
}

/* The command's own option, else that of another command. */
static const struct sp_option_row *find(const struct sp_command_usage *usage, const char *word)
{
    const struct sp_option_row *other = NULL;
    for (size_t i = 0; i < sp_option_count; i++) {
        const struct sp_option_row *row = &sp_option_table[i];
        if (!is_named(row, word))
            continue;
        if (takes(usage, row))
            return row;
        if (!other)
            other = row;
    }
    return other;
}

struct flag_list {
    const char *word[NEAR_WORDS_MAX + 1];
    char text[NEAR_WORDS_MAX][64];
    int count;
};

static void add_setting_flag(void *user, const char *key, const char *value)
{
    struct flag_list *list = user;
    (void)value;
    if (list->count == NEAR_WORDS_MAX || strncmp(key, "CAMERA_", 7) == 0)
        return;
    char *text = list->text[list->count];
    snprintf(text, sizeof list->text[0], "--%s", key);
    for (char *c = text + 2; *c; c++) {
        if (*c == '_')
            *c = '-';
        else if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    }
    list->word[list->count++] = text;
}

/* The option of this command for the same purpose: --out and -o, --limit and --frames. */
static const char *same_kind(const struct sp_command_usage *usage, const struct sp_option_row *row)
{
    if (row->type != SP_OPTION_WORD && row->type != SP_OPTION_COUNT)
        return NULL;
    for (size_t i = 0; i < sp_option_count; i++)
        if (sp_option_table[i].type == row->type && (usage->takes & sp_option_table[i].needs))
            return name_of(&sp_option_table[i]);
    return NULL;
}

/* known: the row, if another command has this option, or NULL. */
static int refuse_flag(const struct parser *parser, const char *word,
                       const struct sp_option_row *known)
{
    struct flag_list list;
    char shown[SHOWN_BYTES];
    list.count = 0;
    for (size_t i = 0; i < sp_option_count; i++)
        if (takes(parser->usage, &sp_option_table[i]))
            list.word[list.count++] = name_of(&sp_option_table[i]);
    sp_settings_each(&parser->options->settings, add_setting_flag, &list);
    list.word[list.count] = NULL;
    show(word, shown);
    shown[strcspn(shown, "=")] = '\0';
    const char *near = known ? same_kind(parser->usage, known) : sp_nearest_word(shown, list.word);
    return sp_fail(
        parser->err, SP_ERR_INVALID, "%s: %s; %s%s%s `spoton %s --help` and --help-settings", shown,
        known ? "not an option of this command" : "unknown option", near ? "did you mean " : "",
        near ? near : "", near ? "? See" : "see", parser->usage->name);
}

/* The argument behind "=" or the next word, or NULL with an error. */
static const char *take_argument(struct parser *parser, const struct sp_option_row *row)
{
    const char *word = parser->argv[parser->at];
    const char *equals = row->flag && word[1] == '-' ? strchr(word, '=') : NULL;
    const char *next = parser->at + 1 < parser->argc ? parser->argv[parser->at + 1] : NULL;
    char shown[SHOWN_BYTES];
    if (equals) {
        if (equals[1] != '\0')
            return equals + 1;
        sp_fail(parser->err, SP_ERR_INVALID, "%s: empty value; write %s %s", name_of(row),
                name_of(row), row->argument);
        return NULL;
    }
    if (!next || *next == '\0' || strncmp(next, "--", 2) == 0) {
        bool other = next && *next;
        sp_fail(parser->err, SP_ERR_INVALID, "%s: no value%s%s; write %s %s", name_of(row),
                other ? " before " : "", other ? show(next, shown) : "", name_of(row),
                row->argument);
        return NULL;
    }
    parser->at++;
    return next;
}

static int parse_count(const struct parser *parser, const struct sp_option_row *row,
                       const char *text, int64_t *out)
{
    char shown[SHOWN_BYTES], *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number < 1)
        return sp_fail(parser->err, SP_ERR_INVALID, "%s %s: invalid; must be a whole number from 1",
                       name_of(row), show(text, shown));
    *out = number;
    return SP_OK;
}

/* Digits with at most one point: the same in every locale. */
static int parse_seconds(const struct parser *parser, const struct sp_option_row *row,
                         const char *text, double *out)
{
    char shown[SHOWN_BYTES];
    double number = 0, place = 1;
    int points = 0, digits = 0;
    const char *c = text;
    for (; *c; c++) {
        if (*c == '.' && points++ == 0)
            continue;
        if (*c < '0' || *c > '9')
            break;
        digits++;
        number = number * 10 + (*c - '0');
        place *= points ? 10 : 1;
    }
    number /= place;
    if (*c || digits == 0 || digits > 15 || !(number > 0 && number <= 1e9))
        return sp_fail(parser->err, SP_ERR_INVALID, "%s %s: invalid; must be a number%s above 0",
                       name_of(row), show(text, shown),
                       row->offset == INTO(seconds) ? " of seconds" : "");
    *out = number;
    return SP_OK;
}

static int add_named_camera(struct parser *parser, const char *argument)
{
    struct sp_settings *settings = &parser->options->settings;
    char name[SP_CAMERA_NAME_BYTES + 1], shown[SHOWN_BYTES];
    size_t n = strcspn(argument, "=:/");
    if (n == 0 || argument[n] != '=')
        return sp_fail(parser->err, SP_ERR_INVALID, "--camera %s: invalid; must be NAME=URL",
                       show(argument, shown));
    snprintf(name, sizeof name, "%.*s", (int)n, argument);
    int index = 0;
    while (index < parser->cameras_before && strcmp(settings->camera[index].name, name) != 0)
        index++;
    bool replace = index < parser->cameras_before && !parser->replaced[index];
    int result =
        sp_settings_add_camera(settings, name, argument + n + 1, replace, "--camera", parser->err);
    if (result == SP_OK && replace)
        parser->replaced[index] = true;
    return result;
}

static int add_calibrate(struct parser *parser, const char *argument)
{
    struct sp_options *options = parser->options;
    if (options->calibrate_count == SP_CAMERAS_MAX)
        return sp_fail(parser->err, SP_ERR_INVALID, "--calibrate: too many; the limit is %d",
                       SP_CAMERAS_MAX);
    options->calibrate[options->calibrate_count++] = argument;
    return SP_OK;
}

static int take_option(struct parser *parser, const struct sp_option_row *row)
{
    const char *word = parser->argv[parser->at];
    void *field = (char *)parser->options + row->offset;
    const char *argument = "";
    if (row->argument) {
        argument = take_argument(parser, row);
        if (!argument)
            return SP_ERR_INVALID;
    } else if (strchr(word, '=')) {
        return sp_fail(parser->err, SP_ERR_INVALID, "%s: takes no value; remove it", name_of(row));
    }
    switch (row->type) {
    case SP_OPTION_SWITCH:
        *(bool *)field = true;
        return SP_OK;
    case SP_OPTION_WORD:
        *(const char **)field = argument;
        return SP_OK;
    case SP_OPTION_COUNT:
        return parse_count(parser, row, argument, field);
    case SP_OPTION_SECONDS:
        return parse_seconds(parser, row, argument, field);
    case SP_OPTION_CAMERA:
        return add_named_camera(parser, argument);
    case SP_OPTION_CALIBRATE:
        return add_calibrate(parser, argument);
    case SP_OPTION_DEBUG:
        break;
    }
    parser->options->settings.log_level = SP_LOG_DEBUG;
    return SP_OK;
}

static int take_word(struct parser *parser, char *word)
{
    char shown[SHOWN_BYTES];
    bool cameras = parser->usage->takes & SP_TAKES_CAMERAS;
    if (!cameras && !(parser->usage->takes & SP_TAKES_INPUTS))
        return sp_fail(parser->err, SP_ERR_INVALID,
                       "%s: unexpected argument; see `spoton %s --help`", show(word, shown),
                       parser->usage->name);
    if (*word == '\0')
        return sp_fail(parser->err, SP_ERR_INVALID, "empty argument; give a %s",
                       cameras ? "URL or file" : "file");
    if (parser->word_count == SP_CAMERAS_MAX)
        return sp_fail(parser->err, SP_ERR_INVALID, "%s: too many %s; the limit is %d",
                       show(word, shown), cameras ? "cameras" : "files", SP_CAMERAS_MAX);
    parser->word[parser->word_count++] = word;
    return SP_OK;
}

static int add_words_as_cameras(struct parser *parser)
{
    for (int i = 0; i < parser->word_count; i++) {
        char name[SP_CAMERA_NAME_BYTES];
        sp_camera_name_from_url(&parser->options->settings, parser->word[i], name);
        int result = sp_settings_add_camera(&parser->options->settings, name, parser->word[i],
                                            false, "the command line", parser->err);
        if (result != SP_OK)
            return result;
    }
    return SP_OK;
}

/* One pass over argv. Named cameras precede plain URLs. */
static int read_command_line(struct parser *parser)
{
    bool only_words = false;
    parser->cameras_before = parser->options->settings.camera_count;
    for (parser->at = 1; parser->at < parser->argc; parser->at++) {
        char *word = parser->argv[parser->at];
        int result;
        if (only_words || word[0] != '-' || word[1] == '\0') {
            result = take_word(parser, word);
        } else if (strcmp(word, "--") == 0) {
            only_words = true;
            continue;
        } else {
            const struct sp_option_row *row = find(parser->usage, word);
            if (row && !takes(parser->usage, row))
                return refuse_flag(parser, word, row);
            if (row) {
                result = take_option(parser, row);
            } else {
                result = sp_settings_take_flag(&parser->options->settings, parser->argc,
                                               parser->argv, &parser->at, parser->err);
                if (result == 0)
                    return refuse_flag(parser, word, NULL);
            }
        }
        if (result < 0 || parser->options->help || parser->options->help_settings)
            return result;
    }
    if (parser->usage->takes & SP_TAKES_CAMERAS)
        return add_words_as_cameras(parser);
    memcpy(parser->options->input, parser->word, sizeof parser->word);
    parser->options->input_count = parser->word_count;
    return SP_OK;
}

static int read_yaml(struct sp_options *options, const char *path, char *const *environment,
                     struct sp_error *err)
{
    static const char *const standard[] = {"spoton.yaml", "/etc/spoton/spoton.yaml"};
    struct stat about;
    for (size_t i = 0; !path && i < sizeof standard / sizeof standard[0]; i++)
        if (stat(standard[i], &about) == 0 && !S_ISDIR(about.st_mode) &&
            (i == 0 || access(standard[i], R_OK) == 0)) /* that of a service may be private */
            path = standard[i];
    return path ? sp_settings_read_yaml_file(&options->settings, path, environment, err) : SP_OK;
}

static int read_file_and_environment(struct sp_options *options, const char *env_path,
                                     bool may_be_missing, char *const *environment,
                                     struct sp_error *err)
{
    struct stat about;
    int result = SP_OK;
    if (env_path && !(may_be_missing && stat(env_path, &about) != 0 && errno == ENOENT))
        result = sp_settings_read_env_file(&options->settings, env_path, err);
    else if (!env_path && stat(".env", &about) == 0 &&
             !S_ISDIR(about.st_mode)) /* Python may have a virtual environment there */
        result = sp_settings_read_env_file(&options->settings, ".env", err);
    return result == SP_OK ? sp_settings_read_environment(&options->settings, environment, err)
                           : result;
}

static int check_config_write(const struct sp_options *options, struct sp_error *err)
{
    if (options->config_write && options->settings.yaml_path[0] == '\0')
        return sp_fail(
            err, SP_ERR_INVALID,
            "--config-write: no spoton.yaml was read; write one, or name it by --config");
    if (options->config_write && options->settings.cluster_url[0] != '\0')
        return sp_fail(err, SP_ERR_INVALID,
                       "--config-write: CLUSTER_URL is set, and the cluster keeps the cameras; "
                       "remove one of the two");
    return SP_OK;
}

int sp_options_parse(struct sp_options *options, const struct sp_command_usage *usage, int argc,
                     char **argv, char *const *environment, struct sp_error *err)
{
    struct parser parser = {
        .options = options, .usage = usage, .argc = argc, .argv = argv, .err = err};
    struct parser again = parser;
    memset(options, 0, sizeof *options);
    sp_settings_default(&options->settings);
    int result = read_command_line(&parser);
    if (result < 0 || options->help || options->help_settings)
        return result < 0 ? result : SP_OK;

    const char *env_path = options->env_path, *config_path = options->config_path;
    bool writes_env = (usage->takes & SP_TAKES_TUNE) && !options->capacity;
    memset(options, 0, sizeof *options);
    sp_settings_default(&options->settings);
    result = read_yaml(options, config_path, environment, err);
    if (result == SP_OK)
        result = read_file_and_environment(options, env_path, writes_env, environment, err);
    if (result == SP_OK)
        result = read_command_line(&again);
    if (result < 0)
        return result;
    sp_log_set_level((enum sp_log_level)options->settings.log_level);
    result = sp_settings_check(&options->settings, err);
    return result == SP_OK ? check_config_write(options, err) : result;
}
