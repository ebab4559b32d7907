/* spoton count: events and counts from stored tracks. */
#include "base/path.h"
#include "command/command.h"
#include "command/count_input.h"
#include "command/count_store.h"
#include "command/counter.h"
#include "command/options.h"

#include <stdlib.h>

static const struct sp_command_usage usage = {
    .name = "count",
    .synopsis = "--config FILE STORE|RESULTS.jsonl... [--out DIR]",
    .about =
        "Counts the crossings of lines and the visits to zones (lines:, zones: and map: of FILE)\n"
        "in the results logs of `spoton run`, CAMERA.jsonl. Gives the same events.jsonl and\n"
        "counts.json as the run, without inference. Global ids are read from people.jsonl. STORE\n"
        "is a folder or a URL in which `spoton serve` has stored tracks: gives the events that it\n"
        "would have counted, of all days or --from TIME --to TIME. Without --out only prints the\n"
        "counts.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_DIR | SP_TAKES_RANGE,
};

static int count_frames(struct sp_counter *counter, struct sp_count_input *input,
                        struct sp_error *err)
{
    struct sp_count_frame *frame = malloc(sizeof *frame);
    if (!frame)
        return sp_fail(err, SP_ERR_NO_MEMORY, "results logs: out of memory");
    int result;
    while ((result = sp_count_input_next(input, frame, err)) == 1) {
        struct sp_counting_frame counted = {.camera = frame->camera,
                                            .time_us = frame->pts_us,
                                            .width_px = frame->width_px,
                                            .height_px = frame->height_px,
                                            .inferred = frame->inferred,
                                            .tracks = frame->tracks,
                                            .positions = frame->mapped ? frame->positions : NULL,
                                            .count = frame->count};
        sp_counter_frame(counter, &counted);
    }
    free(frame);
    return result;
}

static int open_counter(struct sp_counter **counter, const struct sp_options *options,
                        const char *const *names, int cameras, struct sp_error *err)
{
    int result = options->out_dir ? sp_path_make_dirs(options->out_dir, err) : SP_OK;
    if (result == SP_OK)
        result =
            sp_counter_open(counter, &options->settings, names, cameras, options->out_dir, err);
    if (result == SP_OK && !*counter)
        result = sp_fail(err, SP_ERR_INVALID,
                         "%s: no lines and no zones; add lines: or zones: to a camera, see "
                         "docs/ANALYTICS.md",
                         options->settings.yaml_path);
    return result;
}

static int count_logs(const struct sp_options *options, struct sp_counter **counter,
                      struct sp_error *err)
{
    struct sp_count_input *input = NULL;
    const char *const *names;
    int result = options->from || options->to
                     ? sp_fail(err, SP_ERR_INVALID,
                               "--from, --to: results logs have no dates; give a store, or neither")
                     : sp_count_input_open(&input, options->input, options->input_count, err);
    if (result == SP_OK) {
        int cameras = sp_count_input_cameras(input, &names);
        result = open_counter(counter, options, names, cameras, err);
    }
    if (result == SP_OK)
        result = count_frames(*counter, input, err);
    sp_count_input_close(input);
    return result;
}

static int count_store(const struct sp_options *options, struct sp_counter **counter,
                       struct sp_error *err)
{
    struct sp_count_store *store = NULL;
    const char *const *names;
    int result =
        options->input_count > 1
            ? sp_fail(err, SP_ERR_INVALID, "input: a store and other inputs; give one store")
            : sp_count_store_open(&store, options->input[0], options->from, options->to, err);
    if (result == SP_OK) {
        int cameras = sp_count_store_cameras(store, &names);
        result = open_counter(counter, options, names, cameras, err);
    }
    if (result == SP_OK)
        result = sp_count_store_run(store, *counter, err);
    sp_count_store_close(store);
    return result;
}

static int count(const struct sp_options *options, struct sp_error *err)
{
    struct sp_counter *counter = NULL;
    int result = sp_count_store_is(options->input[0]) ? count_store(options, &counter, err)
                                                      : count_logs(options, &counter, err);
    if (result == SP_OK)
        result = sp_counter_finish(counter, err);
    if (result == SP_OK)
        fputs(sp_counter_text(counter), stdout);
    sp_counter_close(counter);
    return result;
}

int sp_command_count_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    if (!options->settings.yaml_path[0] || options->input_count == 0) {
        fprintf(stderr, "spoton count: %s\n",
                options->input_count ? "--config: missing; give the file with the lines and zones"
                                     : "input: missing; give the results logs of a run");
        exit_code = SP_EXIT_USAGE;
    } else if (count(options, &err) < 0) {
        fprintf(stderr, "spoton count: %s\n", err.text);
        exit_code = SP_EXIT_FAILED;
    }
    free(options);
    return exit_code;
}
