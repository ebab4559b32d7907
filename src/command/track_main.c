#include "command/command.h"
#include "command/options.h"
#include "command/track.h"
#include "command/track_compare.h"
#include "command/track_explain.h"

#include <stdlib.h>

static const struct sp_command_usage usage = {
    .name = "track",
    .synopsis = "DETS -o OUT.txt\n       spoton track --compare A,B DETS --ground-truth GT\n       "
                "spoton track --explain ID DETS",
    .about =
        "Runs the tracker alone on a MOT Challenge detection file or a results log (NAME.jsonl)\n"
        "of `spoton run`, to try tracker settings without inference.\n"
        "With --compare: several trackers on the same detections, measured against ground truth,\n"
        "two files or two folders of sequences; on the tracked frames only.\n"
        "With --explain (TRACKER=spoton): when and why an id began, was lost and found, and "
        "ended;\n"
        "at its beginning and losses the two best candidates, with the terms of their "
        "similarity.\n",
    .takes =
        SP_TAKES_INPUTS | SP_TAKES_OUT_FILE | SP_TAKES_JSON | SP_TAKES_COMPARE | SP_TAKES_EXPLAIN,
};

static const char *missing(const struct sp_options *options)
{
    if (options->input_count != 1)
        return "input: give one file of detections";
    if (options->compare)
        return options->ground_truth ? NULL : "--ground-truth: missing; give labels to compare to";
    return options->out_file || options->explain
               ? NULL
               : "-o: missing; give an output file with -o OUT.txt";
}

static int execute(const struct sp_options *options, struct sp_error *err)
{
    if (options->compare)
        return sp_track_compare(options, err);
    if (options->explain)
        return sp_track_explain(options, err);
    return sp_command_track(&options->settings, options->input[0], options->out_file, err);
}

int sp_command_track_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    if (missing(options)) {
        fprintf(stderr, "spoton track: %s\n", missing(options));
        exit_code = SP_EXIT_USAGE;
    } else if (execute(options, &err) < 0) {
        fprintf(stderr, "spoton track: %s\n", err.text);
        exit_code = SP_EXIT_FAILED;
    }
    free(options);
    return exit_code;
}
