/* spoton eval: accuracy of a model's boxes, and of tracks. */
#include "command/eval.h"
#include "command/command.h"

#include <stdlib.h>

static const struct sp_command_usage usage = {
    .name = "eval",
    .synopsis = "MODEL DATA [-o BOXES.txt]\n       spoton eval --tracks GT OUT",
    .about =
        "Measures a model on labelled images, a folder or a tar file: average precision, and\n"
        "precision and recall at YOLO_CONFIDENCE_THRESHOLD, over all people and by height.\n"
        "NAME.txt holds the labels of NAME.jpg: lines \"flag cx cy w h\", relative to the image\n"
        "size; flag 0 or 1: a person, 2: doubtful, ignored.\n"
        "With --tracks: MOTA, IDF1, HOTA and ID switches of tracks written by `spoton run`: of a\n"
        "file GT.txt and OUT.txt, or of all sequences of a folder, NAME/gt/gt.txt, NAME/gt.txt or\n"
        "NAME.txt, in OUT/NAME.txt or OUT/data/NAME.txt, with 95 % intervals over the sequences.\n",
    .takes = SP_TAKES_INPUTS | SP_TAKES_OUT_FILE | SP_TAKES_JSON | SP_TAKES_TRACKS,
};

int sp_command_eval_main(const struct sp_command_context *context)
{
    struct sp_error err = {0};
    int exit_code;
    struct sp_options *options = sp_command_start(context, &usage, &exit_code);
    if (!options)
        return exit_code;
    if (options->input_count != 2) {
        fprintf(stderr, "spoton eval: %s\n",
                options->tracks
                    ? "--tracks: give two files or folders, ground truth and tracks"
                    : "input: give a model and a folder or tar file of labelled images");
        free(options);
        return SP_EXIT_USAGE;
    }
    int result;
    if (options->tracks) {
        result = sp_eval_tracks(options->input[0], options->input[1], options->json, &err);
    } else {
        snprintf(options->settings.model_path, sizeof options->settings.model_path, "%s",
                 options->input[0]);
        result = sp_eval_detections(options, options->input[1], context->interrupted, &err);
    }
    free(options);
    if (result == SP_OK)
        return SP_EXIT_OK;
    fprintf(stderr, "spoton eval: %s\n", err.text);
    return result == SP_ERR_INTERRUPTED ? SP_EXIT_INTERRUPTED : SP_EXIT_FAILED;
}
