/* spoton store: checks, compacts, erases and exports what `spoton serve` has stored. */
#include "base/clock.h"
#include "base/path.h"
#include "command/command.h"
#include "command/options.h"
#include "command/recording.h"
#include "store/export.h"
#include "store/history.h"
#include "store/maintenance.h"

#include <stdlib.h>
#include <string.h>

static const struct sp_command_usage usage = {
    .name = "store",
    .synopsis = "verify|compact|erase|export [STORE] [--from TIME] [--to TIME] ...",
    .about =
        "Works on a store of `spoton serve`: STORE, a folder or a URL, else that of the settings.\n"
        "verify reads everything. compact rewrites days before today more densely. erase removes\n"
        "tracks and events by --from and --to, --camera and --person, and checks that they are\n"
        "gone. export writes tracks into --out DIR, as --format csv or mot. All may run beside a\n"
        "server that records. Lines and zones are counted by `spoton count`.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_DIR | SP_TAKES_STORE,
};

struct args {
    const struct sp_options *options;
    struct sp_store *store;
    int64_t from_us, to_us;
    uint32_t person;
};

static int verify(struct args *args, struct sp_error *err)
{
    struct sp_store_totals totals;
    int result = sp_store_verify(args->store, &totals, err);
    if (result < 0)
        return result;
    printf("segments %lld, frames %lld, boxes %lld, bytes %lld, damaged bytes %lld, images %lld, "
           "their bytes %lld\n",
           (long long)totals.segments, (long long)totals.frames, (long long)totals.boxes,
           (long long)totals.bytes, (long long)totals.damaged, (long long)totals.images,
           (long long)totals.image_bytes);
    return totals.damaged > 0 ? sp_fail(err, SP_ERR_FORMAT,
                                        "%s: %lld bytes are damaged and are skipped; `spoton store "
                                        "compact` removes them from days before today",
                                        args->store->shown, (long long)totals.damaged)
                              : SP_OK;
}

static int compact(struct args *args, struct sp_error *err)
{
    int64_t before, after;
    int result =
        sp_store_compact(args->store, sp_store_day(sp_clock_wall_us()), &before, &after, err);
    if (result == SP_OK)
        printf("bytes before %lld, after %lld\n", (long long)before, (long long)after);
    return result;
}

static int erase(struct args *args, struct sp_error *err)
{
    const struct sp_options *options = args->options;
    const struct sp_store_erasure what = {.from_us = args->from_us,
                                          .to_us = args->to_us,
                                          .camera = options->store_camera,
                                          .person = args->person};
    struct sp_store_erased erased;
    if (!options->from && !options->to && !what.camera && !what.person)
        return sp_fail(
            err, SP_ERR_INVALID,
            "erase: everything would be erased; give --from, --to, --camera or --person, "
            "or remove the store itself");
    int result = sp_store_erase(args->store, &what, &erased, err);
    if (result == SP_OK)
        printf(
            "erased: frames %lld, boxes %lld, events %lld, tracks %lld, images %lld; none of them "
            "is left\n",
            (long long)erased.frames, (long long)erased.boxes, (long long)erased.events,
            (long long)erased.tracks, (long long)erased.images);
    return result;
}

static int export_tracks(struct args *args, struct sp_error *err)
{
    const struct sp_options *options = args->options;
    const char *format = options->format ? options->format : "csv";
    struct sp_store_export what = {.dir = options->out_dir,
                                   .camera = options->store_camera,
                                   .from_us = args->from_us,
                                   .to_us = args->to_us};
    int cameras;
    int64_t boxes;
    if (strcmp(format, "parquet") == 0)
        return sp_fail(err, SP_ERR_INVALID,
                       "--format: parquet is not built in; use csv and convert the files, see "
                       "docs/HISTORY.md");
    if (strcmp(format, "csv") != 0 && strcmp(format, "mot") != 0)
        return sp_fail(err, SP_ERR_INVALID, "--format: %.40s is not known; use csv or mot", format);
    if (!what.dir)
        return sp_fail(err, SP_ERR_INVALID, "--out: missing; give an output folder with --out DIR");
    what.format = strcmp(format, "mot") == 0 ? SP_EXPORT_MOT : SP_EXPORT_CSV;
    int result = sp_path_make_dirs(what.dir, err);
    if (result == SP_OK)
        result = sp_store_export(args->store, &what, &cameras, &boxes, err);
    if (result == SP_OK)
        printf("exported: cameras %d, boxes %lld\n", cameras, (long long)boxes);
    return result;
}

static int read_time(const char *flag, const char *text, int64_t *out, struct sp_error *err)
{
    if (!text || sp_history_read_time(text, out))
        return SP_OK;
    return sp_fail(err, SP_ERR_INVALID,
                   "%s: %.40s is not a time; write 2026-11-30T12:00:00Z or 2026-11-30", flag, text);
}

static int read_person(const char *text, uint32_t *out, struct sp_error *err)
{
    char *end;
    if (!text)
        return SP_OK;
    unsigned long value = text[0] == 'P' ? strtoul(text + 1, &end, 10) : 0;
    if (value == 0 || value > UINT32_MAX || *end)
        return sp_fail(err, SP_ERR_INVALID, "--person: %.40s is not a global id; write P1", text);
    *out = (uint32_t)value;
    return SP_OK;
}

static int work(const struct sp_options *options, struct sp_error *err)
{
    static const struct {
        const char *name;
        int (*run)(struct args *args, struct sp_error *err);
    } actions[] = {
        {"verify", verify}, {"compact", compact}, {"erase", erase}, {"export", export_tracks}};
    struct args args = {.options = options, .to_us = INT64_MAX / 2};
    char location[SP_STORE_PLACE_BYTES];
    size_t action = 0;
    while (action < 4 && strcmp(actions[action].name, options->input[0]) != 0)
        action++;
    if (action == 4)
        return sp_fail(err, SP_ERR_INVALID, "%.40s: unknown; use verify, compact, erase or export",
                       options->input[0]);
    if (options->input_count > 1)
        snprintf(location, sizeof location, "%s", options->input[1]);
    else
        sp_recording_location(&options->settings, location);
    if (!location[0])
        return sp_fail(err, SP_ERR_INVALID, "STORE: missing; name a folder or a URL");
    int result = read_time("--from", options->from, &args.from_us, err);
    if (result == SP_OK)
        result = read_time("--to", options->to, &args.to_us, err);
    if (result == SP_OK)
        result = read_person(options->person, &args.person, err);
    if (result == SP_OK)
        result = sp_store_open(&args.store, location, false, err);
    if (result == SP_OK)
        result = actions[action].run(&args, err);
    sp_store_close(args.store);
    return result;
}

int sp_command_store_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    if (options->input_count == 0 || options->input_count > 2) {
        fprintf(stderr, "spoton store: %s\n",
                options->input_count ? "more than one store; give one"
                                     : "no action; give verify, compact, erase or export");
        exit_code = SP_EXIT_USAGE;
    } else {
        int result = work(options, &err);
        if (result < 0)
            fprintf(stderr, "spoton store: %s\n", err.text);
        exit_code = result == SP_OK            ? SP_EXIT_OK
                    : result == SP_ERR_INVALID ? SP_EXIT_USAGE
                                               : SP_EXIT_FAILED;
    }
    free(options);
    return exit_code;
}
