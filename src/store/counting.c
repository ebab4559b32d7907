#include "store/counting.h"

#include "store/read_ahead.h"

#include <stdlib.h>

enum { FRAMES_A_QUESTION = 4096 };

int sp_stored_counting_cameras(const struct sp_counting_config *config, const char ***names,
                               int *count, struct sp_error *err)
{
    *names = NULL;
    *count = 0;
    if (sp_counting_config_has_map(config))
        return SP_OK;
    *names = calloc((size_t)config->camera_count + 1, sizeof **names);
    if (!*names)
        return sp_fail(err, SP_ERR_NO_MEMORY, "counting: out of memory");
    for (int i = 0; i < config->camera_count; i++)
        (*names)[(*count)++] = config->cameras[i].name;
    return SP_OK;
}

struct state {
    const struct sp_stored_counting *options;
    struct sp_counting *counting;
    struct sp_track_reader *reader;
    struct sp_read_ahead *ahead;
    int64_t run_us, reached_us;
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_world_position positions[SP_TRACKS_MAX];
};

static void count(struct state *s, const struct sp_read_frame *read)
{
    struct sp_counting_frame frame = {.camera = read->camera,
                                      .time_us = read->frame.time_us,
                                      .width_px = read->width_px,
                                      .height_px = read->height_px,
                                      .inferred = read->frame.inferred,
                                      .rounded = true,
                                      .tracks = s->tracks,
                                      .positions = read->frame.mapped ? s->positions : NULL,
                                      .count = read->frame.count};
    if (!frame.inferred)
        return;
    if (read->run_us != s->run_us && s->run_us)
        sp_counting_restart(s->counting);
    s->run_us = read->run_us;
    for (size_t i = 0; i < frame.count; i++)
        sp_stored_track_read(&read->frame.tracks[i], &s->tracks[i], &s->positions[i]);
    sp_counting_frame(s->counting, &frame);
}

static int count_all(struct state *s, struct sp_error *err)
{
    const struct sp_stored_counting *options = s->options;
    struct sp_read_frame read;
    int result = SP_OK;
    for (unsigned n = 1; (result = sp_read_ahead_next(s->ahead, &read, err)) == 1; n++) {
        count(s, &read);
        if (n % FRAMES_A_QUESTION == 0 && options->stopped &&
            options->stopped(options->user, read.frame.time_us)) {
            s->reached_us = read.frame.time_us;
            return SP_OK;
        }
    }
    if (result == SP_OK && options->to_the_end)
        sp_counting_finish(s->counting);
    return result;
}

int sp_stored_counting_run(struct sp_store *store, const struct sp_stored_counting *options,
                           int64_t *reached_us, struct sp_error *err)
{
    const char **wanted;
    const char *const *names;
    int count;
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return sp_fail(err, SP_ERR_NO_MEMORY, "counting: out of memory");
    s->options = options;
    s->reached_us = options->to_us;
    int result = sp_stored_counting_cameras(options->config, &wanted, &count, err);
    if (result == SP_OK)
        result = sp_track_reader_open(&s->reader, store->segments, wanted, count, options->from_us,
                                      options->to_us, err);
    if (result == SP_OK) {
        int cameras = sp_track_reader_cameras(s->reader, &names);
        const struct sp_counting_options counting = {.config = options->config,
                                                     .cameras = names,
                                                     .camera_count = cameras,
                                                     .units_per_m = options->units_per_m,
                                                     .y_up = options->y_up,
                                                     .event = options->event,
                                                     .user = options->user};
        result = sp_counting_open(&s->counting, &counting, err);
    }
    if (result == SP_OK)
        result = sp_read_ahead_open(&s->ahead, s->reader, err);
    if (result == SP_OK)
        result = count_all(s, err);
    if (reached_us)
        *reached_us = s->reached_us;
    sp_counting_close(s->counting);
    sp_read_ahead_close(s->ahead);
    sp_track_reader_close(s->reader);
    free(wanted);
    free(s);
    return result;
}
