#include "command/command.h"
#include "command/options.h"
#include "command/track.h"

#include <stdlib.h>

static const struct sp_command_usage usage = {
    .name = "track",
    .synopsis = "DETS -o OUT.txt",
    .about =
        "Runs the tracker alone on a MOT Challenge detection file or a results log (NAME.jsonl)\n"
        "of `spoton run`, to try tracker settings without inference.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_FILE,
};

int sp_command_track_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    if (options->input_count != 1 || !options->out_file) {
        fprintf(stderr, "spoton track: %s\n",
                options->input_count != 1 ? "input: give one file of detections"
                                          : "-o: missing; give an output file with -o OUT.txt");
        exit_code = SP_EXIT_USAGE;
    } else if (sp_command_track(&options->settings, options->input[0], options->out_file, &err) <
               0) {
        fprintf(stderr, "spoton track: %s\n", err.text);
        exit_code = SP_EXIT_FAILED;
    }
    free(options);
    return exit_code;
}
