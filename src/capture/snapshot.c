#include "capture/snapshot.h"

#include "base/clock.h"
#include "capture/opening.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_SLICE_US = 50000 };

struct snapshot {
    struct sp_source_options options; /* of each opening; url is a copy */
    char *url;
    const atomic_bool *interrupted;
    struct sp_source_info info;

    void *inner;           /* the open FFmpeg source, or NULL */
    uint64_t inner_given;  /* frames that it returned */
    uint64_t inner_failed; /* … already counted in `failed` */
    struct sp_frame *held; /* the second frame of a stream */

    int64_t due_us;    /* time of the next opening; 0: at once */
    int64_t began_us;  /* arrival of the first frame; 0: none yet */
    int64_t silent_us; /* since when no complete image has arrived */
    struct sp_error problem;

    uint64_t sparse_step; /* only frames whose sequence is a multiple of it are returned */
    uint64_t sequence, failed, undecoded;
};

static bool is_interrupted(const struct snapshot *s)
{
    return atomic_load_explicit(s->interrupted, memory_order_acquire);
}

static void close_inner(struct snapshot *s)
{
    if (s->inner)
        sp_source_kind_libav.close(s->inner);
    s->inner = NULL;
    sp_frame_unref(s->held);
    s->held = NULL;
}

static void begin_inner(struct snapshot *s)
{
    s->inner_given = s->inner_failed = 0;
    sp_source_kind_libav.info(s->inner, &s->info);
    s->info.live = s->info.snapshot = true;
    s->info.frame_rate = 1e6 / (double)s->options.snapshot_interval_us;
    s->info.frames_total = 0;
    int64_t now_us = sp_clock_us();
    int64_t next_us = s->due_us + s->options.snapshot_interval_us;
    s->due_us = next_us > now_us ? next_us : now_us + s->options.snapshot_interval_us;
}

int sp_snapshot_open(void **out, void *opened, const struct sp_source_options *options,
                     const atomic_bool *interrupted, struct sp_error *err)
{
    struct snapshot *s = calloc(1, sizeof *s);
    char *url = strdup(options->url);
    if (!s || !url) {
        free(s);
        free(url);
        sp_source_kind_libav.close(opened);
        return sp_fail(err, SP_ERR_NO_MEMORY, "source: out of memory");
    }
    s->options = *options;
    s->options.url = s->url = url;
    s->options.frame_skip = 1;
    s->options.sparse = false;
    s->sparse_step = options->sparse && options->frame_skip > 1 ? (uint64_t)options->frame_skip : 1;
    s->options.memory =
        (struct sp_source_memory){0}; /* setting it up costs more than one frame saves */
    s->options.gpu = (struct sp_source_gpu){0};
    s->interrupted = interrupted;
    s->silent_us = sp_clock_us();
    s->inner = opened;
    begin_inner(s);
    *out = s;
    return SP_OK;
}

static void close_snapshot(void *self)
{
    struct snapshot *s = self;
    close_inner(s);
    free(s->url);
    free(s);
}

/* Waits until the next opening is due. */
static int wait_due(struct snapshot *s, struct sp_error *err)
{
    for (;;) {
        int64_t left_us = s->due_us - sp_clock_us();
        if (is_interrupted(s))
            return sp_fail(err, SP_ERR_INTERRUPTED, "source: reading was interrupted");
        if (left_us <= 0)
            return SP_OK;
        usleep((useconds_t)(left_us < WAIT_SLICE_US ? left_us : WAIT_SLICE_US));
    }
}

static void count_failed(struct snapshot *s)
{
    uint64_t failed = sp_source_kind_libav.failed(s->inner);
    s->failed += failed - s->inner_failed;
    s->sequence += failed - s->inner_failed;
    s->inner_failed = failed;
}

/* One frame of the open address. SP_ERR_END: it has ended, *out stays NULL. */
static int read_inner(struct snapshot *s, struct sp_frame **out, struct sp_error *err)
{
    struct sp_frame *frame = NULL, *second = NULL;
    int rc = SP_OK;
    if (s->held) {
        frame = s->held;
        s->held = NULL;
    } else {
        rc = sp_source_kind_libav.read(s->inner, &frame, err);
        count_failed(s);
    }
    if (rc == SP_OK && s->inner_given == 0) { /* the end shows whether it was complete */
        rc = sp_source_kind_libav.read(s->inner, &second, err);
        count_failed(s);
        if (rc == SP_OK) {
            s->held = second;
        } else if (rc == SP_ERR_END) {
            close_inner(s);
            rc = SP_OK;
        } else if (rc == SP_ERR_FORMAT) {
            s->failed++;
            s->sequence++;
        }
        if (rc != SP_OK) {
            sp_frame_unref(frame);
            return rc;
        }
    }
    if (rc != SP_OK)
        return rc;
    s->inner_given++;
    *out = frame;
    return SP_OK;
}

/* SP_OK for transient errors: try again at the next interval. */
static int judge(struct snapshot *s, int rc, const struct sp_error *why, struct sp_error *err)
{
    bool over = rc == SP_ERR_END && s->inner_given > 0;
    close_inner(s);
    if (over)
        return SP_OK;
    if (rc != SP_ERR_END && rc != SP_ERR_FORMAT && rc != SP_ERR_NOT_FOUND) {
        if (err)
            *err = *why;
        return rc;
    }
    s->problem = *why;
    int64_t silent_us = sp_clock_us() - s->silent_us;
    int64_t allowed_us = s->options.read_timeout_us + s->options.snapshot_interval_us;
    if (s->options.read_timeout_us == 0 || silent_us < allowed_us)
        return SP_OK;
    s->silent_us = sp_clock_us();
    return sp_fail(err, SP_ERR_TIMEOUT, "no image for %.1f s: %s", (double)silent_us / 1e6,
                   s->problem.text);
}

static void leave_out(struct snapshot *s)
{
    s->sequence++;
    s->undecoded++;
}

static int open_inner(struct snapshot *s, struct sp_error *err)
{
    while (s->sequence % s->sparse_step != 0) { /* skipped without a request */
        s->due_us += s->options.snapshot_interval_us;
        leave_out(s);
    }
    int rc = wait_due(s, err);
    if (rc != SP_OK)
        return rc;
    rc = sp_opening_run(&s->inner, &sp_source_kind_libav, &s->options, s->interrupted, err);
    if (rc == SP_OK) {
        begin_inner(s);
    } else {
        s->inner = NULL;
        s->inner_given = 0;
        s->due_us = sp_clock_us() + s->options.snapshot_interval_us;
    }
    return rc;
}

static int read_snapshot(void *self, struct sp_frame **out, struct sp_error *err)
{
    struct snapshot *s = self;
    struct sp_frame *frame = NULL;
    while (!frame) {
        struct sp_error why = {0};
        int rc = s->inner ? SP_OK : open_inner(s, &why);
        if (rc == SP_OK)
            rc = read_inner(s, &frame, &why);
        if (rc != SP_OK)
            rc = judge(s, rc, &why, err);
        if (rc != SP_OK)
            return rc;
        if (frame && s->sequence % s->sparse_step != 0) {
            sp_frame_unref(frame);
            frame = NULL;
            leave_out(s);
        }
    }
    s->silent_us = frame->received_us;
    if (s->began_us == 0)
        s->began_us = frame->received_us;
    frame->pts_us = frame->received_us - s->began_us;
    frame->sequence = s->sequence++;
    frame->undecoded = (uint32_t)s->undecoded;
    s->undecoded = 0;
    *out = frame;
    return SP_OK;
}

static void info_of(const void *self, struct sp_source_info *info)
{
    const struct snapshot *s = self;
    *info = s->info;
}

static uint64_t failed_of(const void *self)
{
    const struct snapshot *s = self;
    return s->failed;
}

static uint64_t tail_of(const void *self)
{
    const struct snapshot *s = self;
    return s->undecoded;
}

static bool accepts_none(const char *url)
{
    (void)url;
    return false; /* source.c decides once the address is open */
}

static int open_none(void **out, const struct sp_source_options *options,
                     const atomic_bool *interrupted, struct sp_error *err)
{
    (void)out;
    (void)options;
    (void)interrupted;
    return sp_fail(err, SP_ERR_UNSUPPORTED, "source: a still image is opened by FFmpeg first");
}

const struct sp_source_kind sp_source_kind_snapshot = {
    .accepts = accepts_none,
    .open = open_none,
    .close = close_snapshot,
    .info = info_of,
    .read = read_snapshot,
    .failed = failed_of,
    .tail_undecoded = tail_of,
};
