/* Detections of any bytes for `spoton track`: MOT rows or a results log, and then the tracker on
 * what was read. */
#include "command/track_input.h"
#include "track/tracker.h"

#include "fuzz.h"

#include <math.h>

enum { UPDATES_MAX = 64 };

static void check_frames(const struct sp_track_input *input)
{
    for (size_t i = 0; i < input->frame_count; i++) {
        const struct sp_track_input_frame *frame = &input->frames[i];
        FUZZ_CHECK(i == 0 || input->frames[i - 1].sequence < frame->sequence);
        FUZZ_CHECK(frame->sequence <= SP_TRACK_INPUT_FRAME_MAX);
        FUZZ_CHECK(frame->first_detection + frame->detection_count <= input->detection_count);
    }
    FUZZ_CHECK(!input->is_results_log || input->inferred_every >= 1 || input->frame_count == 0);
    FUZZ_CHECK(input->frame_rate >= 0);
}

static void track(const struct sp_track_input *input)
{
    static struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_tracker_params params;
    struct sp_tracker *tracker;
    sp_tracker_params_default(&params);
    FUZZ_CHECK(sp_tracker_open(&tracker, &params, NULL) == SP_OK);
    for (size_t i = 0; i < input->frame_count && i < UPDATES_MAX; i++) {
        const struct sp_track_input_frame *frame = &input->frames[i];
        double step = i ? (double)(frame->sequence - input->frames[i - 1].sequence) : 1;
        const struct sp_detection *detections =
            frame->detection_count ? &input->detections[frame->first_detection] : NULL;
        size_t count = sp_tracker_update(tracker, detections, frame->detection_count, step, tracks);
        FUZZ_CHECK(count <= SP_TRACKS_MAX);
        for (size_t k = 0; k < count; k++) {
            FUZZ_CHECK(tracks[k].id > 0 && isfinite(tracks[k].confidence));
            FUZZ_CHECK(isfinite(tracks[k].x1_px) && isfinite(tracks[k].y2_px));
        }
    }
    sp_tracker_close(tracker);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sp_track_input input = {0};
    struct sp_error err = {0};
    char path[64];
    int file = fuzz_file(data, bytes, path);
    int result = sp_track_input_read(&input, path, &err);
    fuzz_check_result(result, &err);
    if (result == SP_OK) {
        check_frames(&input);
        track(&input);
    }
    sp_track_input_release(&input);
    close(file);
    return 0;
}
