#include "command/count_store.h"

#include "store/history.h"
#include "store/read_ahead.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct sp_count_store {
    struct sp_store *store;
    struct sp_track_reader *reader;
    struct sp_track tracks[SP_TRACKS_MAX];
    struct sp_world_position positions[SP_TRACKS_MAX];
};

bool sp_count_store_is(const char *path)
{
    struct stat status;
    return sp_store_is_url(path) || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
}

static int read_time(const char *flag, const char *text, int64_t *out, struct sp_error *err)
{
    if (!text || sp_history_read_time(text, out))
        return SP_OK;
    return sp_fail(err, SP_ERR_INVALID,
                   "%s: %.40s is not a time; write 2026-11-30T12:00:00Z or 2026-11-30", flag, text);
}

int sp_count_store_open(struct sp_count_store **out, const char *location, const char *from,
                        const char *to, struct sp_error *err)
{
    int64_t from_us = 0, to_us = INT64_MAX / 2;
    struct sp_count_store *s = calloc(1, sizeof *s);
    if (!s)
        return sp_fail(err, SP_ERR_NO_MEMORY, "store: out of memory");
    int result = read_time("--from", from, &from_us, err);
    if (result == SP_OK)
        result = read_time("--to", to, &to_us, err);
    if (result == SP_OK)
        result = sp_store_open(&s->store, location, false, err);
    if (result == SP_OK)
        result = sp_track_reader_open(&s->reader, s->store->segments, NULL, 0, from_us, to_us, err);
    if (result < 0)
        sp_count_store_close(s);
    else
        *out = s;
    return result;
}

void sp_count_store_close(struct sp_count_store *s)
{
    if (!s)
        return;
    sp_track_reader_close(s->reader);
    sp_store_close(s->store);
    free(s);
}

int sp_count_store_cameras(const struct sp_count_store *s, const char *const **names)
{
    return sp_track_reader_cameras(s->reader, names);
}

int sp_count_store_run(struct sp_count_store *s, struct sp_counter *counter, struct sp_error *err)
{
    struct sp_read_ahead *ahead = NULL;
    struct sp_read_frame read;
    int64_t run_us = 0;
    int result = sp_read_ahead_open(&ahead, s->reader, err);
    while (result >= 0 && (result = sp_read_ahead_next(ahead, &read, err)) == 1) {
        struct sp_counting_frame frame = {.camera = read.camera,
                                          .time_us = read.frame.time_us,
                                          .width_px = read.width_px,
                                          .height_px = read.height_px,
                                          .inferred = read.frame.inferred,
                                          .rounded = true,
                                          .tracks = s->tracks,
                                          .positions = read.frame.mapped ? s->positions : NULL,
                                          .count = read.frame.count};
        for (size_t i = 0; i < read.frame.count; i++)
            sp_stored_track_read(&read.frame.tracks[i], &s->tracks[i], &s->positions[i]);
        if (run_us && run_us != read.run_us)
            sp_counter_restart(counter);
        run_us = read.run_us;
        sp_counter_frame(counter, &frame);
    }
    sp_read_ahead_close(ahead);
    return result;
}
